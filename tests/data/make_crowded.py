"""Survey tiles with thousands of galaxies, made in seconds: fpacked bands with weights and a mask, for measurements.

``python make_crowded.py FOLDER SIDE OBJECTS`` writes a tile with the planes of the mock surveys.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from make_sky import BANDS, NOISE, tile_wcs

#: How planes are stored: in squares of 100 pixels, as the coadds of the Legacy Surveys (``get_compression_string`` of
#: legacypipe); `fpack` and astropy compress row by row unless told, which takes longer to read.
STORED = {
    "compression_type": "RICE_1",
    "tile_shape": (100, 100),
    "quantize_level": 16.0,
    "quantize_method": 2,
    "dither_seed": 1,
}

#: Root-mean-square half widths of galaxies, in pixels, and side of the stamps they are painted on.
SIGMAS, STAMP = (2.0, 3.5), 41


def sky_planes(side: int, objects: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Galaxies on a jittered grid, so that nearly all of them are told apart, on a sky with noise; by band.

    Parameters
    ----------
    side : int
        Pixels along a side.
    objects : int
        Galaxies; brightness from some 15 sigma up, falling as counts of galaxies do.
    seed : int
        Of everything.

    Returns
    -------
    dict of str to numpy.ndarray
        float32, shape ``(side, side)``, nanomaggies per pixel.
    """
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(objects)))
    step = (side - 2 * STAMP) / across
    places = rng.permutation(across**2)[:objects]
    x = STAMP + step * (places % across + 0.5 + rng.uniform(-0.25, 0.25, objects))
    y = STAMP + step * (places // across + 0.5 + rng.uniform(-0.25, 0.25, objects))
    sigma, ratio, theta = rng.uniform(*SIGMAS, objects), rng.uniform(0.4, 1, objects), rng.uniform(0, np.pi, objects)
    flux = 1.5 * rng.uniform(0.02, 1, objects) ** (-1 / 1.5)
    signal = np.zeros((side, side), np.float32)
    half = STAMP // 2
    offsets = np.arange(-half, half + 1)
    for i in range(objects):
        column, row = round(x[i]), round(y[i])
        dx, dy = (column + offsets - x[i])[None, :], (row + offsets - y[i])[:, None]
        u = dx * np.cos(theta[i]) + dy * np.sin(theta[i])
        v = (dy * np.cos(theta[i]) - dx * np.sin(theta[i])) / ratio[i]
        light = np.exp(-0.5 * (u**2 + v**2) / sigma[i] ** 2)
        window = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
        signal[window] += (flux[i] / (2 * np.pi * sigma[i] ** 2 * ratio[i]) * light).astype(np.float32)
    planes = {}
    for strength, band in zip((0.5, 1.0, 1.5), BANDS, strict=True):
        noise = rng.standard_normal((side, side), dtype=np.float32)
        noise *= NOISE
        noise += strength * signal
        planes[band] = noise
    return planes


def make_crowded(
    folder: Path, name: str, side: int, objects: int, *, ra: float = 150.0, dec: float = 2.0, seed: int = 0
) -> list[Path]:
    """Write a tile with the planes of the mock surveys, Rice-compressed: a file per band with IMAGE, INVVAR and MASK.

    Parameters
    ----------
    folder : Path
        Where to.
    name : str
        Of the tile.
    side, objects, seed : int
        See `sky_planes`.
    ra, dec : float
        Centre in degrees.

    Returns
    -------
    list of Path
        Files, in the order of the bands.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = tile_wcs(ra, dec, side).to_header()
    paths = []
    for band, image in sky_planes(side, objects, seed).items():
        weight = np.full(image.shape, NOISE**-2, np.float32)
        mask = np.zeros(image.shape, np.int16)
        path = folder / f"{name}-{band}.fits.fz"
        planes = {"IMAGE": image, "INVVAR": weight, "MASK": mask}
        hdus = [fits.CompImageHDU(plane, header, name=plane_name, **STORED) for plane_name, plane in planes.items()]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
        paths.append(path)
    return paths


if __name__ == "__main__":
    make_crowded(Path(sys.argv[1]), "tile", int(sys.argv[2]), int(sys.argv[3]))
