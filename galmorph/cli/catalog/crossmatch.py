"""``galmorph catalog crossmatch``: match a catalogue with another by position."""

import sys
from pathlib import Path
from typing import Literal

from galmorph import catalogs
from galmorph.catalogs import write_table
from galmorph.catalogs.output import format_of
from galmorph.cli.catalog.options import Format, Output, names_of, two_names


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
    chosen = format or format_of(output)
    found = catalogs.crossmatch(
        catalog,
        other,
        radius,
        find=find,
        columns=names_of(columns),
        other_columns=names_of(other_columns),
        position=two_names(position),
        other_position=two_names(other_position),
        all_rows=all_rows,
    )
    write_table(found.pairs, chosen, output)
    print(found.summary(), file=sys.stderr if output is None and chosen != "table" else sys.stdout)
