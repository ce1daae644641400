"""Shifts simulated on labelled data, on which the defaults of methods are chosen: no label of a real target has a say.

    python training/benchmarks/simulated.py DATA

divides DATA/digits/mnist, DATA/mocks/sdss and DATA/mocks/y10 (see ``digits.py`` and ``mocks.py``) into halves by
object, and makes the second half worse: DATA/simulated/digits_source and digits_target, galaxies_source and
galaxies_target, years_source and years_target. In strokes_target the second half of the digits is bolder and slanted
instead. All labels are those of the labelled source that a user has.
"""

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from galmorph.cutout_set import read_cutout_set, write_cutout_set

#: For each set: standard deviation of a blur in pixels, contrast, and noise as a share of the images' spread.
SHIFTS = {
    "digits": ("digits/mnist", 1.0, 0.7, 0.35),
    "galaxies": ("mocks/sdss", 1.5, 0.8, 0.1),
    "years": ("mocks/y10", 1.5, 0.8, 0.1),
}


def worsen(images: NDArray[np.float32], blur: float, contrast: float, noise: float) -> NDArray[np.float32]:
    """Blurred, fainter and noisier images of shape ``(n, bands, N, N)``."""
    rng = np.random.default_rng(0)
    smooth = np.stack([[cv2.GaussianBlur(plane, (0, 0), blur) for plane in image] for image in images])
    added = noise * images.std() * rng.standard_normal(images.shape)
    return np.asarray(contrast * smooth + added, dtype=np.float32)


def slant(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Digits of bolder strokes, slanted, narrower and wider, of shape ``(n, bands, N, N)``."""
    rng = np.random.default_rng(0)
    half = images.shape[-1] / 2
    result = []
    for image in images:
        lean, wide, high = 0.25 + 0.1 * rng.standard_normal(), 0.85, 0.935
        matrix = np.array(
            [[wide, lean * wide, half * (1 - wide - lean * wide)], [0, high, half * (1 - high)]], dtype=np.float32
        )
        bold = [cv2.dilate(plane, np.ones((2, 2), dtype=np.uint8)) for plane in image]
        result.append([cv2.warpAffine(plane, matrix, image.shape[1:]) for plane in bold])
    return np.array(result, dtype=np.float32)


def make_simulated(data: Path) -> dict[str, int]:
    """Write the sets, and count their images."""
    counts = {}
    for name, (where, blur, contrast, noise) in SHIFTS.items():
        cutouts = read_cutout_set(data / where)
        ids = cutouts.labels["object_id"].astype(str)
        second = np.array([hashlib.sha256(each.encode()).digest()[1] % 2 == 1 for each in ids])
        for part, chosen in (("source", ~second), ("target", second)):
            images = np.asarray(cutouts.images[chosen])
            images = worsen(images, blur, contrast, noise) if part == "target" else images
            write_cutout_set(data / "simulated" / f"{name}_{part}", images, cutouts.labels[chosen], cutouts.meta)
            counts[f"{name}_{part}"] = len(images)
            if (name, part) == ("digits", "target"):
                bolder = slant(np.asarray(cutouts.images[chosen]))
                write_cutout_set(data / "simulated" / "strokes_target", bolder, cutouts.labels[chosen], cutouts.meta)
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name, count in make_simulated(parser.parse_args().data).items():
        print(f"{name}: {count} images")


if __name__ == "__main__":
    main()
