"""Small tiles in the layout of the mock surveys: Gaussian blobs on noise, with weights, a mask and a WCS."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

BANDS = ("g", "r", "z")
SCALE = 0.262
NOISE = 0.01


def tile_wcs(ra: float, dec: float, size: int, scale: float = SCALE) -> WCS:
    """Gnomonic WCS, north up, centred on the tile."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def make_tile(
    folder: Path, name: str, *, ra: float = 150.0, dec: float = 2.0, seed: int = 0, size: int = 160, objects: int = 8
) -> list[Path]:
    """Write one file per band with the HDUs IMAGE, INVVAR and MASK; return their paths."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    signal = np.zeros((size, size))
    for x, y, sigma, flux in zip(
        rng.uniform(8, size - 8, objects),
        rng.uniform(8, size - 8, objects),
        rng.uniform(2.2, 5.0, objects),
        rng.uniform(3, 40, objects),
        strict=True,
    ):
        signal += flux / (2 * np.pi * sigma**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    folder.mkdir(parents=True, exist_ok=True)
    header = tile_wcs(ra, dec, size).to_header()
    paths = []
    for strength, band in enumerate(BANDS, start=1):
        image = (signal * strength / 2 + rng.normal(0, NOISE, (size, size))).astype(np.float32)
        layers = {
            "IMAGE": image,
            "INVVAR": np.full((size, size), NOISE**-2, np.float32),
            "MASK": np.zeros((size, size), np.int16),
        }
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(data, header, name=key) for key, data in layers.items())]
        path = folder / f"{name}-{band}.fits"
        fits.HDUList(hdus).writeto(path, overwrite=True)
        paths.append(path)
    return paths
