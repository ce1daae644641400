import json
import math

import pytest
import torch
from safetensors.torch import save_file

from galmorph.errors import DataError
from galmorph.training.checkpoint import SafeCheckpointIO, read_checkpoint, write_checkpoint


def test_everything_lightning_saves_comes_back(tmp_path):
    weight = torch.randn(3, 4)
    state = {
        "epoch": 3,
        "state_dict": {"weight": weight, "view": weight[:, ::2], "same": weight, "flag": torch.tensor(True)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"betas": (0.9, 0.999)}]}],
        "loops": {"none": None, "yes": True, "text": "é", "tensor": {"dict": 1}},
        "best": [math.inf, -math.inf, 0.1],
        "empty": {},
    }
    write_checkpoint(tmp_path / "a.safetensors", state)
    back = read_checkpoint(tmp_path / "a.safetensors")
    tensors, state_tensors = back.pop("state_dict"), state.pop("state_dict")
    assert all(torch.equal(tensors[name], state_tensors[name]) for name in state_tensors)
    assert tensors["flag"].dtype == torch.bool
    assert back == state
    assert type(back["optimizer_states"][0]["param_groups"][0]["betas"]) is tuple
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_nan_and_bfloat16_come_back(tmp_path):
    write_checkpoint(tmp_path / "a", {"nan": math.nan, "low": torch.ones(2, dtype=torch.bfloat16)})
    back = read_checkpoint(tmp_path / "a")
    assert math.isnan(back["nan"])
    assert back["low"].dtype == torch.bfloat16


def test_objects_that_would_need_pickling_are_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot hold Linear objects"):
        write_checkpoint(tmp_path / "a", {"module": torch.nn.Linear(1, 1)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04\x95pickle"])
def test_files_that_are_no_checkpoint(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        read_checkpoint(tmp_path / "a")


def test_pickled_checkpoint_is_not_opened(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")


def test_missing_file_and_other_peoples_safetensors(tmp_path):
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        read_checkpoint(tmp_path / "none")
    save_file({"a": torch.zeros(1)}, tmp_path / "a")
    with pytest.raises(DataError, match="holds tensors but no checkpoint"):
        read_checkpoint(tmp_path / "a")


def test_structure_is_plain_json(tmp_path):
    write_checkpoint(tmp_path / "a", {"x": 1.5, 2: (torch.zeros(2),)})
    raw = (tmp_path / "a").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    structure = json.loads(header["__metadata__"]["galmorph_checkpoint"])
    assert structure == {"dict": [["x", 1.5], [2, {"tuple": [{"tensor": "0"}]}]]}
