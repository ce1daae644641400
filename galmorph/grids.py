"""Pixel grids of a tile's bands: refused when they differ, or resampled to one."""

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import cv2
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from galmorph.errors import TileError
from galmorph.fits_planes import Plane
from galmorph.sky import local_axes, pixel_to_sky, sky_to_pixel

if TYPE_CHECKING:
    from galmorph.surveys import TileSource

#: Largest distance, in pixels, between the corners of two bands that are taken for one grid.
GRID_TOLERANCE = 0.1

#: Most pixels a side that OpenCV takes, the side of the pieces that larger planes are resampled in, and how many pixels
#: beyond a piece count in it.
LARGEST, PIECE, NEIGHBOURS = 32_766, 1024, 8

#: Pixels on each side that count in one of a smooth interpolation.
REACH = 4

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]


def match_grids(source: "TileSource", images: Mapping[str, Plane]) -> dict[str, Matrix | None]:
    """What it takes to bring each band to the grid of the first one.

    Parameters
    ----------
    source : TileSource
        The tile; its layout says whether bands may be resampled.
    images : mapping of str to Plane
        Image of each band.

    Returns
    -------
    dict of str to numpy.ndarray or None
        None for bands on the grid of the first; else the affine map of shape ``(2, 3)`` from its pixels to the band's.

    Raises
    ------
    TileError
        If bands are on different grids and the layout does not say to align them, or cannot be aligned.
    """
    reference, *others = images
    first = images[reference]
    maps: dict[str, Matrix | None] = {reference: None}
    for band in others:
        image = images[band]
        maps[band] = None
        if image is first or (first.wcs is None and image.wcs is None):
            continue
        if image.wcs is None or first.wcs is None:
            lacking, other = (band, reference) if image.wcs is None else (reference, band)
            raise TileError(
                f"{source.images[lacking]}: {images[lacking].hdu} has no celestial WCS, unlike band {other} in "
                f"{source.images[other]}"
            )
        differs = difference(first.wcs, image.wcs)
        if differs is None:
            continue
        if not source.layout.align:
            raise TileError(
                f"bands {reference} and {band} are on different grids: {source.images[reference]} and "
                f"{source.images[band]} {differs}. Resample them to one grid first"
            )
        maps[band] = _affine(source, band, first, image)
    return maps


def resample(plane: NDArray[np.floating], matrix: Matrix, shape: tuple[int, int], *, smooth: bool = True) -> Floats:
    """Plane on another grid, its flux kept; 0 beyond its edge.

    Parameters
    ----------
    plane : numpy.ndarray
        The shape is ``(rows, columns)``.
    matrix : numpy.ndarray
        Affine map from pixels of the result to pixels of `plane`. The shape is ``(2, 3)``.
    shape : tuple of int
        Rows and columns of the result.
    smooth : bool
        Lanczos interpolation; False: linear and not scaled by the pixels' area, for weights and masks.

    Returns
    -------
    numpy.ndarray
        The shape is `shape`, float32.
    """
    kind = cv2.INTER_LANCZOS4 if smooth else cv2.INTER_LINEAR
    warp = _warped if max(*plane.shape, *shape) <= LARGEST else _warped_in_pieces
    result = warp(plane, matrix, shape, kind)
    return np.asarray(result * np.float32(pixel_ratio(matrix)), dtype=np.float32) if smooth else result


def pixel_ratio(matrix: Matrix) -> float:
    """Area of a pixel of the result of `resample` in pixels of the plane that it takes.

    So many times the flux of the plane's pixel is that of the result's, and its standard deviation.
    """
    return float(abs(np.linalg.det(matrix[:, :2])))


def difference(first: WCS, other: WCS) -> str | None:
    """How two grids differ.

    Parameters
    ----------
    first, other : astropy.wcs.WCS
        Celestial, with the shapes of their images.

    Returns
    -------
    str or None
        In words; None when they do not differ.
    """
    columns, rows = first.pixel_shape
    if other.pixel_shape != (columns, rows):
        return f"have {columns} x {rows} and {other.pixel_shape[0]} x {other.pixel_shape[1]} pixels"
    x = np.array([0, columns - 1, 0, columns - 1, (columns - 1) / 2])
    y = np.array([0, 0, rows - 1, rows - 1, (rows - 1) / 2])
    # Corners of a projection of the whole sky lie on no sky, in all bands or in none.
    seen, other_seen = (np.isfinite(pixel_to_sky(wcs, x, y)[0]) for wcs in (first, other))
    if not np.array_equal(seen, other_seen):
        return "have corners on the sky and off it"
    x, y = x[seen], y[seen]
    (ra, dec), (other_ra, other_dec) = pixel_to_sky(first, x, y), pixel_to_sky(other, x, y)
    east = (np.mod(other_ra - ra + 180, 360) - 180) * np.cos(np.radians(dec))
    scale = np.sqrt(abs(np.linalg.det(local_axes(first, x, y))))
    distance = float(np.max(np.hypot(east, other_dec - dec) * 3600 / scale, initial=0))
    return None if distance <= GRID_TOLERANCE else f"have corners {distance:.2f} pixels apart on the sky"


def _warped(plane: NDArray[np.floating], matrix: Matrix, shape: tuple[int, int], kind: int) -> Floats:
    plane = np.ascontiguousarray(plane, dtype=np.float32)
    return np.asarray(cv2.warpAffine(plane, matrix, shape[::-1], flags=kind | cv2.WARP_INVERSE_MAP))


def _warped_in_pieces(plane: NDArray[np.floating], matrix: Matrix, shape: tuple[int, int], kind: int) -> Floats:
    """As `_warped`, piece by piece of the result, each from the part of the plane that it shows."""
    result = np.zeros(shape, dtype=np.float32)
    for top, left in product(range(0, shape[0], PIECE), range(0, shape[1], PIECE)):
        piece = result[top : top + PIECE, left : left + PIECE]
        rows, columns = piece.shape
        corners = np.array([[left, left + columns, left, left + columns], [top, top, top + rows, top + rows], [1] * 4])
        x, y = matrix @ corners
        start = np.maximum(np.floor([x.min(), y.min()]).astype(int) - NEIGHBOURS, 0)
        end = np.maximum(np.ceil([x.max(), y.max()]).astype(int) + NEIGHBOURS, 0)
        part = plane[start[1] : end[1], start[0] : end[0]]
        if part.size:
            shifted = np.column_stack([matrix[:, :2], matrix @ [left, top, 1] - start])
            piece[:] = _warped(part, shifted, piece.shape, kind)
    return result


def _affine(source: "TileSource", band: str, first: Plane, other: Plane) -> Matrix:
    rows, columns = first.pixels.shape[-2:]
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, columns - 1, 7), np.linspace(0, rows - 1, 7)))
    target = np.column_stack(sky_to_pixel(other.wcs, *pixel_to_sky(first.wcs, x, y)))
    ones = np.column_stack([x, y, np.ones_like(x)])
    if np.isfinite(target).all():
        matrix = np.linalg.lstsq(ones, target, rcond=None)[0]
        residual = float(np.abs(ones @ matrix - target).max())
        if residual <= GRID_TOLERANCE:
            return np.asarray(matrix.T, dtype=float)
    raise TileError(
        f"{source.images[band]} cannot be aligned with {source.images[next(iter(source.images))]}: no shift, turn and "
        f"scale brings their pixels within {GRID_TOLERANCE} of each other. Resample them to one grid first"
    )
