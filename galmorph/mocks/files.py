"""Write a mock tile as fpacked FITS, one file for each band."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from galmorph.mocks.exposure import Exposure
from galmorph.mocks.sky import MockTile
from galmorph.surveys import Survey

#: Step of the stored counts, as a fraction of the noise, is one over this. The noise that it adds is 0.3 per cent
#: of the noise there is (q = 4: variance 1 / (12 q^2)).
QUANTISE = 4.0

#: Inverse variances are stored to the typical one over at least this. The step is a power of two and not dithered, so
#: that zeros, pixels without data, stay exactly zero. (Lossless GZIP would write the time into the file.)
WEIGHT_LEVELS = 64

#: Rows that are compressed together.
ROWS = 64

#: Of subtractive dithering: fixed, so that the same tile has the same bytes.
DITHER_SEED = 1


def tile_file(tile: MockTile, band: str) -> str:
    """Name of the file of a tile's band."""
    return f"{tile.name}-{band}.fits.fz"


def write_tile(
    folder: Path, tile: MockTile, exposure: Exposure, survey: Survey, quantise: float = QUANTISE
) -> list[Path]:
    """Write ``<tile>-<band>.fits.fz`` with extensions IMAGE, INVVAR and MASK.

    Parameters
    ----------
    folder : Path
        Where; must exist.
    tile : MockTile
        Gives the name.
    exposure : Exposure
        Gives the pixels.
    survey : Survey
        Gives bands and zero-points.
    quantise : float
        Counts are stored to the noise over this number.

    Returns
    -------
    list of Path
        One file per band.
    """
    paths = []
    for plane, band in enumerate(survey.bands):
        header = exposure.wcs.to_header()
        header["SURVEY"] = (survey.name, "survey")
        header["TILE"] = (tile.name, "name of the tile")
        header["FILTER"] = (band, "band")
        header["MAGZERO"] = (survey.zero_point[band], "AB magnitude of one count")
        header["SEEING"] = (round(exposure.seeing[band], 4), "FWHM of the point-spread function, arcsec")
        header["BUNIT"] = ("count", "sky-subtracted")
        rows = {"tile_shape": (min(ROWS, exposure.counts.shape[1]), exposure.counts.shape[2])}
        image = fits.CompImageHDU(
            exposure.counts[plane], header.copy(), name="IMAGE", compression_type="RICE_1",
            quantize_level=quantise, quantize_method=2, dither_seed=DITHER_SEED, **rows,
        )  # fmt: skip
        del header["BUNIT"]
        weight = fits.CompImageHDU(
            exposure.invvar[plane], header.copy(), name="INVVAR", compression_type="HCOMPRESS_1",
            quantize_level=-weight_step(exposure.invvar[plane]), quantize_method=-1, **rows,
        )  # fmt: skip
        mask = fits.CompImageHDU(exposure.mask[plane], header.copy(), name="MASK", compression_type="RICE_1", **rows)
        path = folder / tile_file(tile, band)
        fits.HDUList([fits.PrimaryHDU(), image, weight, mask]).writeto(path, overwrite=True)
        paths.append(path)
    return paths


def weight_step(invvar: NDArray[np.float32]) -> float:
    """Step in which an inverse variance map is stored: a power of two."""
    return float(2.0 ** np.floor(np.log2(np.median(invvar[invvar > 0]) / WEIGHT_LEVELS)))
