"""Small FITS tiles made by code, and the odd files that surveys come as.

``python make_tiles.py FOLDER`` writes a mock-decals tile to look at.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

RA, DEC = 150.0, 2.0


def make_wcs(shape: tuple[int, int], scale: float, *, angle: float = 0.0, flip: bool = False, center=(RA, DEC)) -> WCS:
    """Gnomonic WCS, east to the left unless `flip`, turned by `angle` degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = center
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = np.array([[(1 if flip else -1) * c, s], [(1 if flip else -1) * -s, c]]) * scale / 3600
    wcs.wcs.set()
    return wcs


def galaxy(shape, x, y, flux, sigma, *, ratio=1.0, theta=0.0) -> np.ndarray:
    """Elliptical Gaussian of a total flux; `sigma` along the major axis, `theta` from the x axis."""
    rows, columns = np.indices(shape, dtype=float)
    u = (columns - x) * np.cos(theta) + (rows - y) * np.sin(theta)
    v = -(columns - x) * np.sin(theta) + (rows - y) * np.cos(theta)
    return flux / (2 * np.pi * sigma**2 * ratio) * np.exp(-0.5 * ((u / sigma) ** 2 + (v / (ratio * sigma)) ** 2))


def scene(shape, galaxies: Sequence[Mapping[str, Any]], noise: float, seed: int = 0, sky: float = 0.0) -> np.ndarray:
    """Galaxies on a noisy sky, float32."""
    image = np.random.default_rng(seed).normal(sky, noise, shape) if noise else np.full(shape, sky)
    for entry in galaxies:
        image = image + galaxy(shape, **entry)
    return image.astype(np.float32)


def write_bands(
    folder: Path,
    images: Mapping[str, np.ndarray],
    wcs: Mapping[str, WCS] | WCS,
    *,
    name: str = "t1",
    noise: float = 1.0,
    mask: np.ndarray | None = None,
    invvar: np.ndarray | None = None,
    compress: bool = True,
) -> list[Path]:
    """A tile as the mock surveys have it: a file per band with IMAGE, INVVAR and MASK."""
    folder.mkdir(parents=True, exist_ok=True)
    kind: Any = fits.CompImageHDU if compress else fits.ImageHDU
    options: dict[str, Any] = {"compression_type": "GZIP_2", "quantize_level": 0.0} if compress else {}
    paths = []
    for band, image in images.items():
        header = (wcs[band] if isinstance(wcs, Mapping) else wcs).to_header()
        weight = np.full(image.shape, noise**-2, np.float32) if invvar is None else invvar.astype(np.float32)
        bits = np.zeros(image.shape, np.int16) if mask is None else mask.astype(np.int16)
        path = folder / f"{name}-{band}.fits{'.fz' if compress else ''}"
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                kind(image, header=header, name="IMAGE", **options),
                kind(weight, header=header, name="INVVAR", **options),
                kind(bits, header=header, name="MASK", **({"compression_type": "RICE_1"} if compress else {})),
            ]
        ).writeto(path, overwrite=True)
        paths.append(path)
    return paths


def write_cube(path: Path, images: Sequence[np.ndarray], wcs: WCS, **keywords: Any) -> Path:
    """A cube in the primary HDU, as the Legacy Surveys' viewer gives it."""
    header = wcs.to_header()
    header.update(keywords)
    fits.PrimaryHDU(np.stack(images), header=header).writeto(path, overwrite=True)
    return path


if __name__ == "__main__":
    size = (200, 200)
    entries = [{"x": 100, "y": 100, "flux": 100.0, "sigma": 8.0, "ratio": 0.5, "theta": 0.5}]
    write_bands(
        Path(sys.argv[1]), {b: scene(size, entries, 0.01, i) for i, b in enumerate("grz")}, make_wcs(size, 0.262)
    )
