"""What galmorph warns of is on the screen, once."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from galmorph.cli import _warnings_shown, main


def test_warnings_are_shown_but_for_those_that_commands_tell(capsys):
    with _warnings_shown():
        logging.getLogger("galmorph.positions").warning("%d of 4 rows left out", 3)
        logging.getLogger("galmorph.tiles").warning("tile a: told with the other tiles'")
        logging.getLogger("galmorph.positions").info("nothing to worry about")
    logging.getLogger("galmorph.positions").warning("nobody listens any more")
    assert capsys.readouterr().err == "galmorph: 3 of 4 rows left out\n"


def test_a_command_shows_them(tmp_path, capsys):
    cube = fits.PrimaryHDU(np.zeros((3, 8, 8), "f4"))
    cube.writeto(tmp_path / "cube.fits")
    Table({"ra": [1.0]}).write(tmp_path / "tractor-1234p567.fits")
    with pytest.raises(SystemExit):
        main(["surveys", "check", str(tmp_path), "--survey", "legacysurvey"])
    assert "passed over whose headers tell of no tile: 1, such as" in capsys.readouterr().err
