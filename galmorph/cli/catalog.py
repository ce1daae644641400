"""``galmorph catalog info``, ``query`` and ``candidates``."""

from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from cyclopts import App, Parameter

from galmorph.catalogs import open_catalog, write_table

app = App(name="catalog", help="Ask a catalogue.")

Format = Annotated[
    Literal["table", "csv", "parquet", "json"],
    Parameter(help="table for reading; csv, parquet or json for other programs."),
]
Output = Annotated[Path | None, Parameter(help="File to write; standard output by default.")]


@app.command
def info(catalog: Path, /, *, format: Format = "table", output: Output = None) -> None:  # noqa: A002 - the option's name
    """Count what a catalogue holds: rows, classes, unknowns, flags, sky, and where it comes from.

    Parameters
    ----------
    catalog
        Folder of the catalogue, such as RUN/catalog.
    """
    counted = open_catalog(catalog).info()
    write_table(counted.table() if format == "table" else pa.Table.from_pylist([counted.to_dict()]), format, output)


@app.command
def query(catalog: Path, sql: str, /, *, format: Format = "table", output: Output = None) -> None:  # noqa: A002
    """Answer one SELECT over the table `catalog`, in DuckDB's SQL; nothing can be written or read besides.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    sql
        As "SELECT label, count(*) FROM catalog GROUP BY label".
    """
    write_table(open_catalog(catalog).query(sql), format, output)


@app.command
def candidates(
    catalog: Path,
    /,
    *,
    kind: Literal["lens", "merger", "unknown"],
    top: int = 10,
    format: Format = "table",  # noqa: A002
    output: Output = None,
) -> None:
    """List the best candidates of a kind, one row per object, best first.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    kind
        What is looked for.
    top
        How many, at most.
    """
    write_table(open_catalog(catalog).candidates(kind, top), format, output)
