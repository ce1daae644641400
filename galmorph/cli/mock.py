"""``galmorph mock``."""

from pathlib import Path

from rich.console import Console

from galmorph.errors import MissingExtraError
from galmorph.surveys import load_survey


def mock(out: Path, /, *, survey: str = "mock-decals", tiles: int = 4, seed: int = 1, workers: int = 1) -> None:
    """Make a mock survey: tiles with FITS images, a table of truth, and labelled cutouts.

    Parameters
    ----------
    out
        Folder to make.
    survey
        A mock profile: mock-decals, mock-sdss, mock-lsst-y1, mock-lsst-y10, or your own with a [mock] table.
    tiles
        Number of tiles; neighbours overlap.
    seed
        Same seed, same galaxies and same bytes.
    workers
        Processes.
    """
    try:
        from galmorph.mocks import make_mock
    except ImportError as error:
        raise MissingExtraError("Making mock surveys", str(error.name), "mocks") from error
    result = make_mock(out, load_survey(survey), tiles=tiles, seed=seed, workers=workers)
    Console(highlight=False).print(str(result), markup=False, soft_wrap=True)
