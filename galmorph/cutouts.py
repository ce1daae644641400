"""Cut objects out of a tile: exactly centred, resampled to the model's size, padded and accounted for.

Training sets and survey runs both call `Cutter`, so a model sees in a run what it saw in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from galmorph.errors import ConfigError

if TYPE_CHECKING:
    from galmorph.detection import Field
    from galmorph.tiles import Tile

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

#: A cutout whose step is wider than this many tile pixels is taken from planes binned by two: bilinear
#: interpolation reads two pixels an axis and would skip the others, which loses signal and aliases noise.
WIDEST_STEP = 2.0

#: Relative difference from the tile's pixels up to which those of a cutout are as large: rounding of the scale.
NATIVE = 1e-9


@dataclass(frozen=True)
class Framing:
    """How much sky a cutout shows, and on how many pixels.

    Parameters
    ----------
    size : int
        Pixels along each side of the cutout, N.
    mode : {"radius", "angle"}
        ``"radius"``: the side is ``2 * factor`` times the radius of the object, limited to
        ``[min_angle, max_angle]``, so that nothing that belongs to the object is cut off
        (DeepAstroUDA, section 4.3). ``"angle"``: the side is `angle` for every object.
    factor : float
        Half side in units of the object's radius.
    angle : float
        Side in arcsec for mode ``"angle"``.
    min_angle : float
        Smallest side in arcsec for mode ``"radius"``.
    max_angle : float
        Largest side in arcsec for mode ``"radius"``.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    size: int
    mode: Literal["radius", "angle"] = "radius"
    factor: float = 1.5
    angle: float = 30.0
    min_angle: float = 8.0
    max_angle: float = 120.0

    def __post_init__(self) -> None:
        if self.mode not in ("radius", "angle"):
            raise ConfigError(f"framing mode must be 'radius' or 'angle', got {self.mode!r}")
        if self.size < 1:
            raise ConfigError(f"framing size must be at least 1 pixel, got {self.size}")
        if not (self.factor > 0 and self.angle > 0 and 0 < self.min_angle <= self.max_angle):
            raise ConfigError(
                "framing needs factor > 0, angle > 0 and 0 < min_angle <= max_angle, got "
                f"factor {self.factor}, angle {self.angle}, min_angle {self.min_angle}, max_angle {self.max_angle}"
            )

    @property
    def largest(self) -> float:
        """Largest side of a cutout, arcsec."""
        return self.angle if self.mode == "angle" else self.max_angle


@dataclass(frozen=True)
class Cutouts:
    """Cutouts and what had to be filled in them.

    Parameters
    ----------
    images : ndarray of float32
        Surface brightness in nanomaggies per square arcsec. The shape is ``(n, bands, N, N)``;
        pixels without data are 0, the level of the sky.
    side : ndarray of float
        Side of each cutout in arcsec, shape ``(n,)``.
    limited : ndarray of bool
        Where the side was limited by the framing's smallest or largest, shape ``(n,)``.
    bad_fraction : ndarray of float32
        Fraction of the cutout's pixels that lie on the tile and have no valid data in at least one band.
    off_edge_fraction : ndarray of float32
        Fraction of the cutout's area that lies off the tile.
    missing_band : ndarray of bool
        Where at least one band has no valid pixel at all.
    empty : ndarray of bool
        Where no band has a valid pixel.
    """

    images: Float32
    side: Float64
    limited: Bool
    bad_fraction: Float32
    off_edge_fraction: Float32
    missing_band: Bool
    empty: Bool

    def without_images(self) -> Self:
        """The same but for the images, which are most of the memory: none."""
        return replace(self, images=np.empty((0, *self.images.shape[1:]), dtype=np.float32))

    @classmethod
    def joined(cls, parts: "Sequence[Cutouts]") -> Self:
        """What several hold, in one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def side_angles(radius: ArrayLike, framing: Framing) -> tuple[Float64, Bool]:
    """Sides of cutouts.

    Parameters
    ----------
    radius : array_like
        Radii of the objects in arcsec, shape ``(n,)``. A radius that is not finite counts as 0.
    framing : Framing
        How cutouts are sized.

    Returns
    -------
    side : ndarray of float
        Sides in arcsec, shape ``(n,)``.
    limited : ndarray of bool
        Where the framing's limits set the side.
    """
    radius = np.nan_to_num(np.asarray(radius, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if framing.mode == "angle":
        return np.full(radius.shape, framing.angle), np.zeros(radius.shape, dtype=bool)
    wanted = 2.0 * framing.factor * radius
    side = np.clip(wanted, framing.min_angle, framing.max_angle)
    return side, side != wanted


class Cutter:
    """Cuts objects out of the planes of one tile.

    Parameters
    ----------
    planes : ndarray of float32
        Background-subtracted nanomaggies per pixel, 0 where there is no valid data. Shape ``(bands, H, W)``.
    valid : ndarray of bool
        Where `planes` has data, same shape.
    pixel_scale : float
        Arcsec per pixel.
    framing : Framing
        How cutouts are sized.
    first_row : int
        Row of the whole tile that is the first of the planes.
    height : int, optional
        Rows of the whole tile; those of the planes unless given.

    Notes
    -----
    A cutout is one bilinear ``cv2.warpAffine`` per plane, with the object at its exact centre,
    ``(N - 1) / 2`` on both axes. Where a cutout touches invalid pixels or the edge, the validity is
    resampled alike and divides the flux, so that a pixel half of whose footprint is masked keeps its brightness.
    """

    def __init__(
        self,
        planes: Float32,
        valid: Bool,
        pixel_scale: float,
        framing: Framing,
        first_row: int = 0,
        height: int | None = None,
    ) -> None:
        if planes.shape != valid.shape or planes.ndim != 3:
            raise ValueError(f"planes and valid must both be (bands, H, W), got {planes.shape} and {valid.shape}")
        self.framing = framing
        self.pixel_scale = pixel_scale
        self.shape = planes.shape[1:]
        self.first_row = first_row
        self._tile = (self.shape[0] if height is None else height, self.shape[1])
        self._levels: list[tuple[Float32, NDArray[Any]]] = [(planes, valid)]
        invalid = np.asarray(~valid.all(axis=0)).view(np.uint8)
        self._invalid_sums = cv2.integral(invalid, sdepth=cv2.CV_32S)

    def _level(self, number: int) -> tuple[Float32, NDArray[Any]]:
        """Planes binned by ``2 ** number`` and the valid fraction of their pixels, of the first level as bool."""
        while len(self._levels) <= number:
            self._levels.append(_bin_by_two(*self._levels[-1]))
        return self._levels[number]

    def cut(self, x: ArrayLike, y: ArrayLike, radius: ArrayLike) -> Cutouts:
        """Cut objects out.

        Parameters
        ----------
        x, y : array_like
            Pixel coordinates on the whole tile, the centre of the first pixel being 0. Shape ``(n,)``.
        radius : array_like
            Radii in arcsec, shape ``(n,)``; not used when the framing is a fixed angle.

        Returns
        -------
        Cutouts
            `n` cutouts.
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        side, limited = side_angles(radius, self.framing)
        pixels = side / self.pixel_scale
        n, size, bands = len(x), self.framing.size, len(self._levels[0][0])
        images = np.empty((n, bands, size, size), dtype=np.float32)
        bad = np.zeros(n, dtype=np.float32)
        missing, empty = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        off_edge = _off_edge_fraction(x, y, pixels, self._tile)
        y = y - self.first_row
        clean = self._count_invalid(x, y, pixels) == 0
        native = clean & (np.abs(pixels / size - 1) < NATIVE)
        per_area = np.float32(self.pixel_scale**-2)
        for i in range(n):
            if native[i]:
                _shift(self._levels[0][0], x[i], y[i], size, images[i])
            else:
                number = max(0, int(np.ceil(np.log2(pixels[i] / size / WIDEST_STEP))))
                planes, fraction = self._level(number)
                scale = 2.0**number
                centre = (x[i] + 0.5) / scale - 0.5, (y[i] + 0.5) / scale - 0.5
                matrix = _placement(*centre, pixels[i] / size / scale, size)
                if not clean[i] and fraction.dtype == bool:
                    window, matrix = _window(matrix, size, planes.shape[1:])
                    planes, fraction = planes[window], fraction[window].astype(np.float32)
                _warp(planes, matrix, size, images[i])
                if not clean[i]:
                    has_data = self._fill(fraction, matrix, images[i])
                    bad[i] = 1.0 - has_data.all(axis=0).mean()
                    seen = has_data.any(axis=(1, 2))
                    missing[i], empty[i] = not seen.all(), not seen.any()
            # One by one, while each is in the caches.
            images[i] *= per_area
        # The warp cannot tell a pixel off the tile from a masked one: the part off the tile is known exactly.
        bad = np.clip(bad - off_edge, 0.0, 1.0)
        return Cutouts(images, side, limited, bad, off_edge, missing, empty)

    def _fill(self, fraction: NDArray[Any], matrix: Float64, image: Float32) -> Bool:
        """Divide a cutout by its valid fraction, in place; return which of its pixels have data."""
        covered = np.empty_like(image)
        _warp(fraction, matrix, self.framing.size, covered)
        has_data = covered > 0.5
        np.divide(image, covered, out=image, where=has_data)
        image[~has_data] = 0.0
        return has_data

    def _count_invalid(self, x: Float64, y: Float64, pixels: Float64) -> NDArray[np.int64]:
        """Pixels without data in some band, off the tile or on it, in a box around each cutout."""
        height, width = self.shape
        # Bilinear interpolation on a binned plane reads up to two binned pixels beyond the cutout.
        half = pixels / 2 + 2 + 2 * np.ceil(pixels / self.framing.size)
        left, right = np.floor(x - half).astype(np.int64), np.ceil(x + half).astype(np.int64) + 1
        low, high = np.floor(y - half).astype(np.int64), np.ceil(y + half).astype(np.int64) + 1
        area = (right - left) * (high - low)
        left, right = np.clip(left, 0, width), np.clip(right, 0, width)
        low, high = np.clip(low, 0, height), np.clip(high, 0, height)
        sums = self._invalid_sums
        invalid = sums[high, right] - sums[low, right] - sums[high, left] + sums[low, left]
        return np.asarray(invalid + area - (right - left) * (high - low), dtype=np.int64)


def _shift(planes: Sequence[Float32] | Float32, x: float, y: float, size: int, out: Float32) -> None:
    """Take every plane of a cutout with pixels of the tile's size into `out`, as `_warp` would, only faster."""
    for plane, target in zip(planes, out, strict=True):
        cv2.getRectSubPix(plane, (size, size), (x, y), patch=target)


def _placement(x: float, y: float, step: float, size: int) -> Float64:
    """Affine map from cutout pixels to plane pixels that puts (x, y) at the centre of the cutout."""
    centre = (size - 1) / 2
    return np.array([[step, 0.0, x - step * centre], [0.0, step, y - step * centre]])


def _window(matrix: Float64, size: int, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], Float64]:
    """The part of planes that a cutout reads, and the affine map to its pixels."""
    reach = matrix[0, 0] * (size - 1)
    window, origin = [slice(None)], list[int]()
    for first, length in zip(matrix[:, 2], shape[::-1], strict=True):
        # Bilinear interpolation reads the pixels around a place; a cutout off the plane reads some of its edge.
        start = int(min(max(first - 1, 0), length - 1))
        window.insert(1, slice(start, int(min(max(first + reach + 2, start + 1), length))))
        origin.append(start)
    shifted = matrix.copy()
    shifted[:, 2] -= origin
    return tuple(window), shifted


def _warp(planes: Sequence[Float32] | Float32, matrix: Float64, size: int, out: Float32) -> None:
    """Resample every plane of a cutout into `out`."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for plane, target in zip(planes, out, strict=True):
        cv2.warpAffine(
            plane,
            matrix,
            (size, size),
            dst=target,
            flags=flags,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )


def _bin_by_two(planes: Float32, fraction: NDArray[Any]) -> tuple[Float32, Float32]:
    """Mean of 2 x 2 pixels; an odd last row or column is padded with invalid pixels."""
    bands, height, width = planes.shape
    pad = [(0, height % 2), (0, width % 2)]
    binned = np.empty((2, bands, (height + 1) // 2, (width + 1) // 2), dtype=np.float32)
    for array, means in zip((planes, fraction), binned, strict=True):
        for plane, mean in zip(array, means, strict=True):
            padded = np.pad(plane, pad) if height % 2 or width % 2 else plane
            blocks = padded.reshape(len(mean), 2, -1, 2)
            blocks.mean(axis=(1, 3), dtype=np.float32, out=mean)
    return binned[0], binned[1]


def _off_edge_fraction(x: Float64, y: Float64, pixels: Float64, shape: tuple[int, ...]) -> Float32:
    """Fraction of the area of each cutout that lies off the tile, from geometry."""
    inside = np.ones_like(x)
    for position, length in ((x, shape[1]), (y, shape[0])):
        low = np.maximum(position - pixels / 2, -0.5)
        high = np.minimum(position + pixels / 2, length - 0.5)
        inside *= np.clip(high - low, 0.0, None) / pixels
    return np.where(inside > 1 - 1e-9, 0.0, 1.0 - inside).astype(np.float32)


def field_cutter(field: "Field", tile: "Tile", framing: Framing, order: Sequence[int] | None = None) -> Cutter:
    """What cuts objects out of a field.

    Parameters
    ----------
    field : Field
        Background-subtracted planes.
    tile : Tile
        The tile that the field was made of.
    framing : Framing
        How cutouts are sized.
    order : sequence of int, optional
        Indices of the bands, in the order wanted; as the tile has them unless given.

    Returns
    -------
    Cutter
    """
    planes, valid = field.planes, field.valid
    if order is not None and list(order) != list(range(len(planes))):
        planes, valid = planes[list(order)], valid[list(order)]
    return Cutter(planes, valid, tile.pixel_scale, framing, tile.first_row, tile.shape[0])


def field_cutouts(field: "Field", tile: "Tile", rows: slice | NDArray[np.intp], framing: Framing) -> Cutouts:
    """Cut detected objects out of their field.

    Parameters
    ----------
    field : Field
        Background-subtracted planes and the objects found on them.
    tile : Tile
        The tile that the field was made of.
    rows : slice or ndarray of int
        Which objects.
    framing : Framing
        How cutouts are sized.

    Returns
    -------
    Cutouts
        One for each row.
    """
    objects = field.objects.iloc[rows]
    return field_cutter(field, tile, framing).cut(objects["x"], objects["y"], objects["radius"])
