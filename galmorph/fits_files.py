"""FITS files that may be damaged, opened: what goes wrong is a `TileError` in words, and nothing goes to the screen."""

import bz2
import errno
import gzip
import logging
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits
from astropy.wcs import FITSFixedWarning

from galmorph.errors import TileError, TileUnavailableError

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
class Notes:
    """Warnings that reading gave rise to, each once."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Take a warning down unless it is empty or there already."""
        if line and line not in self.lines:
            self.lines.append(line)


@contextmanager
def open_fits(path: Path, notes: Notes, **options: Any) -> Iterator[fits.HDUList]:
    """A FITS file, with all that goes wrong, there and in the body, in words.

    Parameters
    ----------
    path : Path
        The file.
    notes : Notes
        Takes what astropy warns of.
    options
        Of `astropy.io.fits.open`.

    Yields
    ------
    astropy.io.fits.HDUList

    Raises
    ------
    TileError
        Whatever it was; a `TileUnavailableError` for faults of the machine.
    """
    # astropy leaves a file open that it cannot make sense of, when it opened it itself.
    with _quiet(path, notes), _in_words(path), path.open("rb") as file:
        _refuse_absurd_counts(path, file)
        with fits.open(file, memmap=False, **options) as opened:
            yield opened


def refuse_absurd_wcs(header: fits.Header) -> None:
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
            f"(astropy says: {first_line(error)})"
        ) from error


def first_line(error: Exception) -> str:
    """What an exception says, in one line of no more than 200 characters; its class if it says nothing."""
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
