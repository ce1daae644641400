"""Image planes from FITS files, as they come.

Each file is opened once, every failure is a `TileError` in words, and nothing goes to the screen.
"""

import bz2
import errno
import gzip
import logging
import math
import os
import re
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray

from galmorph.errors import TileError, TileUnavailableError

#: Largest number of pixels of one HDU: a header that claims more is taken for damaged.
#: The largest tiles of today's surveys have 4e8 in a band.
MAX_PIXELS = 2_500_000_000
#: Largest number of pixels for each byte of a file; only constant images are compressed that well.
MAX_COMPRESSION = 20_000
#: Most axes that WCSLIB knows, highest order of SIP's distortions, and most axes or columns that FITS knows.
MOST_WCS_AXES, MOST_ORDER, MOST_COUNTED = 32, 9, 999
#: Keywords of SIP's distortions.
_COEFFICIENT, _ORDER = re.compile(r"[AB]P?_\d+_\d+"), re.compile(r"[AB]P?_ORDER")


#: Faults of a machine, a disk or a network, which say nothing about a file.
MACHINE_FAULTS = frozenset({
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EAGAIN, errno.EBUSY, errno.EINTR,
})  # fmt: skip

#: FITSFixedWarning tells of old spellings of dates, units and matrices that astropy understands all the same.
_IMMATERIAL = (DeprecationWarning, ResourceWarning, FITSFixedWarning)


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


@dataclass
class Notes:
    """Warnings that reading gave rise to, each once."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Take a warning down unless it is there already."""
        if line not in self.lines:
            self.lines.append(line)


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
    with _opened(path, notes) as opened:
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
    with _opened(path, notes) as opened:
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
    with _opened(path, Notes(), disable_image_compression=True) as opened:
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
        with _opened(path, Notes(), disable_image_compression=True) as opened:
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
    with _opened(path, Notes()) as opened:
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
        _refuse_absurd_wcs(hdu.header)
        wcs = WCS(hdu.header, fobj=opened).celestial
        if wcs.naxis != 2 or not isinstance(wcs.pixel_to_world(0.0, 0.0), SkyCoord):
            return None
    except MemoryError:
        raise
    except Exception as error:  # as in _in_words
        notes.add(f"{path.name}: the WCS of {label} cannot be understood: {_first_line(error)}")
        return None
    wcs.pixel_shape = (shape[-1], shape[-2])
    return wcs


def _refuse_absurd_wcs(header: fits.Header) -> None:
    """Fail at values in a damaged header that end the process in WCSLIB, or take astropy days.

    The one makes room for as many axes as it is told, and takes a coefficient that is a text for a record; the other
    asks for every coefficient that a distortion of the order could have.
    """
    for keyword in header:
        limit = MOST_WCS_AXES if keyword.startswith("WCSAXES") else MOST_ORDER if _ORDER.fullmatch(keyword) else None
        if limit is not None:
            value = header[keyword]
            if isinstance(value, int | float) and value > limit:
                raise ValueError(f"{keyword} is {value}, and at most {limit}")
        elif _COEFFICIENT.match(keyword) and ("." in keyword or isinstance(header[keyword], str)):
            # astropy reads texts such as 'NAXES: 3' as a record, whose keyword goes on with a point.
            raise ValueError(f"{keyword} is {header[keyword]!r}, and no number")


@contextmanager
def _opened(path: Path, notes: Notes, **options: Any) -> Iterator[fits.HDUList]:
    """A FITS file, with all that goes wrong, there and in the body, in words."""
    # astropy leaves a file open that it cannot make sense of, when it opened it itself.
    with _quiet(path, notes), _in_words(path), path.open("rb") as file:
        _refuse_absurd_counts(path, file)
        with fits.open(file, memmap=False, **options) as opened:
            yield opened


def _refuse_absurd_counts(path: Path, file: BinaryIO) -> None:
    """Fail at headers of more axes or columns than FITS has: astropy would count them all, for days.

    Data are passed over as headers say; where these make no other sense astropy has the word. Of a file that is
    compressed as a whole, which has to be read to pass over anything, the first header is looked at.
    """
    start = file.read(3)
    file.seek(0)
    unpack: Any = {b"\x1f\x8b\x08": gzip.open, b"BZh": bz2.open}.get(start)
    for header in _headers(file) if unpack is None else islice(_headers(unpack(file)), 1):
        for keyword in ("NAXIS", "ZNAXIS", "TFIELDS"):
            count = header.get(keyword, 0)
            if not isinstance(count, int) or count > MOST_COUNTED:
                raise TileError(
                    f"{path}: a header says that {keyword} is {count!r}; expected a whole number up to {MOST_COUNTED}. "
                    "The file is damaged: get it again"
                )
    file.seek(0)


def _headers(stream: Any) -> Iterator[fits.Header]:
    """Headers of a file as far as they can be found."""
    with suppress(EOFError, LookupError, OSError, TypeError, ValueError, OverflowError, zlib.error, fits.VerifyError):
        while True:
            header = fits.Header.fromfile(stream, endcard=True)
            yield header
            stream.seek(_data_bytes(header), os.SEEK_CUR)


def _data_bytes(header: fits.Header) -> int:
    """Bytes of the data after a header, with their padding."""
    lengths = [int(header[f"NAXIS{axis + 1}"]) for axis in range(header["NAXIS"])]
    groups = bool(lengths) and lengths[0] == 0 and header.get("GROUPS") is True
    values = math.prod(lengths[1:] if groups else lengths) if lengths else 0
    count, more = (int(header.get(name, least)) for name, least in (("GCOUNT", 1), ("PCOUNT", 0)))
    size = abs(int(header["BITPIX"])) // 8 * count * (more + values)
    return -(-max(size, 0) // 2880) * 2880


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Make a `TileError` of what astropy raises.

    A damaged file can make it raise nearly anything (OSError, TypeError, KeyError, zlib.error, VerifyError, ...), so
    this boundary, around nothing but calls of astropy and the checks of this module, catches all of it.
    """
    try:
        yield
    except TileError:
        raise
    except MemoryError as error:
        reason = f"{path} needs more memory than there is; use fewer workers, smaller tiles or a machine with more"
        raise TileUnavailableError(reason) from error
    except FileNotFoundError as error:
        raise TileUnavailableError(f"{path} is not there any more") from error
    except PermissionError as error:
        raise TileUnavailableError(f"{path} may not be read by this user; change its permissions") from error
    except ModuleNotFoundError as error:
        raise TileError(f"{path} is compressed in a way that is not read (LZW, .Z); uncompress it first") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in MACHINE_FAULTS:
            raise TileUnavailableError(f"{path} cannot be read now: {error.strerror}") from error
        raise TileError(
            f"{path} is damaged, incomplete or not FITS: get it again or leave it out "
            f"(astropy says: {_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text[:200] or type(error).__name__).rstrip(".: ")


class _Collector(logging.Filter):
    def __init__(self, take: Any) -> None:
        super().__init__()
        self.take = take

    def filter(self, record: logging.LogRecord) -> bool:
        self.take(record.getMessage())
        return False


@contextmanager
def _quiet(path: Path, notes: Notes) -> Iterator[None]:
    """Take down what astropy warns of and logs, instead of its going to the screen."""
    collector = _Collector(lambda text: notes.add(f"{path.name}: {' '.join(text.split())[:200]}"))
    logger = logging.getLogger("astropy")
    logger.addFilter(collector)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        logger.removeFilter(collector)
        for warning in caught:
            if not issubclass(warning.category, _IMMATERIAL):
                notes.add(f"{path.name}: {' '.join(str(warning.message).split())[:200]}")
