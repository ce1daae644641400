"""HEALPix pixels that hold a box or a cone, found from the whole sky downwards."""

import itertools
from collections.abc import Callable

import numpy as np
from cdshealpix.nested import healpix_to_lonlat
from numpy.typing import NDArray

from galmorph.catalogs.healpix import COVER_ORDER, INDEX_ORDER, Ranges
from galmorph.sky import unit_vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Given right ascension and declination of pixels' centres and the radius of the circle around each, all in degrees:
#: which may meet the region, and which lie in it altogether.
Judge = Callable[[Floats, Floats, float], tuple[Bools, Bools]]

#: Orders that pixels are looked at in: a look takes its time however few they are.
_ORDERS = (3, 6, 8, COVER_ORDER)

#: By how much circles are wider than they need to be, for rounding.
_SLACK = 1.001


def box_cover(ra_low: float, width: float, dec_low: float, dec_high: float) -> Ranges:
    """Ranges that hold a box between two meridians and two parallels, and a little more.

    Parameters
    ----------
    ra_low : float
        Right ascension (degrees) from which the box reaches eastwards.
    width : float
        How far (degrees); 360 for all around.
    dec_low, dec_high : float
        Declinations (degrees); at -90 and 90 the pole is in it.

    Returns
    -------
    Ranges
        Whole pixels of order 10, or coarser where all of it lies in the box.
    """

    def judge(ra: Floats, dec: Floats, radius: float) -> tuple[Bools, Bools]:
        reach, east = _half_width(dec, radius), (ra - ra_low) % 360
        beside = (east <= width + reach) | (east >= 360 - reach) | (width >= 360)
        between = ((east >= reach) & (east <= width - reach)) | (width >= 360)
        meets = beside & (dec >= dec_low - radius) & (dec <= dec_high + radius)
        above = (dec - radius >= dec_low) | (dec_low <= -90)
        below = (dec + radius <= dec_high) | (dec_high >= 90)
        return meets, between & above & below

    return _refined(judge)


def cone_cover(ra: float, dec: float, radius: float) -> Ranges:
    """Ranges that hold a circle, and a little more.

    Parameters
    ----------
    ra, dec : float
        Its centre, degrees.
    radius : float
        Degrees.

    Returns
    -------
    Ranges
        As of `box_cover`.
    """
    centre = unit_vectors(np.array([ra]), np.array([dec]))

    def judge(pixel_ra: Floats, pixel_dec: Floats, reach: float) -> tuple[Bools, Bools]:
        chord = np.linalg.norm(unit_vectors(pixel_ra, pixel_dec) - centre, axis=1)
        angle = np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1)))
        return angle <= radius + reach, angle + reach <= radius

    return _refined(judge)


def _refined(judge: Judge) -> Ranges:
    """Pixels that may meet a region; those that lie in it are not divided further."""
    low, high = [], []
    pixels = np.arange(12 * 4 ** _ORDERS[0])
    for order, finer in itertools.zip_longest(_ORDERS, _ORDERS[1:]):
        lon, lat = healpix_to_lonlat(pixels.astype(np.uint64), order)
        meets, inside = judge(lon.deg, lat.deg, _SLACK * circle_of_pixel(order))
        done = pixels[meets] if finer is None else pixels[meets & inside]
        shift = 2 * (INDEX_ORDER - order)
        low.append(done << shift)
        high.append((done + 1) << shift)
        if finer is not None:
            parts = 4 ** (finer - order)
            pixels = (parts * pixels[meets & ~inside][:, None] + np.arange(parts)).ravel()
    return _joined(np.concatenate(low), np.concatenate(high))


def _joined(low: Ints, high: Ints) -> Ranges:
    """Disjoint ranges in their order, those that touch as one."""
    low, high = np.sort(low), np.sort(high)
    apart = low[1:] != high[:-1]
    return Ranges(low[np.append(True, apart)], high[np.append(apart, True)])


def circle_of_pixel(order: int) -> float:
    """Radius of the circle around a pixel's centre that holds the pixel, for the largest of an order.

    Parameters
    ----------
    order : int
        Order of the pixels.

    Returns
    -------
    float
        Degrees: from the centre of a pixel on the border of the polar cap to its corner towards the pole (Gorski et
        al. 2005, section 5; `max_pixrad` of the HEALPix library).
    """
    side = 2**order
    height = 1 - (1 - 1 / side) ** 2 / 3
    corner = np.array([np.sqrt(1 - height**2), 0, height])
    turn = np.pi / (4 * side)
    centre = np.array([np.sqrt(5) / 3 * np.cos(turn), np.sqrt(5) / 3 * np.sin(turn), 2 / 3])
    return float(np.degrees(np.arccos(corner @ centre)))


def _half_width(dec: Floats, radius: float) -> Floats:
    """How far circles reach in right ascension, degrees; all around when a pole is inside."""
    polar = np.abs(dec) + radius >= 90
    ratio = np.sin(np.radians(min(radius, 90.0))) / np.cos(np.radians(np.where(polar, 0.0, dec)))
    return np.where(polar, 360.0, np.degrees(np.arcsin(np.minimum(ratio, 1.0))))
