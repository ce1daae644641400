"""A release from tiles to catalogue on tiny data: stopped after every step, gone on with, and refused by its gates."""

import dataclasses
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from make_bundle import make_bundle
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from make_sky import make_tile

import galmorph
from galmorph.bundle import load_bundle, write_bundle
from galmorph.cli import main
from galmorph.cli.retrain import retrain as command
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.errors import BudgetError, ConfigError
from galmorph.label_tables import write_label_table
from galmorph.registry import Registry
from galmorph.releases import notice
from galmorph.releases.adapting import adapt, join_sets, raw_words
from galmorph.releases.description import Adapt, parse_release
from galmorph.releases.gate_options import (
    AgreementGate,
    CalibrationGate,
    Gates,
    Int8Gate,
    SourceGate,
    TargetGate,
    UnknownGate,
)
from galmorph.releases.journal import Journal
from galmorph.releases.judging import Material, judge
from galmorph.releases.retraining import STEPS, retrain
from galmorph.releases.weights import travelling_weights
from galmorph.taxonomy import map_labels
from galmorph.training.checkpoint import read_checkpoint
from galmorph.training.export import export
from galmorph.training.fit import train
from galmorph.training.split import split_objects

pytest.importorskip("mlflow")

# The whole of a release is made before the first test.
pytestmark = pytest.mark.timeout(900)

#: Not the training, whose folder goes on by itself, as its own tests say.
KILLED = ("begin", "gather", "judge", "register", "rescore", "report")

LOOPBACK = {
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "worker_dashboard_address": "127.0.0.1:0",
}


def test_a_budget_that_was_too_small_is_told_by_its_name(tmp_path):
    source, target = make_cutouts(tmp_path / "source", each=12), make_cutouts(tmp_path / "target", each=12, seed=7)
    recipe = tiny_recipe(
        source, target={"path": str(target)}, method={"name": "mmd", "warmup_epochs": 1, "ramp_epochs": 1}
    )
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    options = Adapt(recipe=tmp_path / "recipe.toml", start="scratch", use_labels=False, minutes=1e-6, device="cpu")
    with pytest.raises(BudgetError, match=r"no epoch to use yet: allow more in adapt\.minutes"):
        adapt(options, tmp_path / "out", target=target, labelled=False, weights=None)


class Shifted:
    """What `drift` finds."""

    verdict = "retrain"

    def to_dict(self):
        return {"verdict": self.verdict, "reasons": ["the tiles are deeper"], "notes": []}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A model of one set of blobs, its catalogue of two tiles, another set, and labels of a part of it."""
    folder = tmp_path_factory.mktemp("release")
    make_cutouts(folder / "source", each=30)
    make_cutouts(folder / "new", each=20, seed=1)
    recipe = tiny_recipe(folder / "source", fit={"epochs": 10}, split={"stratified": True})
    (folder / "recipe.toml").write_text(recipe.to_toml())
    train(recipe, folder / "training", device="cpu", progress=False)
    export(folder / "training", folder / "model")
    for number in range(2):
        make_tile(folder / "tiles", f"tile{number}", ra=150.0 + number * 0.02, seed=number)
    rows = read_cutout_set(folder / "new").labels.iloc[::2]
    label = rows["label"].where(rows["label"] != "lens", "unknown")
    table = rows[["object_id"]].assign(
        label=label, ra=1.0, dec=1.0, who="ada", when=pd.Timestamp("2026-01-01", tz="UTC")
    )
    write_label_table(table, folder / "labels.csv")
    with LocalCluster(n_workers=1, threads_per_worker=1, **LOOPBACK) as cluster:
        (folder / "scheduler").write_text(cluster.scheduler_address)
        galmorph.classify(
            folder / "tiles", "mock-decals", folder / "model", folder / "old", scheduler=cluster.scheduler_address
        )
        yield folder


@pytest.fixture(scope="module")
def release(work):
    return parse_release(
        {
            "name": "two",
            "model": "model",
            "old_catalog": "old/catalog",
            "tiles": {"inputs": ["tiles"], "survey": "mock-decals"},
            "gather": {"cutouts": "new", "labels": ["labels.csv"]},
            "adapt": {"recipe": "recipe.toml", "weights": "training", "device": "cpu"},
            "gates": {
                "resamples": 100,
                "decide_by": "value",
                "source": {"drop": 1.0, "familiar": 1.0},
                "target": {"measure": "accuracy", "gain": -1.0, "least_objects": 10},
                "unknown": {"most": 1.0},
            },
            "register": {"name": "blobs", "registry": "mlflow.db", "promote": True},
            "score": {"scheduler": (work / "scheduler").read_text(), "device": "cpu"},
        },
        folder=work,
    )


@pytest.fixture(autouse=True)
def _shifted(monkeypatch):
    monkeypatch.setattr(notice, "drift", lambda *_, **__: Shifted())


@pytest.fixture(scope="module")
def finished(release, work):
    """A release that was killed at many steps, after their work and before that was written down."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notice, "drift", lambda *_, **__: Shifted())
        # As people give it, and as it is unless told: starting at the working directory.
        patch.chdir(work)
        for killed in KILLED:
            write = Journal.write

            def stop(self, step, *rest, killed=killed, write=write):
                if step == killed:
                    raise KeyboardInterrupt
                return write(self, step, *rest)

            with patch.context() as once:
                once.setattr(Journal, "write", stop)
                with pytest.raises(KeyboardInterrupt):
                    retrain(release, "out", told=lambda step, _, before: told.append((step, before)))
        return retrain(release, "out", told=lambda step, _, before: told.append((step, before))), told


def test_a_release_that_is_killed_on_its_way_ends_as_one_that_is_not(finished, release, work):
    outcome, told = finished
    # Each step was written down once, and was there for all calls after that.
    assert [step for step, before in told if not before] == list(STEPS)
    assert list(outcome.steps) == list(STEPS)
    registry = Registry(work / "mlflow.db")
    old, new = load_bundle(work / "model"), load_bundle(outcome.steps["adapt"]["model"])
    # The model that was in use is a version too, so that one can go back to it.
    versions = {version.number: version for version in registry.versions("blobs")}
    assert [versions[number].facts["sha256"] for number in (1, 2)] == [old.sha256, new.sha256]
    assert versions[2].aliases == ("champion",)
    assert [(record.kind, record.version) for record in registry.history("blobs")] == [("promote", 1), ("promote", 2)]
    assert versions[2].facts["gates"] == "passed"
    assert versions[2].facts["parent"] == "models:/blobs/1"
    assert registry.weights(versions[2]) is not None
    assert outcome.steps["rescore"]["sha256"] == new.sha256
    page = outcome.report.read_text()
    assert "the tiles are deeper" in page
    assert "is in use" in outcome.advice.text
    assert (work / "old" / "catalog").is_dir()
    rows = galmorph.open_catalog(outcome.steps["rescore"]["catalog"]).to_pandas()
    assert set(outcome.steps["diff"]["counts"]) == {"same", "changed", "new", "lost"}
    assert sum(outcome.steps["diff"]["counts"].values()) == len(rows[rows["primary"]])


def test_labels_of_the_release_are_learned_from_within_the_split(finished, work):
    adapted = finished[0].steps["adapt"]
    joined = read_cutout_set(adapted["source"])
    # Half of 20 objects of three classes; lenses are of no class of the source.
    assert adapted["joined"] == 30
    assert joined.labels["domain"].value_counts().to_dict() == {"source": 120, "target": 30}
    recipe = tiny_recipe(work / "source", split={"stratified": True})
    ids = joined.labels["object_id"].to_numpy(dtype=str)
    parts = split_objects(ids, joined.labels["label"].to_numpy(dtype=str), recipe.split)
    learned = ((joined.labels["domain"] == "target") & (parts != "test")).sum()
    target = next(each for each in finished[0].steps["judge"]["verdicts"] if each["gate"] == "target")
    # All that were labelled and not learned, the ten lenses among them.
    assert target["objects"] == 40 - learned
    assert adapted["start"] == "warm"
    assert load_bundle(adapted["model"]).manifest.training["initial"]["name"] == "blobs"


def test_what_was_learned_from_does_not_judge_where_labels_are_not_learned(work):
    bundle, source = load_bundle(work / "model"), read_cutout_set(work / "source")
    # A release that shows the source's own objects, of which the model learned without those of the release.
    gates = Gates(resamples=100, target=TargetGate(measure="accuracy", gain=-1.0, least_objects=1))
    (verdict,) = judge(bundle, bundle, Material(work / "source", work / "source", True), gates)
    recipe = tiny_recipe(work / "source", split={"stratified": True})
    words = np.array(map_labels(source.labels["label"].tolist(), "shape"), dtype=np.str_)
    parts = split_objects(source.labels["object_id"].to_numpy(dtype=str), words, recipe.split)
    assert verdict.objects == (parts == "test").sum() < len(parts) / 2


def test_another_call_does_nothing_again(finished, release, work):
    told = []
    retrain(release, work / "out", told=lambda step, _, before: told.append(before))
    assert told == [True] * len(STEPS)


def test_on_the_command_line(finished, release, work, capsys):
    (work / "release.toml").write_text(release.to_toml())
    main(["retrain", str(work / "release.toml"), "--out", str(work / "out")])
    shown = capsys.readouterr()
    assert "The new model passed all gates and is in use." in shown.out
    assert f"report: {work / 'out' / 'report.html'}" in shown.out
    assert "judge: 3 gates, all passed (done before)" in shown.err


def test_gates_that_say_no_leave_the_present_model(finished, release, work):
    gates = dataclasses.replace(release.gates, target=dataclasses.replace(release.gates.target, gain=0.95))
    strict = dataclasses.replace(release, register=None, gates=gates)
    told = {}
    outcome = retrain(strict, work / "out", told=lambda step, _, before: told.update({step: before}))
    assert (told["adapt"], told["judge"]) == (True, False)
    assert outcome.advice.stop
    assert "did not pass the gates target" in outcome.advice.text
    # The old catalogue is of this model and these tiles: nothing has to be scored.
    assert outcome.steps["rescore"]["again"] is False
    assert "skipped" in outcome.steps["diff"]


def test_a_gate_that_cannot_be_computed_says_no(finished, release, work):
    gates = dataclasses.replace(release.gates, int8=Int8Gate(), agreement=AgreementGate())
    strict = dataclasses.replace(release, register=None, gates=gates)
    judged = retrain(strict, work / "out", until="judge").steps["judge"]
    reasons = {each["gate"]: each["reason"] for each in judged["verdicts"] if not each["passed"]}
    assert set(reasons) >= {"agreement"}
    assert "cannot be computed" in reasons["agreement"]
    assert not judged["passed"]


def rewritten(bundle, out, **changes):
    """The same model with other facts in its manifest."""
    manifest = bundle.manifest.model_copy(update=changes)
    return write_bundle(out, manifest, {name: (bundle.path / name).read_bytes() for name in manifest.files})


def test_a_model_with_a_broken_calibration_is_refused(finished, work, tmp_path):
    adapted = finished[0].steps["adapt"]
    new = load_bundle(adapted["model"])
    gates = Gates(resamples=100, calibration=CalibrationGate(error=0.3), unknown=UnknownGate(most=0.9))
    material = Material(Path(adapted["source"]), work / "new", True)
    never = new.manifest.unknown.model_copy(update={"threshold": -1.0})
    # Probabilities of 1/3 whatever the image, of a model that is right more often; all objects called unknown.
    flat = rewritten(new, tmp_path / "flat", temperature=1e6, unknown=never)
    before, after = (judge(load_bundle(work / "model"), model, material, gates) for model in (new, flat))
    errors = [next(each for each in verdicts if each.gate == "calibration").value for verdicts in (before, after)]
    assert errors[1] > errors[0]
    # The error, not the temperature: it is the other way to be wrong.
    assert [(each.gate, each.passed) for each in after] == [
        ("calibration", False),
        ("calibration", True),
        ("unknown", False),
    ]


def test_a_source_with_shuffled_labels_is_noticed(finished, work, tmp_path):
    source = read_cutout_set(work / "source")
    labels = source.labels.assign(label=np.roll(source.labels["label"].to_numpy(), 30))
    write_cutout_set(tmp_path / "spoiled", source.images, labels, source.meta)
    # What it was on its own test part; a few epochs on tiny data teach little, which is no matter here.
    metrics = {"test": {"known": {"accuracy": 0.95}}}
    old = rewritten(load_bundle(work / "model"), tmp_path / "old", metrics=metrics)
    digests = read_cutout_set(tmp_path / "spoiled").digests()
    same = rewritten(old, tmp_path / "same", training=old.manifest.training | {"data": digests})
    material = Material(tmp_path / "spoiled", work / "new", True)
    gates = Gates(resamples=100, source=SourceGate(drop=0.9, familiar=0.05))
    (verdict,) = judge(old, same, material, gates)
    # Both models are alike, and both are wrong: nothing fell, and nothing is proved.
    assert verdict.value == 0.0
    assert not verdict.passed
    assert "not those it learned from" in verdict.reason
    # Of a set that the new model was not trained on nothing can be said.
    (verdict,) = judge(old, old, material, gates)
    assert not verdict.passed
    assert "digests differ" in verdict.reason


def test_as_before_nothing_is_trained(release, work, monkeypatch):
    monkeypatch.setattr(Shifted, "verdict", "as before")
    outcome = retrain(dataclasses.replace(release, register=None), work / "calm")
    assert "no new model" in outcome.steps["adapt"]["skipped"]
    assert outcome.steps["rescore"]["again"] is False
    assert "scored with the present model" in outcome.advice.text


def test_a_warm_start_without_weights_says_what_to_do(release, work):
    bare = dataclasses.replace(release, register=None, adapt=dataclasses.replace(release.adapt, weights=None))
    with pytest.raises(ConfigError, match="no weights of the present model to start from"):
        retrain(bare, work / "bare", until="adapt")
    with pytest.raises(ConfigError, match="'dance' is no step"):
        retrain(bare, work / "bare", until="dance")


def test_parts_can_be_left_at_random(work, tmp_path):
    kept = read_checkpoint(travelling_weights(work / "training", tmp_path / "w.safetensors", without=["head"]))
    names = set(kept["state_dict"])
    assert not any(name.startswith("network.head.") for name in names)
    assert any(name.startswith("network.encoder.") for name in names)
    assert set(kept) == {"state_dict", "record", "epoch"}


def test_weights_are_registered_with_the_bundle_that_they_belong_to(finished, work, capsys):
    store = ["--registry", str(work / "mlflow.db")]
    main(["models", "register", str(work / "model"), "--name", "kept", "--weights", str(work / "training"), *store])
    registry = Registry(work / "mlflow.db")
    kept = read_checkpoint(registry.weights(registry.get("models:/kept/1")))
    assert set(kept) == {"state_dict", "record", "epoch"}
    other = make_bundle(work / "another", ["g", "r", "z"])
    with pytest.raises(SystemExit):
        main(["models", "register", str(other.path), "--name", "kept", "--weights", str(work / "training"), *store])
    assert "was trained on other data" in capsys.readouterr().err


def test_people_may_label_in_the_words_of_the_model(work, tmp_path):
    recipe = tiny_recipe(work / "source")
    cutouts = read_cutout_set(work / "new")
    labels = ["edge_on", "round_smooth", "lens", "unknown", ""] + [""] * (len(cutouts.labels) - 5)
    told = dataclasses.replace(cutouts, labels=cutouts.labels.assign(label=labels))
    words = raw_words(told, recipe.source).tolist()
    # Any finer class that means edge_on will do; what the source does not learn is left out.
    assert words[0] in ("edge_on_bulge", "edge_on_no_bulge")
    assert words[1:5] == ["round_smooth", "", "", ""]
    other = make_cutouts(tmp_path / "other", size=16)
    with pytest.raises(Exception, match="cut both alike"):
        join_sets(recipe.source, other, tmp_path / "joined")


def test_the_command_offers_the_steps_there_are():
    choices, _ = get_args(get_type_hints(command)["until"])
    assert get_args(choices) == STEPS
