"""What the files of a tile were when a run took them up: paths, sizes, times of change and digests."""

import errno
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from galmorph.digests import file_sha256
from galmorph.errors import TileUnavailableError
from galmorph.surveys import TileSource

#: Called with the bytes of tiles that are known, and those of all.
Hashing = Callable[[int, int], None]

Record = dict[str, Any]

#: Seconds after which a file that gives no byte is taken for unavailable: tapes are slow, and servers may hang.
PATIENCE = 600.0


def tile_records(
    sources: Sequence[TileSource], known: Mapping[str, Record], hashing: Hashing | None = None
) -> dict[str, Record]:
    """Record of each tile.

    Parameters
    ----------
    sources : sequence of TileSource
        The tiles.
    known : mapping
        Records of an earlier call, whose digests are kept while size and time of change stay.
    hashing : callable or None
        Told of progress after each tile.

    Returns
    -------
    dict of str to dict
        ``files`` with path, size, mtime_ns and sha256 of each, ``own`` and ``read`` with the rows of a stripe, and
        ``fault`` when the files could not be read, by tile.
    """
    # Stripes of one tile have the same files.
    sizes = {path: _size(path) for source in sources for path in source.files}
    total, done = sum(sizes.values()), 0
    records: dict[str, Record] = {}
    read: list[Record] = []
    for source in sources:
        record = tile_record(source, {"files": [*known.get(source.name, {}).get("files", []), *read]})
        records[source.name] = record
        read = record["files"] if source.stripe else []
        done += sum(sizes.pop(path, 0) for path in source.files)
        if hashing is not None:
            hashing(done, total)
    return records


def tile_record(source: TileSource, known: Mapping[str, Any]) -> Record:
    """Record of a tile; see `tile_records`."""
    earlier = {file["path"]: file for file in known.get("files", [])}
    files: list[Record] = []
    stripe = source.stripe
    rows = {} if stripe is None else {"own": list(stripe.own), "read": list(stripe.read)}
    try:
        for path in source.files:
            status = path.stat()
            # Not resolved: what a link points to may have another name, and no survey's.
            record = {"path": str(path.absolute()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
            before = earlier.get(record["path"], {})
            same = all(before.get(name) == record[name] for name in ("size", "mtime_ns"))
            if not same:
                _await_bytes(path)
            files.append(record | {"sha256": before["sha256"] if same else file_sha256(path)})
    except OSError as error:
        return {
            "files": files,
            "fault": f"{error.filename or source.files[0]} cannot be read: {error.strerror or error}",
        } | rows
    return {"files": files} | rows


def refuse_changes(source: TileSource, record: Mapping[str, Any]) -> None:
    """Raise when the files of a tile are not those that were recorded.

    Raises
    ------
    TileUnavailableError
        If one is gone, gives no byte for a long time, or has another size or time of change.
    """
    for path, before in zip(source.files, record["files"], strict=True):
        try:
            status = path.stat()
            _await_bytes(path)
        except OSError as error:
            raise TileUnavailableError(f"{path} cannot be read now: {error.strerror or error}") from error
        if (status.st_size, status.st_mtime_ns) != (before["size"], before["mtime_ns"]):
            raise TileUnavailableError(f"{path} has changed while the run was under way")


def _await_bytes(path: Path) -> None:
    """Wait for the ends of a file, and raise OSError when they cannot be read or do not come.

    A read that hangs cannot be broken off; it is left to a thread of its own, so that the worker can go on.
    """
    faults: list[OSError] = []

    def read() -> None:
        try:
            _read_ends(path)
        except OSError as error:
            faults.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise OSError(errno.ETIMEDOUT, f"no byte came for {PATIENCE:.0f} s, the disk is slow or hangs", str(path))
    if faults:
        raise faults[0]


def _read_ends(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.read(1)
        file.seek(max(0, os.fstat(file.fileno()).st_size - 1))
        file.read(1)


def _size(path: Any) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0
