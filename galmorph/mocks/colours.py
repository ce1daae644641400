"""Colours: two stellar populations, their redshift, dust, and the locus of stars.

All magnitudes are AB in the bands u, g, r, i, z, y; colours are relative to r.
"""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

BANDS = ("u", "g", "r", "i", "z", "y")

#: Magnitude minus r of an old population at redshift 0: rounded colours of nearby ellipticals, on the red
#: side of the bimodality at u - r = 2.22 (Strateva et al. 2001).
OLD = np.array([2.55, 0.78, 0.0, -0.38, -0.66, -0.80])

#: The same for a star-forming population, as blue as the bluest irregulars.
YOUNG = np.array([1.05, 0.15, 0.0, -0.05, -0.06, -0.06])

#: Change of those colours per unit of redshift below 0.4. The 4000 Angstrom break of an elliptical crosses g:
#: g - r grows from 0.8 at z = 0 to 1.6 at z = 0.35.
OLD_SHIFT = np.array([2.6, 2.2, 0.0, -0.5, -0.8, -1.0])
YOUNG_SHIFT = np.array([0.4, 0.6, 0.0, -0.3, -0.3, -0.3])

#: Extinction relative to r for R_V = 3.1 (Schlafly & Finkbeiner 2011, table 6).
EXTINCTION = np.array([4.239, 3.303, 2.285, 1.698, 1.263, 1.088]) / 2.285


def band_indices(bands: tuple[str, ...]) -> NDArray[np.intp]:
    """Positions of `bands` in `BANDS`."""
    return np.array([BANDS.index(band) for band in bands])


def old_colours(redshift: float | Float) -> Float:
    """Magnitude minus r of old stars. The shape is ``(..., 6)``."""
    return np.asarray(OLD + np.minimum(np.asarray(redshift, dtype=np.float64), 0.4)[..., None] * OLD_SHIFT)


def young_colours(redshift: float | Float) -> Float:
    """Magnitude minus r of young stars. The shape is ``(..., 6)``."""
    return np.asarray(YOUNG + np.minimum(np.asarray(redshift, dtype=np.float64), 0.4)[..., None] * YOUNG_SHIFT)


def relative_flux(colours: Float) -> Float:
    """Flux in each band over flux in r."""
    return np.asarray(10.0 ** (-0.4 * colours))


def mixed_colours(young_fraction: Float, redshift: Float) -> Float:
    """Magnitude minus r of a mixture, `young_fraction` of whose r light is young. Shape ``(n, 6)``."""
    young = np.asarray(young_fraction, dtype=np.float64)[..., None]
    flux = (1 - young) * relative_flux(old_colours(redshift)) + young * relative_flux(young_colours(redshift))
    return np.asarray(-2.5 * np.log10(flux))


def star_colours(g_minus_r: Float) -> Float:
    """Magnitude minus r along the main sequence, from g - r between 0.2 and 1.4. Shape ``(n, 6)``.

    Straight pieces that follow the stellar locus of Covey et al. (2007): r - i grows slowly with g - r
    up to 1.2 and steeply for M dwarfs.
    """
    gr = np.asarray(g_minus_r, dtype=np.float64)
    ri = np.interp(gr, [0.2, 0.6, 1.2, 1.4], [0.05, 0.21, 0.50, 1.40])
    iz = np.interp(gr, [0.2, 0.6, 1.2, 1.4], [0.00, 0.11, 0.28, 0.80])
    ug = np.interp(gr, [0.2, 0.6, 1.2, 1.4], [0.90, 1.40, 2.30, 2.60])
    return np.stack([ug + gr, gr, 0 * gr, -ri, -ri - iz, -ri - 1.3 * iz], axis=-1)
