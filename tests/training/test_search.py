"""Searches over settings of a recipe, on blobs."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import tomli_w
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.cli import main
from galmorph.cutout_set import LABELS
from galmorph.errors import ConfigError, DataError
from galmorph.training import search as module
from galmorph.training.recipe import load_recipe
from galmorph.training.search import search
from galmorph.training.search_space import Choice, Range, Space, load_space, with_settings

EXAMPLE = Path(__file__).parents[2] / "training" / "search.toml"

RATE = Range(low=1e-4, high=1e-1, log=True)
SPACE = Space(settings={"optimiser.learning_rate": RATE, "fit.batch_size": Choice(choices=(16, 32))}, pruning=False)


@pytest.fixture(scope="module")
def recipe(cutouts):
    return tiny_recipe(cutouts, fit={"epochs": 1}, split={"stratified": True}, optimiser={"warmup_epochs": 0.0})


@pytest.fixture(scope="module")
def found(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "out"
    return out, search(recipe, SPACE, out, trials=4, device="cpu")


def table(out):
    return pd.read_csv(out / "trials.csv", keep_default_na=False)


def test_best_trial_is_the_best_row_and_its_recipe_trains(found, recipe):
    out, result = found
    rows = table(out)
    assert len(rows) == 4
    assert set(rows["state"]) == {"complete"}
    best = rows.loc[rows["valid_recall"].idxmax()]
    assert result.value == best["valid_recall"]
    assert result.settings["optimiser.learning_rate"] == best["optimiser.learning_rate"]
    written = load_recipe(result.recipe)
    assert written == with_settings(recipe, result.settings)
    assert written.fit.batch_size in (16, 32)
    assert result.recipe.read_text().startswith(f"# The best of 4 trials, by valid_recall = {result.value:.6g}: ")
    assert result.trials == {"finished": 4, "stopped early": 0, "failed": 0}


def test_a_method_without_a_target_fails_where_the_target_is_gone_by(cutouts, tmp_path):
    recipe = tiny_recipe(
        cutouts,
        target={"path": str(make_cutouts(tmp_path / "target", each=10, seed=7))},
        method={"name": "mmd", "warmup_epochs": 0, "ramp_epochs": 0},
        fit={"epochs": 1, "batch_size": 24},
    )
    methods = {"method.name": Choice(choices=("source_only", "mmd"))}
    for pruning in (False, True):
        out = tmp_path / f"out-{pruning}"
        space = Space(settings=methods, objective="target_density", pruning=pruning)
        result = search(recipe, space, out, trials=3, device="cpu")
        assert result.settings == {"method.name": "mmd"}
        failed = table(out).query("state == 'fail'")
        assert set(failed["method.name"]) == {"source_only"}
        assert failed["reason"].str.contains("target_density is measured on a target").all()


def test_folders_of_trials_are_small(found):
    out, _ = found
    names = {path.name for path in (out / "trials" / "0002").iterdir()}
    assert names == {".lock", "recipe.toml", "identity.json", "metrics.csv", "result.json"}


def test_nothing_is_tried_twice(found, recipe, monkeypatch):
    out, result = found
    monkeypatch.setattr(module, "train", None)
    assert search(recipe, SPACE, out, trials=4) == result


def test_interrupted_search_ends_the_same(found, recipe, tmp_path, monkeypatch):
    out, result = found
    real, calls = module.train, []

    def interrupted(*args, **options):
        calls.append(args)
        # Processes that a trial would start on several GPUs would each be a search.
        assert options["devices"] == 1
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(recipe, SPACE, tmp_path / "out", trials=4, device="cpu")
    assert len(table(tmp_path / "out")) == 2
    again = search(recipe, SPACE, tmp_path / "out", trials=4, device="cpu")
    pd.testing.assert_frame_equal(table(tmp_path / "out"), table(out))
    assert again.settings == result.settings


def test_a_trial_that_goes_on_reports_the_epochs_that_it_has(tmp_path):
    """Other trials are compared with every epoch of it."""
    (tmp_path / "metrics.csv").write_text("epoch,valid_recall\n0,0.1\n1,0.2\n2,0.3\n3,0.4\n")
    reported = {}
    trial = SimpleNamespace(report=lambda value, epoch: reported.update({epoch: value}))
    module._Stop(trial, "valid_recall", 1, tmp_path).on_train_start(SimpleNamespace(current_epoch=3), None)
    assert reported == {1: 0.2, 2: 0.3}
    module._Stop(trial, "valid_recall", 1, tmp_path / "new").on_train_start(SimpleNamespace(current_epoch=0), None)
    assert len(reported) == 2


def test_another_search_in_the_folder_is_refused(found, recipe, cutouts):
    out, _ = found
    other = Space(settings={"optimiser.learning_rate": RATE})
    with pytest.raises(ConfigError, match="holds a search of another recipe, space or data"):
        search(recipe, other, out, trials=4)


def test_settings_that_fail_are_named_and_do_not_stop_the_search(recipe, tmp_path):
    # A margin beyond what a boundary leaves: some pairs go together, some do not.
    space = Space(
        settings={
            "method.separation.rho": Range(low=0.45, high=0.5),
            "method.separation.margin": Choice(choices=(0.1, 0.9)),
        }
    )
    with pytest.raises(ConfigError, match="margin must be less than"):
        search(
            recipe, Space(settings={"method.separation.margin": Choice(choices=(0.9, 0.1))}), tmp_path / "x", trials=1
        )
    result = search(recipe, space, tmp_path / "out", trials=5, device="cpu")
    rows = table(tmp_path / "out")
    failed = rows["method.separation.margin"] == 0.9
    assert result.trials["failed"] == failed.sum() > 0
    assert rows.loc[failed, "reason"].str.contains("margin must be less than").all()
    assert (rows.loc[~failed, "reason"] == "").all()
    only = Space(settings={"optimiser.learning_rate": Range(low=1e30, high=1e31)})
    with pytest.raises(ConfigError, match=r"none of 2 trials .* could be finished; .*training diverged"):
        search(recipe, only, tmp_path / "none", trials=2, device="cpu")


@pytest.mark.parametrize("fault", [DataError("0 at all edges"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_trial_that_cannot_be_trained_does_not_hold_up_the_search(recipe, tmp_path, monkeypatch, fault):
    real = module.train

    def failing(settings, *args, **options):
        if settings.stretch.kind == "linear":
            raise fault
        return real(settings, *args, **options)

    monkeypatch.setattr(module, "train", failing)
    space = Space(settings={"stretch.kind": Choice(choices=("linear", "asinh"))})
    result = search(recipe, space, tmp_path / "out", trials=4, device="cpu")
    rows = table(tmp_path / "out")
    failed = rows["stretch.kind"] == "linear"
    assert result.trials["failed"] == failed.sum() > 0
    assert rows.loc[failed, "reason"].str.contains(str(fault)).all()
    assert result.settings == {"stretch.kind": "asinh"}


def test_bad_trials_are_stopped_early(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STARTUP", 4)
    longer = with_settings(recipe, {"fit.epochs": 3})
    space = Space(settings={"optimiser.learning_rate": Choice(choices=(1.0, 1e-4))}, objective="valid_loss")
    result = search(longer, space, tmp_path / "out", trials=4, device="cpu")
    rows = table(tmp_path / "out")
    stopped = rows["state"] == "pruned"
    assert result.trials["stopped early"] == stopped.sum() > 0
    assert set(rows.loc[stopped, "optimiser.learning_rate"]) == {1.0}
    assert result.settings == {"optimiser.learning_rate": 1e-4}


@pytest.mark.parametrize("objective", ["target_density", "target_information"])
def test_going_by_a_target(recipe, cutouts, tmp_path, objective):
    target = make_cutouts(tmp_path / "target", each=10, seed=1)
    # Without a label in it, since none is looked at.
    pd.read_parquet(target / LABELS).assign(label="").to_parquet(target / LABELS)
    adapting = tiny_recipe(
        cutouts,
        target={"path": str(target)},
        fit={"epochs": 2},
        split={"stratified": True},
        method={"name": "mmd", "warmup_epochs": 0.0, "ramp_epochs": 1.0},
    )
    space = Space(settings={"method.weights.mmd": Range(low=0.1, high=1.0, log=True)}, objective=objective)
    result = search(adapting, space, tmp_path / "out", trials=2, device="cpu")
    values = table(tmp_path / "out")[objective]
    assert result.value == values.max()
    assert (values > 0).all()
    assert not (tmp_path / "out" / "trials" / "0000" / "checkpoints").exists()
    with pytest.raises(ConfigError, match="is measured on a target, and method 'source_only' has none"):
        search(recipe, space, tmp_path / "other", trials=1)


def test_the_example_fits_the_recipe_that_it_names(tmp_path):
    recipe = load_recipe(EXAMPLE.with_name("demo.toml"))
    space = load_space(EXAMPLE)
    values = {name: setting.first for name, setting in space.settings.items()}
    assert with_settings(recipe, values).optimiser.learning_rate == values["optimiser.learning_rate"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "settings: "),
        ({"settings": {}}, "settings: .*at least 1"),
        ({"settings": {"fit.epochs": {"low": 3}}}, r"settings\.fit\.epochs\.high: "),
        ({"settings": {"fit.epochs": {"low": 3, "high": 3}}}, "low must be less than high"),
        ({"settings": {"views.shift": {"low": 0.0, "high": 3.0, "log": True}}}, "above 0 with log"),
        ({"settings": {"fit.epochs": {"choices": [3]}}}, r"settings\.fit\.epochs\.choices: .*at least 2"),
        ({"settings": {"fit.epochs": {"choices": [3, 4]}}, "objective": "target_accuracy"}, "objective: "),
    ],
)
def test_spaces_that_make_no_sense(values, message, tmp_path):
    (tmp_path / "space.toml").write_text(tomli_w.dumps(values))
    with pytest.raises(ConfigError, match=message):
        load_space(tmp_path / "space.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fit.epoch", r"fit\.epoch is not a setting"),
        ("fitt.epochs", r"fitt\.epochs cannot be searched"),
        ("split.salt", r"split\.salt cannot be searched"),
        ("seed", "seed cannot be searched"),
        ("method.fishy.within", "there is no table fishy"),
    ],
)
def test_settings_that_cannot_be_searched(recipe, tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        search(recipe, Space(settings={name: Range(low=1, high=2)}), tmp_path / "out", trials=1)
    assert not (tmp_path / "out").exists()


def test_space_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the space"):
        load_space(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("settings =")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_space(tmp_path / "broken.toml")


def test_on_the_command_line(recipe, tmp_path, capsys):
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    space = {"settings": {"optimiser.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}}
    (tmp_path / "space.toml").write_text(tomli_w.dumps(space))
    out = tmp_path / "out"
    main(["search", str(tmp_path / "recipe.toml"), str(tmp_path / "space.toml"), "--trials", "1", "--out", str(out)])
    text = capsys.readouterr().out
    assert "1 finished, 0 stopped early, 0 failed" in text
    assert f"next: galmorph train {out / 'best.toml'}" in text


def test_a_study_that_cannot_be_read_is_told(recipe, tmp_path):
    (tmp_path / "study.db").write_bytes(b"not a database, and long enough to be taken for one" * 20)
    with pytest.raises(DataError, match=r"study\.db cannot be read or written: file is not a database\. When"):
        search(recipe, SPACE, tmp_path, trials=1, device="cpu")
