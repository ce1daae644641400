"""``galmorph catalog export``: rows of a catalogue for another program."""

from pathlib import Path

from galmorph import catalogs
from galmorph.catalogs import open_catalog
from galmorph.cli.catalog.options import Box, Cone, Moc, Polygon, names_of, regions_of


def export(
    catalog: Path,
    output: Path,
    /,
    *,
    columns: list[str] | None = None,
    where: str = "",
    cone: Cone = None,
    box: Box = None,
    polygon: Polygon = None,
    moc: Moc = None,
    all_rows: bool = False,
) -> None:
    """Write rows of a catalogue for another program, with units, UCDs and where they come from.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    output
        File; its end tells the format: .fits, .vot, .csv, .parquet, .json, or .reg for regions of DS9.
    columns
        Columns to write; all but the embedding by default.
    where
        Condition that rows have to fulfil, in SQL, as "p_merger > 0.9 AND snr > 20".
    all_rows
        Write all rows, not just one per object.
    """
    within = [*regions_of(cone, box, polygon, moc)]
    opened = open_catalog(catalog)
    rows = catalogs.export(opened, output, columns=names_of(columns), where=where, within=within, all_rows=all_rows)
    print(f"{rows} rows in {output}")
