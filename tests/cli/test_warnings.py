"""What galmorph warns of is on the screen, once."""

import errno
import io
import logging
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from rich.console import Console

from galmorph import cli
from galmorph.cli import _warnings_shown, main
from galmorph.cli.screen import notes_on_run
from galmorph.inference.run import RunReport


def test_warnings_are_shown_but_for_those_that_commands_tell(capsys):
    with _warnings_shown():
        logging.getLogger("galmorph.positions").warning("%d of 4 rows left out", 3)
        logging.getLogger("galmorph.tiles").warning("tile a: told with the other tiles'")
        logging.getLogger("galmorph.positions").info("nothing to worry about")
    logging.getLogger("galmorph.positions").warning("nobody listens any more")
    assert capsys.readouterr().err == "galmorph: 3 of 4 rows left out\n"


def test_processes_of_a_training_say_things_once(capsys, monkeypatch):
    def say():
        with _warnings_shown():
            for _ in range(2):
                logging.getLogger("galmorph.training.domains").warning("1 of 96 images has one value everywhere")
        with pytest.raises(SystemExit) as stopped:
            main(["train", "nowhere.toml"])
        assert stopped.value.code == 2
        return capsys.readouterr().err

    told = say()
    assert told.count("1 of 96 images") == told.count("nowhere.toml: No such file") == 1
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert say() == ""


def test_a_fault_of_another_process_is_told_as_such(capsys, monkeypatch):
    def fault(*arguments, **options):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(cli, "app", SimpleNamespace(meta=fault))
    for rank, words in (
        ("0", "unexpected fault, RuntimeError"),
        ("1", "process 1 ends: RuntimeError: Connection closed"),
    ):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(SystemExit):
            main(["train"])
        assert f"galmorph: {words}" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_its_file_and_what_to_do(capsys, monkeypatch, number):
    def full(*arguments, **options):
        raise OSError(number, os.strerror(number), "out/metrics.csv")

    monkeypatch.setattr(cli, "app", SimpleNamespace(meta=full))
    with pytest.raises(SystemExit):
        main(["train", "recipe.toml"])
    assert capsys.readouterr().err == (
        f"galmorph: out/metrics.csv cannot be written or read: {os.strerror(number)}. Make room, and the same command "
        "goes on from there\n"
    )


def test_a_command_shows_them(tmp_path, capsys):
    cube = fits.PrimaryHDU(np.zeros((3, 8, 8), "f4"))
    cube.writeto(tmp_path / "cube.fits")
    Table({"ra": [1.0]}).write(tmp_path / "tractor-1234p567.fits")
    with pytest.raises(SystemExit):
        main(["surveys", "check", str(tmp_path), "--survey", "legacysurvey"])
    assert "passed over whose headers tell of no tile: 1, such as" in capsys.readouterr().err


def test_notes_on_a_run_are_lines_that_a_log_can_be_searched_for():
    note = "one of 215 objects takes up 13 % of the image, and others may be lost in it: lower deblend_contrast"
    report = RunReport(
        folder=Path("/survey/of/last/winter/that/has/a/long/name/run"), tiles=2, resumed=0, detected=5, scored=4,
        rejected=1, rejected_tiles={"a": "no image of band r"}, rejected_positions=0, retried={},
        warnings={"b": (note,)}, elapsed=1.0, seconds={}, parts=[],
    )  # fmt: skip
    screen = io.StringIO()
    notes_on_run(Console(file=screen, width=60), report)
    said = screen.getvalue().splitlines()
    assert len(said) == 5
    assert f"note b: {note}" in said
    assert said[-1].endswith(f"{report.folder}/rejects, {report.folder}/report.json")
