"""Ranges of HEALPix pixels of order 29: which part of the sky something may lie in."""

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix
from mocpy import MOC
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Order of the pixels that a catalogue is sorted by.
INDEX_ORDER = 29
#: Finest order at which neighbourhoods are drawn: pixels 3.4 arcmin across.
COVER_ORDER = 10


@dataclass(frozen=True)
class Ranges:
    """Sorted, disjoint half-open ranges of pixels of order 29.

    Parameters
    ----------
    low, high : ndarray of int64, shape (n,)
        First pixel of each range, and the one behind its last.
    """

    low: Ints
    high: Ints

    def contain(self, healpix: Ints) -> NDArray[np.bool_]:
        """If pixels lie in the ranges.

        Parameters
        ----------
        healpix : ndarray of int64, shape (m,)
            Pixels.

        Returns
        -------
        ndarray of bool, shape (m,)
            True for those that do.
        """
        if not len(self.low):
            return np.zeros(len(healpix), dtype=bool)
        place = np.searchsorted(self.low, healpix, side="right") - 1
        return np.asarray((place >= 0) & (healpix < self.high[np.maximum(place, 0)]))

    def overlap(self, low: int, high: int) -> bool:
        """If any pixel from `low` to below `high` lies in the ranges."""
        place = int(np.searchsorted(self.high, low, side="right"))
        return place < len(self.low) and int(self.low[place]) < high


def healpix_index(ra: Floats, dec: Floats, order: int = INDEX_ORDER) -> Ints:
    """HEALPix pixels of positions, nested numbering.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    order : int
        Order of the pixels.

    Returns
    -------
    ndarray of int64, shape (n,)
        Pixels.
    """
    if not len(ra):
        return np.empty(0, np.int64)
    found = lonlat_to_healpix(Longitude(ra, "deg"), Latitude(dec, "deg"), order)
    return np.asarray(found).astype(np.int64)


def ranges_of(moc: MOC) -> Ranges:
    """Ranges of a coverage map."""
    pairs = np.asarray(moc.to_depth29_ranges).reshape(-1, 2).astype(np.int64)
    return Ranges(pairs[:, 0], pairs[:, 1])


def around(healpix: Ints, radius: float) -> Ranges:
    """Ranges that hold everything within an angle of some pixels, and a little more.

    Parameters
    ----------
    healpix : ndarray of int64, shape (n,)
        Pixels of order 29.
    radius : float
        Degrees.

    Returns
    -------
    Ranges
        Whole pixels of order 10, or coarser where the radius asks for it, and those beside them.
    """
    order = _order_wider_than(radius)
    pixels = np.unique(healpix >> (2 * (INDEX_ORDER - order)))
    if not len(pixels):
        return Ranges(np.empty(0, np.int64), np.empty(0, np.int64))
    moc = MOC.from_healpix_cells(pixels.astype(np.uint64), np.uint8(order), max_depth=order)
    return ranges_of(moc.add_neighbours())


def around_span(span: tuple[int, int], radius: float, finest: int = COVER_ORDER) -> Ranges:
    """Ranges that hold everything within an angle of a run of pixels, and a little more.

    Parameters
    ----------
    span : tuple of int
        First pixel of order 29, and the one behind the last.
    radius : float
        Degrees.
    finest : int
        Order of the smallest pixels of the answer.

    Returns
    -------
    Ranges
        As of `around`, in pixels of the finest order that is wider than the radius.
    """
    order = _order_wider_than(radius, finest)
    shift = 2 * (INDEX_ORDER - order)
    low, high = span[0] >> shift << shift, -(-span[1] >> shift) << shift
    moc = MOC.from_depth29_ranges(order, np.array([[low, high]], dtype=np.uint64))
    return ranges_of(moc.add_neighbours())


def _order_wider_than(radius: float, finest: int = COVER_ORDER) -> int:
    """Finest order, at most `finest`, whose pixels are everywhere wider than an angle (degrees)."""
    # 58.6 degrees is the side of a square of a pixel's area at order 0; the narrowest pixels are half as wide.
    return int(np.clip(np.floor(np.log2(58.6 / 2 / max(radius, 1e-9))), 0, finest))
