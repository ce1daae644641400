"""A training's folder belongs to one call at a time, and its files are whole or not there."""

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from galmorph.errors import ConfigError
from galmorph.locks import take
from galmorph.training.gather import is_first

#: What is locked; it stays.
LOCK = ".lock"

#: Names that files have while they are written.
UNFINISHED = re.compile(r"\..+\.\d+")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, which has to be there, until the end of the block; of several processes the first does.

    Files that a call was writing when it was killed are gone then.

    Parameters
    ----------
    folder : Path
        Of a training or a search.

    Raises
    ------
    ConfigError
        If another call holds it.
    """
    if not is_first():
        yield
        return
    with (folder / LOCK).open("a") as file:
        if not take(file, folder):
            raise ConfigError(
                f"another call works on {folder} now; wait for its end, stop it, or choose another folder"
            )
        for path in (*folder.glob(".*"), *folder.glob("*/.*")):
            if is_unfinished(path):
                path.unlink(missing_ok=True)
        yield


def is_unfinished(path: Path) -> bool:
    """Whether a file is what `write_whole` was writing when its process was killed."""
    return UNFINISHED.fullmatch(path.name) is not None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that it is whole or as it was.

    Parameters
    ----------
    path : Path
        The file; replaced if it is there.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        If it cannot be written, with the file's name, which a full disk alone does not tell.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            # On disk before it has its name: a machine that stops would else leave it empty.
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole, as `write_whole` does.

    Parameters
    ----------
    path : Path
        The file; replaced if it is there.
    rows : iterable of sequences
        The first are the names of the columns.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write_whole(path, text.getvalue().encode())
