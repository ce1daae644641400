"""A guarded training from end to end: both models, the verdict, and what is shipped."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import ConfigError
from galmorph.training import guarded
from galmorph.training.domains import read_domains
from galmorph.training.evaluate import evaluate
from galmorph.training.explain import explain
from galmorph.training.export import export
from galmorph.training.fit import load_training, train
from galmorph.training.guard import Verdict
from galmorph.training.guarded import compare_trainings, predict, train_guarded, without_adaptation
from galmorph.training.seeds import train_seeds
from galmorph.training.shipped import GUARD, PLAIN, read_verdict, shipped_checkpoint
from galmorph.training.transfer import start_file


def recipe_for(cutouts, target, name="mmd", **guard):
    return tiny_recipe(
        cutouts,
        target={"path": str(target)},
        method={"name": name, "warmup_epochs": 0.5, "ramp_epochs": 0.5, "label_smoothing": 0.1},
        network={"encoder": "deepmerge"},
        fit={"epochs": 2, "batch_size": 24},
        guard=guard,
    )


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return make_cutouts(tmp_path_factory.mktemp("target") / "set", each=10, seed=7)


@pytest.fixture(scope="module")
def fallen(cutouts, target, tmp_path_factory):
    """A training whose target has far fewer images than the guard wants."""
    out = tmp_path_factory.mktemp("guarded") / "out"
    return out, train_guarded(recipe_for(cutouts, target, least_images=10_000), out, device="cpu", progress=False)


@pytest.fixture
def asked(cutouts, target, monkeypatch):
    """What the guard asks of two models: one that is right, and one that calls all of the target one class."""
    domains, seen = read_domains(recipe_for(cutouts, target)), []

    def answer(modules, images, rows, domain):
        images_of = {"source": domains.source.images, "target": domains.target.images}
        assert images is images_of[domain] or np.array_equal(images, images_of[domain])
        seen.append((modules, domain, rows.tolist()))
        labels = domains.source.labels[rows] if domain == "source" else np.arange(len(rows)) % 3
        logits = 8.0 * np.eye(3)[0 * labels if (modules, domain) == ("adapted", "target") else labels]
        return (0 * logits if modules == "vague" and domain == "target" else logits), logits

    monkeypatch.setattr(guarded, "load_members", lambda checkpoints: (checkpoints[0], {}))
    monkeypatch.setattr(guarded, "predict", answer)
    return domains, seen


def test_the_guard_sees_validation_images_of_the_source_and_training_images_of_the_target(asked, cutouts, target):
    domains, seen = asked
    verdict = compare_trainings(recipe_for(cutouts, target), ["plain"], ["adapted"])
    rows = domains.target_rows["train"]
    assert seen == [
        (model, domain, sorted(chosen.tolist()))
        for model in ("plain", "adapted")
        for domain, chosen in (("source", domains.rows["validation"]), ("target", rows))
    ]
    assert verdict.shipped == "source_only"
    assert verdict.target == domains.target.digests
    assert verdict.signs.images == len(rows)
    assert verdict.signs.source_change == verdict.signs.smallest_class == 0
    assert verdict.signs.agreement == pytest.approx(np.mean(np.arange(len(rows)) % 3 == 0))


def test_of_a_large_target_both_models_are_asked_about_the_same_images(asked, cutouts, target, monkeypatch):
    domains, seen = asked
    monkeypatch.setattr(guarded, "COMPARED", 9)
    signs = compare_trainings(recipe_for(cutouts, target), ["plain"], ["adapted"]).signs
    first, second = (rows for _, domain, rows in seen if domain == "target")
    assert first == second == sorted(first)
    assert len(set(first)) == 9
    assert set(first) < set(domains.target_rows["train"].tolist())
    # Those that were trained with are counted all the same.
    assert signs.images == len(domains.target_rows["train"])


@pytest.mark.parametrize(("sure", "share"), [(0.3, 1), (0.5, 0)])
def test_the_recipe_says_of_what_the_source_only_model_is_sure(asked, cutouts, target, sure, share):
    assert compare_trainings(recipe_for(cutouts, target, sure=sure), ["vague"], ["plain"]).signs.sure == share


def test_models_answer_about_each_image_that_is_asked_for_however_many_at_a_time(trained, cutouts, monkeypatch):
    module, _ = load_training(trained.checkpoint)
    images, rows = read_cutout_set(cutouts).images, np.array([5, 0, 17, 3, 8, 2, 30])
    with_all = predict(module, images, rows, "source")
    monkeypatch.setattr(guarded, "BATCH", 3)
    for whole, parts in zip(with_all, predict(module, images, rows, "source"), strict=True):
        assert len(whole) == len(rows)
        np.testing.assert_allclose(parts, whole, atol=1e-5)
    for number, row in enumerate(rows):
        np.testing.assert_allclose(
            predict(module, images, np.array([row]), "source")[0][0], with_all[0][number], atol=1e-5
        )


def test_a_sign_of_harm_ships_the_source_only_model(fallen, tmp_path):
    out, result = fallen
    assert result.verdict.shipped == "source_only"
    assert "too few" in result.verdict.reasons[0]
    assert result.shipped.checkpoint.parents[1] == out / PLAIN
    assert shipped_checkpoint(out) == out / PLAIN
    training = load_bundle(export(out, tmp_path / "bundle")).manifest.training
    assert training["recipe"]["method"]["name"] == training["guard"]["model"] == "source_only"
    assert training["guard"]["reasons"] == list(result.verdict.reasons)
    card = (tmp_path / "bundle/README.md").read_text()
    assert "may have done harm" not in card
    assert "adapted to" not in card


def test_both_models_are_measured_on_the_same_part_of_the_target(fallen, target, tmp_path):
    out, result = fallen
    plain, adapted = (
        export(out, tmp_path / "plain"),
        export(out / "checkpoints" / "best.safetensors", tmp_path / "bundle"),
    )
    assert load_bundle(plain).manifest.training["target"] is None
    measured = [evaluate(bundle, target, resamples=0) for bundle in (plain, adapted)]
    assert [(each.part, each.objects) for each in measured] == [("test", measured[1].objects)] * 2
    # A verdict of before says nothing of the target.
    old = json.loads((out / GUARD).read_text())
    del old["target"]
    assert Verdict.from_dict(old) == dataclasses.replace(result.verdict, target={})


def test_a_training_starts_from_the_model_that_the_guard_chose(fallen, cutouts, tmp_path):
    out, result = fallen
    assert start_file(out) == result.shipped.checkpoint == out / PLAIN / "checkpoints" / "best.safetensors"
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "seeds.json").write_text('{"seeds": [0]}')
    for stands_for in (start_file, shipped_checkpoint):
        with pytest.raises(ConfigError, match=r"several seeds; give the folder of one, such as .*seed-0"):
            stands_for(tmp_path / "several")


def test_the_adapted_model_can_be_shipped_all_the_same(fallen, tmp_path):
    _, result = fallen
    adapted = fallen[0] / "checkpoints" / result.shipped.checkpoint.name
    training = load_bundle(export(adapted, tmp_path / "bundle")).manifest.training
    assert training["recipe"]["method"]["name"] == "mmd"
    assert "Network deepmerge, method mmd, adapted to " in (tmp_path / "bundle/README.md").read_text()
    # What was said of it stays with it, and the card tells it.
    assert (training["guard"]["shipped"], training["guard"]["model"]) == ("source_only", "adapted")
    assert f"may have done harm: {result.verdict.reasons[0]}" in (tmp_path / "bundle/README.md").read_text()


def test_export_says_which_of_the_two_it_takes(fallen, tmp_path, capsys):
    out, _ = fallen
    main(["export", str(out), "--out", str(tmp_path / "chosen")])
    assert "on the source alone, as the guard decided" in capsys.readouterr().out
    main(["export", str(out / "checkpoints" / "best.safetensors"), "--out", str(tmp_path / "other")])
    assert "the adapted one, though the guard found harm" in capsys.readouterr().out


def test_export_tells_of_a_training_that_is_not_finished_or_not_judged(cutouts, target, tmp_path, caplog):
    out = tmp_path / "out"
    train_guarded(recipe_for(cutouts, target), out, device="cpu", progress=False)
    export(out, tmp_path / "bundle")
    assert "galmorph train goes on" not in caplog.text
    # As a training leaves its folder that was stopped in its twin, and then in itself.
    (out / GUARD).unlink()
    export(out, tmp_path / "bundle")
    assert "no guard has judged whether adaptation did harm" in caplog.text
    assert "is not finished" not in caplog.text
    (out / "result.json").unlink()
    export(out, tmp_path / "bundle")
    assert f"the training in {out} is not finished, and the best of its epochs so far is taken" in caplog.text


def test_of_an_epoch_that_no_guard_judged_none_is_said_to_have_judged(cutouts, target, tmp_path, caplog, capsys):
    out = tmp_path / "out"
    train_guarded(recipe_for(cutouts, target), out, device="cpu", progress=False)
    last = out / "checkpoints" / "last.safetensors"
    assert read_verdict(out) == read_verdict(out / "checkpoints" / "best.safetensors") is not None
    assert read_verdict(last) is None
    # Of the training on the source alone there is nothing to judge in any epoch.
    assert read_verdict(out / PLAIN / "checkpoints" / "last.safetensors") == read_verdict(out)
    main(["export", str(last), "--out", str(tmp_path / "bundle")])
    assert f"{last} is not the best epoch of its training" in caplog.text
    assert "no guard has judged" not in caplog.text
    assert "as the guard decided" not in capsys.readouterr().out
    assert "guard" not in load_bundle(tmp_path / "bundle").manifest.training
    # Which epoch a file is that was taken out of the folder nobody can say.
    (tmp_path / "elsewhere").mkdir()
    taken = shutil.copy(last, tmp_path / "elsewhere" / "weights.safetensors")
    caplog.clear()
    export(taken, tmp_path / "bundle")
    assert "no guard has judged" in caplog.text
    assert "is not the best epoch" not in caplog.text


def test_what_the_guard_chose_is_looked_at_beside_the_target(fallen, target, tmp_path):
    for moved in (None, shutil.copytree(target, tmp_path / "moved")):
        explain(fallen[0], tmp_path / "out", target=moved)
        table = pd.read_csv(tmp_path / "out" / "latent.csv", keep_default_na=False)
        assert set(table["domain"]) == {"source", "target"}
        assert set(table.loc[table["domain"] == "target", "label"]) == {""}


def test_other_limits_judge_anew_without_training_again(fallen, cutouts, target):
    out, _ = fallen
    checkpoints = [*out.glob("checkpoints/*"), *out.glob(f"{PLAIN}/checkpoints/*")]
    before = {path: path.stat().st_mtime_ns for path in checkpoints}
    lenient = recipe_for(
        cutouts,
        target,
        least_images=1,
        source_drop=1.0,
        likelihood_drop=100.0,
        agreement=0.0,
        smallest_class=0.0,
        away=1.0,
        clusters_drop=2.0,
        neighbours_drop=1.0,
    )
    result = train_guarded(lenient, out, device="cpu", progress=False)
    assert result.verdict.shipped == "adapted"
    assert result.verdict.reasons == ()
    assert result.shipped.checkpoint.parents[1] == out
    assert {path: path.stat().st_mtime_ns for path in checkpoints} == before
    assert json.loads((out / GUARD).read_text())["shipped"] == "adapted"


def test_a_limit_of_time_is_that_of_each_of_both_trainings(cutouts, target, tmp_path):
    recipe = recipe_for(cutouts, target)
    method = dataclasses.replace(recipe.method, warmup_epochs=0.5, ramp_epochs=0.5)
    endless = dataclasses.replace(
        recipe, method=method, fit=dataclasses.replace(recipe.fit, epochs=5000, patience=5000)
    )
    result = train_guarded(endless, tmp_path / "out", device="cpu", progress=False, minutes=5 / 60)
    assert result.verdict is not None
    for folder in (tmp_path / "out", tmp_path / "out" / PLAIN):
        assert 0 < json.loads((folder / "result.json").read_text())["epochs"] < 5000


def test_the_guard_may_only_warn(fallen, cutouts, target, caplog):
    out, _ = fallen
    result = train_guarded(
        recipe_for(cutouts, target, mode="warn", least_images=10_000), out, device="cpu", progress=False
    )
    assert result.verdict.shipped == "adapted"
    assert "too few" in caplog.text


def test_a_guard_that_is_put_off_decides_no_more(fallen, cutouts, target, tmp_path):
    out = shutil.copytree(fallen[0], tmp_path / "out")
    train_guarded(recipe_for(cutouts, target, least_images=10_000), out, device="cpu", progress=False)
    assert shipped_checkpoint(out) == out / PLAIN
    train_guarded(recipe_for(cutouts, target, mode="off"), out, device="cpu", progress=False)
    assert shipped_checkpoint(out) == out
    assert read_verdict(out) is None


def test_what_is_measured_of_seeds_is_what_the_guard_ships(cutouts, target, tmp_path):
    names = []
    for mode in ("fallback", "warn"):
        recipe = recipe_for(cutouts, target, least_images=10_000, mode=mode)
        train_seeds(recipe, tmp_path / "out", [0], sets=[cutouts], device="cpu", progress=False)
        manifest = load_bundle(tmp_path / "out/seed-0/model").manifest
        names.append(manifest.training["recipe"]["method"]["name"])
    assert names == ["source_only", "mmd"]


def test_without_a_guard_nothing_else_is_trained(cutouts, target, tmp_path):
    result = train_guarded(recipe_for(cutouts, target, mode="off"), tmp_path / "out", device="cpu", progress=False)
    assert result.verdict is None
    assert not (tmp_path / "out" / PLAIN).exists()
    assert read_verdict(result.shipped.checkpoint) is None


def test_the_source_only_twin_is_the_same_recipe_on_the_source(cutouts, target):
    recipe = recipe_for(cutouts, target, "deepastrouda")
    weights = {"cross_entropy": 2.0, "strangers": 0.5, "balance": 0.3, "clustering": 3.0}
    recipe = dataclasses.replace(
        recipe, method=dataclasses.replace(recipe.method, weights=weights, class_weights=False)
    )
    plain = without_adaptation(recipe, (0.5, 2.0))
    assert plain.method.name == "source_only"
    assert plain.views == dataclasses.replace(recipe.views, noise=(0.5, 2.0))
    assert without_adaptation(recipe).views.noise == 0
    assert plain.method.weights == {"cross_entropy": 2.0, "strangers": 0.5}
    assert plain.method.label_smoothing == recipe.method.label_smoothing
    assert not plain.method.class_weights
    assert plain.target is None
    assert (plain.fit, plain.network, plain.optimiser, plain.seed) == (
        recipe.fit,
        recipe.network,
        recipe.optimiser,
        recipe.seed,
    )


def test_a_method_that_does_not_adapt_needs_no_guard(cutouts, tmp_path):
    recipe = tiny_recipe(cutouts, fit={"epochs": 1, "batch_size": 24})
    result = train_guarded(recipe, tmp_path / "out", device="cpu", progress=False)
    assert result.verdict is None
    assert result.shipped == train(recipe, tmp_path / "out", device="cpu", progress=False)
