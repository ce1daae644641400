import csv
import dataclasses
import logging
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from make_recipe import tiny_recipe
from PIL import Image
from pytorch_lightning.callbacks import Callback

from galmorph.errors import ConfigError, DataError
from galmorph.training.checkpoint import read_checkpoint, write_checkpoint
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.fit import load_training, train
from galmorph.training.folder import METRICS, TrainResult
from galmorph.training.history import read_history
from galmorph.training.rates import scan_rates


class Keep(Callback):
    """Keeps the training's folder as it was after each epoch."""

    def __init__(self, out, kept):
        self.out, self.kept = out, kept

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch:
            shutil.copytree(self.out, self.kept / str(trainer.current_epoch), dirs_exist_ok=True)


class Stop(Callback):
    """Breaks off in the middle of an epoch."""

    def __init__(self, epoch, error):
        self.epoch, self.error = epoch, error

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if trainer.current_epoch == self.epoch and batch_index == 1:
            raise self.error


class Whole(NamedTuple):
    result: TrainResult
    last: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    history: list[dict[str, float]]


def weights(path):
    return read_checkpoint(path)["state_dict"]


def same(first, second):
    return set(first) == set(second) and all(torch.equal(value, second[name]) for name, value in first.items())


def test_learns_and_records(trained):
    assert trained.metrics["valid_recall"] > 0.8
    history = read_history(trained.last.parents[1] / "metrics.csv")
    assert [row["epoch"] for row in history] == list(range(trained.epochs))
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert max(row["valid_recall"] for row in history) == trained.metrics["valid_recall"]


def test_checkpoint_gives_the_network_that_was_validated(trained, cutouts):
    module, record = load_training(trained.last.parents[1])
    dataset = read_source(module.recipe.source)
    rows = part_rows(dataset, module.recipe)["validation"]
    with torch.inference_mode():
        logits, _ = module(torch.from_numpy(dataset.images[rows]))
    recalls = [np.mean(logits.argmax(1).numpy()[dataset.labels[rows] == k] == k) for k in range(3)]
    assert np.mean(recalls) == pytest.approx(trained.metrics["valid_recall"])
    assert record["facts"]["bands"] == ["g", "r", "z"]


@pytest.fixture(scope="module")
def uninterrupted(cutouts, tmp_path_factory):
    """A training of four epochs, its folder as it was after each, and at last."""
    out, kept = tmp_path_factory.mktemp("whole") / "out", tmp_path_factory.mktemp("kept")
    recipe = tiny_recipe(cutouts, fit={"epochs": 4})
    result = train(recipe, out, device="cpu", progress=False, callbacks=[Keep(out, kept)])
    return recipe, Whole(result, weights(result.last), weights(result.checkpoint), read_history(out / METRICS)), kept


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_resumed_after_any_epoch_is_the_same(uninterrupted, epochs):
    recipe, whole, kept = uninterrupted
    out = whole.result.last.parents[1]
    shutil.rmtree(out)
    shutil.copytree(kept / str(epochs), out)
    resumed = train(recipe, out, device="cpu", progress=False)
    assert resumed == whole.result
    assert same(weights(resumed.last), whole.last)
    assert same(weights(resumed.checkpoint), whole.best)
    assert read_history(out / "metrics.csv") == whole.history


def test_broken_off_in_the_middle_of_an_epoch(uninterrupted, tmp_path):
    recipe, whole, _ = uninterrupted
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "out", device="cpu", progress=False, callbacks=[Stop(2, RuntimeError("power cut"))])
    assert not (tmp_path / "out" / "result.json").exists()
    resumed = train(recipe, tmp_path / "out", device="cpu", progress=False)
    assert same(weights(resumed.last), whole.last)
    assert read_history(tmp_path / "out" / "metrics.csv") == whole.history


def test_resumed_is_the_same_with_images_loaded_by_another_process(uninterrupted, tmp_path):
    recipe, whole, _ = uninterrupted
    recipe = dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, workers=1))
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "out", device="cpu", progress=False, callbacks=[Stop(2, RuntimeError("power cut"))])
    resumed = train(recipe, tmp_path / "out", device="cpu", progress=False)
    assert same(weights(resumed.last), whole.last)


def test_same_seed_same_weights_other_seed_others(uninterrupted, tmp_path):
    recipe, whole, _ = uninterrupted
    again = train(recipe, tmp_path / "same", device="cpu", progress=False)
    assert same(weights(again.last), whole.last)
    other = train(dataclasses.replace(recipe, seed=1), tmp_path / "other", device="cpu", progress=False)
    assert not same(weights(other.last), whole.last)


def test_process_is_left_as_it_was(cutouts, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    handler, level = signal.getsignal(signal.SIGINT), logging.getLogger("pytorch_lightning").level
    train(tiny_recipe(cutouts, fit={"epochs": 1}), tmp_path / "out", device="cpu", progress=False)
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert signal.getsignal(signal.SIGINT) is handler
    assert logging.getLogger("pytorch_lightning").level == level


def test_control_c_is_a_keyboard_interrupt_and_can_be_gone_on_from(uninterrupted, tmp_path):
    recipe, whole, _ = uninterrupted
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "out", device="cpu", progress=False, callbacks=[Stop(1, KeyboardInterrupt())])
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = train(recipe, tmp_path / "out", device="cpu", progress=False)
    assert same(weights(resumed.last), whole.last)


def test_loss_that_is_no_number_ends_the_training(cutouts, tmp_path):
    optimiser = {"name": "sgd", "learning_rate": 1e30, "schedule": "constant", "warmup_epochs": 0.0, "clip": 0.0}
    recipe = tiny_recipe(cutouts, optimiser=optimiser, fit={"epochs": 2})
    with pytest.raises(ConfigError, match=r"the loss of epoch 0 is (nan|inf)"):
        train(recipe, tmp_path / "out", device="cpu", progress=False)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("broken", ["source", "target"])
def test_images_that_are_not_finite_are_named(cutouts, tmp_path, part, broken):
    sets = {name: shutil.copytree(cutouts, tmp_path / name) for name in ("source", "target")}
    recipe = tiny_recipe(
        sets["source"], target={"path": str(sets["target"])}, method={"name": "mmd"}, fit={"epochs": 9}
    )
    dataset = read_source(recipe.source)
    row = part_rows(dataset, recipe)[part][0]
    images = np.load(sets[broken] / "images.npy")
    images[row, 0, 3, 3] = np.nan
    np.save(sets[broken] / "images.npy", images)
    with pytest.raises(DataError, match=rf"{broken}: 1 of 160 images hold .* of object {dataset.object_ids[row]}\."):
        train(recipe, tmp_path / "out", device="cpu", progress=False)


def test_a_training_that_was_to_stop_stops_when_it_goes_on(cutouts, tmp_path):
    """Killed between the checkpoint of its last epoch and the file that says that it is finished."""
    optimiser = {"learning_rate": 3e-2, "schedule": "constant"}
    recipe = tiny_recipe(cutouts, optimiser=optimiser, fit={"epochs": 30, "patience": 2, "monitor": "loss"})
    first = train(recipe, tmp_path / "out", device="cpu", progress=False)
    (tmp_path / "out/result.json").unlink()
    again = train(recipe, tmp_path / "out", device="cpu", progress=False)
    assert first.epochs < 30
    assert (again.epochs, again.best_epoch, again.metrics) == (first.epochs, first.best_epoch, first.metrics)


def test_finished_training_is_not_repeated(trained, cutouts):
    before = trained.last.stat().st_mtime_ns
    again = train(tiny_recipe(cutouts), trained.last.parents[1], device="cpu", progress=False)
    assert again == trained
    assert trained.last.stat().st_mtime_ns == before


def test_moved_data_are_the_same_training(trained, cutouts, tmp_path):
    shutil.copytree(cutouts, tmp_path / "moved")
    again = train(tiny_recipe(cutouts), trained.last.parents[1], data=tmp_path / "moved", device="cpu", progress=False)
    assert again == trained


def test_early_stopping(cutouts, tmp_path):
    recipe = tiny_recipe(cutouts, optimiser={"learning_rate": 1e-12}, fit={"epochs": 9, "patience": 2})
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    assert result.epochs < 9
    assert result.epochs == result.best_epoch + 3


@pytest.mark.parametrize("monitor", ["accuracy", "loss"])
def test_best_epoch_is_by_the_monitored_measure(cutouts, tmp_path, monitor):
    recipe = tiny_recipe(cutouts, fit={"epochs": 3, "monitor": monitor})
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    values = [row[f"valid_{monitor}"] for row in read_history(tmp_path / "out" / "metrics.csv")]
    assert result.metrics[f"valid_{monitor}"] == (min(values) if monitor == "loss" else max(values))


def test_validation_images_do_not_touch_training(cutouts, tmp_path):
    """The stretch, the class weights and the weights depend on the training part only."""
    recipe = tiny_recipe(cutouts, fit={"epochs": 1})
    first = train(recipe, tmp_path / "first", device="cpu", progress=False)
    dataset = read_source(recipe.source)
    rows = part_rows(dataset, recipe)
    changed = shutil.copytree(cutouts, tmp_path / "changed")
    images = np.load(changed / "images.npy")
    for part in ("validation", "test"):
        images[rows[part]] *= 100
    np.save(changed / "images.npy", images)
    second = train(recipe, tmp_path / "second", data=changed, device="cpu", progress=False)
    assert same(weights(first.last), weights(second.last))
    assert load_training(first.last)[1]["stretch"] == load_training(second.last)[1]["stretch"]


def test_a_recipe_with_relative_paths_is_known_everywhere(cutouts, tmp_path, monkeypatch):
    monkeypatch.chdir(cutouts.parent)
    recipe = tiny_recipe(cutouts, fit={"epochs": 1})
    recipe = dataclasses.replace(recipe, source=dataclasses.replace(recipe.source, path=Path(cutouts.name)))
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    monkeypatch.chdir(tmp_path)
    assert load_training(result.checkpoint)[0].recipe.source.path == cutouts.resolve()


def test_a_recipe_that_gives_no_network_leaves_no_folder(cutouts, tmp_path):
    good = tiny_recipe(cutouts, fit={"epochs": 1})
    network = dataclasses.replace(good.network, encoder="resnet81")
    with pytest.raises(ConfigError, match="resnet81"):
        train(dataclasses.replace(good, network=network), tmp_path / "out", device="cpu", progress=False)
    assert not (tmp_path / "out").exists()
    assert train(good, tmp_path / "out", device="cpu", progress=False).checkpoint.is_file()


def test_folders_that_hold_something_else(trained, cutouts, tmp_path):
    out = trained.last.parents[1]
    with pytest.raises(ConfigError, match="holds a training by another recipe"):
        train(tiny_recipe(cutouts, fit={"epochs": 99}), out, device="cpu", progress=False)
    (tmp_path / "precious.txt").touch()
    with pytest.raises(ConfigError, match="is not empty and holds no training"):
        train(tiny_recipe(cutouts), tmp_path, device="cpu", progress=False)


def test_what_a_recipe_says_of_the_result_may_change_in_a_folder(cutouts, tmp_path):
    out = tmp_path / "out"
    first = train(tiny_recipe(cutouts, fit={"epochs": 1}), out, device="cpu", progress=False)
    before = first.checkpoint.read_bytes()
    changed = tiny_recipe(cutouts, fit={"epochs": 1}, export={"false_unknown_rate": 0.2}, guard={"away": 0.5})
    other = dataclasses.replace(changed, description="For faint ones.")
    again = train(other, out, device="cpu", progress=False)
    assert again == first
    assert again.checkpoint.read_bytes() == before
    module, record = load_training(again.checkpoint)
    assert module.recipe.description == "For faint ones."
    assert (module.recipe.export.false_unknown_rate, module.recipe.guard.away) == (0.2, 0.5)
    assert record["recipe"]["export"]["false_unknown_rate"] == 0.1
    # A checkpoint that was taken elsewhere keeps all that it holds.
    assert load_training(shutil.copy(again.checkpoint, tmp_path))[0].recipe.export.false_unknown_rate == 0.1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there(cutouts, tmp_path):
    with pytest.raises(ConfigError, match="'cuda' was asked for"):
        train(tiny_recipe(cutouts), tmp_path / "out", device="cuda", progress=False)


def test_class_without_training_images(cutouts):
    recipe = tiny_recipe(cutouts, split={"train": 0.001, "validation": 0.499, "test": 0.5})
    with pytest.raises(DataError, match="no train image of"):
        part_rows(read_source(recipe.source), recipe)


def test_checkpoint_of_something_else(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"state_dict": {}})
    with pytest.raises(DataError, match="not a checkpoint of a galmorph training"):
        load_training(tmp_path / "a.safetensors")


def test_what_losses_keep_is_not_needed_to_use_a_network(trained, tmp_path):
    state = read_checkpoint(trained.last)
    weights, images = state["state_dict"], torch.rand(2, 3, 24, 24)
    expected = load_training(trained.last)[0](images)[0]
    # Of a method that had another loss then, and has one more today.
    weights["objective.terms.other.memory"] = torch.zeros(3)
    recipe = state["record"]["recipe"]
    recipe["method"]["name"], recipe["target"] = "dance", {"path": recipe["source"]["path"]}
    write_checkpoint(tmp_path / "a.safetensors", state)
    module, _ = load_training(tmp_path / "a.safetensors")
    assert "neighbourhood" in module.objective.terms
    assert torch.equal(module(images)[0], expected)
    weights["network.other"] = weights.pop("network.head.weight")
    write_checkpoint(tmp_path / "a.safetensors", state)
    with pytest.raises(DataError, match=r"does not hold the network of its recipe \(network.head.weight"):
        load_training(tmp_path / "a.safetensors")


def test_metrics_table_has_a_column_for_each_loss(trained):
    with (trained.last.parents[1] / "metrics.csv").open() as file:
        header = next(csv.reader(file))
    assert header == [
        "epoch",
        "learning_rate",
        "train_cross_entropy",
        "train_loss",
        "valid_accuracy",
        "valid_loss",
        "valid_recall",
    ]


def test_images_that_are_left_out_are_listed(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    for n in range(40):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{'ab'[n % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    source = {"kind": "folder", "class_map": "", "classes": ["a", "b"], "private": [], "faults": "skip"}
    tables = {"stretch": {"kind": "linear", "low": 0.0, "high": 255.0}, "split": {"stratified": True}}
    recipe = tiny_recipe(tmp_path, source=source, fit={"epochs": 1}, **tables)
    Image.new("RGB", (16, 16)).save(tmp_path / "7.png")
    train(recipe, tmp_path / "out", device="cpu", progress=False)
    with (tmp_path / "out" / "rejects.csv").open() as file:
        assert [row["domain"] + row["file"] for row in csv.DictReader(file)] == [f"source{tmp_path / '7.png'}"]
    with pytest.raises(DataError, match=r"7\.png is blank"):
        train(tiny_recipe(tmp_path, source={**source, "faults": "refuse"}, **tables), tmp_path / "other", device="cpu")


def test_normalisation_by_domain_needs_batch_normalisation(cutouts, tmp_path):
    network = {"encoder": "resnet50_gn", "batch_norm": "domain"}
    recipe = tiny_recipe(cutouts, target={"path": str(cutouts)}, network=network, method={"name": "mmd"})
    with pytest.raises(ConfigError, match="is for encoders with batch normalisation, and 'resnet50_gn' has none"):
        train(recipe, tmp_path / "out", device="cpu", progress=False)


def test_an_encoder_that_gives_no_vector_is_refused(cutouts, tmp_path):
    network = {"encoder": "resnet18", "encoder_options": {"channels": [8, 8, 8, 8], "global_pool": ""}}
    with pytest.raises(ConfigError, match=r"its output has the shape \(1, 8, \d, \d\), and one vector"):
        train(tiny_recipe(cutouts, network=network), tmp_path / "out", device="cpu", progress=False)


def test_a_batch_job_that_asks_for_tasks_is_told_how_to_ask(cutouts, tmp_path, monkeypatch):
    job = {"JOB_ID": "7", "NTASKS": "8", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for begin in (train, scan_rates):
        with pytest.raises(ConfigError, match=r"cannot be set up: .*--ntasks=8.*Under SLURM ask for one task"):
            begin(tiny_recipe(cutouts), tmp_path / begin.__name__, device="cpu", progress=False)


def test_a_network_that_only_guesses_is_told(cutouts, tmp_path, caplog):
    still = tiny_recipe(cutouts, fit={"epochs": 1}, optimiser={"learning_rate": 1e-12, "warmup_epochs": 0.0})
    train(still, tmp_path / "still", device="cpu", progress=False)
    assert "nothing was learned that could be told from it" in caplog.text
    caplog.clear()
    train(tiny_recipe(cutouts), tmp_path / "out", device="cpu", progress=False)
    assert "guessing" not in caplog.text
