"""Checkpoints in a folder that was moved."""

import warnings

import torch

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
