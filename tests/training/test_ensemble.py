"""Networks of several seeds answer together: in training's folder, in the bundle, before the guard."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from torch import nn

from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import ConfigError, DataError
from galmorph.training import ensemble
from galmorph.training.ensemble import Ensemble, as_served, load_members
from galmorph.training.evaluate import evaluate, predict
from galmorph.training.export import export
from galmorph.training.fit import load_training, train
from galmorph.training.seeds import numbers, train_seeds
from galmorph.training.shipped import GUARD, PLAIN, shipped


class Fixed(nn.Module):
    """Gives what it is told to."""

    def __init__(self, logits, features):
        super().__init__()
        self.answer = (torch.tensor(logits), torch.tensor(features))

    def forward(self, images):
        return self.answer


@pytest.fixture(scope="module")
def seeds(cutouts, tmp_path_factory):
    out = tmp_path_factory.mktemp("ensemble") / "out"
    recipe = tiny_recipe(cutouts, fit={"epochs": 2}, split={"stratified": True})
    return out, train_seeds(recipe, out, [0, 1, 2], sets=[cutouts], part="test", device="cpu", progress=False)


def test_the_mean_of_logits_and_all_features_by_hand():
    members = [Fixed([[1.0, 3.0]], [[1.0, 2.0]]), Fixed([[3.0, -1.0]], [[5.0, 6.0]])]
    logits, features = Ensemble(members)(torch.zeros(1))
    assert logits.tolist() == [[2.0, 1.0]]
    assert features.tolist() == [[1.0, 2.0, 5.0, 6.0]]


@pytest.mark.parametrize("orientations", [1, 4])
def test_a_bundle_of_seeds_says_what_the_mean_of_its_networks_says(seeds, cutouts, tmp_path, orientations):
    out, _ = seeds
    bundle = load_bundle(export(out, tmp_path / "bundle", orientations=orientations))
    images = read_cutout_set(cutouts).images
    logits, features = predict(bundle.graph("float32").read_bytes(), images, np.arange(8))
    expected = []
    for seed in range(3):
        module, _ = load_training(out / f"seed-{seed}")
        with torch.inference_mode():
            expected.append(as_served([module.network], orientations)(torch.from_numpy(np.array(images[:8]))))
    np.testing.assert_allclose(logits, np.mean([one.numpy() for one, _ in expected], axis=0), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(features, np.hstack([one.numpy() for _, one in expected]), atol=1e-4, rtol=1e-4)
    assert bundle.manifest.features == features.shape[1]
    assert bundle.manifest.training["seed"] == [0, 1, 2]
    assert len(set(bundle.manifest.training["checkpoints"])) == 3
    assert "3 networks together" in (bundle.path / "README.md").read_text()


def test_fewer_bits_are_made_of_several_networks_too(cutouts, tmp_path):
    options = {"precisions": ["int8", "float16"], "accuracy_drop": 1.0, "flags_kept": 0.0}
    encoder = {"encoder": "resnet18", "encoder_options": {"channels": [8, 8, 16, 16]}}
    recipe = tiny_recipe(cutouts, network=encoder, fit={"epochs": 1}, export=options)
    train_seeds(recipe, tmp_path / "out", [0, 1], device="cpu", progress=False)
    bundle = load_bundle(export(tmp_path / "out", tmp_path / "bundle"))
    images = read_cutout_set(cutouts).images
    whole, _ = predict(bundle.graph("float32").read_bytes(), images, np.arange(20))
    for precision, tolerance in (("int8", 0.3), ("float16", 0.02)):
        less, _ = predict(bundle.graph(precision).read_bytes(), images, np.arange(20))
        assert np.abs(less - whole).max() < tolerance * max(1.0, np.abs(whole).max()), precision


def test_what_all_together_give_stands_beside_the_mean(seeds, cutouts):
    out, summary = seeds
    alone = numbers(evaluate(out / "model", cutouts, part="test", resamples=0))
    assert summary.together == {str(cutouts): alone}
    assert json.loads((out / "seeds.json").read_text())["together"][str(cutouts)] == alone
    assert shipped(out).checkpoints == tuple(
        out / f"seed-{seed}" / "checkpoints" / "best.safetensors" for seed in range(3)
    )
    assert not (out / GUARD).exists()


def test_only_seeds_of_the_last_call_answer(seeds, cutouts, tmp_path):
    out, _ = seeds
    recipe = load_training(out / "seed-0")[0].recipe
    train_seeds(recipe, out, [0, 2], device="cpu", progress=False)
    assert [path.parents[1].name for path in shipped(out).checkpoints] == ["seed-0", "seed-2"]
    train_seeds(recipe, out, [0, 1, 2], device="cpu", progress=False)


@pytest.mark.parametrize(("least_images", "model"), [(10_000, "source_only"), (1, "adapted")])
def test_the_guard_judges_all_networks_together(cutouts, tmp_path, capsys, least_images, model):
    target = make_cutouts(tmp_path / "target", each=10, seed=7)
    lenient = {
        "source_drop": 1.0, "likelihood_drop": 100.0, "agreement": 0.0, "smallest_class": 0.0, "away": 1.0,
        "clusters_drop": 2.0,
        "neighbours_drop": 1.0,
    }  # fmt: skip
    recipe = tiny_recipe(
        cutouts,
        target={"path": str(target)},
        method={"name": "mmd", "warmup_epochs": 0.5, "ramp_epochs": 0.5},
        fit={"epochs": 2, "batch_size": 24},
        guard={"least_images": least_images, **lenient},
    )
    out = tmp_path / "out"
    train_seeds(recipe, out, [0, 1], device="cpu", progress=False)
    found = shipped(out)
    assert (found.model, found.verdict.shipped) == (model, model)
    folders = [out / f"seed-{seed}" / (PLAIN if model == "source_only" else "") for seed in (0, 1)]
    assert found.checkpoints == tuple(folder / "checkpoints" / "best.safetensors" for folder in folders)
    main(["export", str(out), "--out", str(tmp_path / "bundle")])
    assert "as the guard decided" in capsys.readouterr().out
    guard = load_bundle(tmp_path / "bundle").manifest.training["guard"]
    assert (guard["shipped"], guard["model"]) == (model, model)


def test_networks_of_different_recipes_or_data_are_refused(seeds, cutouts, tmp_path):
    out, _ = seeds
    recipe = tiny_recipe(cutouts, fit={"epochs": 1}, split={"stratified": True})
    other = train(recipe, tmp_path / "shorter", device="cpu", progress=False).checkpoint
    with pytest.raises(ConfigError, match="of different recipes"):
        load_members([out / "seed-0", other])
    elsewhere = make_cutouts(tmp_path / "set", each=12, seed=3)
    recipe = tiny_recipe(elsewhere, fit={"epochs": 2}, split={"stratified": True})
    other = train(recipe, tmp_path / "elsewhere", device="cpu", progress=False).checkpoint
    with pytest.raises(DataError, match="different data"):
        load_members([out / "seed-0", other])


def test_networks_that_adapted_to_different_targets_are_refused(cutouts, monkeypatch):
    recipe = tiny_recipe(cutouts)
    loaded = {
        name: (
            SimpleNamespace(recipe=replace(recipe, seed=seed)),
            {"digests": {"images": "of the source"}, "target": {"digests": {"images": images}}},
        )
        for seed, (name, images) in enumerate({"first": "a", "second": "a", "third": "b"}.items())
    }
    monkeypatch.setattr(ensemble, "load_training", loaded.__getitem__)
    modules, record = load_members(["second", "first"])
    assert modules == [loaded["second"][0], loaded["first"][0]]
    assert record is loaded["second"][1]
    with pytest.raises(DataError, match="third and first were trained on different data"):
        load_members(["first", "second", "third"])


def test_what_is_of_one_network_asks_for_one(seeds):
    out, _ = seeds
    with pytest.raises(ConfigError, match=r"several seeds; give the folder of one, such as .*seed-0"):
        load_training(out)
