"""Read the parts of a run, refusing what a catalogue cannot hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galmorph.catalogs.schema import COLUMNS, finite_columns, schema
from galmorph.catalogs.voparquet import with_votable
from galmorph.errors import CatalogError

_ADDED = {column.name for column in COLUMNS if column.added}


@dataclass(frozen=True)
class Parts:
    """Parts of a run that together make a catalogue.

    Parameters
    ----------
    paths : tuple of Path
        Parquet files, one per tile, in any order.
    schema : pyarrow.Schema
        Schema of the catalogue that they make.
    finite : frozenset of str
        Columns of numbers that may not be empty.
    """

    paths: tuple[Path, ...]
    schema: pa.Schema
    finite: frozenset[str]

    def read(self, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one part, with the types of the catalogue.

        Parameters
        ----------
        part : int
            Index of the part.
        columns : sequence of str, optional
            Columns to read; all that a part has by default.

        Returns
        -------
        pyarrow.Table
            The columns asked for, in the order of the catalogue.

        Raises
        ------
        CatalogError
            If values are missing, not finite where they have to be, or do not fit their type.
        """
        path = self.paths[part]
        wanted = [name for name in self.schema.names if name not in _ADDED and (columns is None or name in columns)]
        try:
            table = pq.read_table(path, columns=wanted, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(
                f"part {path} cannot be read ({' '.join(str(error).split())}). Remove it and give the command of its "
                "run again: its tile is done anew, and what else is finished is kept"
            ) from error
        return pa.table(
            [self._cast(path, table, name) for name in wanted], schema=pa.schema([self.schema.field(n) for n in wanted])
        )

    def _cast(self, path: Path, table: pa.Table, name: str) -> pa.ChunkedArray:
        wanted = self.schema.field(name).type
        values = table.column(name)
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        try:
            values = values.cast(wanted)
        except pa.ArrowException as error:
            raise CatalogError(f"part {path}: column {name} does not fit its type {wanted}: {error}") from error
        if pa.types.is_floating(wanted):
            # Empty, not NaN: Parquet statistics pass over NaN, and DuckDB then takes isnan() for false.
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, wanted), values)
        if name == "source_id":
            values = pc.fill_null(values, "")
        if values.null_count and (name in self.finite or not pa.types.is_floating(wanted)):
            raise CatalogError(
                f"part {path}: {values.null_count} of {len(values)} rows have no {name} (empty or NaN); "
                "the run has to reject such rows"
            )
        if name in self.finite and not pc.all(pc.is_finite(values), min_count=0).as_py():
            raise CatalogError(f"part {path}: a {name} is infinite; the run has to reject such rows")
        return values


def open_parts(paths: Sequence[Path], classes: Sequence[str], bands: Sequence[str]) -> Parts:
    """Check that parts have the columns of one catalogue.

    Parameters
    ----------
    paths : sequence of Path
        Parquet files.
    classes : sequence of str
        Classes of the model.
    bands : sequence of str
        Bands of the survey.

    Returns
    -------
    Parts
        Ready to be read.

    Raises
    ------
    CatalogError
        If a part cannot be opened, lacks a column, has one too many or one of the wrong type.
    """
    found = []
    for path in paths:
        try:
            found.append(pq.read_schema(path))
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(f"part {path} cannot be opened as Parquet: {error}") from error
    lengths = {_embedding_length(part) for part in found}
    if len(lengths) > 1:
        raise CatalogError(
            f"parts have embeddings of different lengths ({sorted(lengths)}; 0 is none): they cannot share a catalogue"
        )
    target = with_votable(schema(classes, bands, embedding=lengths.pop() if lengths else 0))
    for path, part in zip(paths, found, strict=True):
        _check_columns(path, part, target)
    return Parts(tuple(paths), target, frozenset(finite_columns(classes, bands)))


def check_positions(parts: Parts, keys: pa.Table) -> None:
    """Refuse positions off the sphere.

    Parameters
    ----------
    parts : Parts
        Where the rows come from, for the message.
    keys : pyarrow.Table
        Columns `ra` and `dec` of all parts, finite.

    Raises
    ------
    CatalogError
        If right ascension is outside [0, 360] or declination outside [-90, 90] degrees.
    """
    for name, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        values = keys.column(name).to_numpy()
        outside = np.flatnonzero((values < low) | (values > high))
        if len(outside):
            raise CatalogError(
                f"{name} must be from {low:g} to {high:g} degrees, but {len(outside)} of {len(values)} rows "
                f"in {len(parts.paths)} parts are not, the first of them {values[outside[0]]:g}"
            )


def _embedding_length(part: pa.Schema) -> int:
    if "embedding" not in part.names:
        return 0
    kind = part.field("embedding").type
    if not pa.types.is_fixed_size_list(kind):
        raise CatalogError(f"column embedding must be a fixed-size list of float16, got {kind}")
    return int(kind.list_size)


def _check_columns(path: Path, part: pa.Schema, target: pa.Schema) -> None:
    needed = [name for name in target.names if name not in _ADDED]
    missing = [name for name in needed if name not in part.names]
    if missing:
        raise CatalogError(f"part {path} has no column {', '.join(missing)}; a part needs {', '.join(needed)}")
    extra = [name for name in part.names if name not in needed]
    if extra:
        raise CatalogError(
            f"part {path} has columns that a catalogue does not: {', '.join(extra)}. Columns are described in "
            f"columns.toml; {' and '.join(sorted(_ADDED))} are made when the catalogue is written"
        )
    for name in needed:
        came, wanted = part.field(name).type, target.field(name).type
        if _kind(came) != _kind(wanted):
            raise CatalogError(f"part {path}: column {name} must be {wanted}, got {came}")


def _kind(kind: pa.DataType) -> str:
    """Coarse kind of a type: casts between kinds (text to number, say) are refused, within one they are checked."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "list" if pa.types.is_fixed_size_list(kind) else str(kind)
