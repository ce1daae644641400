"""How rows of a catalogue are written as Parquet, wherever they are."""

from typing import Any

import pyarrow as pa
from hats.io.file_io.file_io import get_parquet_write_table_kwargs

_COMPRESSION_LEVEL = 3


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Arguments for `pyarrow.parquet.write_table`: those of hats, for readers of all kinds.

    Parameters
    ----------
    schema : pyarrow.Schema
        Columns of a catalogue.

    Returns
    -------
    dict
        Keyword arguments.
    """
    options: dict[str, Any] = get_parquet_write_table_kwargs(
        schema, write_table_kwargs={"compression_level": _COMPRESSION_LEVEL}
    )
    # DuckDB cannot read float16 in this encoding.
    options["column_encoding"].pop("embedding.list.element", None)
    return options
