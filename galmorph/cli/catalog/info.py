"""``galmorph catalog info``: what a catalogue holds: rows, classes, unknowns, flags, sky."""

from pathlib import Path

import pyarrow as pa

from galmorph.catalogs import open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.cli.catalog.options import Format, Output


def info(
    catalog: Path,
    /,
    *,
    sky: Path | None = None,
    format: Format = None,  # noqa: A002 - the option's name
    output: Output = None,
) -> None:
    """Count what a catalogue holds: rows, classes, unknowns, flags, sky, and where it comes from.

    Parameters
    ----------
    catalog
        Folder of the catalogue, such as RUN/catalog.
    sky
        Picture to write: where on the sky there are rows.
    """
    chosen = format or format_of(output)
    opened = open_catalog(catalog)
    counted = opened.info()
    if sky is not None:
        opened.draw_sky(sky)
    write_table(counted.table() if chosen == "table" else pa.Table.from_pylist([counted.to_dict()]), chosen, output)
