"""Building blocks of a galaxy: the grid it is drawn on, Sersic and edge-on profiles, blobs along paths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import k1

#: Images are float32 throughout; the wider type is what arithmetic is declared to give.
Float = NDArray[np.floating[Any]]

#: Pixels around the centre whose light is integrated on a finer grid, and how much finer: a Sersic profile of
#: high index is too steep there for one sample a pixel.
CORE, CORE_SAMPLES = 2, 9


@dataclass(frozen=True)
class Grid:
    """Where the samples of a stamp lie.

    Parameters
    ----------
    east, north : ndarray of float32
        Offsets of the samples from the object in arcsec. The shape is ``(h * oversample, w * oversample)``.
    x0, y0 : int
        Tile pixel of the first pixel of the stamp.
    scale : float
        Arcsec per tile pixel.
    oversample : int
        Samples along each side of a pixel.
    """

    east: Float
    north: Float
    x0: int
    y0: int
    scale: float
    oversample: int


@dataclass(frozen=True)
class Light:
    """Noiseless brightness of a galaxy on a stamp, not yet seen through the atmosphere.

    Parameters
    ----------
    old, young : ndarray of float32
        r-band light of old and of young stars per sample, in units of the object's total.
    optical_depth : ndarray of float32 or None
        Of dust, in r.
    """

    old: Float
    young: Float
    optical_depth: Float | None = None


def make_grid(x: float, y: float, scale: float, half_east: float, half_north: float, oversample: int = 1) -> Grid:
    """Stamp around pixel position (x, y), of the given half-sides in arcsec; east is towards low x."""
    x0, x1 = int(np.floor(x - half_east / scale)), int(np.ceil(x + half_east / scale)) + 1
    y0, y1 = int(np.floor(y - half_north / scale)), int(np.ceil(y + half_north / scale)) + 1
    sub = (np.arange(oversample) + 0.5) / oversample - 0.5
    columns = (np.arange(x0, x1)[:, None] + sub).ravel() - x
    rows = (np.arange(y0, y1)[:, None] + sub).ravel() - y
    east, north = np.meshgrid((-scale * columns).astype(np.float32), (scale * rows).astype(np.float32))
    return Grid(east, north, x0, y0, scale, oversample)


def bin_samples(image: Float, oversample: int) -> Float:
    """Sum of the samples of each pixel."""
    if oversample == 1:
        return image
    # Two passes of strided sums: many times faster than a sum over two axes of blocks.
    rows = np.add.reduce([image[k::oversample] for k in range(oversample)])
    return np.asarray(np.add.reduce([rows[:, k::oversample] for k in range(oversample)]))


def unit(image: Float) -> Float:
    """The image over its sum."""
    return image * np.float32(1 / image.sum())


def rotate(east: Float, north: Float, position_angle: float) -> tuple[Float, Float]:
    """Coordinates along the direction `position_angle` (degrees east of north) and 90 degrees west of it."""
    angle = np.radians(position_angle)
    sin, cos = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return east * sin + north * cos, north * sin - east * cos


def sigmoid(x: Float) -> Float:
    """Smooth step from 0 to 1 at 0."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), dtype=np.float32)


def fade(radius: Float, end: float) -> Float:
    """1 inside ``0.7 end``, 0 outside `end`, smooth between: stamps end without an edge."""
    t = np.clip((np.float32(end) - radius) / np.float32(0.3 * end), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def sersic_b(index: float) -> float:
    """The b of a Sersic profile, which puts half of the light inside the half-light radius (Ciotti & Bertin 1999)."""
    n = index
    return float(2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2))


def sersic(grid: Grid, radius: float, index: float, axis_ratio: float, position_angle: float, end: float) -> Float:
    """Elliptical Sersic profile of unit sum.

    Parameters
    ----------
    grid : Grid
        Where.
    radius : float
        Half-light semi-major axis in arcsec.
    index : float
        Sersic index n.
    axis_ratio, position_angle : float
        Minor over major axis; degrees east of north.
    end : float
        Semi-major axis in arcsec at which the profile has faded to 0.
    """
    b = np.float32(sersic_b(index))
    power = np.float32(0.5 / index)

    def value(east: Float, north: Float) -> Float:
        along, across = rotate(east, north, position_angle)
        squared = (along**2 + (across / np.float32(axis_ratio)) ** 2) / np.float32(radius**2)
        return np.asarray(np.exp(-b * (squared**power - 1)) * fade(np.sqrt(squared), end / radius))

    image = value(grid.east, grid.north)
    _integrate_core(image, grid, value)
    return unit(image)


def _integrate_core(image: Float, grid: Grid, value: Callable[[Float, Float], Float]) -> None:
    """Replace the samples near the centre by means over a finer grid, in place."""
    row = int(np.argmin(np.abs(grid.north[:, 0])))
    column = int(np.argmin(np.abs(grid.east[0])))
    rows = slice(max(row - CORE, 0), row + CORE + 1)
    columns = slice(max(column - CORE, 0), column + CORE + 1)
    step = grid.scale / grid.oversample
    sub = (((np.arange(CORE_SAMPLES) + 0.5) / CORE_SAMPLES - 0.5) * step).astype(np.float32)
    east = grid.east[rows, columns][:, :, None, None] + sub[None, None, None, :]
    north = grid.north[rows, columns][:, :, None, None] + sub[None, None, :, None]
    image[rows, columns] = value(east, north).mean(axis=(2, 3))


def edge_on_disc(along: Float, across: Float, scale_length: float, scale_height: float) -> Float:
    """Exponential disc with sech2 layers seen exactly from the side (van der Kruit & Searle 1981, eq. 5)."""
    x = np.abs(along) / np.float32(scale_length) + np.float32(1e-3)
    # K1 is costly, and smooth: a table does.
    table = np.linspace(1e-3, 12.0, 600)
    radial = np.interp(x, table, table * k1(table), right=0.0).astype(np.float32)
    return np.asarray(radial / np.cosh(np.clip(across / np.float32(scale_height), -12, 12)) ** 2)


def add_blobs(
    image: Float,
    grid: Grid,
    east: NDArray[np.float64],
    north: NDArray[np.float64],
    width: NDArray[np.float64],
    flux: NDArray[np.float64],
) -> None:
    """Add round Gaussians, in place.

    Parameters
    ----------
    image : ndarray of float32
        Image on the grid.
    grid : Grid
        Where.
    east, north, width, flux : ndarray of float
        Centres and sigmas in arcsec and sums of light, each of shape ``(n,)``.
    """
    step = grid.scale / grid.oversample
    first_east, first_north = float(grid.east[0, 0]), float(grid.north[0, 0])
    height, length = image.shape
    for e, n, sigma, light in zip(east, north, width, flux, strict=True):
        sigma = max(float(sigma), 0.7 * step)
        column, row, reach = (first_east - e) / step, (n - first_north) / step, 3.5 * sigma / step
        c0, c1 = max(int(column - reach), 0), min(int(column + reach) + 2, length)
        r0, r1 = max(int(row - reach), 0), min(int(row + reach) + 2, height)
        if c0 >= c1 or r0 >= r1:
            continue
        across = np.exp(-0.5 * ((grid.east[0, c0:c1] - e) / sigma) ** 2)
        up = np.exp(-0.5 * ((grid.north[r0:r1, 0] - n) / sigma) ** 2)
        image[r0:r1, c0:c1] += np.outer(up, across) * np.float32(light * step**2 / (2 * np.pi * sigma**2))
