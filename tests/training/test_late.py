"""Which checkpoint is kept, and checkpoints in a folder that was moved."""

import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from galmorph.training.late import LateCheckpoint, LateStopping


def test_a_moved_training_knows_its_best(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    first, second = (
        LateCheckpoint(2, dirpath=folder, filename="best", monitor="valid_recall", mode="max")
        for folder in (before, after)
    )
    first.best_model_score = torch.tensor(0.9)
    first.best_model_path = first.kth_best_model_path = str(before / "best.safetensors")
    first.last_model_path = str(before / "last.ckpt")
    first.best_k_models = {str(before / "best.safetensors"): torch.tensor(0.9)}
    first.kth_value = torch.tensor(0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.load_state_dict(first.state_dict())
    assert second.best_model_score == 0.9
    assert second.kth_value == 0.9
    assert second.best_model_path == second.kth_best_model_path == str(after / "best.safetensors")
    assert second.last_model_path == str(after / "last.ckpt")
    assert second.best_k_models == {str(after / "best.safetensors"): 0.9}


def test_a_state_without_a_best_is_taken_as_it_is(tmp_path):
    checkpoint = LateCheckpoint(0, dirpath=tmp_path, filename="last")
    other = LateCheckpoint(0, dirpath=tmp_path / "elsewhere", filename="last")
    checkpoint.load_state_dict(other.state_dict())
    assert checkpoint.best_model_path == ""
    assert checkpoint.best_k_models == {}


def test_a_state_of_before_the_best_was_written_down_is_taken(tmp_path):
    checkpoint = LateCheckpoint(0, dirpath=tmp_path, filename="last")
    state = checkpoint.state_dict()
    del state["highest"]
    checkpoint.load_state_dict(state)
    assert checkpoint.highest == -math.inf


def kept(scores, images, start=None):
    """Epochs whose checkpoint takes the place of the one before."""
    checkpoint = LateCheckpoint(0, images=images, monitor="valid_recall", mode="max")
    if start is not None:
        checkpoint.load_state_dict(start)
    return [
        n for n, score in enumerate(scores) if checkpoint.check_monitor_top_k(None, torch.tensor(score))
    ], checkpoint


def test_the_latest_of_epochs_that_the_source_cannot_tell_apart_is_kept():
    # One standard error of 0.9 on 100 images is 0.03.
    assert kept([0.8, 0.9, 0.875, 0.865, 0.871], 100)[0] == [0, 1, 2, 4]


def test_epochs_do_not_creep_away_from_the_best():
    assert kept([0.9, 0.88, 0.865, 0.85], 100)[0] == [0, 1]


def test_nothing_passes_for_as_good_as_perfect():
    assert kept([1.0, 0.99, 1.0], 100)[0] == [0, 2]


def test_a_perfect_recall_of_ten_classes():
    """In float32 the mean of ten ones is more than one."""
    recall = MulticlassAccuracy(10, average="macro")
    recall.update(torch.eye(10), torch.arange(10))
    assert float(recall.compute()) > 1
    assert kept([0.9, float(recall.compute()), 0.8], 10)[0] == [0, 1]


def test_an_epoch_without_a_number_is_not_kept_and_sets_no_mark():
    checkpoint = LateCheckpoint(0, images=100, monitor="valid_recall", mode="max")
    checkpoint.check_monitor_top_k(None, torch.tensor(0.8))
    checkpoint.best_k_models, checkpoint.kth_best_model_path = {"best": torch.tensor(0.8)}, "best"
    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce_boolean_decision=bool))
    assert not checkpoint.check_monitor_top_k(trainer, torch.tensor(math.nan))
    assert not checkpoint.check_monitor_top_k(trainer, None)
    assert checkpoint.check_monitor_top_k(trainer, torch.tensor(0.79))


@pytest.mark.parametrize(("waited", "stops"), [(2, False), (3, True), (4, True)])
def test_a_training_that_was_to_stop_stops_when_it_is_taken_up_again(waited, stops):
    stopping = LateStopping(0, monitor="valid_recall", mode="max", patience=3)
    stopping.wait_count = waited
    for told in (False, True):
        trainer = SimpleNamespace(should_stop=told)
        stopping.on_train_start(trainer, None)
        assert trainer.should_stop is (stops or told)


@pytest.mark.parametrize("hook", ["on_validation_end", "on_train_epoch_end"])
def test_epochs_before_the_first_that_counts_are_passed_over(monkeypatch, hook):
    seen = []
    monkeypatch.setattr(LateStopping.__mro__[2], hook, lambda self, trainer, module: seen.append(trainer.current_epoch))
    stopping = LateStopping(2, monitor="valid_recall", mode="max")
    for epoch in range(4):
        getattr(stopping, hook)(SimpleNamespace(current_epoch=epoch), None)
    assert seen == [2, 3]


def test_a_resumed_training_knows_how_good_the_best_was():
    _, first = kept([0.8, 0.9], 100)
    assert kept([0.865, 0.875], 100, first.state_dict())[0] == [1]
