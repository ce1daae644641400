"""An index of identifiers: which partition has the row of an object."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hats.catalog.dataset.table_properties import TableProperties
from hats.io.parquet_metadata import write_parquet_metadata

from galmorph.catalogs.partitions import partition_of

#: Column that is indexed.
KEY = "object_id"
#: Rows of a row group: what is read to look one identifier up.
_GROUP = 50_000


def write_index(files: Sequence[Path], folder: Path, name: str, catalog: str) -> int:
    """Write the index of a catalogue's object ids, as HATS has it.

    Parameters
    ----------
    files : sequence of Path
        Partitions of the catalogue.
    folder : Path
        Folder of the index, which is made.
    name, catalog : str
        Names of the index and of the catalogue.

    Returns
    -------
    int
        Number of identifiers.
    """
    columns = [pq.read_table(file, columns=[KEY], partitioning=None).column(0).to_numpy() for file in files]
    counts = [len(column) for column in columns]
    orders, pixels = np.array([partition_of(file) for file in files], dtype=np.int64).reshape(-1, 2).T
    ids = np.concatenate(columns)
    order = np.argsort(ids, kind="stable")
    table = pa.table(
        {
            KEY: ids[order],
            "Norder": pa.array(np.repeat(orders, counts)[order], pa.uint8()),
            "Npix": pa.array(np.repeat(pixels, counts)[order], pa.uint64()),
        }
    )
    place = folder / "dataset" / "index"
    place.mkdir(parents=True)
    pq.write_table(table, place / "part.0.parquet", compression="zstd", row_group_size=_GROUP)
    write_parquet_metadata(folder, order_by_healpix=False)
    TableProperties.model_validate(
        {
            "catalog_name": name,
            "catalog_type": "index",
            "total_rows": len(ids),
            "primary_catalog": catalog,
            "indexing_column": KEY,
            "hats_version": "v1.0",
        }
    ).to_properties_file(folder)
    return len(ids)
