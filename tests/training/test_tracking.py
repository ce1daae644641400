"""Trainings recorded in a local MLflow store."""

import json

import pytest
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from pytorch_lightning.callbacks import Callback

from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import ConfigError
from galmorph.names import flat
from galmorph.training.fit import train
from galmorph.training.history import read_history
from galmorph.training.tracking import Tracking

pytest.importorskip("mlflow")


class Stopping(Callback):
    """Interrupts a training after an epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def tracking(store):
    return Tracking(str(store / "runs" / "mlflow.db"))


@pytest.fixture(scope="module")
def recipe(cutouts):
    return tiny_recipe(cutouts, fit={"epochs": 2}, split={"stratified": True})


@pytest.fixture(scope="module")
def run(recipe, store, tracking):
    """A finished training, and its run."""
    result = train(recipe, store / "one", device="cpu", progress=False, callbacks=[tracking])
    facts = json.loads((store / "one" / "mlflow.json").read_text())
    return result, tracking.client.get_run(facts["run"])


def test_settings_metrics_and_lineage_are_recorded(run, recipe, store, tracking):
    result, recorded = run
    assert recorded.info.status == "FINISHED"
    assert recorded.info.run_name == "one"
    assert tracking.client.get_experiment(recorded.info.experiment_id).name == recipe.name
    params = recorded.data.params
    assert params["optimiser.learning_rate"] == "0.003"
    assert params["method.clustering.top"] == str(recipe.method.clustering.top)
    # Of paths only the names: parameters are the same wherever the data lie.
    assert params["source.path"] == recipe.source.path.name
    tags = recorded.data.tags
    digests = read_cutout_set(recipe.source.path).digests()
    assert {name: tags[f"galmorph.source.{name}"] for name in digests} == digests
    assert tags["galmorph.checkpoint"] == str(result.checkpoint.resolve())
    history = [
        (metric.step, metric.value) for metric in tracking.client.get_metric_history(recorded.info.run_id, "valid_loss")
    ]
    assert history == [(row["epoch"], row["valid_loss"]) for row in read_history(store / "one" / "metrics.csv")]


def test_recipe_and_metrics_lie_beside_the_store(run, store, tracking):
    recorded = run[1]
    assert {each.path for each in tracking.client.list_artifacts(recorded.info.run_id)} == {
        "recipe.toml",
        "metrics.csv",
    }
    assert recorded.info.artifact_uri.startswith((store / "runs" / "mlflow-artefacts").as_uri())


def test_an_interrupted_training_goes_on_in_its_run(recipe, store, tracking):
    with pytest.raises(KeyboardInterrupt):
        train(recipe, store / "two", device="cpu", progress=False, callbacks=[tracking, Stopping()])
    identity = json.loads((store / "two" / "mlflow.json").read_text())["run"]
    assert tracking.client.get_run(identity).info.status == "KILLED"
    train(recipe, store / "two", device="cpu", progress=False, callbacks=[tracking])
    assert json.loads((store / "two" / "mlflow.json").read_text())["run"] == identity
    assert tracking.client.get_run(identity).info.status == "FINISHED"
    steps = {metric.step for metric in tracking.client.get_metric_history(identity, "valid_loss")}
    assert steps == {0, 1}


def test_digests_of_a_target(cutouts, store, tracking):
    target = make_cutouts(store / "target", each=10, seed=1)
    recipe = tiny_recipe(
        cutouts,
        target={"path": str(target)},
        fit={"epochs": 1},
        split={"stratified": True},
        method={"name": "coral", "warmup_epochs": 0.0, "ramp_epochs": 0.0},
    )
    train(recipe, store / "three", device="cpu", progress=False, callbacks=[tracking])
    tags = tracking.client.get_run(json.loads((store / "three" / "mlflow.json").read_text())["run"]).data.tags
    digests = read_cutout_set(target).digests()
    assert {name: tags[f"galmorph.target.{name}"] for name in digests} == digests


def test_on_the_command_line(recipe, store, tracking):
    (store / "recipe.toml").write_text(recipe.to_toml())
    out, database = store / "five", store / "runs" / "mlflow.db"
    main(["train", str(store / "recipe.toml"), "--out", str(out), "--seeds", "3", "4", "--mlflow", str(database)])
    runs = [json.loads((out / f"seed-{seed}" / "mlflow.json").read_text())["run"] for seed in (3, 4)]
    assert [tracking.client.get_run(run).data.params["seed"] for run in runs] == ["3", "4"]
    assert {tracking.client.get_run(run).info.status for run in runs} == {"FINISHED"}


def test_a_store_that_fails_on_the_way_costs_nothing(recipe, store, tracking, monkeypatch, caplog):
    real, calls = tracking.client.log_batch, []

    def failing(run, **what):
        calls.append(what)
        # Settings and tags of the start are taken, the first epoch's metrics are not.
        if "metrics" in what and sum("metrics" in each for each in calls) == 1:
            raise ConnectionError("no route")
        real(run, **what)

    monkeypatch.setattr(tracking.client, "log_batch", failing)
    result = train(recipe, store / "four", device="cpu", progress=False, callbacks=[tracking])
    assert result.epochs == 2
    assert "MLflow could not be told: no route" in caplog.text
    identity = json.loads((store / "four" / "mlflow.json").read_text())["run"]
    assert [metric.step for metric in tracking.client.get_metric_history(identity, "valid_loss")] == [0, 1]


def test_a_training_whose_run_is_gone_has_a_new_one(recipe, store, tracking, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(recipe, store / "six", device="cpu", progress=False, callbacks=[tracking, Stopping()])
    (store / "six" / "mlflow.json").write_text(json.dumps({"uri": tracking.uri, "run": "0" * 32}))
    train(recipe, store / "six", device="cpu", progress=False, callbacks=[tracking])
    assert "any more, and a new one is begun" in caplog.text
    run = json.loads((store / "six" / "mlflow.json").read_text())["run"]
    assert tracking.client.get_run(run).info.status == "FINISHED"


def test_what_fails_after_a_training_is_not_that_trainings_failure(recipe, store, tracking, run):
    class Early(Callback):
        def setup(self, trainer, pl_module, stage):
            raise RuntimeError("no twin")

    with pytest.raises(RuntimeError, match="no twin"):
        train(recipe, store / "seven", device="cpu", progress=False, callbacks=[Early(), tracking])
    assert tracking.client.get_run(run[1].info.run_id).info.status == "FINISHED"


def test_a_store_that_is_none(tmp_path):
    (tmp_path / "broken.db").write_text("no database at all, and long enough to see it")
    with pytest.raises(ConfigError, match="MLflow cannot open sqlite:///"):
        Tracking(str(tmp_path / "broken.db"))
    with pytest.raises(ConfigError, match="MLflow cannot open nowhere://"):
        Tracking("nowhere://x")


def test_settings_by_one_name():
    values = {"a": 1, "b": {"c": (1, 2), "d": {}, "e": {"f": None}}}
    assert dict(flat(values)) == {"a": 1, "b.c": (1, 2), "b.d": {}, "b.e.f": None}
