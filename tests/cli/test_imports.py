"""``galmorph import``: what is said of what was made and left out."""

import os
import signal

import numpy as np
import pytest
from PIL import Image

from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set
from galmorph.training.importers import pictures as importer


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(4):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,c\n3.png,\n9.png,a\n")
    return tmp_path


def test_pictures(pictures, capsys):
    main([
        "import", "pictures", str(pictures), "--out", str(pictures / "set"), "--drop", "c", "--faults", "skip",
        "--unlabelled", "--size", "4", "--survey", "sdss",
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert "3 images in" in said
    assert "unlabelled 1, a 1, b 1" in said
    assert "left out: c 1" in said
    assert "9.png" in said
    cutouts = read_cutout_set(pictures / "set")
    assert cutouts.images.shape == (3, 3, 4, 4)
    assert cutouts.meta["survey"] == "sdss"


def test_faults_are_a_paragraph(pictures, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["import", "pictures", str(pictures), "--out", str(pictures / "set")])
    assert stop.value.code == 2
    assert "3.png has no label" in capsys.readouterr().err


def test_an_import_that_is_stopped_leaves_nothing(pictures, capsys, monkeypatch):
    monkeypatch.setattr(importer, "read_picture", lambda *given: os.kill(os.getpid(), signal.SIGTERM))
    before = sorted(pictures.iterdir())
    with pytest.raises(SystemExit) as stop:
        main(["import", "pictures", str(pictures), "--out", str(pictures / "set"), "--unlabelled"])
    assert stop.value.code == 143
    assert "Stopped" in capsys.readouterr().err
    assert sorted(pictures.iterdir()) == before


def test_brackets_in_names_are_no_markup(pictures, capsys):
    out = pictures / "[red]set"
    main(["import", "pictures", str(pictures), "--out", str(out), "--faults", "skip"])
    assert f"3 images in {out}" in capsys.readouterr().out


def test_lsst_and_deepmerge(tmp_path, capsys):
    for part in ("train", "valid", "test"):
        np.save(tmp_path / f"labels_{part}.npy", np.eye(3))
        np.save(tmp_path / f"images_Y10_{part}.npy", np.random.default_rng(0).normal(size=(3, 3, 8, 8)))
    main(["import", "lsst", str(tmp_path), "--year", "Y10", "--drop", "merger", "--out", str(tmp_path / "set")])
    assert "elliptical 3, spiral 3" in capsys.readouterr().out
    for name in ("SimReal_SOURCE_{}_Illustris0", "SimReal_TARGET_{}_postmergers_SDSS"):
        np.save(tmp_path / f"{name.format('X')}.npy", np.random.default_rng(0).normal(size=(2, 3, 8, 8)))
        np.save(tmp_path / f"{name.format('y')}.npy", np.array([0, 1]))
    main(["import", "deepmerge", str(tmp_path), "--experiment", "sim_real", "--out", str(tmp_path / "both")])
    assert capsys.readouterr().out.count("merger 1, non_merger 1") == 2
