"""Handwritten digits as two domains: MNIST and USPS as sets of cutouts, in one geometry.

    python training/benchmarks/digits.py FOLDER OUT

reads ``mnist_5k.csv.gz`` (785 columns: 28 x 28 values from 0 to 255, and the digit) and ``usps.h5`` (groups train and
test with `data`, 256 values from 0 to 1, and `target`) in FOLDER. OUT/mnist and OUT/usps have all digits: they are the
domains of the closed problem, and the target of the open one. OUT/mnist_0to5 and OUT/usps_0to5 are the sources of the
open problem, in which 6 to 9 are private to the target.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.training.importers import Images, Imported, convert

#: MNIST's frame, the box that its digits were fitted to, and where their centre of mass was put (LeCun et al. 1998).
FRAME, BOX, CENTRE = 28, 20, 14

#: Digits that only the target shows in the open problem.
PRIVATE = ("6", "7", "8", "9")


def read_mnist(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Images from 0 to 1, shape ``(n, 28, 28)``, and digits."""
    table = pd.read_csv(path, header=None).to_numpy()
    if table.shape[1] != FRAME**2 + 1:
        raise DataError(f"{path}: expected {FRAME**2} pixels and a digit in each row, got {table.shape[1]} columns")
    images = table[:, :-1].reshape(-1, FRAME, FRAME) / 255
    return images.astype(np.float32), [str(digit) for digit in table[:, -1]]


def read_usps(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Images from 0 to 1 in MNIST's frame, shape ``(n, 28, 28)``, and digits; the published train part comes first."""
    with h5py.File(path) as file:
        data = np.concatenate([file[part]["data"][:] for part in ("train", "test")])
        digits = np.concatenate([file[part]["target"][:] for part in ("train", "test")])
    side = round(data.shape[1] ** 0.5)
    images = data.reshape(-1, side, side).astype(np.float32)
    return np.stack([to_mnist_frame(image) for image in images]), [str(digit) for digit in digits]


def to_mnist_frame(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A digit that fills its frame, as MNIST shows digits: in a box of 20 pixels, centred by its mass on 28."""
    small = cv2.resize(image, (BOX, BOX), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[:BOX, :BOX]
    mass = small.sum()
    top, left = (
        int(np.clip(round(CENTRE - float((small * axis).sum() / mass)), 0, FRAME - BOX)) for axis in (rows, columns)
    )
    frame = np.zeros((FRAME, FRAME), dtype=np.float32)
    frame[top : top + BOX, left : left + BOX] = small
    return frame


def make_digits(folder: Path, out: Path) -> dict[str, Imported]:
    """Write the four sets."""
    result = {}
    for survey, (images, digits) in {
        "mnist": read_mnist(folder / "mnist_5k.csv.gz"),
        "usps": read_usps(folder / "usps.h5"),
    }.items():
        names = [f"{survey}-{number}" for number in range(len(digits))]
        table = pd.DataFrame({"object_id": names, "name": names, "label": digits})
        described = Images(table, _reader(images), survey, ("grey",))
        result[survey] = convert(described, out / survey)
        result[f"{survey}_0to5"] = convert(described, out / f"{survey}_0to5", drop=PRIVATE)
    return result


def _reader(images: NDArray[np.float32]) -> Callable[[int], NDArray[np.float32]]:
    return lambda row: images[row][None]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for name, imported in make_digits(given.folder, given.out).items():
        print(f"{name}: {sum(imported.counts.values())} images in {imported.path}, {dict(imported.counts)}")


if __name__ == "__main__":
    main()
