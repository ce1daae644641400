"""Pixels to sky and back, whatever the WCS: flips, axis order, distortions, frames."""

from typing import Any

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs import WCS, NoConvergence
from astropy.wcs.utils import skycoord_to_pixel
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ARCSEC = 3600 * 180 / np.pi


def pixel_to_sky(wcs: WCS, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """ICRS positions of pixels.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, two-dimensional.
    x, y : array_like
        Pixel coordinates, the centre of the first pixel being (0, 0).

    Returns
    -------
    ra, dec : numpy.ndarray
        Degrees, of the shape of `x`.
    """
    sky = wcs.pixel_to_world(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    if not isinstance(sky.frame, ICRS):
        sky = sky.transform_to(ICRS())
    return np.asarray(sky.ra.deg, dtype=float), np.asarray(sky.dec.deg, dtype=float)


def sky_to_pixel(wcs: WCS, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
    """Pixel coordinates of ICRS positions.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, two-dimensional.
    ra, dec : array_like
        Degrees.

    Returns
    -------
    x, y : numpy.ndarray
        Pixel coordinates, of the shape of `ra`; NaN where the projection cannot show a position or its
        distortion cannot be inverted, which is far outside the image.
    """
    ra, dec = np.broadcast_arrays(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))
    x, y = np.full(ra.shape, np.nan), np.full(ra.shape, np.nan)
    ra0, dec0 = pixel_to_sky(wcs, *_centre(wcs))
    # A gnomonic projection puts the positions of the far hemisphere where their antipodes are.
    near = np.sum(unit_vectors(ra, dec) * unit_vectors(ra0, dec0), axis=-1) > 0.1
    if near.any():
        found = _invert(wcs, SkyCoord(ra[near], dec[near], unit="deg"))
        x[near], y[near] = found
    return x, y


def within_reach(wcs: WCS, ra: Floats, dec: Floats) -> NDArray[np.bool_]:
    """Which positions may lie on an image, found much faster than where they lie.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, two-dimensional.
    ra, dec : numpy.ndarray
        ICRS positions in degrees. The shape is ``(n,)``.

    Returns
    -------
    numpy.ndarray of bool
        True within a circle around the image's centre twice as wide as its corners need; everywhere if the size of the
        image is not known or a quarter of the sky. The shape is ``(n,)``.
    """
    everywhere = np.ones(len(ra), dtype=bool)
    if wcs.pixel_shape is None:
        return everywhere
    columns, rows = wcs.pixel_shape
    corners = unit_vectors(*pixel_to_sky(wcs, [0, 0, columns - 1, columns - 1], [0, rows - 1, 0, rows - 1]))
    ra0, dec0 = pixel_to_sky(wcs, *_centre(wcs))
    centre = unit_vectors(ra0, dec0)
    reach = 2 * float(np.arccos(np.clip(corners @ centre, -1, 1)).max()) + 1 / ARCSEC
    if not reach < np.pi / 4:
        return everywhere
    # No two positions are nearer than their declinations are.
    near = np.abs(dec - dec0) <= np.degrees(reach)
    near[near] = unit_vectors(ra[near], dec[near]) @ centre >= np.cos(reach)
    return np.asarray(near)


def local_axes(wcs: WCS, x: ArrayLike, y: ArrayLike) -> Floats:
    """What a step of one pixel is on the sky, distortions included.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial, two-dimensional.
    x, y : array_like
        Pixel coordinates. The shape is ``(n,)`` or ``()``.

    Returns
    -------
    numpy.ndarray
        Arcsec per pixel. The shape is ``(..., 2, 2)``: ``[[dE/dx, dE/dy], [dN/dx, dN/dy]]``, E towards
        the east and N towards the north.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    ra, dec = (np.radians(angle) for angle in pixel_to_sky(wcs, x, y))
    zero = np.zeros_like(ra)
    east = np.stack([-np.sin(ra), np.cos(ra), zero], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        step = unit_vectors(*pixel_to_sky(wcs, x + dx, y + dy)) - unit_vectors(*pixel_to_sky(wcs, x - dx, y - dy))
        columns.append(np.stack([np.sum(step * east, axis=-1), np.sum(step * north, axis=-1)], axis=-1))
    return np.asarray(np.stack(columns, axis=-1) * ARCSEC, dtype=float)


def position_angles(axes: NDArray[np.float64], theta: ArrayLike) -> Floats:
    """Angles east of north of directions in the image.

    Parameters
    ----------
    axes : numpy.ndarray
        Result of `local_axes`. The shape is ``(n, 2, 2)``.
    theta : array_like
        Radians from the x axis towards the y axis. The shape is ``(n,)``.

    Returns
    -------
    numpy.ndarray
        Degrees in [0, 180). The shape is ``(n,)``.
    """
    theta = np.asarray(theta, dtype=float)
    direction = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    east, north = np.moveaxis(np.einsum("...ij,...j->...i", axes, direction), -1, 0)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 180.0)


def _centre(wcs: WCS) -> tuple[float, float]:
    columns, rows = wcs.pixel_shape or (2 * wcs.wcs.crpix[0], 2 * wcs.wcs.crpix[1])
    return (columns - 1) / 2, (rows - 1) / 2


def _invert(wcs: WCS, sky: Any) -> tuple[Floats, Floats]:
    try:
        # Not world_to_pixel: it warns where it cannot invert a distortion, and gives pixels all the same.
        x, y = skycoord_to_pixel(sky, wcs)
    except NoConvergence as error:
        best = np.array(error.best_solution, dtype=float)
        lost = np.zeros(len(best), dtype=bool)
        for wrong in (error.divergent, error.slow_conv):
            if wrong is not None:
                lost[wrong] = True
        best[lost] = np.nan
        x, y = best[:, 0], best[:, 1]
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Points on the unit sphere.

    Parameters
    ----------
    ra, dec : array_like
        Positions in degrees.

    Returns
    -------
    numpy.ndarray
        The shape is that of the positions and 3.
    """
    ra, dec = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
