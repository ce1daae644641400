"""Objects on a tile: found, or taken from given positions, and measured."""

import logging
import math
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import sep
from numpy.typing import NDArray
from scipy.spatial import KDTree

from galmorph import flags, photometry
from galmorph.background import Sky, every_other, sample, smooth, subtract
from galmorph.errors import ConfigError, TileError
from galmorph.photometry import Shapes
from galmorph.segmentation import Segmentation, find_objects, keep_objects
from galmorph.sky import local_axes, pixel_to_sky, position_angles, sky_to_pixel, within_reach
from galmorph.tiles import Tile

log = logging.getLogger(__name__)

#: Signal-to-noise ratio below which LOW_SN is set.
LOW_SN_LIMIT = 10.0
#: Root-mean-square half-width of a pixel, in pixels.
PIXEL_RMS = 1 / math.sqrt(12)
#: Radius, in arcsec, of a circle as large as an object beyond which it may be many that run together.
SPRAWLING_RADIUS = 15.0
#: What is said of a tile where the correlation of noise cannot be measured.
NO_QUIET_SKY = (
    "no pixel is sky in all detection bands: the noise of neighbouring pixels is taken for independent, and some "
    "objects may be noise"
)
#: Among so many objects, one that takes up a larger share of the image is worth a warning.
MANY, SPRAWLING = 50, 0.05


@dataclass(frozen=True)
class DetectionConfig:
    """How objects are found. Nothing here is in pixels, so that a change of pixel scale changes nothing.

    Parameters
    ----------
    significance : float
        Significance that the brightest pixel of an object has to have, in sigma of the image filtered with the
        point-spread function: that of a point source.
    threshold : float
        Significance down to which pixels belong to an object; lower, for faint surroundings to be part of it.
    min_area : float
        Least area of an object, in areas of the point-spread function (pi/4 FWHM^2).
    kernel : float
        FWHM of the Gaussian filter, in units of the seeing.
    deblend_contrast : float
        Least fraction of the light of a group of pixels that a peak needs to become an object of its own. Small values
        find faint neighbours and shred spiral galaxies. What is found and still large is a group of its own.
    deblend_levels : int
        Number of thresholds between an object's faintest and brightest pixel that are looked at for peaks.
    background_box : float
        Side, in arcsec, of the boxes that the background is measured in: several times the largest galaxy that
        matters.
    default_radius : float
        Radius, in arcsec, of the aperture at a given position where nothing is detected.
    """

    significance: float = 5.0
    threshold: float = 3.0
    min_area: float = 1.0
    kernel: float = 1.0
    deblend_contrast: float = 0.02
    deblend_levels: int = 32
    background_box: float = 90.0
    default_radius: float = 4.0

    def __post_init__(self) -> None:
        for name in ("significance", "threshold", "min_area", "kernel", "background_box", "default_radius"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"detection: {name} must be positive, got {value}")
        if not 0 <= self.deblend_contrast <= 1:
            raise ConfigError(f"detection: deblend_contrast must be within 0 and 1, got {self.deblend_contrast}")
        if self.deblend_levels < 1 or not float(self.deblend_levels).is_integer():
            raise ConfigError(
                f"detection: deblend_levels must be a whole number, at least 1, got {self.deblend_levels}"
            )
        # What is equal is written alike: 4 as 4.0, and -0.0 as 0.0.
        for name, value in vars(self).copy().items():
            object.__setattr__(self, name, int(value) if name == "deblend_levels" else float(value) + 0.0)


@dataclass(frozen=True)
class Field:
    """A tile without its background, and the objects on it.

    Parameters
    ----------
    planes : numpy.ndarray
        Nanomaggies per pixel, background-subtracted, 0 without valid data. The shape is ``(bands, rows, columns)``,
        float32.
    valid : numpy.ndarray of bool
        Pixels with data, of the shape of `planes`.
    noise : numpy.ndarray
        Median standard deviation of a pixel, nanomaggies. The shape is ``(bands,)``.
    background : numpy.ndarray
        Median of the background taken off, nanomaggies per pixel. The shape is ``(bands,)``.
    correlation : float
        How much noisier the filtered image is than if the noise of neighbouring pixels were independent; at least 1.
    segments : numpy.ndarray
        Number of the detection that a pixel belongs to, 0 for none; of a stripe, numbers beyond its objects' are for
        those of other stripes. The shape is ``(rows, columns)``, int32.
    objects : pandas.DataFrame
        One row for each object: number (1 to n), x, y (pixels of the whole tile), ra, dec (degrees), a, b (arcsec,
        root-mean-square semi-axes), theta (radians from the x axis), position_angle (degrees east of north),
        ellipticity (1 - b/a), radius (arcsec, semi-major axis of the Kron aperture), half_light_radius (arcsec),
        flux_BAND and flux_err_BAND (nanomaggies, in the Kron aperture), snr (in the detection image), flags (see
        `galmorph.flags`), source_id (text, of a given position, else empty).
    warnings : tuple of str
        What is odd about the search, in words.
    """

    planes: NDArray[np.float32]
    valid: NDArray[np.bool_]
    noise: NDArray[np.float64]
    background: NDArray[np.float64]
    correlation: float
    segments: NDArray[np.int32]
    objects: pd.DataFrame
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Detection:
    """Detection image and what was found on it: first the tile's own objects, then those of other stripes."""

    image: NDArray[np.float32]
    weight: NDArray[np.float32]
    masked: NDArray[np.bool_]
    correlation: float
    segments: NDArray[np.int32]
    found: NDArray[np.void]
    own: int
    warnings: tuple[str, ...]


def extract(
    tile: Tile, config: DetectionConfig, positions: pd.DataFrame | None = None, *, in_place: bool = False
) -> Field:
    """Find and measure the objects of a tile, or measure given positions on it.

    Objects are groups of pixels above the threshold on the detection image, the inverse-variance weighted mean of the
    detection bands, filtered with the point-spread function. A given position has the shape of the detection that it
    falls on, or that lies within the seeing; where there is none it is measured in a round aperture of
    `config.default_radius` and flagged NOT_DETECTED. A radius given with a position counts in any case. Of a stripe of
    a large tile, only objects and positions whose centres lie in its own rows count: see `Stripe.keeps`.

    Parameters
    ----------
    tile : Tile
        The tile.
    config : DetectionConfig
        How to find objects.
    positions : pandas.DataFrame, optional
        Positions with the columns source_id, ra, dec (degrees) and perhaps radius (arcsec), as
        `galmorph.positions.read_positions` gives them. Those outside the tile, or on other stripes of it, are left out.
    in_place : bool
        Make the planes of the result of the tile's own image, which spares the memory for others. For callers that have
        no use for the image afterwards.

    Returns
    -------
    Field
        No object is a valid outcome.

    Raises
    ------
    TileError
        If the tile cannot be searched, for instance because nearly every pixel is above the threshold.
    """
    # Absurd counts overflow; what is not finite in the end is flagged.
    with np.errstate(all="ignore"):
        return _extract(tile, config, positions, in_place)


def _extract(tile: Tile, config: DetectionConfig, positions: pd.DataFrame | None, in_place: bool) -> Field:
    seeing = _seeing(tile)
    sky = subtract(tile, config.background_box, seeing, in_place=in_place)
    detection = _detect(tile, sky, config, seeing)
    if positions is None:
        shapes = _shapes(detection.found[: detection.own])
        radius, source_id = np.full(len(shapes), np.nan), np.full(len(shapes), "", dtype=object)
    else:
        shapes = _shapes(detection.found)
        shapes, radius, source_id = _at_positions(tile, detection, shapes, positions, config, seeing)
    objects = _measure(tile, sky, detection, shapes, radius, source_id)
    log.info("tile %s: %d objects, noise correlation %.2f", tile.name, len(objects), detection.correlation)
    for line in detection.warnings:
        log.warning("tile %s: %s", tile.name, line)
    return Field(
        planes=sky.planes,
        valid=tile.valid,
        noise=sky.noise,
        background=sky.level,
        correlation=detection.correlation,
        segments=detection.segments,
        objects=objects,
        warnings=detection.warnings,
    )


def _shapes(found: NDArray[np.void]) -> Shapes:
    """Ellipses of detections, none thinner than a pixel."""
    b = np.maximum(np.nan_to_num(found["b"].astype(float)), PIXEL_RMS)
    a = np.maximum(np.nan_to_num(found["a"].astype(float)), b)
    theta = np.clip(np.nan_to_num(found["theta"].astype(float)), -np.pi / 2, np.pi / 2)
    number = np.arange(1, len(found) + 1, dtype=np.int32)
    return Shapes(found["x"].astype(float), found["y"].astype(float), a, b, theta, number)


def _seeing(tile: Tile) -> float:
    """FWHM of the detection image, arcsec."""
    return float(np.median([tile.seeing[tile.bands.index(band)] for band in tile.detection_bands]))


def _detect(tile: Tile, sky: Sky, config: DetectionConfig, seeing: float) -> _Detection:
    chosen = [tile.bands.index(band) for band in tile.detection_bands]
    # Band by band: on a large tile the bands together are most of the memory.
    weight, image = np.zeros_like(sky.planes[0]), np.zeros_like(sky.planes[0])
    quiet = np.ones_like(sky.sky[0])
    for i in chosen:
        one = sky.weight(i)
        cv2.accumulate(one, weight)
        cv2.accumulateProduct(sky.planes[i], one, image)
        # A band without data somewhere has no say there: elsewhere, or in other bands, there may be sky.
        quiet &= sky.sky[i] | ~every_other(tile.valid[i])
    masked = weight <= 0
    fwhm = max(config.kernel * seeing / tile.pixel_scale, 1.0)
    significance = _significance(image, weight, fwhm)
    significance[masked] = 0
    np.divide(image, weight, out=image)
    image[masked] = 0
    quiet &= ~every_other(masked)
    correlation = _correlation(every_other(significance), quiet)
    warnings: tuple[str, ...] = () if quiet.any() or masked.all() else (NO_QUIET_SKY,)
    area = math.pi / 4 * (seeing / tile.pixel_scale) ** 2
    found, segments = _search(tile, significance, config, correlation, max(3, round(config.min_area * area)))
    largest = found["npix"].max(initial=0) / max(1, masked.size - np.count_nonzero(masked))
    if len(found) >= MANY and largest > SPRAWLING:
        warnings += (
            f"one of {len(found)} objects takes up {100 * largest:.0f} % of the image, and others may be lost in it: "
            "in deep or crowded images lower deblend_contrast (to 0.005), or raise threshold (to 8)",
        )
    own = int(np.count_nonzero(tile.keeps(found["y"] + tile.first_row)))
    return _Detection(image, weight, masked, correlation, segments, found, own, warnings)


def _significance(weighted: NDArray[np.float32], weight: NDArray[np.float32], fwhm: float) -> NDArray[np.float32]:
    """Image, given times its weight, filtered with the point-spread function, in units of its standard deviation.

    The optimal filter in the presence of varying noise (Zackay and Ofek 2017, ApJ 836, 187, equation 12 for one image).
    """
    norm = smooth(weight, fwhm, power=2)
    np.sqrt(np.maximum(norm, np.finfo(np.float32).tiny, out=norm), out=norm)
    significance = smooth(weighted, fwhm)
    significance /= norm
    return significance


def _variance(weight: NDArray[np.float32], masked: NDArray[np.bool_], factor: float) -> NDArray[np.float32]:
    """Variance of pixels whose standard deviation is so many times what their weights say, 0 where there is none."""
    variance = np.divide(np.float32(factor**2), weight)
    variance[masked] = 0
    return variance


def _correlation(significance: NDArray[np.floating], sky: NDArray[np.bool_]) -> float:
    """Standard deviation of the significance of pure sky, 1 for independent noise; never less than 1."""
    values = sample(significance, sky)
    return max(1.0, 1.4826 * float(np.median(np.abs(values - np.median(values))))) if len(values) else 1.0


def _search(
    tile: Tile,
    significance: NDArray[np.floating],
    config: DetectionConfig,
    correlation: float,
    min_area: int,
) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Objects and segmentation map; where there is no data the significance has to be 0."""
    how = Segmentation(
        threshold=config.threshold * correlation,
        min_area=min_area,
        contrast=config.deblend_contrast,
        levels=config.deblend_levels,
        large=math.pi * (SPRAWLING_RADIUS / tile.pixel_scale) ** 2,
    )
    try:
        found, segments = find_objects(significance, how)
    except MemoryError:
        raise
    except Exception as error:  # sep raises bare Exception
        raise TileError(
            f"tile {tile.name}: objects cannot be told apart ({error}): too many pixels are above "
            f"{config.threshold} sigma. Raise detection's threshold, or leave the tile out"
        ) from error
    kept = found["peak"] >= config.significance * correlation
    # A projection of the whole sky has corners that lie on no sky at all.
    y = found["y"] + tile.first_row
    kept &= np.isfinite(pixel_to_sky(tile.wcs, found["x"], y)).all(axis=0)
    own = tile.keeps(y)
    return keep_objects(found, segments, np.concatenate([np.flatnonzero(kept & own), np.flatnonzero(kept & ~own)]))


def _at_positions(
    tile: Tile,
    detection: _Detection,
    found: Shapes,
    positions: pd.DataFrame,
    config: DetectionConfig,
    seeing: float,
) -> tuple[Shapes, NDArray[np.float64], NDArray[np.object_]]:
    """Shapes, radii (arcsec, NaN if to be measured) and identifiers at the given positions on the tile."""
    positions = positions[within_reach(tile.wcs, positions["ra"].to_numpy(float), positions["dec"].to_numpy(float))]
    x, y = sky_to_pixel(tile.wcs, positions["ra"].to_numpy(float), positions["dec"].to_numpy(float))
    on_tile = tile.covers(x, y) & tile.keeps(y)
    x, y = x[on_tile], y[on_tile] - tile.first_row
    segment = detection.segments[np.rint(y).astype(int), np.rint(x).astype(int)].copy()
    if len(found) and len(x):
        near, distance = _nearest(x, y, found.x, found.y)
        close = (segment == 0) & (distance * tile.pixel_scale <= seeing)
        segment[close] = near[close] + 1
    detected = segment > 0
    default = config.default_radius / photometry.KRON_LEAST / tile.pixel_scale
    a, b, theta = np.full(len(x), default), np.full(len(x), default), np.zeros(len(x))
    for target, source in ((a, found.a), (b, found.b), (theta, found.theta)):
        target[detected] = source[segment[detected] - 1]
    radius = np.where(detected, np.nan, config.default_radius)
    if "radius" in positions:
        given = positions["radius"].to_numpy(float)[on_tile]
        radius = np.where(np.isfinite(given), given, radius)
    source_id = positions["source_id"].astype(str).to_numpy(object)[on_tile]
    return Shapes(x, y, a, b, theta, segment), radius, source_id


def _nearest(
    x: NDArray[np.float64], y: NDArray[np.float64], other_x: NDArray[np.float64], other_y: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Index of the nearest other point, and the distance to it."""
    distance, index = KDTree(np.column_stack([other_x, other_y])).query(np.column_stack([x, y]))
    return np.asarray(index, dtype=np.intp), np.asarray(distance, dtype=float)


def _measure(
    tile: Tile,
    sky: Sky,
    detection: _Detection,
    shapes: Shapes,
    given_radius: NDArray[np.float64],
    source_id: NDArray[np.object_],
) -> pd.DataFrame:
    scale = tile.pixel_scale
    kron, reliable = photometry.kron_radius(detection.image, detection.masked, detection.segments, shapes)
    given = np.isfinite(given_radius)
    radius = np.where(given, given_radius / scale, kron)
    reliable |= given
    common = (detection.segments, shapes, radius)
    variance = _variance(detection.weight, detection.masked, detection.correlation)
    flux, error, measured = photometry.aperture_flux(detection.image, variance, detection.masked, *common)
    snr = np.divide(flux, error, out=np.zeros_like(flux), where=measured & (error > 0))
    half = photometry.half_light_radius(detection.image, detection.masked, detection.segments, shapes, radius, flux)
    y = shapes.y + tile.first_row
    ra, dec = pixel_to_sky(tile.wcs, shapes.x, y)
    table: dict[str, object] = {
        "number": np.arange(1, len(shapes) + 1, dtype=np.int64),
        "x": shapes.x,
        "y": y,
        "ra": ra,
        "dec": dec,
        "a": shapes.a * scale,
        "b": shapes.b * scale,
        "theta": shapes.theta,
        "position_angle": position_angles(local_axes(tile.wcs, shapes.x, y), shapes.theta),
        "ellipticity": 1 - shapes.b / shapes.a,
        "radius": radius * scale,
        "half_light_radius": half * scale,
    }
    for i, band in enumerate(tile.bands):
        weight = sky.weight(i)
        masked = weight <= 0
        variance = _variance(weight, masked, detection.correlation)
        values, errors, _ = photometry.aperture_flux(sky.planes[i], variance, masked, *common)
        table[f"flux_{band}"], table[f"flux_err_{band}"] = values, errors
    table["snr"] = snr
    table["flags"] = _flags(tile, detection, shapes, snr, reliable & measured & (flux > 0))
    table["source_id"] = pd.array(source_id, dtype="str")
    return pd.DataFrame(table)


def _flags(
    tile: Tile, detection: _Detection, shapes: Shapes, snr: NDArray[np.float64], reliable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    count = len(detection.found)
    by_segment = np.zeros(count + 1, dtype=np.int64)
    extraction = detection.found["flag"].astype(np.int64)
    by_segment[1:] |= np.where(extraction & sep.OBJ_MERGED, flags.BLENDED, 0)
    by_segment[1:] |= np.where(extraction & sep.OBJ_TRUNC, flags.TRUNCATED, 0)
    edges = (detection.segments[0], detection.segments[-1], detection.segments[:, 0], detection.segments[:, -1])
    by_segment[np.unique(np.concatenate(edges))] |= flags.TRUNCATED
    by_segment[_saturated(tile, detection)] |= flags.SATURATED
    by_segment[0] = flags.NOT_DETECTED
    result = by_segment[shapes.segment]
    result |= np.where(snr < LOW_SN_LIMIT, flags.LOW_SN, 0)
    result |= np.where(reliable, 0, flags.BAD_PHOTOMETRY)
    return np.asarray(result, dtype=np.int64)


def _saturated(tile: Tile, detection: _Detection) -> NDArray[np.int32]:
    """Numbers of the segments that have a saturated pixel or touch a hole with some; 0 may be among them.

    Where a star's core is masked or has no data, as is common, its segment is the ring that is left around the hole. A
    hole reaches two FWHM beyond saturated pixels at most: the gap between chips that a star touches is longer.
    """
    if not tile.saturated.any():
        return np.zeros(0, dtype=np.int32)
    reach = math.ceil(2 * _seeing(tile) / tile.pixel_scale)
    hole = _grown(tile.saturated, reach) & detection.masked
    return np.unique(detection.segments[tile.saturated | _grown(hole, 1)])


def _grown(chosen: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Pixels that are so near, in rows and columns, to chosen ones."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), dtype=np.uint8)
    return np.asarray(cv2.dilate(chosen.view(np.uint8), kernel), dtype=bool)
