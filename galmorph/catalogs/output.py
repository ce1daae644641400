"""Tables for people and programs: text for the screen, CSV, JSON, Parquet, FITS and VOTable."""

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from galmorph.catalogs.standards import as_fits, as_votable
from galmorph.errors import CatalogError

FORMATS = ("table", "csv", "parquet", "json", "fits", "votable")
_BINARY = {"parquet": "Parquet", "fits": "FITS"}
#: Ends of the names of files, and the format that each means.
SUFFIXES = {
    ".txt": "table", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".json": "json", ".fits": "fits",
    ".fit": "fits", ".vot": "votable", ".votable": "votable", ".xml": "votable",
}  # fmt: skip


def write_table(table: pa.Table, format: str, output: Path | None = None) -> None:  # noqa: A002 - as the option is called
    """Write a table to a file or to standard output.

    Parameters
    ----------
    table : pyarrow.Table
        What to write.
    format : {"table", "csv", "parquet", "json", "fits", "votable"}
        `table` is text in columns, on a terminal only as many as fit its width. JSON is a list of records in which NaN
        is null. In CSV, lists are JSON.
    output : Path, optional
        File to write; standard output by default.

    Raises
    ------
    CatalogError
        If there is no such format, a binary one would go to a terminal, the format has no place for the values of a
        column, or the file cannot be written.
    """
    if format not in FORMATS:
        raise CatalogError(f"no format is called {format!r}; formats are {', '.join(FORMATS)}")
    if format in _BINARY and output is None and sys.stdout.isatty():
        raise CatalogError(f"{_BINARY[format]} is binary and would spoil the terminal: name a file with --output FILE")
    to_terminal = output is None and sys.stdout.isatty()
    data = (
        _encoded(table, format)
        if format != "table"
        else as_text(table, _terminal_width() if to_terminal else None).encode()
    )
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        raise CatalogError(f"{output} cannot be written: {error.strerror}") from error


def _encoded(table: pa.Table, format_: str) -> bytes:
    """A table in a format, or the first column that this has no place for in words."""
    try:
        return _ENCODERS[format_](table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if table.num_columns > 1:
            for number in range(table.num_columns):
                _encoded(table.select([number]), format_)
        field = table.schema.field(0)
        raise CatalogError(
            f"the column {field.name} cannot be written as {format_}, which has no place for some of its values, of "
            f'the type {field.type}. Ask for it as text: CAST("{field.name}" AS VARCHAR) AS "{field.name}"'
        ) from error


def format_of(output: Path | None) -> str:
    """Format that the name of a file asks for.

    Parameters
    ----------
    output : Path, optional
        The file; standard output by default.

    Returns
    -------
    str
        One of `FORMATS`: `table` for standard output and for a name without an end.

    Raises
    ------
    CatalogError
        If the end of the name means no format.
    """
    if output is None or not output.suffix:
        return "table"
    if output.suffix.lower() not in SUFFIXES:
        raise CatalogError(
            f"the name {output.name} tells no format; expected one that ends in {', '.join(SUFFIXES)}. With --format, "
            "where a command has it, a file may have any name"
        )
    return SUFFIXES[output.suffix.lower()]


def as_text(table: pa.Table, width: int | None = None) -> str:
    """A table as text in columns.

    Parameters
    ----------
    table : pyarrow.Table
        What to show.
    width : int, optional
        Columns that do not fit into so many characters are left out and named below; all are shown by default.

    Returns
    -------
    str
        Lines of text.
    """
    cells = {name: [_cell(value) for value in _values(table.column(i))] for i, name in enumerate(table.column_names)}
    widths = [max(map(len, [name, *column])) + 2 for name, column in cells.items()]
    shown = len(cells)
    if width is not None:
        # One column is always shown, folded if need be: the last one may be long text.
        while shown > 1 and sum(widths[:shown]) > width and not (shown == len(cells) == 2):
            shown -= 1
    view = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(list(cells)[:shown]):
        numeric = pa.types.is_integer(table.schema.field(index).type) or pa.types.is_floating(
            table.schema.field(index).type
        )
        view.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in zip(*list(cells.values())[:shown], strict=True):
        view.add_row(*(Text(cell) for cell in row))
    stream = io.StringIO()
    console = Console(file=stream, width=width or max(sum(widths), 20), color_system=None)
    console.print(view)
    hidden = list(cells)[shown:]
    if hidden:
        console.print(
            Text(f"and {len(hidden)} more columns: {', '.join(hidden)} (csv, json and parquet have them all)")
        )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _terminal_width() -> int:
    return Console().width


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; a float32 becomes the shortest decimal that means it, not that decimal's digits in float64."""
    if pa.types.is_float32(column.type):
        return [None if value is None else float(value) for value in pc.cast(column, pa.string()).to_pylist()]
    return list(column.to_pylist())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.7g}" if abs(value) < 1e6 else f"{value:.4g}"
    if isinstance(value, list):
        return f"[{len(value)} values]"
    return str(value)


def _as_csv(table: pa.Table) -> bytes:
    columns = [_flat(table.column(i)) for i in range(table.num_columns)]
    sink = io.BytesIO()
    pcsv.write_csv(pa.table(columns, names=table.column_names), sink, pcsv.WriteOptions(quoting_style="needed"))
    return sink.getvalue()


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists as JSON text, which CSV can hold."""
    if not pa.types.is_nested(column.type):
        return column
    return pa.chunked_array(
        [pa.array([json.dumps(_plain(value), default=str) for value in column.to_pylist()], pa.string())]
    )


def _as_json(table: pa.Table) -> bytes:
    columns = [_values(table.column(i)) for i in range(table.num_columns)]
    records = [dict(zip(table.column_names, map(_plain, row), strict=True)) for row in zip(*columns, strict=True)]
    return (json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False, default=str) + "\n").encode()


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


_ENCODERS = {"csv": _as_csv, "json": _as_json, "parquet": _as_parquet, "fits": as_fits, "votable": as_votable}
