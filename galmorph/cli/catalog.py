"""``galmorph catalog``: one verb for each question."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from cyclopts import App, Parameter

from galmorph.catalogs import crossmatch as match_tables
from galmorph.catalogs import open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.errors import CatalogError

app = App(name="catalog", help="Ask a catalogue.")

Format = Annotated[
    Literal["table", "csv", "parquet", "json", "fits", "votable"] | None,
    Parameter(help="table for reading, the others for programs; by default as the name of the output says, or table."),
]
Output = Annotated[Path | None, Parameter(help="File to write; standard output by default.")]


@app.command
def info(catalog: Path, /, *, format: Format = None, output: Output = None) -> None:  # noqa: A002 - the option's name
    """Count what a catalogue holds: rows, classes, unknowns, flags, sky, and where it comes from.

    Parameters
    ----------
    catalog
        Folder of the catalogue, such as RUN/catalog.
    """
    counted = open_catalog(catalog).info()
    chosen = format or format_of(output)
    write_table(counted.table() if chosen == "table" else pa.Table.from_pylist([counted.to_dict()]), chosen, output)


@app.command
def query(catalog: Path, sql: str, /, *, format: Format = None, output: Output = None) -> None:  # noqa: A002
    """Answer one SELECT over the table `catalog`, in DuckDB's SQL; nothing can be written or read besides.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    sql
        As "SELECT label, count(*) FROM catalog GROUP BY label".
    """
    write_table(open_catalog(catalog).query(sql), format or format_of(output), output)


@app.command
def candidates(
    catalog: Path,
    /,
    *,
    kind: Literal["lens", "merger", "unknown"],
    top: int = 10,
    format: Format = None,  # noqa: A002
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
    write_table(open_catalog(catalog).candidates(kind, top), format or format_of(output), output)


@app.command
def crossmatch(
    catalog: Path,
    other: str,
    /,
    *,
    radius: str = "3arcsec",
    find: Literal["nearest", "all"] = "nearest",
    columns: list[str] | None = None,
    other_columns: list[str] | None = None,
    position: str | None = None,
    other_position: str | None = None,
    all_rows: bool = False,
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """Match a catalogue with another by position, and say how much of the other was recovered.

    Parameters
    ----------
    catalog
        Folder of the catalogue, or any table with positions (Parquet, FITS, VOTable, CSV).
    other
        The other catalogue or table; lenscat for the list of known lenses of the Python package of that name.
    radius
        Largest separation: 3arcsec, 0.05arcmin ...
    find
        For each row of the other table the nearest of the catalogue, or all within the radius.
    columns
        Columns of the catalogue in the result.
    other_columns
        Columns of the other table in the result, where other_ stands before their names.
    position
        Columns of the catalogue with right ascension and declination, as ra,dec; by default known by name or UCD.
    other_position
        The same, of the other table.
    all_rows
        Match every row of a catalogue of galmorph, not just one per object.
    """
    found = match_tables(
        catalog,
        other,
        radius,
        find=find,
        columns=columns,
        other_columns=other_columns,
        position=_two(position),
        other_position=_two(other_position),
        all_rows=all_rows,
    )
    chosen = format or format_of(output)
    write_table(found.pairs, chosen, output)
    print(found.summary(), file=sys.stderr if output is None and chosen != "table" else sys.stdout)


def _two(text: str | None) -> tuple[str, str] | None:
    """Two names with a comma between them."""
    if text is None:
        return None
    first, comma, second = (part.strip() for part in text.partition(","))
    if not (first and comma and second):
        raise CatalogError(f"expected the names of two columns with a comma between them, such as ra,dec; got {text!r}")
    return first, second
