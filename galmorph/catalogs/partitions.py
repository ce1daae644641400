"""Cut a sorted catalogue into HEALPix pixels that hold at most so many rows."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INDEX_ORDER = 29


class Partition(NamedTuple):
    """One HEALPix pixel and the rows `start` (included) to `stop` (not included) that lie in it."""

    order: int
    pixel: int
    start: int
    stop: int

    @property
    def relative_path(self) -> str:
        """Where HATS keeps the pixel, relative to the folder of the catalogue."""
        directory = self.pixel // 10_000 * 10_000
        return f"dataset/Norder={self.order}/Dir={directory}/Npix={self.pixel}.parquet"


def partition_of(path: Path) -> tuple[int, int]:
    """Order and pixel of the partition that a file holds, by its name `.../Norder=K/Dir=D/Npix=N.parquet`."""
    return int(path.parent.parent.name.removeprefix("Norder=")), int(path.stem.removeprefix("Npix="))


def span_of(path: Path) -> tuple[int, int]:
    """Pixels of order 29, first and behind the last, of the partition that a file holds.

    Parameters
    ----------
    path : Path
        File of a catalogue, `.../Norder=K/Dir=D/Npix=N.parquet`.

    Returns
    -------
    tuple of int
        Half-open range.
    """
    order, pixel = partition_of(path)
    width = 4 ** (INDEX_ORDER - order)
    return pixel * width, (pixel + 1) * width


def partition(healpix: NDArray[np.int64], max_rows: int) -> list[Partition]:
    """Cut rows sorted on the sky into the largest HEALPix pixels that hold at most `max_rows`.

    Parameters
    ----------
    healpix : ndarray of int64, shape (n,)
        Sorted pixels of order 29, nested numbering.
    max_rows : int
        Largest number of rows in a partition. A single pixel of order 29 that holds more stays whole.

    Returns
    -------
    list of Partition
        Partitions with rows, in the order of the rows. Without any rows, the empty pixel 0 of order 0: a HATS
        catalogue has at least one partition.
    """
    todo = [(0, pixel) for pixel in reversed(range(12))]
    found = []
    while todo:
        order, pixel = todo.pop()
        width = 4 ** (INDEX_ORDER - order)
        start, stop = (int(edge) for edge in np.searchsorted(healpix, [pixel * width, (pixel + 1) * width]))
        if stop - start > max_rows and order < INDEX_ORDER:
            todo.extend((order + 1, 4 * pixel + child) for child in reversed(range(4)))
        elif stop > start:
            found.append(Partition(order, pixel, start, stop))
    return found or [Partition(0, 0, 0, 0)]
