"""Make a tiny set of labelled cutouts: blobs whose shape depends on the class.

Run as a script: ``python tests/data/make_cutouts.py FOLDER``.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutout_set import UNIT, write_cutout_set

BANDS = ("g", "r", "z")

#: Class: axis ratio, number of blobs, size in pixels relative to the image, brightness over the sky noise.
SHAPES = {
    "round_smooth": (0.9, 1, 0.10, 60.0),
    "edge_on_bulge": (0.2, 1, 0.16, 60.0),
    "merging": (0.8, 2, 0.08, 40.0),
    "lens": (0.9, 5, 0.04, 30.0),
}


def blobs(shape: str, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One image in surface brightness, shape ``(3, size, size)``, sky noise of 1."""
    ratio, number, width, peak = SHAPES[shape]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    image = np.zeros((size, size))
    for blob in range(number):
        angle = rng.uniform(0, np.pi)
        offset = 0.0 if number == 1 else 0.22 * size
        turn = 2 * np.pi * blob / number + angle
        dx, dy = x - offset * np.cos(turn), y - offset * np.sin(turn)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = -dx * np.sin(angle) + dy * np.cos(angle)
        radius = np.hypot(along, across / ratio) / (width * size)
        image += peak * rng.uniform(0.7, 1.3) * np.exp(-(radius**2) / 2)
    colours = np.array([0.8, 1.0, 1.2])[:, None, None]
    return (colours * image + rng.normal(size=(3, size, size))).astype(np.float32)


def make_cutouts(path: Path, *, each: int = 40, size: int = 24, seed: int = 0) -> Path:
    """Write a set with `each` images of every class, and return its folder."""
    rng = np.random.default_rng(seed)
    labels = [shape for shape in SHAPES for _ in range(each)]
    images = np.stack([blobs(label, size, rng) for label in labels])
    table = pd.DataFrame({"object_id": [f"{seed}-{n}" for n in range(len(labels))], "label": labels})
    meta = {
        "survey": "blobs",
        "bands": list(BANDS),
        "pixel_scale": 0.5,
        "framing": {"size": size, "mode": "radius", "factor": 1.5, "angle": 30.0, "min_angle": 8.0, "max_angle": 120.0},
        "unit": UNIT,
    }
    write_cutout_set(path, images, table, meta)
    return path


if __name__ == "__main__":
    make_cutouts(Path(sys.argv[1]))
