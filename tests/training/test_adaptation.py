"""Every method from end to end: two domains in, a bundle out."""

import shutil
import warnings
from collections import Counter

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from pytorch_lightning.callbacks import Callback

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import BudgetError, ConfigError, DataError
from galmorph.training import export as exporting
from galmorph.training.calibrate import calibrate
from galmorph.training.checkpoint import read_checkpoint
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows, read_domains
from galmorph.training.export import SOURCE_MODEL, export
from galmorph.training.fit import load_training, train
from galmorph.training.guarded import without_adaptation
from galmorph.training.history import read_history
from galmorph.training.methods import METHODS

#: Where a network has normalisation layers of each domain's own, the bundle holds two graphs; one method shows it.
NORMS = {"deepastrouda": "domain", "dance": "mixed"}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return make_cutouts(tmp_path_factory.mktemp("target") / "set", each=10, seed=7)


def recipe_for(cutouts, target, name, **tables):
    values = {
        "target": {"path": str(target)},
        "method": {"name": name, "warmup_epochs": 0.5, "ramp_epochs": 0.5},
        "network": {"encoder": "deepmerge", "batch_norm": NORMS.get(name, "shared")},
        "fit": {"epochs": 2, "batch_size": 24},
        **tables,
    }
    return tiny_recipe(cutouts, **values)


@pytest.fixture(scope="module", params=METHODS)
def finished(request, cutouts, target, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    result = train(recipe_for(cutouts, target, request.param), folder / "out", device="cpu", progress=False)
    return request.param, result, export(result.checkpoint, folder / "bundle")


def test_every_method_trains_and_ships(finished):
    name, result, bundle = finished
    history = read_history(result.last.parents[1] / "metrics.csv")
    assert {f"train_{loss}" for loss in METHODS[name].losses} <= set(history[-1])
    assert np.isfinite([value for row in history for value in row.values()]).all()
    manifest = load_bundle(bundle).manifest
    assert manifest.parity["logits"] < 1e-2
    assert (manifest.training["target"] is not None) == METHODS[name].adapts
    assert manifest.training["recipe"]["method"]["name"] == name
    if METHODS[name].adapts:
        assert history[-1]["adapting"] == 1
        assert result.best_epoch >= 1
    assert (SOURCE_MODEL in manifest.files) == (name == "deepastrouda")


@pytest.mark.parametrize("name", ["dance", "source_only"])
def test_a_threshold_by_strangers_is_of_the_images_that_it_is_for(cutouts, target, tmp_path, monkeypatch, name):
    """Of the target's training part where there is a target, else of the source's validation part."""
    method = {"name": name, "warmup_epochs": 0.5, "ramp_epochs": 0.5, "weights": {"strangers": 0.5}}
    values = {"method": method, "export": {"threshold": "strangers"}}
    recipe = recipe_for(cutouts, target, name, **values)
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    used = []
    made = np.random.default_rng(0).normal(size=(12, 3, 24, 24)).astype(np.float32)
    monkeypatch.setattr(exporting, "draw_strangers", lambda *given: used.append(given) or made)
    seen = []
    monkeypatch.setattr(exporting, "calibrate", lambda *given: seen.append(given) or calibrate(*given))
    bundle = load_bundle(export(result.checkpoint, tmp_path / "bundle"))
    ((images, rows),) = used
    (fitted,) = seen
    source = read_source(recipe.source)
    if name == "source_only":
        assert np.array_equal(rows, part_rows(source, recipe)["validation"])
        assert np.array_equal(images[rows], source.images[rows])
    else:
        assert np.array_equal(images[rows], read_cutout_set(target).images[rows])
        assert len(rows) == len(fitted[5][0]) > 0
    assert len(fitted[6][0]) == len(made)
    assert bundle.manifest.unknown.threshold == calibrate(*fitted).threshold


def test_strangers_are_learned_beside_any_method_and_by_the_twin(cutouts, target, tmp_path):
    method = {"name": "dance", "warmup_epochs": 0.5, "ramp_epochs": 0.5, "weights": {"strangers": 0.5}}
    recipe = recipe_for(cutouts, target, "dance", method=method)
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    history = read_history(tmp_path / "out" / "metrics.csv")
    assert all(row["train_strangers"] >= np.log(len(recipe.source.classes)) for row in history)
    assert without_adaptation(recipe).method.weights == {"strangers": 0.5}
    assert load_bundle(export(result.checkpoint, tmp_path / "bundle")).manifest.training["recipe"]["method"][
        "weights"
    ] == {"strangers": 0.5}


def branches(bundle, cutouts):
    """Logits of some images by each graph of a bundle."""
    images = np.load(cutouts / "images.npy")[:16]
    return [
        ort.InferenceSession(bundle / name, providers=["CPUExecutionProvider"]).run(["logits"], {"image": images})[0]
        for name in (SOURCE_MODEL, "model.onnx")
    ]


@pytest.fixture(scope="module")
def longer(cutouts, target, tmp_path_factory):
    """Four epochs of DeepAstroUDA, its folder as it was after each, and at last."""

    class Keep(Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch:
                shutil.copytree(out, kept / str(trainer.current_epoch))

    out, kept = tmp_path_factory.mktemp("whole") / "out", tmp_path_factory.mktemp("kept")
    method = {
        "name": "deepastrouda", "warmup_epochs": 1, "ramp_epochs": 0,
        "separation": {"tuner": "paper"}, "weights": {"separation": 1.0},
    }  # fmt: skip
    recipe = recipe_for(cutouts, target, "deepastrouda", method=method, fit={"epochs": 4, "batch_size": 24})
    result = train(recipe, out, device="cpu", progress=False, callbacks=[Keep()])
    shutil.copytree(out, kept / "4")
    return recipe, result, kept


def flat(path):
    """The training's state, and the names of the tensors in it."""
    state = read_checkpoint(path)["state_dict"]
    return state, {name for name, value in state.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("epochs", [1, 3])
def test_resumed_is_the_same_bank_and_tuner_included(longer, epochs, tmp_path):
    recipe, whole, kept = longer
    out = whole.last.parents[1]
    first, tensors = flat(whole.last)
    shutil.rmtree(out)
    shutil.copytree(kept / str(epochs), out)
    resumed = train(recipe, out, device="cpu", progress=False)
    assert resumed == whole
    second, _ = flat(resumed.last)
    assert {"objective.terms.clustering.bank.probabilities", "network.head.weight"} <= tensors
    assert all(torch.equal(first[name], second[name]) for name in tensors)
    extra = "objective.terms.separation._extra_state"
    assert first[extra] == second[extra]
    assert read_history(out / "metrics.csv") == read_history(kept / "4" / "metrics.csv")


def test_only_epochs_with_the_full_weight_can_be_the_best(longer):
    _, whole, _ = longer
    assert whole.best_epoch >= 1


def test_the_target_branch_is_what_ships(longer, cutouts, tmp_path):
    _, whole, _ = longer
    bundle = export(whole.checkpoint, tmp_path / "bundle")
    source, target = branches(bundle, cutouts)
    assert np.abs(source - target).max() > 1e-3
    module, _ = load_training(whole.checkpoint)
    with torch.inference_mode():
        expected = module(torch.tensor(np.load(cutouts / "images.npy")[:16]))[0]
    np.testing.assert_allclose(source, expected.numpy(), atol=1e-4)


def test_labels_of_the_target_do_not_touch_the_training(longer, target, tmp_path):
    recipe, whole, _ = longer
    other = shutil.copytree(target, tmp_path / "other")
    table = pd.read_parquet(other / "labels.parquet")
    table["label"] = "nonsense"
    table.to_parquet(other / "labels.parquet", index=False)
    again = train(recipe, tmp_path / "out", target=other, device="cpu", progress=False)
    first, tensors = flat(whole.last)
    second, _ = flat(again.last)
    assert all(torch.equal(first[name], second[name]) for name in tensors)


def test_too_few_epochs_for_the_ramp(cutouts, target, tmp_path):
    recipe = recipe_for(cutouts, target, "mmd", method={"name": "mmd", "warmup_epochs": 1, "ramp_epochs": 1.5})
    with pytest.raises(ConfigError, match="warm-up and ramp of method 'mmd' take 3"):
        train(recipe, tmp_path / "out", device="cpu", progress=False)


def test_time_that_is_over_before_any_epoch_can_be_the_best(cutouts, target, tmp_path):
    recipe = recipe_for(cutouts, target, "mmd", fit={"epochs": 3, "batch_size": 24})
    with pytest.raises(ConfigError, match=r"ended after 1 epochs.*after the first 1,.*Give more minutes"):
        train(recipe, tmp_path / "out", device="cpu", progress=False, minutes=1e-6)
    assert train(recipe, tmp_path / "out", device="cpu", progress=False, minutes=10).epochs == 3


class Batches(Callback):
    """Counts batches by epoch."""

    def __init__(self):
        self.seen = Counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen[trainer.current_epoch] += 1


def test_time_that_is_over_within_an_epoch_lets_it_end(cutouts, target, tmp_path):
    recipe = recipe_for(cutouts, target, "mmd", fit={"epochs": 4, "batch_size": 6})
    whole = train(recipe, tmp_path / "whole", device="cpu", progress=False, callbacks=[full := Batches()])
    cut, rest = Batches(), Batches()
    with pytest.raises(BudgetError):
        train(recipe, tmp_path / "out", device="cpu", progress=False, minutes=1e-6, callbacks=[cut])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed = train(recipe, tmp_path / "out", device="cpu", progress=False, callbacks=[rest])
    assert cut.seen + rest.seen == full.seen
    assert full.seen[0] > 1
    (first, tensors), (second, _) = flat(whole.last), flat(resumed.last)
    assert all(torch.equal(first[name], second[name]) for name in tensors)


def test_a_target_without_a_table_for_it(cutouts, target, tmp_path):
    with pytest.raises(ConfigError, match=r"no table \[target\]"):
        train(tiny_recipe(cutouts), tmp_path / "out", target=target, device="cpu", progress=False)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_images_without_numbers_fail_by_name_and_blank_ones_are_told(domain, cutouts, target, tmp_path, caplog):
    places = {"source": cutouts, "target": target}
    images, ids = np.load(places[domain] / "images.npy"), read_cutout_set(places[domain]).labels["object_id"]
    places[domain] = shutil.copytree(places[domain], tmp_path / "set")
    images[3], images[7] = 2.5, 0.0
    np.save(places[domain] / "images.npy", images)
    read_domains(recipe_for(*places.values(), "mmd"))
    assert caplog.messages == [
        f"{places[domain]}: 2 of {len(ids)} images have one value everywhere, of object {ids[3]}, {ids[7]}; "
        "there is nothing to see on these"
    ]
    images[:6, 0, 0, 0], images[6, 0, 0, 0] = np.nan, np.inf
    np.save(places[domain] / "images.npy", images)
    with pytest.raises(DataError, match=rf"set: 7 of {len(ids)} images.* of object {', '.join(ids[:5])}, …\."):
        read_domains(recipe_for(*places.values(), "mmd"))
