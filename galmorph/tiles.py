"""Tiles: band planes in nanomaggies with weights, masks and a WCS, from files described by a survey profile."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from galmorph.errors import BundleError, TileError, TileUnavailableError
from galmorph.fits_files import Notes
from galmorph.fits_planes import Plane, read_planes
from galmorph.flux_scale import Calibrated, blank, in_nanomaggies, odd_unit, pixel_area, some_rows
from galmorph.grids import REACH, match_grids, pixel_ratio, resample
from galmorph.mask_bits import mask_bits
from galmorph.sky import local_axes
from galmorph.surveys import Stripe, Survey, TileSource

log = logging.getLogger(__name__)

#: Relative difference from the profile's pixel scale that is worth a warning.
SCALE_TOLERANCE = 0.02
#: Largest seeing in pixels: more comes of a WCS that is wrong.
MAX_SEEING = 300
#: Relative difference of a pixel's sides that is worth a warning.
SQUARE_TOLERANCE = 0.01

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Tile:
    """Images of one piece of sky in all bands of a survey, on one grid.

    The planes of a stripe of a large tile hold the rows that were read of it; its WCS, and all positions on it, are
    those of the whole tile.

    Parameters
    ----------
    name : str
        Unique in a run.
    bands : tuple of str
        In the order of the planes.
    image : numpy.ndarray
        Nanomaggies per pixel, 0 where there is no valid data. The shape is ``(bands, rows, columns)``, float32.
    weight : numpy.ndarray or None
        Inverse variance in nanomaggies^-2, 0 where there is no valid data, of the shape of `image`, float32. None
        when the tile's files do not give it.
    saturated : numpy.ndarray of bool
        Pixels that the survey's mask calls saturated in any band. The shape is ``(rows, columns)``.
    valid : numpy.ndarray of bool
        Pixels with data: finite, not spoiled by the mask of their band, of positive weight. The shape is that of
        `image`.
    wcs : astropy.wcs.WCS
        Celestial, two-dimensional, of the whole tile.
    pixel_scale : float
        Arcsec: the side of a square of the area of the pixel at the tile's centre.
    warnings : tuple of str
        What is odd about the tile, in words.
    seeing : tuple of float
        FWHM of each band in arcsec, from the survey's profile.
    detection_bands : tuple of str
        Bands that objects are searched in.
    stripe : Stripe or None
        Rows that the planes are of a large tile; None for a whole tile.
    """

    name: str
    bands: tuple[str, ...]
    image: Floats
    weight: Floats | None
    saturated: Booleans
    valid: Booleans
    wcs: WCS
    pixel_scale: float
    warnings: tuple[str, ...]
    seeing: tuple[float, ...]
    detection_bands: tuple[str, ...]
    stripe: Stripe | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole tile."""
        rows, columns = self.saturated.shape
        return (rows, columns) if self.stripe is None else self.stripe.shape

    @property
    def first_row(self) -> int:
        """Row of the whole tile that is the first of the planes."""
        return 0 if self.stripe is None else self.stripe.read[0]

    def keeps(self, y: ArrayLike) -> Booleans:
        """Whether objects are this tile's, by their rows on the whole tile; False for those of other stripes alone."""
        return np.ones(np.shape(y), dtype=bool) if self.stripe is None else self.stripe.keeps(y)

    def covers(self, x: ArrayLike, y: ArrayLike) -> Booleans:
        """Whether positions on the whole tile lie on the planes; not where they are NaN."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float) - self.first_row
        rows, columns = self.saturated.shape
        return np.asarray((x >= -0.5) & (x < columns - 0.5) & (y >= -0.5) & (y < rows - 0.5))

    def edge_distance(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Distance of positions to the nearest edge of the whole tile, arcsec."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        height, width = self.shape
        nearest = np.minimum(np.minimum(x + 0.5, width - 0.5 - x), np.minimum(y + 0.5, height - 0.5 - y))
        return np.asarray(nearest * self.pixel_scale)


def refuse_want_of_memory(error: Exception) -> None:
    """Raise a MemoryError where a library stumbled for want of memory, which is no fault of a tile's."""
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
        raise MemoryError(str(error)) from error


def why_unusable(source: TileSource, error: Exception) -> str:
    """Why a tile is set aside, in words: what is wrong with it, or what its odd pixels make a library stumble over."""
    if isinstance(error, TileError | BundleError):
        return str(error)
    what = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"{source.files[0]}: the objects of tile {source.name} cannot be measured ({type(error).__name__}: {what}). "
        "Look at the tile, leave it out, or report this with the tile"
    )


def read_tile(source: TileSource, survey: Survey) -> Tile:
    """Read the files of a tile, each once.

    Parameters
    ----------
    source : TileSource
        Files, from `galmorph.surveys.find_tiles`; of a stripe only its rows are read.
    survey : Survey
        Profile that `source` was found with.

    Returns
    -------
    Tile

    Raises
    ------
    TileError
        If a file cannot be read, lacks a band, an HDU, a zero-point or a WCS, or if the planes are not on one grid.
    """
    # Damaged files hold any number; what is not finite in the end is not valid.
    with np.errstate(all="ignore"):
        return _read_tile(source, survey)


def _read_tile(source: TileSource, survey: Survey) -> Tile:
    notes = Notes()
    read = _read_files(source, survey, notes)
    images = {band: read[("image", band)] for band in survey.bands}
    planes = {band: _band_plane(images[band], band, source, survey) for band in survey.bands}
    for band in survey.bands:
        _note_filter(images[band], band, source, survey, notes)
    first = images[survey.bands[0]]
    pixel_scale = None if first.wcs is None else _pixel_scale(first.wcs, source, survey, notes)
    maps = match_grids(source, images)
    if source.stripe is not None and any(matrix is not None for matrix in maps.values()):
        raise TileUnavailableError(
            f"{source.files[0]}: the bands of tile {source.name} were on one grid, and are not now"
        )
    if first.wcs is None or pixel_scale is None:
        found = next((f" ({note})" for note in notes.lines if "WCS" in note), "")
        raise TileError(
            f"{source.images[survey.bands[0]]}: {first.hdu} has no celestial WCS, needed to say where on the sky "
            f"objects are{found}; add one to the header, for instance by solving the image's astrometry"
        )
    for band in survey.bands:
        notes.add(odd_unit(images[band], band, source, survey, pixel_scale))
    wcs = first.wcs
    spoiled, saturated = _read_masks(source, read, maps, survey)
    # What is in the files is let go as it is used: of a large tile it is as much as what is made of it.
    del images, first
    for band in survey.bands:
        read.pop(("mask", band), None)
    calibrated = _calibrate(source, survey, planes, maps, read, pixel_area(source, survey, pixel_scale))
    image, weight, valid = calibrated.image, calibrated.weight, calibrated.valid
    for band, good in zip(survey.bands, valid, strict=True):
        if band in spoiled:
            good &= ~spoiled.pop(band)
    for values in (image,) if weight is None else (image, weight):
        for plane, good in zip(values, valid, strict=True):
            blank(plane, good)
    resampled = [band for band, matrix in maps.items() if matrix is not None]
    if resampled:
        notes.add(f"resampled to the grid of band {survey.bands[0]}: {', '.join(resampled)}")
    if weight is None and source.layout.weight is not None:
        notes.add("no weight files: the noise is measured from the background")
    _note_empty(valid, source, survey, notes)
    for line in notes.lines:
        log.warning("tile %s: %s", source.name, line)
    return Tile(
        name=source.name,
        bands=survey.bands,
        image=image,
        weight=weight,
        saturated=saturated,
        valid=valid,
        wcs=wcs,
        pixel_scale=pixel_scale,
        warnings=tuple(notes.lines),
        seeing=tuple(survey.seeing[band] for band in survey.bands),
        detection_bands=survey.detection_bands,
        stripe=source.stripe,
    )


def _note_empty(valid: NDArray[np.bool_], source: TileSource, survey: Survey, notes: Notes) -> None:
    """Take down which bands have no valid pixel; a tile without any is refused, a stripe of one is not."""
    empty = [band for band, good in zip(survey.bands, valid, strict=True) if not good.any()]
    what = "all are masked, blank or of no weight"
    if len(empty) < len(survey.bands):
        if empty:
            notes.add(f"no valid pixel in {', '.join(empty)}: {what}")
    elif source.stripe is None:
        raise TileError(f"{source.files[0]}: tile {source.name} has no valid pixel: {what}")
    else:
        notes.add(f"no valid pixel: {what}")


def _read_files(source: TileSource, survey: Survey, notes: Notes) -> dict[tuple[str, str], Plane]:
    """HDU of each role and band."""
    rows = None if source.stripe is None else source.stripe.read
    read: dict[tuple[str, str], Plane] = {}
    for path, requests in source.requests(survey.bands).items():
        located = {hdu for role, _, hdu in requests if role == "image"}
        planes = read_planes(path, [hdu for _, _, hdu in requests], notes, rows, located)
        read |= {(role, band): plane for (role, band, _), plane in zip(requests, planes, strict=True)}
    return read


def _band_plane(image: Plane, band: str, source: TileSource, survey: Survey) -> int | None:
    """Index of the band in its cube; None when the HDU is the band alone."""
    layer, path, shape = source.layout.image, source.images[band], image.pixels.shape
    if not layer.is_cube:
        if len(shape) == 2 or (len(shape) == 3 and shape[0] == 1):
            return None if len(shape) == 2 else 0
        raise TileError(
            f"{path}: {image.hdu} is a cube of {shape[0]} planes; layout {source.layout.name} of survey {survey.name} "
            f"expects an image of two axes for each band. Use a layout that says which plane of a cube is which band"
        )
    count = shape[0] if len(shape) == 3 else 1
    bands = _cube_bands(image, count, path, source)
    if len(bands) != count:
        raise TileError(
            f"{path}: {image.hdu} has {count} planes; expected {len(bands)}, of the bands {', '.join(bands)}"
        )
    if band not in bands:
        missing = ", ".join(name for name in survey.bands if name not in bands)
        raise TileError(
            f"{path} has the bands {', '.join(bands)}; survey {survey.name} needs {', '.join(survey.bands)}, so that "
            f"{missing} is missing. Give tiles with all bands, or use a profile and a model for the bands there are"
        )
    return bands.index(band) if len(shape) == 3 else None


def _cube_bands(image: Plane, count: int, path: Path, source: TileSource) -> tuple[str, ...]:
    """Bands of a cube's planes, so many, in order: what the header says, else what the layout says."""
    layer = source.layout.image
    named = image.header.get(layer.planes_keyword) if layer.planes_keyword else None
    if isinstance(named, str) and named.strip():
        words = named.replace(",", " ").split()
        # One word for several planes is a letter for each.
        return tuple(words[0]) if len(words) == 1 and count > 1 else tuple(words)
    if layer.planes:
        return layer.planes
    raise TileError(
        f"{path}: the header of {image.hdu} lacks the keyword {layer.planes_keyword}, which says what band a plane of "
        f"a cube is; add it, or name the planes in the profile or the option 'planes'"
    )


def _pixel_scale(wcs: WCS, source: TileSource, survey: Survey, notes: Notes) -> float:
    columns, rows = wcs.pixel_shape
    axes = local_axes(wcs, (columns - 1) / 2, (rows - 1) / 2)
    sides = np.hypot(*axes)
    scale = float(np.sqrt(abs(np.linalg.det(axes))))
    if not np.isfinite(scale) or scale <= 0:
        raise TileError(f"{source.files[0]}: the WCS gives no pixel scale at the tile's centre; correct the header")
    if abs(sides[0] / sides[1] - 1) > SQUARE_TOLERANCE:
        notes.add(f"pixels are not square, {sides[0]:.4f} x {sides[1]:.4f} arcsec")
    blurred = max(survey.seeing.values()) / scale
    if blurred > MAX_SEEING:
        raise TileError(
            f"{source.files[0]}: by its WCS a pixel is {scale:.3g} arcsec, so that the seeing of survey {survey.name} "
            f"covers {blurred:.3g} pixels; expected {MAX_SEEING} at most. Correct the header"
        )
    native = survey.pixel_scale
    if native is not None and abs(scale / native - 1) > SCALE_TOLERANCE:
        notes.add(f"the pixel scale is {scale:.4f} arcsec, the native one of survey {survey.name} {native} arcsec")
    return scale


def _read_masks(
    source: TileSource,
    read: Mapping[tuple[str, str], Plane],
    maps: Mapping[str, NDArray[np.float64] | None],
    survey: Survey,
) -> tuple[dict[str, Booleans], Booleans]:
    """Pixels that are spoiled, by band, and those that are saturated in any; a mask for all bands is looked at once."""
    shape = read[("image", survey.bands[0])].pixels.shape[-2:]
    spoiled: dict[str, Booleans] = {}
    saturated = np.zeros(shape, dtype=bool)
    layer = source.layout.mask
    if layer is None or not source.masks:
        return spoiled, saturated
    sharing: dict[int, list[str]] = {}
    for band in survey.bands:
        sharing.setdefault(id(read[("mask", band)]), []).append(band)
    for bands in sharing.values():
        plane, path, matrix = read[("mask", bands[0])], source.masks[bands[0]], maps[bands[0]]
        own = read[("image", bands[0])].pixels.shape[-2:]
        rows, columns = plane.pixels.shape[-2:]
        if (rows, columns) != own:
            raise TileError(f"the mask of {path} has {columns} x {rows} pixels, the image {own[1]} x {own[0]}")
        bad = {band: None if layer.bad is None else mask_bits(plane, layer.bad[band], path) for band in bands}
        full = mask_bits(plane, [bit for band in bands for bit in layer.saturated[band]], path)
        wanted = list(dict.fromkeys([*bad.values(), full]))
        marked = dict(zip(wanted, _marked(plane.pixels, wanted, path), strict=True))
        if matrix is not None:
            marked = {
                bits: resample(where.astype(np.float32), matrix, shape, smooth=False) > 0.001
                for bits, where in marked.items()
            }
        spoiled |= {band: marked[bits] for band, bits in bad.items()}
        saturated |= marked[full]
    return spoiled, saturated


def _marked(pixels: NDArray[Any], bits: Sequence[int | None], path: Path) -> list[Booleans]:
    """Where a mask has any of some bits, or, for None, any value but 0; for a cube in any of its planes."""
    marked = [np.zeros(pixels.shape[-2:], dtype=bool) for _ in bits]
    for rows in some_rows(marked[0]):
        values = pixels[..., rows, :]
        values = values if values.ndim == 3 else values[None]
        numbers = _whole(values, path) if any(bits) else values
        for target, wanted in zip(marked, bits, strict=True):
            if wanted is None:
                # NaN is another value than 0, too.
                np.any(values != 0, axis=0, out=target[rows])
            elif wanted:
                every_bit = np.iinfo(numbers.dtype).max
                np.any(numbers & numbers.dtype.type(wanted & every_bit) != 0, axis=0, out=target[rows])
    return marked


def _whole(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Values of a mask as numbers whose bits can be looked at, without a sign; what is not finite has none set."""
    if values.dtype.kind not in "iu":
        values = np.nan_to_num(values, nan=0, posinf=0, neginf=0)
        if (values != np.trunc(values)).any():
            raise TileError(
                f"{path}: the mask holds fractions, such as {values[values != np.trunc(values)][0]:g}, which have no "
                "bits; expected whole numbers. Give the mask as it was before it was resampled, or leave out which "
                "bits count, so that any value but 0 does"
            )
        values = values.astype(np.int64)
    return values.view(f"u{values.dtype.itemsize}")


def _calibrate(
    source: TileSource,
    survey: Survey,
    planes: Mapping[str, int | None],
    maps: Mapping[str, NDArray[np.float64] | None],
    read: dict[tuple[str, str], Plane],
    area: float,
) -> Calibrated:
    """Images and weights in nanomaggies, and where they hold data; what is `read` of them is taken out."""
    rows, columns = read[("image", survey.bands[0])].pixels.shape[-2:]
    weighed = bool(source.weights)
    result = Calibrated.empty((len(survey.bands), rows, columns), weighed)
    for i, (band, plane) in enumerate(planes.items()):
        matrix = maps[band]
        image = read.pop(("image", band))
        weight = read.pop(("weight", band)) if weighed else None
        own = result[i] if matrix is None else Calibrated.empty(image.pixels.shape[-2:], weighed)
        in_nanomaggies(image, weight, plane, band, source, survey, area, own)
        if matrix is not None:
            _resample(own, matrix, result[i])
    return result


def _resample(band: Calibrated, matrix: NDArray[np.float64], out: Calibrated) -> None:
    """Write a band on another grid; between pixels without data and others nothing is made up."""
    shape, ratio = out.image.shape, np.float32(pixel_ratio(matrix))
    out.valid[:] = resample(band.valid.astype(np.float32), matrix, shape, smooth=False) > 0.999
    # A curve through pixels swings by any step from sky, or a star, to the 0 of what has no data: there, and along the
    # edges, neighbours that have data are joined by lines.
    reach = np.ones((2 * REACH + 1, 2 * REACH + 1), dtype=np.uint8)
    whole = cv2.erode(band.valid.view(np.uint8), reach, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    curved = resample(whole.astype(np.float32), matrix, shape, smooth=False) > 0.999
    out.image[:] = resample(band.image, matrix, shape)
    np.multiply(resample(band.image, matrix, shape, smooth=False), ratio, out=out.image, where=~curved)
    if band.weight is not None and out.weight is not None:
        np.divide(resample(band.weight, matrix, shape, smooth=False), ratio**2, out=out.weight)


def _note_filter(image: Plane, band: str, source: TileSource, survey: Survey, notes: Notes) -> None:
    """Note an image whose header calls it another one of the survey's bands."""
    named = str(image.header.get("FILTER", "")).strip().partition(" ")[0].lower()
    layout = source.layout
    own = {band.lower(), layout.in_files(band).lower()}
    others = {name.lower() for other in survey.bands for name in (other, layout.in_files(other))} - own
    if not layout.image.is_cube and named in others:
        notes.add(f"{source.images[band].name} is taken for band {band}, and its header says FILTER = {named}")
