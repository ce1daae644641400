"""Mock surveys in pairs, as domains that a network is adapted between.

    python training/benchmarks/mocks.py OUT [--workers 2] [--only NAME…]

OUT/sdss and OUT/decals have ten classes of galaxies, lenses among them, in two surveys of other pixels, seeing and
depth. OUT/y1 and OUT/y10 have spirals, ellipticals and mergers after one and ten years of LSST, fainter by more than
two magnitudes. No galaxy is in two of these. OUT/y1-again and OUT/sdss-again are other skies in the surveys of y1 and
sdss. OUT/pristine and OUT/noisy show the same galaxies, mergers and others, from above the atmosphere and from below
it.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.cutouts import Framing
from galmorph.mocks import MockConfig, make_mock
from galmorph.mocks.config import DEFAULT_MIX
from galmorph.surveys import load_survey

#: What a network gets to see.
FRAMING = Framing(size=48, factor=1.2)

#: Fine classes of the coarse problems; stars are in none.
SPIRALS = ("barred_spiral", "tight_spiral", "loose_spiral")
SMOOTH = ("round_smooth", "cigar_smooth")
MERGERS = ("merging", "disturbed")
OTHERS = (*SPIRALS, *SMOOTH, "edge_on_bulge", "edge_on_no_bulge")

SURVEYS = Path(__file__).with_name("surveys")


@dataclass(frozen=True)
class Mock:
    """A set of cutouts to make.

    Parameters
    ----------
    survey : str
        A profile of galmorph's, or of the folder ``surveys`` beside this file.
    seed : int
        Decides the galaxies.
    mix : mapping of str to float
        Relative numbers of fine classes.
    names : mapping of str to str
        What a fine class is called in this problem; others keep their name.
    bright, faint : float
        r magnitudes of the galaxies.
    tiles : int
        How many.
    """

    survey: str
    seed: int
    mix: Mapping[str, float]
    names: Mapping[str, str] = field(default_factory=dict)
    bright: float = 14.5
    faint: float = 17.77
    tiles: int = 32


def _even(groups: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, float], dict[str, str]]:
    """A mix in which each coarse class is as frequent as the others, and the names."""
    mix = {fine: 1 / len(members) for members in groups.values() for fine in members}
    return mix, {fine: coarse for coarse, members in groups.items() for fine in members}


_TEN = {name: share for name, share in DEFAULT_MIX.items() if name != "star"}
_LSST = _even({"spiral": SPIRALS, "elliptical": SMOOTH, "merger": MERGERS})
_MERGER = _even({"merger": MERGERS, "other": OTHERS})

MOCKS: Mapping[str, Mock] = {
    "sdss": Mock("mock-sdss", 101, _TEN),
    "decals": Mock("mock-decals-gri", 102, _TEN),
    "y1": Mock("mock-lsst-y1", 103, *_LSST, bright=18.5, faint=20.0),
    "y10": Mock("mock-lsst-y10", 104, *_LSST, bright=18.5, faint=20.0),
    "y1-again": Mock("mock-lsst-y1", 1103, *_LSST, bright=18.5, faint=20.0, tiles=40),
    "sdss-again": Mock("mock-sdss", 1101, _TEN, tiles=40),
    "pristine": Mock("mock-pristine", 105, *_MERGER, bright=16.5, faint=18.5),
    "noisy": Mock("mock-noisy", 105, *_MERGER, bright=16.5, faint=18.5),
}


def make(name: str, out: Path, workers: int) -> dict[str, int]:
    """Make one of `MOCKS` as OUT/NAME, and count its classes."""
    mock = MOCKS[name]
    own = SURVEYS / f"{mock.survey}.toml"
    config = MockConfig(class_mix=mock.mix, bright_limit=mock.bright, faint_limit=mock.faint)
    survey = load_survey(own if own.is_file() else mock.survey)
    made = out / f"{name}-survey"
    make_mock(made, survey, mock.tiles, mock.seed, config=config, framing=FRAMING, workers=workers)
    cutouts = read_cutout_set(made / "cutouts")
    fine = cutouts.labels["fine_class"].astype(str)
    labels = cutouts.labels.assign(label=[mock.names.get(each, each) for each in fine])
    counts = {str(key): int(number) for key, number in labels["label"].value_counts().sort_index().items()}
    write_cutout_set(out / name, cutouts.images, pd.DataFrame(labels), cutouts.meta | {"counts": counts})
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(MOCKS), default=list(MOCKS))
    given = parser.parse_args()
    for name in given.only:
        print(f"{name}: {json.dumps(make(name, given.out, given.workers))}", flush=True)


if __name__ == "__main__":
    main()
