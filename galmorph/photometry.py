"""Kron apertures, half-light radii and fluxes of objects, all objects at once."""

from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

#: Extent, in units of the ellipse, that the first moment is measured in (Kron 1980; Bertin and Arnouts 1996).
KRON_EXTENT = 6.0
#: Factor on the Kron radius and least radius in units of the ellipse: SExtractor's PHOT_AUTOPARAMS.
KRON_FACTOR = 2.5
KRON_LEAST = 3.5
#: Part of the Kron radius that half of the light is looked for in at first: an exponential disc has it within .3.
HALF_LIGHT_WITHIN = 0.4
#: Largest radius in units of the ellipse. An exponential disc has 7; more comes of noise or neighbours.
KRON_MOST = 10.0


@dataclass(frozen=True)
class Shapes:
    """Ellipses of objects, in pixels.

    Parameters
    ----------
    x, y : numpy.ndarray
        Centres. The shape is ``(n,)``, as of all others.
    a, b : numpy.ndarray
        Root-mean-square semi-axes, ``a >= b``.
    theta : numpy.ndarray
        Radians from the x axis to the major axis, in [-pi/2, pi/2].
    segment : numpy.ndarray
        Number of the object in the segmentation map, 0 if it is not in it. The shape is ``(n,)``, int32.
    """

    x: Floats
    y: Floats
    a: Floats
    b: Floats
    theta: Floats
    segment: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.x)


def kron_radius(
    image: NDArray[np.float32], masked: Booleans, segments: NDArray[np.int32], shapes: Shapes
) -> tuple[Floats, Booleans]:
    """Semi-major axes of Kron apertures.

    ``2.5 * sum(r I) / sum(I)`` in six times the ellipse, neighbours left out, within ``[3.5, 10]`` of the ellipse's
    semi-major axis; the least where there is no light to measure it by.

    Parameters
    ----------
    image : numpy.ndarray
        Background-subtracted. The shape is ``(rows, columns)``.
    masked : numpy.ndarray of bool
        Pixels to leave out.
    segments : numpy.ndarray
        Segmentation map.
    shapes : Shapes
        The objects.

    Returns
    -------
    radius : numpy.ndarray
        Pixels. The shape is ``(n,)``.
    reliable : numpy.ndarray of bool
        Whether it was measured.
    """
    if not len(shapes):
        return np.zeros(0), np.zeros(0, dtype=bool)
    ratio, flag = sep.kron_radius(
        image,
        shapes.x,
        shapes.y,
        shapes.a,
        shapes.b,
        shapes.theta,
        KRON_EXTENT,
        mask=masked,
        seg_id=shapes.segment,
        segmap=segments,
    )
    reliable = np.isfinite(ratio) & (ratio > 0) & (flag & (sep.APER_ALLMASKED | sep.APER_NONPOSITIVE) == 0)
    factor = np.clip(KRON_FACTOR * np.where(reliable, ratio, 0), KRON_LEAST, KRON_MOST)
    return np.asarray(factor * shapes.a), np.asarray(reliable, dtype=bool)


def aperture_flux(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    masked: Booleans,
    segments: NDArray[np.int32],
    shapes: Shapes,
    radius: Floats,
) -> tuple[Floats, Floats, Booleans]:
    """Fluxes in elliptical apertures.

    Masked pixels and those of neighbours count as the mean of the rest of the aperture.

    Parameters
    ----------
    image, variance : numpy.ndarray
        Background-subtracted image and variance of its pixels. The shape is ``(rows, columns)``.
    masked : numpy.ndarray of bool
        Pixels to leave out.
    segments : numpy.ndarray
        Segmentation map.
    shapes : Shapes
        The objects.
    radius : numpy.ndarray
        Semi-major axes of the apertures in pixels.

    Returns
    -------
    flux, flux_error : numpy.ndarray
        In the unit of `image`, NaN where no pixel is left. The shape is ``(n,)``.
    measured : numpy.ndarray of bool
        Whether at least one pixel was left.
    """
    if not len(shapes):
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool)
    flux, flux_error, flag = sep.sum_ellipse(
        image,
        shapes.x,
        shapes.y,
        shapes.a,
        shapes.b,
        shapes.theta,
        radius / shapes.a,
        var=variance,
        mask=masked,
        seg_id=shapes.segment,
        segmap=segments,
    )
    measured = (flag & sep.APER_ALLMASKED == 0) & np.isfinite(flux) & np.isfinite(flux_error)
    nothing = ~measured
    return np.where(nothing, np.nan, flux), np.where(nothing, np.nan, flux_error), np.asarray(measured, dtype=bool)


def half_light_radius(
    image: NDArray[np.float32],
    masked: Booleans,
    segments: NDArray[np.int32],
    shapes: Shapes,
    radius: Floats,
    flux: Floats,
) -> Floats:
    """Radii of the circles that hold half of each flux.

    Parameters
    ----------
    image : numpy.ndarray
        Background-subtracted. The shape is ``(rows, columns)``.
    masked : numpy.ndarray of bool
        Pixels to leave out.
    segments : numpy.ndarray
        Segmentation map.
    shapes : Shapes
        The objects.
    radius : numpy.ndarray
        Radii to stop at, in pixels.
    flux : numpy.ndarray
        Whole fluxes, in the unit of `image`.

    Returns
    -------
    numpy.ndarray
        Pixels; NaN where the flux is not positive. The shape is ``(n,)``.
    """
    result = np.full(len(shapes), np.nan)
    sought = np.flatnonzero(np.isfinite(flux) & (flux > 0))
    # Half of the light lies well within its aperture, most of whose pixels need not be looked at.
    for reach in (HALF_LIGHT_WITHIN, 1.0):
        if not len(sought):
            break
        most = reach * radius[sought]
        half, _ = sep.flux_radius(
            image,
            shapes.x[sought],
            shapes.y[sought],
            most,
            0.5,
            normflux=flux[sought],
            mask=masked,
            seg_id=shapes.segment[sought],
            segmap=segments,
        )
        result[sought] = np.where(np.isfinite(half) & (half > 0), half, np.nan)
        sought = sought[half >= most]
    return result
