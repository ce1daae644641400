"""The run folder. A part that exists with the right digests is the proof that its tile is done: no database.

``run.json`` holds the configuration and the tiles, ``parts/TILE.parquet`` the scored objects of a tile,
``rejects/TILE.parquet`` what of it could not be scored, and why.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from galmorph.errors import FolderError, RunError

#: Names of reject files that belong to no tile; tile names cannot begin with a dot.
INPUTS, POSITIONS = ".inputs", ".positions"

_METADATA = b"galmorph"

REJECT_SCHEMA = pa.schema(
    [
        pa.field("tile", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("number", pa.int64()),
        pa.field("source_id", pa.string()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Reject:
    """Something that got no scores.

    Parameters
    ----------
    tile : str
        Name of the tile; empty for a position that lies in none.
    kind : {"input", "tile", "object", "position"}
        What was set aside.
    reason : str
        Why, in words.
    number : int or None
        Number of the object in its tile.
    source_id : str
        Identifier from the table of positions.
    ra, dec : float or None
        Position in degrees.
    """

    tile: str
    kind: Literal["input", "tile", "object", "position"]
    reason: str
    number: int | None = None
    source_id: str = ""
    ra: float | None = None
    dec: float | None = None


@dataclass(frozen=True)
class Account:
    """What became of a tile, as its files record it.

    Parameters
    ----------
    key : str
        Digest of the configuration and of the tile's files.
    detected, scored, rejected : int
        Numbers of objects; the first is the sum of the others.
    tile_rejected : bool
        If the tile as a whole was set aside.
    final : bool
        False when a later attempt could end otherwise, as after a worker's death.
    warnings : tuple of str
        What was odd about the tile.
    """

    key: str
    detected: int = 0
    scored: int = 0
    rejected: int = 0
    tile_rejected: bool = False
    final: bool = True
    warnings: tuple[str, ...] = ()


class Journal:
    """Reads and writes a run folder.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_file = folder / "run.json"

    def part(self, tile: str) -> Path:
        """File of a tile's scored objects."""
        return self.folder / "parts" / f"{tile}.parquet"

    def reject_file(self, tile: str) -> Path:
        """File of what was set aside of a tile."""
        return self.folder / "rejects" / f"{tile}.parquet"

    def write_tile(self, tile: str, rows: pa.Table, rejects: Sequence[Reject], account: Account) -> None:
        """Record a finished tile: its rejects first, then its part, whose existence means that both are there."""
        if rejects:
            write_parquet(_reject_table(rejects), self.reject_file(tile), account)
        else:
            _remove(self.reject_file(tile))
        write_parquet(rows, self.part(tile), account)

    def write_rejected_tile(self, tile: str, reason: str, account: Account) -> None:
        """Record a tile that was set aside as a whole."""
        _remove(self.part(tile))
        write_parquet(_reject_table([Reject(tile, "tile", reason)]), self.reject_file(tile), account)

    def scored(self, tile: str) -> bool:
        """Whether a tile has a part."""
        return read_account(self.part(tile)) is not None

    def forget(self, tile: str) -> None:
        """Remove what the files say of a tile."""
        _remove(self.part(tile))
        _remove(self.reject_file(tile))

    def write_rejects(self, name: str, rejects: Sequence[Reject] | pa.Table) -> None:
        """Record what belongs to no tile (`INPUTS` or `POSITIONS`), in place of what an earlier call recorded."""
        file, count = self.reject_file(name), len(rejects)
        if count:
            table = rejects if isinstance(rejects, pa.Table) else _reject_table(rejects)
            write_parquet(table, file, Account("", count, 0, count))
        else:
            _remove(file)

    def account(self, tile: str) -> Account | None:
        """What the files say of a tile; None when they say nothing, or not all of it."""
        account = read_account(self.part(tile))
        if account is None:
            account = read_account(self.reject_file(tile))
            return account if account is not None and account.tile_rejected else None
        if account.rejected and read_account(self.reject_file(tile)) != account:
            return None
        return account

    def rejects(self) -> pa.Table:
        """Everything that was set aside, in the order of the files' names.

        Raises
        ------
        RunError
            If a file is damaged.
        """
        files = sorted(file for file in (self.folder / "rejects").glob("*") if file.suffix == ".parquet")
        return pa.concat_tables([REJECT_SCHEMA.empty_table(), *map(read_rows, files)])


def write_parquet(table: pa.Table, path: Path, account: Account) -> None:
    """Write a table and its account by atomic rename, on disk before it has its name.

    Raises
    ------
    FolderError
        If the disk is full or read-only, or the folder is not there.
    """
    metadata = {**(table.schema.metadata or {}), _METADATA: json.dumps(asdict(account)).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    _write(path, sink.getvalue())


def _write(path: Path, content: Any) -> None:
    """Write bytes by atomic rename; nothing is left behind when it fails."""
    with told_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    with told_in_words(path):
        path.unlink(missing_ok=True)


@contextmanager
def told_in_words(path: Path) -> Iterator[None]:
    """Make a `FolderError` of what keeps a file of a run folder from being written."""
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"{path} cannot be written: {error.strerror or error}. Free space or correct the permissions of the run "
            "folder, and give the same command again: what is finished is kept"
        ) from error


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a file of the journal, or some columns of them.

    Raises
    ------
    RunError
        If it is damaged.
    """
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{path} is damaged ({' '.join(str(error).split())}). Remove it and give the same command again: its tile "
            "is done anew, and what else is finished is kept"
        ) from error


def read_account(path: Path) -> Account | None:
    """Account in a file of the journal; None when there is no such file or it is damaged."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        facts = json.loads(metadata[_METADATA])
        return Account(**facts | {"warnings": tuple(facts.get("warnings", ()))})
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write JSON by atomic rename; a FolderError when it cannot be written."""
    write_text(path, json.dumps(facts, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text by atomic rename; a FolderError when it cannot be written."""
    _write(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the run folder.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); start the run in another folder") from error
    if not isinstance(facts, dict) or not all(isinstance(facts.get(key, {}), dict) for key in ("config", "tiles")):
        raise RunError(f"{path} is not a run's record; start the run in another folder")
    return facts


def rejected_positions(positions: pd.DataFrame, reason: str) -> pa.Table:
    """Rejects of the kind ``position``, of which there may be millions, in columns.

    Parameters
    ----------
    positions : pandas.DataFrame
        `source_id`, `ra` and `dec`.
    reason : str
        Why, in words.

    Returns
    -------
    pyarrow.Table
        Of `REJECT_SCHEMA`.
    """
    count = len(positions)
    columns = {"tile": pa.repeat("", count), "kind": pa.repeat("position", count), "reason": pa.repeat(reason, count)}
    columns["number"] = pa.nulls(count, pa.int64())
    for name in ("source_id", "ra", "dec"):
        columns[name] = pa.array(positions[name], REJECT_SCHEMA.field(name).type)
    return pa.table([columns[name] for name in REJECT_SCHEMA.names], schema=REJECT_SCHEMA)


def _reject_table(rejects: Sequence[Reject]) -> pa.Table:
    rows = [{name: _readable(value) for name, value in asdict(reject).items()} for reject in rejects]
    return pa.Table.from_pylist(rows, schema=REJECT_SCHEMA)


def _readable(value: Any) -> Any:
    """Text with the bytes of file names that are no UTF-8 written out in digits; other values as they are."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
