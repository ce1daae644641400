"""Expose a tile: objects, seeing, photon noise, defects."""

import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from galmorph.mocks.camera import Camera
from galmorph.mocks.config import MockConfig
from galmorph.mocks.galaxies import draw
from galmorph.mocks.optics import MARGIN, convolve, star
from galmorph.mocks.sky import MockTile, tile_wcs

Float = NDArray[np.float32]

#: Bits of the MASK extension, as the profiles of the mock surveys name them.
BAD, SATURATED = 1, 2

#: Scatter of the seeing from tile to tile (of its logarithm).
SEEING_SCATTER = 0.04

#: Cosmic rays that were not removed and bad columns per million pixels and band, on average.
COSMIC_RAYS, BAD_COLUMNS = 2.0, 0.3


@dataclass(frozen=True)
class Exposure:
    """What a telescope delivers of one tile.

    Parameters
    ----------
    counts : ndarray of float32
        Sky-subtracted counts per pixel. The shape is ``(bands, H, W)``.
    invvar : ndarray of float32
        Inverse variance of the counts, 0 where the pixel is spoiled, same shape.
    mask : ndarray of int16
        Bits `BAD` and `SATURATED`, same shape.
    seeing : mapping of str to float
        FWHM of this tile in each band, arcsec.
    wcs : astropy.wcs.WCS
        Of the tile.
    """

    counts: Float
    invvar: Float
    mask: NDArray[np.int16]
    seeing: Mapping[str, float]
    wcs: WCS


def object_generator(seed: int, number: int) -> np.random.Generator:
    """Randomness of one object: the same on every tile and in every survey."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, number)))


def expose(tile: MockTile, sky: pd.DataFrame, camera: Camera, config: MockConfig, seed: int) -> Exposure:
    """Draw a tile.

    Parameters
    ----------
    tile : MockTile
        Which.
    sky : pandas.DataFrame
        Objects from `galmorph.mocks.sky.make_sky`; those off the tile are left out.
    camera : Camera
        Optics, depth and calibration of the survey.
    config : MockConfig
        Size of a tile, saturation.
    seed : int
        Seed of the mock. Noise depends on the survey too: two surveys of one sky have independent noise.
    """
    wcs, side = tile_wcs(tile, camera.pixel_scale, config)
    key = (1, tile.number, zlib.crc32(camera.name.encode()))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    scatter = float(np.exp(SEEING_SCATTER * rng.standard_normal()))
    seeing = {band: camera.seeing[band] * scatter for band in camera.bands}
    scene = draw_scene(sky, wcs, side, camera, seeing, seed) * camera.counts_per_nanomaggy[:, None, None]
    variance = camera.sky_variance[:, None, None] + np.maximum(scene, 0) / camera.gain[:, None, None]
    # Photons are many enough in every pixel for a Poisson variable to be normal.
    counts = scene + np.sqrt(variance) * rng.standard_normal(scene.shape, dtype=np.float32)
    counts += _sky_residual(side, np.sqrt(camera.sky_variance), rng)
    mask = np.zeros(scene.shape, dtype=np.int16)
    for plane, band in enumerate(camera.bands):
        limit = _saturation_level(camera, plane, seeing[band], config)
        mask[plane][scene[plane] > limit] |= SATURATED
        np.minimum(counts[plane], limit, out=counts[plane])
        _spoil(counts[plane], mask[plane], limit, rng)
    invvar = np.where(mask != 0, np.float32(0), 1 / variance)
    return Exposure(counts, invvar, mask, seeing, wcs)


def draw_scene(sky: pd.DataFrame, wcs: WCS, side: int, camera: Camera, seeing: Mapping[str, float], seed: int) -> Float:
    """Noiseless tile in nanomaggies per pixel. The shape is ``(bands, side, side)``."""
    bands, scale = camera.bands, camera.pixel_scale
    x, y = wcs.world_to_pixel_values(sky["ra"].to_numpy(), sky["dec"].to_numpy())
    # The largest stamps reach 70 arcsec from their centre.
    reach = MARGIN + 70 / scale
    near = (np.abs(x - side / 2) < side / 2 + reach) & (np.abs(y - side / 2) < side / 2 + reach)
    scene = np.zeros((len(bands), side + 2 * MARGIN, side + 2 * MARGIN), dtype=np.float32)
    stars: list[tuple[dict[Hashable, Any], float, float]] = []
    for row, column, line in zip(sky[near].to_dict("records"), x[near], y[near], strict=True):
        if row["half_light_radius"] == 0:
            stars.append((row, column, line))
            continue
        stamp = draw(row, column, line, scale, bands, object_generator(seed, int(row["number"])))
        _add(scene, stamp.planes, stamp.x0 + MARGIN, stamp.y0 + MARGIN)
    seen = np.stack([convolve(plane, seeing[band], scale) for plane, band in zip(scene, bands, strict=True)])
    for row, column, line in stars:
        half = 48 if row["mag_r"] < 17.5 else 20
        for plane, band in enumerate(bands):
            flux = 10 ** (-0.4 * (row[f"mag_{band}"] - 22.5))
            image, x0, y0 = star(column, line, flux, seeing[band], scale, half)
            _add(seen[plane : plane + 1], image[None], x0 + MARGIN, y0 + MARGIN)
    return seen[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def _add(planes: Float, stamp: Float, x0: int, y0: int) -> None:
    """Add a stamp to planes where they meet, in place."""
    height, width = planes.shape[1:]
    top, left = max(y0, 0), max(x0, 0)
    bottom, right = min(y0 + stamp.shape[1], height), min(x0 + stamp.shape[2], width)
    if top < bottom and left < right:
        planes[:, top:bottom, left:right] += stamp[:, top - y0 : bottom - y0, left - x0 : right - x0]


def _sky_residual(side: int, sigma: Float, rng: np.random.Generator) -> Float:
    """What sky subtraction leaves: an offset and a slope of some tenths of the noise, ``(bands, H, W)``."""
    t = np.linspace(-1, 1, side, dtype=np.float32)
    offset, slope_x, slope_y = (0.15 * rng.standard_normal((3, len(sigma)))).astype(np.float32)
    plane = offset[:, None, None] + slope_x[:, None, None] * t + slope_y[:, None, None] * t[:, None]
    return np.asarray(plane * sigma[:, None, None], dtype=np.float32)


def _saturation_level(camera: Camera, plane: int, fwhm: float, config: MockConfig) -> float:
    """Counts at which a pixel saturates: the peak of a centred star of magnitude `config.saturation`."""
    flux = 10 ** (-0.4 * (config.saturation - 22.5)) * float(camera.counts_per_nanomaggy[plane])
    image, _, _ = star(0.0, 0.0, flux, fwhm, camera.pixel_scale, 2)
    return float(image.max())


def _spoil(image: Float, flags: NDArray[np.int16], level: float, rng: np.random.Generator) -> None:
    """Add cosmic rays and bad columns to one band, in place."""
    side = len(image)
    for _ in range(rng.poisson(COSMIC_RAYS * image.size / 1e6)):
        length, angle = rng.uniform(3, 25), rng.uniform(0, 2 * np.pi)
        steps = np.arange(int(length) + 1)
        rows = np.round(rng.uniform(0, side) + steps * np.sin(angle)).astype(int)
        columns = np.round(rng.uniform(0, side) + steps * np.cos(angle)).astype(int)
        inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        image[rows[inside], columns[inside]] += level * rng.uniform(0.02, 0.3)
        flags[rows[inside], columns[inside]] |= BAD
    for _ in range(rng.poisson(BAD_COLUMNS * image.size / 1e6)):
        column, start = int(rng.integers(side)), int(rng.integers(side))
        stop = start + int(rng.integers(side // 8, side // 2 + 1))
        image[start:stop, column] = 0.0
        flags[start:stop, column] |= BAD
