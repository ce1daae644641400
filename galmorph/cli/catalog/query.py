"""``galmorph catalog query``: answer one SELECT over a catalogue."""

from pathlib import Path

from galmorph.catalogs import open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.cli.catalog.options import Box, Cone, Format, Moc, Output, Polygon, regions_of


def query(
    catalog: Path,
    sql: str = 'SELECT * FROM catalog WHERE "primary"',
    /,
    *,
    cone: Cone = None,
    box: Box = None,
    polygon: Polygon = None,
    moc: Moc = None,
    timeout: float = 60.0,
    memory: str = "2GB",
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """Answer one SELECT over the table `catalog`, in DuckDB's SQL; nothing can be written or read besides.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    sql
        As "SELECT label, count(*) FROM catalog GROUP BY label"; all primary rows by default.
    timeout
        Seconds after which it is stopped.
    memory
        Most memory for the work and for the result.
    """
    chosen = format or format_of(output)
    within = [*regions_of(cone, box, polygon, moc)]
    found = open_catalog(catalog).query(sql, within=within, timeout=timeout, memory=memory)
    write_table(found, chosen, output)
