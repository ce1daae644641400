"""What each partition was made of, so that a write leaves alone what has not changed; and the step that replaces."""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.digests import file_sha256
from galmorph.errors import CatalogError
from galmorph.locks import take

#: File in a catalogue with the digests of its partitions.
LEDGER_FILE = "partition_digests.json"
#: Bytes that are hashed at once.
_CHUNK = 2**20
#: Arguments of renameat2: paths relative to the working directory; exchange the two.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Ledger:
    """Digests of what partitions are made of, beside those of the catalogue that is to be replaced.

    Parameters
    ----------
    parts : sequence of Path
        Parts that rows come from.
    schema : pyarrow.Schema
        Schema of the catalogue.
    old : Path
        Catalogue that may be there already.
    """

    def __init__(self, parts: Sequence[Path], schema: pa.Schema, old: Path) -> None:
        self._parts = [_rows_digest(path) for path in parts]
        self._schema = schema.serialize().to_pybytes()
        self._folder = old
        self._before = _read(old / LEDGER_FILE)
        self._entries: dict[str, dict[str, str]] = {}
        #: Number of partitions that were taken over.
        self.taken_over = 0

    def content(self, part: NDArray[np.int32], row: NDArray[np.int64], primary: NDArray[np.bool_]) -> str:
        """Digest of what decides the bytes of a partition, whatever the order of the parts.

        Parameters
        ----------
        part, row : ndarray of int, shape (n,)
            Part of each row, and its place there.
        primary : ndarray of bool, shape (n,)
            If it is primary.

        Returns
        -------
        str
            SHA-256.
        """
        used, place = np.unique(part, return_inverse=True)
        digests = [self._parts[number] for number in used]
        order = np.argsort(np.array(digests)) if digests else np.empty(0, np.int64)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        hasher = hashlib.sha256(self._schema)
        hasher.update("".join(sorted(digests)).encode())
        for values in (rank[place.reshape(-1)] if len(part) else rank, row.astype(np.int64), primary):
            hasher.update(np.ascontiguousarray(values).tobytes())
        return hasher.hexdigest()

    def take_over(self, name: str, content: str, path: Path) -> bool:
        """Link the old catalogue's file of a partition, if it was made of the same and is what was written then.

        Parameters
        ----------
        name : str
            Path of the partition in a catalogue.
        content : str
            Digest of what it is made of.
        path : Path
            Where the file is wanted.

        Returns
        -------
        bool
            If it is there now.
        """
        before, old = self._before.get(name), self._folder / name
        if before is None or before.get("content") != content or not old.is_file():
            return False
        if file_sha256(old) != before.get("sha256"):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(old, path)
        except OSError:
            shutil.copyfile(old, path)
        self.taken_over += 1
        return True

    def enter(self, name: str, content: str, path: Path) -> None:
        """Remember the file of a partition.

        Parameters
        ----------
        name, content : str
            As for `take_over`.
        path : Path
            The file.
        """
        self._entries[name] = {"content": content, "sha256": file_sha256(path)}

    def write(self, folder: Path) -> None:
        """Write the digests into the folder of a catalogue."""
        text = json.dumps(self._entries, indent=1, sort_keys=True)
        (folder / LEDGER_FILE).write_text(text + "\n", encoding="utf-8")


@contextmanager
def one_writer(out: Path) -> Iterator[None]:
    """Let one call at a time make what takes the place of a folder.

    Parameters
    ----------
    out : Path
        The folder's place, which need not be there.

    Raises
    ------
    CatalogError
        If another call is making one for the same place.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    with path.open("a") as file:
        # Who had it before may have removed the file between our opening and our locking.
        if not (take(file, out) and _is_at(file, path)):
            raise CatalogError(f"another call writes {out} now; wait for its end, and give the command again")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file still is what has the name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def replace_folder(building: Path, out: Path, old: Path) -> None:
    """Let a folder take the place of another, and remove that.

    Where the file system can (Linux, local disks), the two change places in one step: at no moment is there none. Else
    there is none for the moment between two renames.

    Parameters
    ----------
    building : Path
        The new folder.
    out : Path
        Its place.
    old : Path
        Name for the old one, where it takes two steps.
    """
    if out.exists():
        if _exchange(building, out):
            shutil.rmtree(building, ignore_errors=True)
            return
        out.rename(old)
    building.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(out: Path, old: Path) -> None:
    """Put back what `replace_folder` had moved away when it was killed between its two renames.

    Parameters
    ----------
    out : Path
        The folder's place.
    old : Path
        The name that it was given for that moment.
    """
    if old.exists() and not out.exists():
        old.rename(out)


def _exchange(first: Path, second: Path) -> bool:
    """Let two paths change places in one step; False where that cannot be done."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0)


def _read(path: Path) -> dict[str, dict[str, str]]:
    """Digests of the catalogue that is there; none if there is none, or one that keeps none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values()) else {}


def _rows_digest(path: Path) -> str:
    """SHA-256 of the rows of a Parquet file: of its pages and columns, not of what else its footer tells of the run."""
    hasher = hashlib.sha256(str(pq.read_schema(path).remove_metadata()).encode())
    with path.open("rb") as stream:
        size = stream.seek(-8, os.SEEK_END) + 8
        left = size - 8 - int.from_bytes(stream.read(4), "little")
        stream.seek(0)
        while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
            hasher.update(chunk)
            left -= len(chunk)
    return hasher.hexdigest()
