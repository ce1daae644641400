"""Targets that a network should not be adapted to, or not without care, to see whether the guard notices.

    python training/benchmarks/hostile.py DATA

makes of DATA/digits and DATA/sdss (see ``digits.py`` and ``sdss.py``), below DATA/hostile: ``*_mix``, another mix of
classes; ``*_fifty``, fifty images; ``*_one``, one class only; ``*_unrelated``, the other kind of pictures;
``*_bands``, red and blue exchanged; ``*_same``, images of the source's own kind. The same of DATA/simulated (see
``simulated.py``), where the guard's limits were chosen, and another mix of the source's SDSS galaxies made worse.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from galmorph.cutout_set import CutoutSet, read_cutout_set, write_cutout_set

Rows = NDArray[np.intp]

#: Share of the images that is kept, by class, in another mix; of classes not named the last entry.
MIXES: Mapping[str, Mapping[str, float]] = {
    "digits": {"0": 1.0, "1": 1.0, "": 0.05},
    "sdss": {"elliptical": 1.0, "": 0.1},
    "galaxies": {"round_smooth": 1.0, "cigar_smooth": 1.0, "": 0.1},
}
ONE = {"digits": "3", "sdss": "edge_on", "galaxies": "loose_spiral"}
FIFTY, MOST = 50, 2500


def _labels(cutouts: CutoutSet) -> NDArray[np.str_]:
    return cutouts.labels["label"].astype(str).to_numpy(dtype=np.str_)


def _mix(kind: str) -> Callable[[CutoutSet], Rows]:
    def choose(cutouts: CutoutSet) -> Rows:
        draw, names = np.random.default_rng(0).random(len(cutouts.labels)), _labels(cutouts)
        shares = np.array([MIXES[kind].get(name, MIXES[kind][""]) for name in names])
        return np.flatnonzero((draw < shares) & (names != "merger"))[:MOST]

    return choose


def _one(kind: str) -> Callable[[CutoutSet], Rows]:
    return lambda cutouts: np.flatnonzero(_labels(cutouts) == ONE[kind])


def _some(number: int) -> Callable[[CutoutSet], Rows]:
    return lambda cutouts: np.random.default_rng(0).permutation(len(cutouts.labels))[:number]


def as_galaxies(digits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Digits in the format of the galaxies: three bands, 48 pixels, values to 255."""
    return np.stack([np.repeat(cv2.resize(image[0], (48, 48))[None], 3, axis=0) * 255 for image in digits])


def as_digits(galaxies: NDArray[np.float32]) -> NDArray[np.float32]:
    """Galaxies in the format of the digits: one band, 28 pixels, values to 1."""
    return np.stack([cv2.resize(image.mean(axis=0), (28, 28))[None] / 255 for image in galaxies])


def make_hostile(data: Path) -> dict[str, int]:
    """Write all sets, and count their images."""
    counts = {}

    def write(name: str, where: str, choose: Callable[[CutoutSet], Rows], like: str = "", swap: bool = False) -> None:
        cutouts = read_cutout_set(data / where)
        rows = np.sort(choose(cutouts))
        images, meta = np.asarray(cutouts.images[rows]), cutouts.meta
        if like:
            images = as_digits(images) if like.startswith("digits") else as_galaxies(images)
            meta = read_cutout_set(data / like).meta
        images = images[:, ::-1] if swap else images
        write_cutout_set(data / "hostile" / name, images, cutouts.labels.iloc[rows], meta)
        counts[name] = len(rows)

    for name, kind, target, same in (
        ("digits", "digits", "digits/usps", "digits/mnist"),
        ("sdss", "sdss", "sdss/b_worse", "sdss/b"),
        ("simdigits", "digits", "simulated/digits_target", "simulated/digits_source"),
        ("simgalaxies", "galaxies", "simulated/galaxies_target", "simulated/galaxies_source"),
    ):
        write(f"{name}_mix", target, _mix(kind))
        write(f"{name}_fifty", target, _some(FIFTY))
        write(f"{name}_one", target, _one(kind))
        write(f"{name}_same", same, _some(MOST))
    for name in ("digits", "simdigits"):
        write(f"{name}_unrelated", "sdss/b", _some(MOST), like="digits/mnist")
    for name, like in (("sdss", "sdss/a"), ("simgalaxies", "mocks/sdss")):
        write(f"{name}_unrelated", "digits/usps", _some(MOST // 2), like=like)
    write("sdss_bands", "sdss/b", _some(MOST), swap=True)
    write("simsdss_mix", "sdss/a_worse", _mix("sdss"))
    write("simgalaxies_bands", "simulated/galaxies_target", _some(MOST), swap=True)
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name, count in make_hostile(parser.parse_args().data).items():
        print(f"{name}: {count} images")


if __name__ == "__main__":
    main()
