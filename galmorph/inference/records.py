"""What the files of a tile were when a run took them up: paths, sizes, times of change and digests."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from galmorph.digests import file_sha256
from galmorph.errors import TileUnavailableError
from galmorph.inference.patience import within_patience
from galmorph.surveys import TileSource

#: Called with the bytes of tiles that are known, and those of all.
Hashing = Callable[[int, int], None]

Record = dict[str, Any]


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
            # Not resolved: what a link points to may have another name, and no survey's.
            before = earlier.get(str(path.absolute()), {})
            files.append(within_patience([path], partial(_file_record, path, before)))
    except OSError as error:
        return {
            "files": files,
            "fault": f"{error.filename or source.files[0]} cannot be read: {error.strerror or error}",
        } | rows
    return {"files": files} | rows


def _file_record(path: Path, before: Mapping[str, Any]) -> Record:
    status = path.stat()
    record = {"path": str(path.absolute()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    same = all(before.get(name) == record[name] for name in ("size", "mtime_ns"))
    return record | {"sha256": before["sha256"] if same else file_sha256(path)}


def refuse_changes(source: TileSource, record: Mapping[str, Any]) -> None:
    """Raise when the files of a tile are not those that were recorded.

    Raises
    ------
    OSError
        If one is gone, or nothing can be told of it.
    TileUnavailableError
        If one has another size or time of change.
    """
    for path, before in zip(source.files, record["files"], strict=True):
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) != (before["size"], before["mtime_ns"]):
            raise TileUnavailableError(f"{path} has changed while the run was under way")


def _size(path: Any) -> int:
    try:
        return int(path.stat().st_size)
    except OSError:
        return 0
