"""The margin of a catalogue: for each partition, rows of others near its border, for matches across it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hats.catalog.dataset.table_properties import TableProperties
from hats.catalog.partition_info import PartitionInfo
from hats.io.parquet_metadata import write_parquet_metadata
from hats.pixel_math.healpix_pixel import HealpixPixel

from galmorph.catalogs.healpix import INDEX_ORDER, Ranges, around_span
from galmorph.catalogs.partitions import Partition, partition_of, span_of
from galmorph.catalogs.tables import HEALPIX
from galmorph.catalogs.writing import parquet_options

#: Finest order in which borders are drawn: pixels of 0.2 arcsec.
_FINEST = 20


def write_margin(files: Sequence[Path], folder: Path, name: str, catalog: str, threshold: float) -> int:
    """Write the margin of a catalogue in HATS layout.

    Parameters
    ----------
    files : sequence of Path
        Partitions of the catalogue.
    folder : Path
        Folder of the margin, which is made.
    name, catalog : str
        Names of the margin and of the catalogue.
    threshold : float
        Arcsec: every row that lies so near to a partition, and in none of its own, is in the margin of that partition.
        A few that lie farther off, by four times as much at most, are too.

    Returns
    -------
    int
        Number of rows. Without any nothing is written: HATS knows no margin without partitions.
    """
    pixels, total = [], 0
    for file in files:
        rows = _outside(file, files, threshold / 3600)
        if not rows.num_rows:
            continue
        order, pixel = partition_of(file)
        path = folder / Partition(order, pixel, 0, 0).relative_path
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path, **parquet_options(rows.schema))
        pixels.append(HealpixPixel(order, pixel))
        total += rows.num_rows
    if not pixels:
        return 0
    PartitionInfo(pixels).write_to_file(catalog_path=folder)
    write_parquet_metadata(folder)
    TableProperties.model_validate(
        {
            "catalog_name": name,
            "catalog_type": "margin",
            "total_rows": total,
            "ra_column": "ra",
            "dec_column": "dec",
            "healpix_column": HEALPIX,
            "healpix_order": INDEX_ORDER,
            "primary_catalog": catalog,
            "margin_threshold": threshold,
            "hats_version": "v1.0",
        }
    ).to_properties_file(folder)
    return total


def _outside(file: Path, files: Sequence[Path], radius: float) -> pa.Table:
    """Rows of other partitions near a partition, sorted as a catalogue is."""
    low, high = span_of(file)
    near = _without(around_span((low, high), radius, finest=_FINEST), low, high)
    tables = [pq.read_schema(file).empty_table()]
    for other in files:
        if other != file and near.overlap(*span_of(other)):
            tables += _rows_within(other, near)
    return pa.concat_tables(tables).sort_by([(HEALPIX, "ascending"), ("object_id", "ascending")])


def _rows_within(file: Path, ranges: Ranges) -> Iterator[pa.Table]:
    """Rows of a file in some pixels, from the row groups that can have any."""
    with pq.ParquetFile(file) as opened:
        place = opened.schema_arrow.names.index(HEALPIX)
        for group in range(opened.num_row_groups):
            bounds = opened.metadata.row_group(group).column(place).statistics
            if bounds is not None and bounds.has_min_max and not ranges.overlap(int(bounds.min), int(bounds.max) + 1):
                continue
            inside = ranges.contain(opened.read_row_group(group, columns=[HEALPIX]).column(0).to_numpy())
            if inside.any():
                yield opened.read_row_group(group).take(pa.array(np.flatnonzero(inside)))


def _without(ranges: Ranges, low: int, high: int) -> Ranges:
    """Ranges less one range, which is made of whole pixels as they are."""
    pieces = [
        piece
        for first, last in zip(ranges.low.tolist(), ranges.high.tolist(), strict=True)
        for piece in ((first, min(last, low)), (max(first, high), last))
        if piece[0] < piece[1]
    ]
    edges = np.array(pieces, dtype=np.int64).reshape(-1, 2)
    return Ranges(edges[:, 0], edges[:, 1])
