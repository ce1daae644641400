"""From the counts of a file to nanomaggies, and from its weights to inverse variances."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import TileError
from galmorph.fits_planes import Plane
from galmorph.imaging import NANOMAGGY
from galmorph.surveys import Survey, TileSource

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]

#: Rows of a plane that are worked on at once.
ROWS = 64
#: Number of steps between neighbouring pixels that the scale of relative weights is told from.
STEPS = 1_000_000
#: Magnitudes beyond which a zero-point, negative or positive, is none: a placeholder for one, as -9999.
FARTHEST_ZERO_POINT = 100.0
#: AB magnitude of one count in the units of flux that headers tell.
FLUX_UNITS = {
    "Jy": 8.9, "mJy": 16.4, "uJy": 23.9, "microJy": 23.9, "nJy": 31.4,
    "maggy": 0.0, "nanomaggy": NANOMAGGY, "nanomaggies": NANOMAGGY, "nmgy": NANOMAGGY,
}  # fmt: skip
#: Units of flux per steradian, in jansky per steradian.
SURFACE_UNITS = {"MJy/sr": 1e6, "MJy sr-1": 1e6, "Jy/sr": 1.0}
#: Magnitudes by which a zero-point may differ from that of the unit without a note.
ZERO_POINT_TOLERANCE = 0.1


def pixel_area(source: TileSource, survey: Survey, pixel_scale: float) -> float:
    """Area of the file's pixel in units of the pixel that counts are given for."""
    if not source.layout.image.native_pixels or survey.pixel_scale is None:
        return 1.0
    return (pixel_scale / survey.pixel_scale) ** 2


@dataclass(frozen=True)
class Calibrated:
    """A band's planes, each of the shape ``(rows, columns)``.

    Parameters
    ----------
    image : ndarray of float32
        Nanomaggies per pixel, 0 where there is no data.
    weight : ndarray of float32 or None
        Inverse variance in nanomaggies^-2.
    valid : ndarray of bool
        Where there is data.
    """

    image: Floats
    weight: Floats | None
    valid: Booleans

    @classmethod
    def empty(cls, shape: tuple[int, ...], weighed: bool) -> Self:
        """Planes to be written."""
        weight = np.empty(shape, dtype=np.float32) if weighed else None
        return cls(np.empty(shape, dtype=np.float32), weight, np.empty(shape, dtype=bool))

    def __getitem__(self, band: int) -> Self:
        """One of several bands."""
        return type(self)(self.image[band], None if self.weight is None else self.weight[band], self.valid[band])


def in_nanomaggies(
    plane: Plane,
    weight: Plane | None,
    index: int | None,
    band: str,
    source: TileSource,
    survey: Survey,
    area: float,
    out: Calibrated,
) -> None:
    """Calibrate the image of a band and its weight.

    Parameters
    ----------
    plane : Plane
        Counts.
    weight : Plane or None
        What the file of weights holds, if there is one.
    index : int or None
        Of the band in its cube; None when the HDU is the band alone.
    band : str
        Its name.
    source : TileSource
        Files and layout.
    survey : Survey
        Zero-points, or the keywords that give them.
    area : float
        Of `pixel_area`.
    out : Calibrated
        Written, of the shape of the image; its weight unless `weight` is None.

    Raises
    ------
    TileError
        If the unit is another than the layout's, a zero-point is missing, or the weight has another size.
    """
    _check_unit(plane, band, source)
    layer = source.layout.image
    counts = plane.pixels if index is None else plane.pixels[index]
    if layer.asinh:
        counts = _linear(counts, plane, source.images[band])
    factor = area * 10 ** (0.4 * (NANOMAGGY - _zero_point(plane, band, source, survey)))
    for rows in some_rows(counts):
        np.multiply(counts[rows], factor, out=out.image[rows], casting="unsafe")
        np.isfinite(out.image[rows], out=out.valid[rows])
        if layer.no_data is not None:
            out.valid[rows] &= counts[rows] != layer.no_data
    blank(out.image, out.valid)
    if weight is None or out.weight is None:
        return
    _inverse_variance(weight, index, source, band, counts, factor**-2, out.weight)
    for rows in some_rows(counts):
        out.valid[rows] &= out.weight[rows] > 0


def some_rows(plane: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows that together are a plane, so few that what is made of them on the way stays in the caches."""
    return (slice(start, start + ROWS) for start in range(0, len(plane), ROWS))


def blank(plane: Floats, valid: Booleans) -> None:
    """Write 0 where there is no data; both are of the shape ``(rows, columns)``."""
    for rows in some_rows(plane):
        if not valid[rows].all():
            plane[rows][~valid[rows]] = 0


def _zero_point(image: Plane, band: str, source: TileSource, survey: Survey) -> float:
    found = _given_zero_point(image, band, source, survey)
    if abs(found) > FARTHEST_ZERO_POINT:
        keyword = survey.zero_point_keyword or survey.counts_keyword
        where = f"by {keyword} in the header of {image.hdu}" if keyword else f"by the profile {survey.name}"
        raise TileError(
            f"{source.images[band]}: the zero-point of band {band} is {found:g} mag {where}; expected one between "
            f"{-FARTHEST_ZERO_POINT:g} and {FARTHEST_ZERO_POINT:g}. Correct it, or give the right one by zero_point of "
            "the profile generic"
        )
    return found


def _given_zero_point(image: Plane, band: str, source: TileSource, survey: Survey) -> float:
    if survey.zero_point_keyword is not None:
        return _header_number(image, survey.zero_point_keyword, "the zero-point", band, source)
    keyword = survey.counts_keyword
    if keyword is None:
        return survey.zero_point[band]
    what = f"the counts of magnitude {survey.zero_point[band]:g}"
    counts = _header_number(image, keyword, what, band, source)
    if counts <= 0:
        raise TileError(
            f"{source.images[band]}: the header of {image.hdu} has to give {what} in {keyword}, and has {counts:g}; "
            f"expected a positive number. Correct the header, or describe the file by the profile generic"
        )
    return survey.zero_point[band] + 2.5 * float(np.log10(counts))


def _header_number(image: Plane, keyword: str, what: str, band: str, source: TileSource) -> float:
    value = image.header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise TileError(
            f"{source.images[band]}: the header of {image.hdu} has to give {what} of band {band} in {keyword}, "
            f"and has {'no such keyword' if value is None else repr(value)}"
        )
    return float(value)


def _check_unit(image: Plane, band: str, source: TileSource) -> None:
    """Refuse an image whose header says that its unit is another than the layout's."""
    units, found = source.layout.image.units, image.header.get("BUNIT")
    if not units or not isinstance(found, str) or not found.strip():
        return
    if found.strip().lower() not in [unit.lower() for unit in units]:
        raise TileError(
            f"{source.images[band]}: {image.hdu} is in {found.strip()}; expected {' or '.join(units)}. Convert it, or "
            f"describe it by a profile of its own, such as generic with its zero-point"
        )


def odd_unit(image: Plane, band: str, source: TileSource, survey: Survey, pixel_scale: float) -> str:
    """What is odd about the unit that the header of a band's image tells, where the layout takes any.

    Parameters
    ----------
    image : Plane
        With its header.
    band : str
        Its name.
    source : TileSource
        Files and layout.
    survey : Survey
        Zero-points, or the keywords that give them.
    pixel_scale : float
        Arcsec per pixel.

    Returns
    -------
    str
        In words: that a flux is another than the zero-point's, or that counts are taken for nanomaggies by a profile
        that may be told their zero-point. Empty when nothing is odd, or nothing is told.

    Raises
    ------
    TileError
        If the zero-point is missing.
    """
    unit = image.header.get("BUNIT")
    if source.layout.image.units or not isinstance(unit, str) or not unit.strip():
        return ""
    taken, told = _zero_point(image, band, source, survey), _zero_point_of(unit.strip(), pixel_scale)
    what = f"{source.images[band].name} is in {unit.strip()} by its header"
    if told is not None and abs(told - taken) > ZERO_POINT_TOLERANCE:
        return f"{what}, of which the zero-point is {told:.2f}, and that of band {band} is {taken:.2f}: correct one"
    if told is None and taken == NANOMAGGY and any(option.sets == "zero_point" for option in survey.options):
        return f"{what}, and taken for nanomaggies: give zero_point, the AB magnitude of one count, or convert it"
    return ""


def _zero_point_of(unit: str, pixel_scale: float) -> float | None:
    """AB magnitude of one count of a unit; None of what is no unit of flux."""
    per_steradian = SURFACE_UNITS.get(unit)
    if per_steradian is None:
        return FLUX_UNITS.get(unit.partition("/pix")[0])
    return FLUX_UNITS["Jy"] - 2.5 * float(np.log10(per_steradian * np.radians(pixel_scale / 3600) ** 2))


def _inverse_variance(
    plane: Plane,
    index: int | None,
    source: TileSource,
    band: str,
    counts: NDArray[Any],
    scale: float,
    out: Floats,
) -> None:
    """Write `scale` times the inverse variance in counts^-2, 0 where it is not positive and finite."""
    path, layer, shape = source.weights[band], source.layout.weight, counts.shape
    if plane.pixels.ndim > 2 and len(plane.pixels) <= (index or 0):
        raise TileError(
            f"{path}: {plane.hdu} is a cube of {len(plane.pixels)} planes of weights, and band {band} is plane "
            f"{(index or 0) + 1} of the image; expected a plane for each band. Add those that are missing, or leave "
            "the weights out of the profile"
        )
    values = plane.pixels if plane.pixels.ndim == 2 else plane.pixels[index or 0]
    if values.shape != shape:
        raise TileError(
            f"{path}: the weight has {values.shape[1]} x {values.shape[0]} pixels, the image of band {band} "
            f"{shape[1]} x {shape[0]}"
        )
    if source.layout.image.asinh:
        values = _linear(values, plane, path)
    kind = layer.kind if layer else "invvar"
    power = {"invvar": 1.0, "relative": 1.0, "variance": -1.0, "rms": -2.0}[kind]
    for rows in some_rows(values):
        # In double precision: counts may be so small that the squares of their noise are no numbers in single.
        # A power of 1 leaves numbers as they are; raising many of them to it would take its time.
        powers = values[rows] if power == 1 else np.power(values[rows], power, dtype=np.float64)
        np.multiply(powers, 1.0 if kind == "relative" else scale, out=out[rows], dtype=np.float64, casting="unsafe")
        good = np.isfinite(out[rows])
        good &= values[rows] > 0
        if not good.all():
            out[rows][~good] = 0
    if kind == "relative":
        factor = scale * _noise_scale(counts, out)
        np.multiply(out, factor, out=out, dtype=np.float64, casting="unsafe")
        out[~np.isfinite(out)] = 0


def _noise_scale(counts: NDArray[Any], weight: Floats) -> float:
    """What relative weights have to be multiplied by, for them to say the noise between neighbouring pixels."""
    step = max(1, int(np.sqrt(counts.size / STEPS)))
    steps = _weighed_steps(counts, weight, step)
    if step > 1 and not len(steps):
        steps = _weighed_steps(counts, weight, 1)
    variance = (1.4826 * float(np.median(np.abs(steps)))) ** 2 if len(steps) else 0.0
    return 1.0 / variance if variance > 0 else 1.0


def _weighed_steps(counts: NDArray[Any], weight: Floats, step: int) -> NDArray[np.float64]:
    """Differences of neighbours in a row in units of their noise by the weights; of every so many rows and columns."""
    (left, right), (first, second) = (
        (plane[::step, :-1:step].astype(np.float64), plane[::step, 1::step].astype(np.float64))
        for plane in (counts, weight)
    )
    both = (first > 0) & (second > 0) & np.isfinite(left) & np.isfinite(right)
    return np.asarray((right - left)[both] / np.sqrt(1 / first[both] + 1 / second[both]))


def _linear(pixels: NDArray[Any], plane: Plane, path: Path) -> NDArray[Any]:
    """Counts of pixels that were scaled by an inverse hyperbolic sine, as Pan-STARRS1 stores stacks.

    ``BOFFSET + 2 BSOFTEN sinh(pixel / alpha)``, alpha = 2.5 lg e (Waters et al. 2020, ApJS 251, 4).

    Parameters
    ----------
    pixels : numpy.ndarray
        Of `plane`, or a part of them.
    plane : Plane
        Its header has BOFFSET and BSOFTEN, or none of them: then the pixels are counts as they are.
    path : Path
        How errors call the file.

    Returns
    -------
    numpy.ndarray
        Counts, of the shape of `pixels`.

    Raises
    ------
    TileError
        If a keyword is no number, or one of them is missing.
    """
    values = [plane.header.get(keyword) for keyword in ("BOFFSET", "BSOFTEN")]
    if values == [None, None]:
        return pixels
    for keyword, value in zip(("BOFFSET", "BSOFTEN"), values, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise TileError(
                f"{path}: {plane.hdu} is scaled by an inverse hyperbolic sine, which takes numbers in BOFFSET and "
                f"BSOFTEN; its header has {'no ' + keyword if value is None else f'{keyword} = {value!r}'}"
            )
    offset, softening = values
    return np.asarray(offset + 2 * softening * np.sinh(np.asarray(pixels, dtype=np.float64) / (2.5 * np.log10(np.e))))
