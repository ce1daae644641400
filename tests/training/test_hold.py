"""A training's folder is held by one call, and no file in it is half written."""

import json
import os
import shutil
from pathlib import Path

import pytest
from make_recipe import tiny_recipe

from galmorph import locks
from galmorph.errors import ConfigError
from galmorph.training.fit import train
from galmorph.training.folder import IDENTITY, RECIPE
from galmorph.training.hold import held, write_whole
from galmorph.training.search import search
from galmorph.training.search_space import Range, Space

SPACE = Space(settings={"optimiser.learning_rate": Range(low=1e-4, high=1e-2)})


def test_a_folder_is_held_once(tmp_path):
    with held(tmp_path), pytest.raises(ConfigError, match=r"another call works on .* now"), held(tmp_path):
        pytest.fail("held twice")
    with held(tmp_path):
        pass


def test_what_a_killed_call_was_writing_is_no_obstacle_and_goes(cutouts, tmp_path):
    recipe, out = tiny_recipe(cutouts, fit={"epochs": 1}), tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    left = [out / ".identity.json.4711", out / "checkpoints" / ".last.safetensors.4711"]
    left[0].write_text("{")
    (out / "checkpoints").rmdir()
    train(recipe, out, device="cpu", progress=False)
    assert not left[0].exists()
    (out / "result.json").unlink()
    left[1].write_text("half")
    train(recipe, out, device="cpu", progress=False)
    assert not left[1].exists()


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(trained, cutouts, tmp_path):
    recipe, out = tiny_recipe(cutouts), tmp_path / "out"
    shutil.copytree(trained.checkpoint.parent.parent, out)
    (out / "result.json").unlink()
    with held(out), pytest.raises(ConfigError, match="another call works on"):
        train(recipe, out, device="cpu", progress=False)
    assert train(recipe, out, device="cpu", progress=False).metrics == trained.metrics


def test_a_second_search_in_a_folder_is_refused(cutouts, tmp_path):
    with held(tmp_path), pytest.raises(ConfigError, match="another call works on"):
        search(tiny_recipe(cutouts), SPACE, tmp_path, trials=1, device="cpu")
    assert not (tmp_path / "study.db").exists()


def test_a_file_system_without_locks_is_used_all_the_same(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with held(tmp_path):
        pass


def test_a_disk_that_is_full_leaves_files_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, b"{}")

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'"):
        write_whole(path, b"[]")
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [IDENTITY, RECIPE])
def test_a_folder_whose_first_files_could_not_be_written_can_be_gone_on_with(cutouts, tmp_path, monkeypatch, name):
    out = tmp_path / "out"

    def full(file):
        if name in Path(f"/proc/self/fd/{file}").readlink().name:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            train(tiny_recipe(cutouts), out, device="cpu", progress=False)
    train(tiny_recipe(cutouts), out, device="cpu", progress=False)
    assert json.loads((out / IDENTITY).read_text())["recipe"]["name"]
