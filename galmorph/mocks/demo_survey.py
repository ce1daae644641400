"""Make the embedded survey of the demonstration: ``python -m galmorph.mocks.demo_survey [OUT]``."""

import argparse
import logging
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from galmorph.mocks.config import MockConfig
from galmorph.mocks.make import MockResult, make_mock
from galmorph.surveys import load_survey

#: Reserved: no model may be trained on this sky.
DEMO_SEED = 2000

#: More lenses and mergers than a sky for training, so that there are some to look at. Its place is given, that of seed
#: 20: the tiles that are embedded, and with them the identifiers of their objects, are called by it.
DEMO_SKY = MockConfig(
    tile_side=262.0,
    overlap=0.15,
    density=4.7,
    background_density=5.0,
    class_mix={
        "disturbed": 12,
        "merging": 16,
        "round_smooth": 17,
        "cigar_smooth": 13,
        "barred_spiral": 15,
        "tight_spiral": 13,
        "loose_spiral": 13,
        "edge_on_no_bulge": 12,
        "edge_on_bulge": 13,
        "lens": 26,
        "star": 16,
    },
    centre=(150.0 + 2.0 * DEMO_SEED, 2.5),
)

#: Coarser than usual, for a small package: quantisation adds two per cent to the noise's variance.
DEMO_QUANTISE = 2.0


def make_demo_survey(out: Path) -> MockResult:
    """Write `tiles/` and `truth.parquet` of the demonstration.

    Parameters
    ----------
    out : Path
        Folder; these two in it are replaced.

    Returns
    -------
    MockResult
        Of the mock, whose cutouts are not kept.
    """
    with tempfile.TemporaryDirectory() as scratch:
        result = make_mock(scratch, load_survey("mock-decals"), 2, DEMO_SEED, config=DEMO_SKY, quantise=DEMO_QUANTISE)
        shutil.rmtree(out / "tiles", ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copytree(result.path / "tiles", out / "tiles")
        shutil.copy(result.path / "truth.parquet", out / "truth.parquet")
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path(str(files("galmorph"))) / "demo" / "data")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = make_demo_survey(arguments.out)
    logging.info("%s\nkept in %s", result, arguments.out)


if __name__ == "__main__":
    main()
