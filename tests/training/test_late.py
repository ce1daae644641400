"""Which checkpoint is kept, and checkpoints in a folder that was moved."""

import warnings

import torch
from torchmetrics.classification import MulticlassAccuracy

from galmorph.training.late import LateCheckpoint


def test_a_moved_training_knows_its_best(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    first, second = (
        LateCheckpoint(2, dirpath=folder, filename="best", monitor="valid_recall", mode="max")
        for folder in (before, after)
    )
    first.best_model_score = torch.tensor(0.9)
    first.best_model_path = first.kth_best_model_path = str(before / "best.safetensors")
    first.best_k_models = {str(before / "best.safetensors"): torch.tensor(0.9)}
    first.kth_value = torch.tensor(0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.load_state_dict(first.state_dict())
    assert second.best_model_score == 0.9
    assert second.kth_value == 0.9
    assert second.best_model_path == second.kth_best_model_path == str(after / "best.safetensors")
    assert second.best_k_models == {str(after / "best.safetensors"): 0.9}


def test_a_state_without_a_best_is_taken_as_it_is(tmp_path):
    checkpoint = LateCheckpoint(0, dirpath=tmp_path, filename="last")
    other = LateCheckpoint(0, dirpath=tmp_path / "elsewhere", filename="last")
    checkpoint.load_state_dict(other.state_dict())
    assert checkpoint.best_model_path == ""
    assert checkpoint.best_k_models == {}


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


def test_a_resumed_training_knows_how_good_the_best_was():
    _, first = kept([0.8, 0.9], 100)
    assert kept([0.865, 0.875], 100, first.state_dict())[0] == [1]
