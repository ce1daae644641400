"""Image planes from FITS files, as they come.

Each file is opened once, every failure is a `TileError` in words, and nothing goes to the screen.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from galmorph.errors import TileError
from galmorph.fits_files import Notes, first_line, open_fits, refuse_absurd_wcs

#: Largest number of pixels of one HDU: a header that claims more is taken for damaged.
#: The largest tiles of today's surveys have 4e8 in a band.
MAX_PIXELS = 2_500_000_000
#: Largest number of pixels for each byte of a file; only constant images are compressed that well.
MAX_COMPRESSION = 20_000


@dataclass
class Plane:
    """One image HDU as it was found.

    Parameters
    ----------
    pixels : numpy.ndarray
        Native byte order, BZERO and BSCALE applied, BLANK as NaN. The shape is ``(rows, columns)`` or, for a cube,
        ``(planes, rows, columns)``; the rows are those that were asked for.
    headers : sequence of astropy.io.fits.Header
        Of the HDU, and others that have what it lacks.
    wcs : astropy.wcs.WCS or None
        Celestial, two-dimensional, of the whole image; None when the header has none, or nobody asked for it.
    hdu : str
        How errors call the HDU.
    """

    pixels: NDArray[Any]
    headers: Sequence[fits.Header]
    wcs: WCS | None
    hdu: str

    @cached_property
    def header(self) -> fits.Header:
        """Keywords of the HDU, and the primary header's where it lacks them."""
        own, *others = self.headers
        header = own.copy()
        for other in others:
            header.extend(other, unique=True, strip=True)
        return header


@dataclass(frozen=True)
class Outline:
    """What the header of an image HDU tells of its shape.

    Parameters
    ----------
    shape : tuple of int
        As numpy has it, rows and columns the last.
    wcs : astropy.wcs.WCS or None
        Celestial, two-dimensional; None when the header has none.
    together : int
        Rows that cannot be read without one another; 1 unless the image is compressed in tiles of several rows.
    """

    shape: tuple[int, ...]
    wcs: WCS | None
    together: int


def read_planes(
    path: Path,
    hdus: Sequence[str | int | None],
    notes: Notes,
    rows: tuple[int, int] | None = None,
    located: Collection[str | int | None] | None = None,
) -> list[Plane]:
    """Image HDUs of a file, which is opened and closed once.

    Parameters
    ----------
    path : Path
        FITS file, plain, tile-compressed (fpack), gzip or bzip2, whatever its ending.
    hdus : sequence of str, int or None
        Names or indices of the HDUs; None is the first with an image.
    notes : Notes
        Takes what astropy warns of.
    rows : tuple of int, optional
        First row to read and the one after the last; all unless given.
    located : collection of str, int or None, optional
        Those of `hdus` whose WCS is wanted, which takes its time; all unless given. Of two that are the same HDU, the
        first one tells.

    Returns
    -------
    list of Plane
        One for each of `hdus`, the same object where two are the same HDU.

    Raises
    ------
    TileError
        If the file cannot be read, or an HDU is not there or holds no image.
    """
    found: dict[str | int | None, Plane] = {}
    by_index: dict[int, Plane] = {}
    with open_fits(path, notes) as opened:
        for wanted in dict.fromkeys(hdus):
            index = _index(path, opened, wanted)
            if index not in by_index:
                on_sky = located is None or wanted in located
                by_index[index] = _plane(path, opened, index, notes, rows, on_sky)
            found[wanted] = by_index[index]
    return [found[wanted] for wanted in hdus]


def read_outlines(path: Path, hdus: Sequence[str | int | None]) -> list[Outline]:
    """What headers tell of images, without reading any.

    Parameters
    ----------
    path : Path
        FITS file.
    hdus : sequence of str, int or None
        As for `read_planes`.

    Returns
    -------
    list of Outline
        One for each of `hdus`.

    Raises
    ------
    TileError
        If the file cannot be read, or an HDU is not there or holds no image.
    """
    notes = Notes()
    with open_fits(path, notes) as opened:
        found = []
        for wanted in hdus:
            index = _index(path, opened, wanted)
            hdu = opened[index]
            label = _label(hdu, index)
            _check_size(path, hdu, label)
            together = hdu.tile_shape[-2] if isinstance(hdu, fits.CompImageHDU) else 1
            found.append(Outline(tuple(hdu.shape), _celestial(opened, hdu, hdu.shape, path, label, notes), together))
        return found


def largest_plane(path: Path) -> int:
    """Pixels of the largest plane in a file, whatever is wrong with it otherwise; 0 without an image.

    Parameters
    ----------
    path : Path
        FITS file.

    Returns
    -------
    int

    Raises
    ------
    TileError
        If headers cannot be read.
    """
    # As tables, compressed images tell their shape much faster.
    with open_fits(path, Notes(), disable_image_compression=True) as opened:
        names = [("ZNAXIS1", "ZNAXIS2") if hdu.header.get("ZIMAGE") else ("NAXIS1", "NAXIS2") for hdu in opened]
        sides = [[int(hdu.header.get(name, 0)) for name in axes] for hdu, axes in zip(opened, names, strict=True)]
        return max((columns * rows for columns, rows in sides), default=0)


def may_hold_planes(path: Path, keyword: str | None = None) -> bool:
    """Whether a file may hold an image, by its headers; also where these cannot be read, for reading to say why.

    Parameters
    ----------
    path : Path
        FITS file.
    keyword : str, optional
        Names the planes of a cube: what has neither three axes nor this keyword is none.

    Returns
    -------
    bool
    """
    try:
        with open_fits(path, Notes(), disable_image_compression=True) as opened:
            named = keyword is None or keyword in opened[0].header
            return any(_axes(hdu.header) >= (2 if named or keyword in hdu.header else 3) for hdu in opened)
    except TileError:
        return True


def _axes(header: fits.Header) -> int:
    """Axes of an image, compressed or not; 0 of a table."""
    if header.get("ZIMAGE"):
        return int(header.get("ZNAXIS", 0))
    return 0 if "TFIELDS" in header else int(header.get("NAXIS", 0))


def starts_as_fits(path: Path) -> bool:
    """Whether a file is FITS from its first byte, and not compressed as a whole."""
    with path.open("rb") as file:
        return file.read(6) == b"SIMPLE"


def describe_file(path: Path) -> str:
    """What a FITS file holds, in words: its HDUs, and the bands, unit and WCS that headers tell of.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str

    Raises
    ------
    TileError
        If it cannot be read.
    """
    with open_fits(path, Notes()) as opened:
        told = []
        for hdu in opened:
            header = hdu.header
            told += [f"{key} = {header[key]}" for key in ("BANDS", "FILTER", "BUNIT", "CTYPE1") if header.get(key)]
        listed = ", ".join(dict.fromkeys(told))
        return _contents(opened) + (f". Its headers say {listed}" if listed else "")


def _label(hdu: Any, index: int) -> str:
    return f"HDU {index}" + (f" ({hdu.name})" if hdu.name else "")


def _plane(path: Path, opened: Any, index: int, notes: Notes, rows: tuple[int, int] | None, on_sky: bool) -> Plane:
    hdu = opened[index]
    label = _label(hdu, index)
    _check_size(path, hdu, label)
    shape = tuple(hdu.shape)
    data = hdu.data if rows is None else hdu.section[(*[slice(None)] * (len(shape) - 2), slice(*rows), slice(None))]
    if data is None:
        raise TileError(f"{path}: {label} holds no pixels")
    pixels = np.asarray(data)
    while pixels.ndim > 3 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.dtype.kind not in "fiu":
        raise TileError(f"{path}: {label} holds {pixels.dtype} values; expected numbers")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    wcs = _celestial(opened, hdu, shape, path, label, notes) if on_sky else None
    return Plane(pixels, [opened[i].header for i in dict.fromkeys((index, 0))], wcs, label)


def _check_size(path: Path, hdu: Any, label: str) -> None:
    """Refuse before anything is allocated what the file cannot hold."""
    shape = tuple(int(length) for length in hdu.shape)
    if any(length != 1 for length in shape[:-3]):
        raise TileError(
            f"{path}: {label} is an image of {len(shape)} axes, {_times(shape)}; expected 2, or 3 for a cube"
        )
    pixels = 1
    for length in shape:
        pixels *= length
    if pixels <= 0:
        raise TileError(f"{path}: {label} is an image without pixels, {_times(shape)}")
    limit = min(MAX_PIXELS, path.stat().st_size * MAX_COMPRESSION)
    if pixels > limit:
        raise TileError(
            f"{path}: the header of {label} claims an image of {_times(shape)} pixels; expected at most {limit} "
            f"in a file of {path.stat().st_size} bytes. The file is damaged or incomplete: get it again"
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, reversed(shape)))


def _index(path: Path, opened: Any, wanted: str | int | None) -> int:
    """Index of the HDU asked for."""
    images = [i for i, hdu in enumerate(opened) if _is_image(hdu)]
    if wanted is None:
        if not images:
            raise TileError(f"{path} holds no image; it has {_contents(opened)}")
        return images[0]
    if isinstance(wanted, int):
        if wanted >= len(opened):
            raise TileError(f"{path} has no HDU {wanted}; it has {_contents(opened)}")
        index = wanted
    else:
        named = [i for i, hdu in enumerate(opened) if hdu.name.upper() == wanted.strip().upper()]
        if not named:
            raise TileError(f"{path} has no HDU called {wanted}; it has {_contents(opened)}")
        index = named[0]
    if index not in images:
        raise TileError(f"{path}: HDU {wanted} is no image; the file has {_contents(opened)}")
    return index


def _is_image(hdu: Any) -> bool:
    return bool(hdu.is_image) and not isinstance(hdu, fits.GroupsHDU) and len(hdu.shape) >= 2


def _contents(opened: Any) -> str:
    def words(hdu: Any) -> str:
        shape = hdu.shape if hdu.is_image else ()
        if isinstance(hdu, fits.GroupsHDU):
            return "random groups"
        return f"image {_times(shape)}" if shape else ("no data" if hdu.is_image else "a table")

    listed = [f"{i} {hdu.name or '(no name)'}: {words(hdu)}" for i, hdu in enumerate(opened)]
    more = len(listed) - 12
    return "; ".join(listed[:12]) + (f"; and {more} more" if more > 0 else "")


def _celestial(opened: Any, hdu: Any, shape: tuple[int, ...], path: Path, label: str, notes: Notes) -> WCS | None:
    """Celestial part of the HDU's WCS, None when there is none that can be used."""
    try:
        refuse_absurd_wcs(hdu.header)
        wcs = WCS(hdu.header, fobj=opened).celestial
        if wcs.naxis != 2 or not isinstance(wcs.pixel_to_world(0.0, 0.0), SkyCoord):
            return None
    except MemoryError:
        raise
    except Exception as error:  # as in galmorph.fits_files
        notes.add(f"{path.name}: the WCS of {label} cannot be understood: {first_line(error)}")
        return None
    wcs.pixel_shape = (shape[-1], shape[-2])
    return wcs
