"""What images are like, told from the objects measured on them: noise, depth and sharpness, band by band.

Cutout sets, bundles and catalogues all hold the same measurements of objects, so that the images a model was trained on
can be set beside those of a later release without a pixel of either.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph import flags

Float64 = NDArray[np.float64]

#: Objects of at least this signal-to-noise ratio tell how sharp images are.
SHARP_SN = 20.0
#: Quantile of their half-light radii that is taken for that of a point.
SHARP_QUANTILE = 0.05
#: Fewest objects that anything is told from.
FEWEST = 20
#: Pairs of objects that the pixel scale of a tile is taken from.
PAIRS = 50
#: AB magnitude of one nanomaggy.
NANOMAGGY = 22.5

_SPOILED = flags.BLENDED | flags.SATURATED | flags.TRUNCATED | flags.BAD_PHOTOMETRY | flags.MASKED


@dataclass(frozen=True)
class Imaging:
    """What images are like.

    Parameters
    ----------
    noise : dict of str to float
        For each band the standard deviation of the flux in a square arcsec, nanomaggies: median over objects of the
        error in the Kron aperture over the square root of its area.
    seeing : dict of str to float
        For each band the full width at half maximum in arcsec that the survey's profile declares.
    sharpness : float
        Full width at half maximum in arcsec of the most compact objects in the detection image, measured: twice the
        5 % quantile of the half-light radii at a signal-to-noise ratio of at least 20. An upper limit of the seeing.
    pixel_scale : float
        Arcsec per pixel.
    objects : int
        Objects that this was told from.
    """

    noise: Mapping[str, float]
    seeing: Mapping[str, float]
    sharpness: float
    pixel_scale: float
    objects: int

    @property
    def depth(self) -> dict[str, float]:
        """For each band the AB magnitude of a point source at five sigma, weighted by a Gaussian of the seeing."""
        return {band: point_depth(noise, self.seeing.get(band, math.nan)) for band, noise in self.noise.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; what is not known is None."""
        return {
            "noise": {band: _plain(value) for band, value in self.noise.items()},
            "seeing": {band: _plain(value) for band, value in self.seeing.items()},
            "depth": {band: _plain(value) for band, value in self.depth.items()},
            "sharpness": _plain(self.sharpness),
            "pixel_scale": _plain(self.pixel_scale),
            "objects": self.objects,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Imaging":
        """Undo `to_dict`."""
        noise, seeing = (
            {str(band): _number(value) for band, value in values[name].items()} for name in ("noise", "seeing")
        )
        return cls(noise, seeing, _number(values["sharpness"]), _number(values["pixel_scale"]), int(values["objects"]))


def measured_columns(bands: Sequence[str]) -> list[str]:
    """Columns of a table of objects that tell of the images and how bright and large the objects are."""
    return ["half_light_radius", "ellipticity", *(f"{name}_{band}" for band in bands for name in ("flux", "flux_err"))]


def measure_imaging(
    objects: pd.DataFrame, bands: Sequence[str], seeing: Mapping[str, float], pixel_scale: float
) -> Imaging:
    """Tell what images are like from the objects measured on them.

    Parameters
    ----------
    objects : pandas.DataFrame
        All detections of some tiles, as `galmorph.detection.extract` or a catalogue has them: `radius` (arcsec),
        `half_light_radius` (arcsec), `ellipticity`, `snr`, `flags`, `flux_err_BAND` (nanomaggies).
    bands : sequence of str
        Bands wanted.
    seeing : mapping of str to float
        Declared full widths at half maximum, arcsec.
    pixel_scale : float
        Arcsec per pixel.

    Returns
    -------
    Imaging
        With NaN for what fewer than `FEWEST` objects tell of.
    """
    clean = (objects["flags"].to_numpy(dtype=np.int64) & _SPOILED) == 0
    radius, ellipticity = (objects[name].to_numpy(dtype=np.float64) for name in ("radius", "ellipticity"))
    side = np.sqrt(math.pi * radius**2 * np.clip(1 - ellipticity, 0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = {
            band: _median(objects[f"flux_err_{band}"].to_numpy(dtype=np.float64)[clean] / side[clean]) for band in bands
        }
    bright = clean & (objects["snr"].to_numpy(dtype=np.float64) >= SHARP_SN)
    half = objects["half_light_radius"].to_numpy(dtype=np.float64)[bright]
    half = half[np.isfinite(half)]
    sharpness = 2 * float(np.quantile(half, SHARP_QUANTILE)) if len(half) >= FEWEST else math.nan
    declared = {band: float(seeing[band]) for band in bands if band in seeing}
    return Imaging(noise, declared, sharpness, float(pixel_scale), len(objects))


def point_depth(noise: float, seeing: float) -> float:
    """Magnitude of a point source at five sigma, weighted optimally by a Gaussian point-spread function.

    Parameters
    ----------
    noise : float
        Standard deviation of the flux in a square arcsec, nanomaggies.
    seeing : float
        Full width at half maximum, arcsec. The Gaussian of this width has the area of ``4 pi sigma²``.

    Returns
    -------
    float
        AB magnitude; NaN if one of both is not known.
    """
    sigma = seeing / math.sqrt(8 * math.log(2))
    flux = 5 * noise * math.sqrt(4 * math.pi) * sigma
    return NANOMAGGY - 2.5 * math.log10(flux) if flux > 0 else math.nan


def scale_of_pixels(x: Float64, y: Float64, ra: Float64, dec: Float64) -> float:
    """Arcsec per pixel of a tile, from where its objects lie on it and on the sky.

    Parameters
    ----------
    x, y : ndarray of float
        Pixels, shape ``(n,)``.
    ra, dec : ndarray of float
        Degrees, shape ``(n,)``.

    Returns
    -------
    float
        Median over pairs of objects; NaN for fewer than two.
    """
    from galmorph.sky import ARCSEC, unit_vectors

    if len(x) < 2:
        return math.nan
    rng = np.random.default_rng(0)
    one, other = rng.permutation(len(x))[:PAIRS], rng.permutation(len(x))[:PAIRS]
    pixels = np.hypot(x[one] - x[other], y[one] - y[other])
    apart = pixels > 1
    points = unit_vectors(ra, dec)
    angle = np.linalg.norm(points[one] - points[other], axis=-1) * ARCSEC
    return _median(angle[apart] / pixels[apart], 1)


def _median(values: Float64, fewest: int = FEWEST) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= fewest else math.nan


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
