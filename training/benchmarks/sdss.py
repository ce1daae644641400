"""Galaxies of SDSS with Galaxy Zoo 1 labels as two domains: as observed, and through worse seeing with more noise.

    python training/benchmarks/sdss.py FOLDER OUT

reads ``labels.csv`` (columns OBJID, label, file) and the pictures of FOLDER. The galaxies are divided into halves a and
b by their identifiers, so that source and target never share one: OUT/a and OUT/b are as observed, OUT/a_worse and
OUT/b_worse the same pictures made worse. Classes are spiral, elliptical, edge_on and merger.
"""

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.training.importers import Images, Imported, convert
from galmorph.training.pictures import read_picture

#: Pixels of the pictures around the galaxy that are kept, and pixels of the cutouts.
CROP, SIZE = 160, 48

#: Worse seeing: standard deviation of a Gaussian, in pixels of the pictures.
BLUR = 4.0

#: More noise: its standard deviation in a pixel of the cutouts, on the pictures' scale of 0 to 255.
NOISE = 12.0

NAMES = {"spiral_clockwise": "spiral", "spiral_anticlockwise": "spiral"}
CLASSES = ("spiral", "elliptical", "edge_on", "merger")


def observe(picture: NDArray[np.float32], *, worse: bool, seed: int) -> NDArray[np.float32]:
    """The middle of a picture, perhaps made worse.

    Parameters
    ----------
    picture : ndarray of float32
        Shape ``(3, height, width)``, values from 0 to 255.
    worse : bool
        Blur it and add noise.
    seed : int
        Of the noise.

    Returns
    -------
    ndarray of float32
        Shape ``(3, SIZE, SIZE)``.
    """
    top, left = ((side - CROP) // 2 for side in picture.shape[1:])
    image = np.ascontiguousarray(picture[:, top : top + CROP, left : left + CROP].transpose(1, 2, 0))
    if worse:
        image = cv2.GaussianBlur(image, (0, 0), BLUR)
    small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    if worse:
        small = np.clip(small + NOISE * np.random.default_rng(seed).standard_normal(small.shape), 0, 255)
    return np.ascontiguousarray(small, dtype=np.float32)


def make_sdss(folder: Path, out: Path) -> dict[str, Imported]:
    """Write the four sets."""
    table = pd.read_csv(folder / "labels.csv", dtype=str)
    table = pd.DataFrame({"object_id": table["OBJID"], "name": table["file"], "label": table["label"].replace(NAMES)})
    table = table[table["label"].isin(CLASSES)]
    half = np.array(["ab"[hashlib.sha256(name.encode()).digest()[0] % 2] for name in table["object_id"]])
    result = {}
    for name in ("a", "b"):
        chosen = table[half == name].reset_index(drop=True)
        for worse in (False, True):
            kind = f"{name}_worse" if worse else name
            images = Images(chosen, _reader(folder, chosen, worse), "sdss-worse" if worse else "sdss", ("r", "g", "b"))
            result[kind] = convert(images, out / kind)
    return result


def _reader(folder: Path, table: pd.DataFrame, worse: bool) -> Callable[[int], NDArray[np.float32]]:
    files, seeds = table["name"].tolist(), [int(name) for name in table["object_id"]]
    return lambda row: observe(read_picture(folder / files[row]), worse=worse, seed=seeds[row])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for name, imported in make_sdss(given.folder, given.out).items():
        print(f"{name}: {sum(imported.counts.values())} images in {imported.path}, {dict(imported.counts)}")


if __name__ == "__main__":
    main()
