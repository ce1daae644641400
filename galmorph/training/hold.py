"""A training's folder belongs to one call at a time, and its files are whole or not there."""

import os
import re
from collections.abc import Iterator
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
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
