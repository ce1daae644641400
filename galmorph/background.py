"""Background and noise of a tile, band by band, with the objects left out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import sep
from numpy.typing import NDArray

from galmorph.errors import TileError
from galmorph.tiles import Tile

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]

#: Sigma above which a pixel of the smoothed image is taken for an object while the background is measured.
SOURCE_THRESHOLD = 2.0
#: Side, in pixels, of boxes and images from which on the background is measured at half the resolution, and the FWHM,
#: in pixels, that this needs.
LARGE, LEAST_FWHM = 128, 3.0
#: Least share of the valid pixels in blocks of two by two without invalid ones for that.
LEAST_WHOLE = 0.8
#: Number of pixels that medians are taken from.
SAMPLE = 100_000
#: Rounds of clipping at most.
CLIPPING_ROUNDS = 10
#: Least fraction of a band's valid pixels for the surroundings of objects to be left out too.
LEAST_SKY = 0.1


@dataclass(frozen=True)
class Sky:
    """What is left of a tile once the background is taken off, and how noisy it is.

    Parameters
    ----------
    planes : numpy.ndarray
        Nanomaggies per pixel, 0 without valid data. The shape is ``(bands, rows, columns)``, float32.
    weights : numpy.ndarray
        Inverse variance in nanomaggies^-2, 0 without valid data, of the shape of `planes`, float32: the tile's own
        where it has some. What counts is `weight`, which is lower by `excess`.
    excess : numpy.ndarray
        Variance of the background in units of that by `weights`, at least 1. The shape is ``(bands,)``.
    sky : numpy.ndarray of bool
        Blocks of two by two pixels away from objects; `every_other` gives a pixel of each. The shape is
        ``(bands, rows // 2, columns // 2)``.
    level : numpy.ndarray
        Median of the background that was taken off, in nanomaggies per pixel. The shape is ``(bands,)``.
    noise : numpy.ndarray
        Median standard deviation of a pixel, in nanomaggies. The shape is ``(bands,)``.
    """

    planes: Floats
    weights: Floats
    excess: NDArray[np.float64]
    sky: Booleans
    level: NDArray[np.float64]
    noise: NDArray[np.float64]

    def weight(self, band: int) -> Floats:
        """Inverse variance of a band in nanomaggies^-2, 0 without valid data; the shape is ``(rows, columns)``."""
        return _lowered(self.weights[band], self.excess[band])


def subtract(tile: Tile, box: float, seeing: float, *, in_place: bool = False) -> Sky:
    """Take the background off each band of a tile and measure its noise.

    The background is that of SExtractor (Bertin and Arnouts 1996, section 2), in two rounds: the second leaves out the
    objects that the first showed. The noise is the larger of what the weights say and what the background shows; a
    tile without weights has the latter alone.

    Parameters
    ----------
    tile : Tile
        The tile.
    box : float
        Side of the boxes in arcsec.
    seeing : float
        FWHM in arcsec that images are smoothed with to see the objects.
    in_place : bool
        Take the background off the tile's own image, which spares the memory for another.

    Returns
    -------
    Sky

    Raises
    ------
    TileError
        If the noise of a band is too large, or too small, to be computed with.
    """
    planes = tile.image if in_place else np.zeros_like(tile.image)
    weights = np.zeros_like(tile.image) if tile.weight is None else tile.weight
    excess = np.ones(len(tile.bands))
    sky = np.zeros_like(every_other(tile.valid))
    level = np.zeros(len(tile.bands))
    noise = np.zeros(len(tile.bands))
    side = max(8, round(box / tile.pixel_scale))
    for i, valid in enumerate(tile.valid):
        if not valid.any():
            continue
        given = None if tile.weight is None else tile.weight[i]
        background, sky[i], deviation = _background(tile.image[i], given, valid, side, seeing / tile.pixel_scale)
        if given is None:
            _measure_weight(tile.image[i], valid, background, weights[i])
        else:
            excess[i] = max(1.0, deviation**2)
        typical = float(np.median(sample(weights[i], valid)))
        if not 0 < typical < np.inf:
            raise TileError(
                f"tile {tile.name}: the noise of band {tile.bands[i]} cannot be told: its pixels reach "
                f"{np.abs(tile.image[i]).max():.3g} nanomaggies. Check its zero-point and its unit"
            )
        np.subtract(tile.image[i], background.level, out=planes[i])
        planes[i][~valid] = 0
        level[i] = np.median(sample(np.broadcast_to(background.level, valid.shape), valid))
        noise[i] = np.sqrt(excess[i] / typical)
    return Sky(planes, weights, excess, sky, level, noise)


def every_other(image: NDArray[Any]) -> NDArray[Any]:
    """One pixel of each block of two by two, a view; what an odd number of pixels leaves over has none."""
    rows, columns = image.shape[-2:]
    return image[..., : rows - 1 : 2, : columns - 1 : 2]


def sample(image: NDArray[Any], chosen: Booleans) -> NDArray[Any]:
    """Values of chosen pixels, on a large image those of a regular grid of them: enough for a median."""
    step = max(1, int(np.sqrt(image.size / SAMPLE)))
    values: NDArray[Any] = image[::step, ::step][chosen[::step, ::step]]
    return values if values.size else image[chosen]


def smooth(image: Floats, fwhm: float, power: int = 1) -> Floats:
    """Image convolved with a Gaussian of unit sum, or with its square; 0 beyond the edge.

    Parameters
    ----------
    image : numpy.ndarray
        The shape is ``(rows, columns)``, float32.
    fwhm : float
        Of the Gaussian, in pixels.
    power : int
        2 for the square of the Gaussian, the kernel that variances add up with.

    Returns
    -------
    numpy.ndarray
        Of the shape of `image`, float32.
    """
    sigma = fwhm / np.sqrt(8 * np.log(2))
    offsets = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()) ** power
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


@dataclass(frozen=True)
class _Background:
    """Level and standard deviation of the background, a number or one for each pixel.

    The standard deviation of each pixel is made when it is asked for: a tile with weights does without.
    """

    level: Any
    rms: Callable[[], Any]


def _background(
    image: Floats, weight: Floats | None, valid: Booleans, side: int, fwhm: float
) -> tuple[_Background, Booleans, float]:
    """Background of a band, the blocks of sky that it comes from, and its deviation in units of that by the weights.

    The last is 1 without weights. It is told from each pixel by its own weight, since depths may differ.
    """
    image = _spread(image)
    whole = _whole_blocks(image.shape, valid, side, fwhm)
    if whole is None:
        sky = _sky_pixels(_residual(image, weight, valid, _estimate(image, valid, side).level), valid, fwhm)
        found = _estimate(image, sky, side)
        return found, every_other(sky), _weighed_deviation(_residuals(image, found.level, sky), weight, sky)
    half = _halved(image if valid.all() else np.where(valid, image, np.float32(0)))
    # Where objects stand out is seen whatever the level's last digits: one block of four tells it.
    few, few_whole = (np.ascontiguousarray(every_other(blocks)) for blocks in (half, whole))
    rough = _estimate(few, few_whole, side // 4).level
    half_weight = None if weight is None else every_other(weight)
    away = _sky_pixels(_residual(half, half_weight, whole, _doubled(rough, half.shape)), whole, fwhm / 2)
    found = _estimate(half, away, side // 2)
    # How noisy single pixels are is told from these: neighbours need not be independent.
    residuals = _residuals(every_other(image), found.level, away)
    deviation = _weighed_deviation(residuals, half_weight, away)
    return _at_full_resolution(found, residuals, away, image.shape), away, deviation


def _whole_blocks(shape: tuple[int, ...], valid: Booleans, side: int, fwhm: float) -> Booleans | None:
    """Blocks of two by two pixels without invalid ones, where looking at these is fine enough: a quarter of the work.

    None if blocks with invalid pixels are many, or the image or its objects are small.
    """
    if min(side, *shape) < LARGE or fwhm < LEAST_FWHM:
        return None
    if valid.all():
        return np.ones((shape[0] // 2, shape[1] // 2), dtype=bool)
    whole = np.asarray(_halved(valid.astype(np.float32)) == 1)
    return whole if 4 * np.count_nonzero(whole) >= LEAST_WHOLE * np.count_nonzero(valid) else None


def _at_full_resolution(
    half: _Background, residuals: NDArray[Any], away: Booleans, shape: tuple[int, ...]
) -> _Background:
    """A background that was measured on blocks of two by two away from objects, with the noise of single pixels."""

    def rms() -> Any:
        blocks = half.rms()
        noise = np.maximum(sample(np.broadcast_to(blocks, away.shape), away), np.finfo(np.float32).tiny)
        return _doubled(blocks * _deviation(residuals / noise), shape)

    return _Background(_doubled(half.level, shape), rms)


def _residuals(image: Floats, level: Any, sky: Booleans) -> NDArray[Any]:
    """Some pixels of sky without the level."""
    return np.asarray(sample(image, sky) - sample(np.broadcast_to(level, sky.shape), sky))


def _weighed_deviation(residuals: NDArray[Any], weight: Floats | None, sky: Booleans) -> float:
    """Standard deviation of `_residuals` in units of that by the weights; 1 without them."""
    return 1.0 if weight is None else _deviation(residuals * np.sqrt(sample(weight, sky)))


def _deviation(values: NDArray[Any]) -> float:
    """Standard deviation, of which outliers make little; 0 of no values."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _doubled(half: Any, shape: tuple[int, ...]) -> Any:
    """Undo `_halved`; the last row or column of an odd number is as the one before. A number stays as it is."""
    if isinstance(half, float):
        return half
    rows, columns = (side // 2 * 2 for side in shape)
    full = cv2.resize(half, (columns, rows), interpolation=cv2.INTER_LINEAR)
    missing = (shape[0] - rows, shape[1] - columns)
    return np.pad(full, [(0, missing[0]), (0, missing[1])], mode="edge") if any(missing) else full


def _halved(image: Floats) -> Floats:
    """Means of blocks of two by two; a last row or column that has no other is left out."""
    rows, columns = (side // 2 * 2 for side in image.shape)
    half = cv2.resize(image[:rows, :columns], (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=np.float32)


def _residual(image: Floats, weight: Floats | None, valid: Booleans, level: Any) -> Floats:
    """Image without a level, in units of its noise where weights tell it, 0 without valid data."""
    residual = np.asarray(image - level, dtype=np.float32)
    if weight is not None:
        residual *= np.sqrt(weight)
    residual[~valid] = 0
    return residual


def _sky_pixels(residual: Floats, valid: Booleans, fwhm: float) -> Booleans:
    """Pixels away from objects: none of the smoothed light stands out above the part of it that is noise.

    Residuals in units of the noise keep the sky of shallow parts, whose noise would stand out among that of deep ones.
    Objects only add light, so that the noise is told from what lies below the level; on a cutout that a galaxy fills,
    clipping goes on until the level is that of the faintest surroundings.
    """
    smoothed = smooth(residual, fwhm)
    # Sorted once, so that what a round keeps is the beginning, and a median is looked up.
    values = np.sort(sample(smoothed, valid))
    values = values[: np.searchsorted(values, np.inf, side="right")]
    limit = np.inf
    for _ in range(CLIPPING_ROUNDS):
        kept = values[: np.searchsorted(values, limit, side="right")]
        level = np.median(_middle(kept))
        spread = 1.4826 * np.median(level - _middle(kept[: np.searchsorted(kept, level, side="right")]))
        if level + SOURCE_THRESHOLD * spread == limit:
            break
        limit = level + SOURCE_THRESHOLD * spread
    sky = valid & (smoothed <= limit)
    near_objects = smooth((valid & ~sky).astype(np.float32), 2 * fwhm) > 0.15
    away = sky & ~near_objects
    return away if np.count_nonzero(away) >= LEAST_SKY * np.count_nonzero(valid) else sky


def _middle(ordered: NDArray[Any]) -> NDArray[Any]:
    """The one or two values in the middle of sorted ones, of which the median is made."""
    return ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]


def _estimate(image: Floats, sky: Booleans, side: int) -> _Background:
    rows, columns = image.shape
    height, width = min(side, rows), min(side, columns)
    # sep takes a box for good when half of its pixels are; without a good box it would return zeros.
    if sky.all() or np.any(_counts(sky, height, width) > 0.6 * height * width):
        found = sep.Background(image, mask=None if sky.all() else ~sky, bw=width, bh=height)
        return _Background(found.back(), found.rms)
    values = image[sky]
    level = float(np.median(values))
    rms = _deviation(values)
    return _Background(level, lambda: rms)


def _counts(chosen: Booleans, height: int, width: int) -> NDArray[np.int32]:
    """Number of chosen pixels in each whole box of an image."""
    sums = cv2.integral(chosen.view(np.uint8), sdepth=cv2.CV_32S)[::height, ::width]
    return np.asarray(sums[1:, 1:] - sums[1:, :-1] - sums[:-1, 1:] + sums[:-1, :-1], dtype=np.int32)


def _spread(image: Floats) -> Floats:
    """Whole numbers, as of pictures, spread evenly over the units that they stand for; other images as they are.

    The histogram in which sep looks for the level has bins that are no whole numbers: of an image that has nothing
    else it gives levels that are wrong by most of the noise.
    """
    few = image[:: max(1, len(image) // 64)]
    if not (np.array_equal(few, np.rint(few)) and np.array_equal(image, np.rint(image))):
        return image
    return np.asarray(image + np.random.default_rng(0).uniform(-0.5, 0.5, image.shape), dtype=np.float32)


def _measure_weight(image: Floats, valid: Booleans, background: _Background, out: Floats) -> None:
    """Write the inverse variance of the background where there is data."""
    # A background without any noise, as in an image of whole counts, must not make noise of 0.
    least = 1e-6 * float(np.maximum(image.max(), -image.min())) or 1.0
    np.power(np.maximum(background.rms(), least), -2.0, out=out, where=valid, casting="same_kind")


def _lowered(weight: Floats, excess: float) -> Floats:
    """Weights divided by a number, or themselves when it is 1."""
    return weight if excess == 1 else np.asarray(weight / np.float32(excess), dtype=np.float32)
