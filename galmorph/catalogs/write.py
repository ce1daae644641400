"""Write the parts of a run as one catalogue in HATS layout: sorted, partitioned, the same bytes every time."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hats.pixel_math.spatial_index import compute_spatial_index
from numpy.typing import NDArray

from galmorph.catalogs.counterparts import KEYS, counterparts
from galmorph.catalogs.hats_layout import write_layout
from galmorph.catalogs.info import write_summary
from galmorph.catalogs.ledger import Ledger, one_writer, replace_folder, restore_folder
from galmorph.catalogs.partitions import Partition, partition
from galmorph.catalogs.parts import Parts, check_positions, open_parts
from galmorph.catalogs.primary import mark_primary
from galmorph.catalogs.writing import parquet_options
from galmorph.errors import CatalogError

logger = logging.getLogger(__name__)

_KEYS = (*KEYS, "edge_distance", "bad_fraction")


class _Rows(NamedTuple):
    """Where each row of the catalogue comes from and what is added to it, in the order of the catalogue."""

    part: NDArray[np.int32]
    row: NDArray[np.int64]
    healpix: NDArray[np.int64]
    primary: NDArray[np.bool_]


def write_catalog(
    parts: Sequence[Path],
    out: Path,
    *,
    provenance: Mapping[str, Any],
    classes: Sequence[str],
    bands: Sequence[str],
    name: str = "galmorph",
    match_radius: float = 1.0,
    max_rows: int = 1_000_000,
) -> Path:
    """Write the parts of a run as one catalogue in HATS layout.

    The same parts give the same bytes in whatever order they come, so long as the provenance does not tell the time.
    The catalogue is made beside `out` and takes its place when it is complete, in one step where the file system can;
    one that is there is kept until then. Of that one, partitions whose rows are the same are taken over as they are: a
    tile that is added or replaced rewrites the partitions that it touches.
    Beyond a few columns of all rows, only one partition and the parts that have rows in it are in memory at a time.

    Parameters
    ----------
    parts : sequence of Path
        Parquet files with the columns `galmorph.catalogs.schema.part_columns(classes, bands)`, and the column
        `embedding` (a fixed-size list) if embeddings are kept; one file per tile.
    out : Path
        Folder of the catalogue.
    provenance : mapping
        Where the catalogue comes from (survey, release, model, versions ...); anything that JSON can hold.
    classes : sequence of str
        Classes of the model, in the order of its output.
    bands : sequence of str
        Bands of the survey, in order.
    name : str
        Name of the catalogue inside its own metadata.
    match_radius : float
        Rows of different tiles within this angle (arcsec) are one object, of which one row is primary, unless stripes
        or identifiers of given positions tell better.
    max_rows : int
        Largest number of rows in a partition.

    Returns
    -------
    Path
        `out`. A catalogue of no rows has one empty partition and opens like any other.

    Raises
    ------
    CatalogError
        If a part is unreadable, lacks a column, has one too many, one of another type or a value that cannot be; if an
        object id occurs twice; if `out` exists and is not a catalogue; or if another call writes it.
    """
    source = open_parts([Path(part) for part in parts], classes, bands)
    # What a link leads to is replaced, and the link stays.
    place = Path(out).resolve()
    with one_writer(place):
        build_catalog(
            source,
            place,
            classes=classes,
            provenance=provenance,
            match_radius=match_radius,
            max_rows=max_rows,
            name=name,
        )
    return Path(out)


def build_catalog(
    source: Parts,
    place: Path,
    *,
    classes: Sequence[str],
    provenance: Mapping[str, Any],
    match_radius: float,
    max_rows: int,
    name: str = "galmorph",
) -> None:
    """Write a catalogue and let it take its place; the caller is that place's `galmorph.catalogs.ledger.one_writer`.

    Parameters
    ----------
    source : Parts
        The parts of a run.
    place : Path
        Folder of the catalogue, no link.
    classes, provenance, match_radius, max_rows, name
        As for `write_catalog`.

    Raises
    ------
    CatalogError
        As `write_catalog`.
    """
    if match_radius < 0 or max_rows < 1:
        raise CatalogError(
            f"match_radius must be at least 0 and max_rows at least 1, got {match_radius} and {max_rows}"
        )
    building, old = _siblings(place)
    try:
        rows = _arrange(source, match_radius)
        partitions = partition(rows.healpix, max_rows)
        ledger = Ledger(source.paths, source.schema, place)
        for piece in partitions:
            inside = slice(piece.start, piece.stop)
            content = ledger.content(rows.part[inside], rows.row[inside], rows.primary[inside])
            path = building / piece.relative_path
            if not ledger.take_over(piece.relative_path, content, path):
                _write_partition(path, source, rows, piece)
            ledger.enter(piece.relative_path, content, path)
        ledger.write(building)
        settings = {"match_radius": match_radius, "max_rows": max_rows}
        write_layout(building, partitions, rows.healpix, provenance, settings, name)
        write_summary(building, [building / piece.relative_path for piece in partitions], classes)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    replace_folder(building, place, old)
    logger.info(
        "catalogue of %d rows in %d partitions at %s; %d partitions taken over",
        len(rows.part),
        len(partitions),
        place,
        ledger.taken_over,
    )


def _siblings(out: Path) -> tuple[Path, Path]:
    """An empty folder to build in and a name for what is replaced, both beside `out`; repairs what a kill left."""
    building, old = (out.with_name(f".{out.name}.{role}") for role in ("writing", "replaced"))
    restore_folder(out, old)
    if out.exists() and not (out / "hats.properties").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CatalogError(f"{out} exists and is not a catalogue; it is left alone. Choose another place, or remove it")
    for leftover in (building, old):
        if leftover.exists():
            shutil.rmtree(leftover)
    building.mkdir(parents=True)
    return building, old


def _arrange(source: Parts, match_radius: float) -> _Rows:
    """Order of the rows in the catalogue, from the few columns that decide it."""
    tables = [source.read(part, _KEYS) for part in range(len(source.paths))]
    counts = [table.num_rows for table in tables]
    empty = pa.schema([source.schema.field(name) for name in source.schema.names if name in _KEYS]).empty_table()
    keys = pa.concat_tables([empty, *tables])
    check_positions(source, keys)
    object_id, ra, dec, edge, bad = (
        keys.column(name).to_numpy() for name in ("object_id", "ra", "dec", "edge_distance", "bad_fraction")
    )
    _check_unique(keys, object_id)
    healpix = compute_spatial_index(ra, dec) if len(ra) else np.empty(0, np.int64)
    tile = _tile_ranks(keys)
    primary = mark_primary(ra, dec, tile, edge, bad, object_id, match_radius, partial(counterparts, keys))
    order = np.lexsort((object_id, healpix))
    part = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    row = np.concatenate([np.empty(0, np.int64), *(np.arange(count) for count in counts)])
    return _Rows(part[order], row[order], healpix[order], primary[order])


def _tile_ranks(keys: pa.Table) -> NDArray[np.int64]:
    """Number of each row's tile, tiles numbered in the order of their names."""
    encoded = pc.dictionary_encode(keys.column("tile")).unify_dictionaries().combine_chunks()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(names)] = np.arange(len(names))
    ranks: NDArray[np.int64] = rank[encoded.indices.to_numpy()]
    return ranks


def _check_unique(keys: pa.Table, object_id: NDArray[np.int64]) -> None:
    ordered = np.sort(object_id)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(repeated):
        tiles = keys.column("tile").take(pa.array(np.flatnonzero(object_id == repeated[0]))).to_pylist()
        raise CatalogError(
            f"object_id {repeated[0]} occurs {len(tiles)} times, on {', '.join(sorted(set(tiles)))} "
            f"({len(repeated)} repetitions in all); was the same tile given twice?"
        )


def _write_partition(path: Path, source: Parts, rows: _Rows, piece: Partition) -> None:
    """Gather the rows of one partition from the parts that have some, and write them."""
    inside = slice(piece.start, piece.stop)
    part, row = rows.part[inside], rows.row[inside]
    by_part = np.argsort(part, kind="stable")
    used, starts = np.unique(part[by_part], return_index=True)
    chosen = [pa.array(row[group]) for group in np.split(by_part, starts[1:])] if len(used) else []
    data_schema = pa.schema([field for field in source.schema if field.name not in ("_healpix_29", "primary")])
    tables = [source.read(int(number)).take(indices) for number, indices in zip(used, chosen, strict=True)]
    gathered = pa.concat_tables([data_schema.empty_table(), *tables])
    back = np.empty(len(by_part), dtype=np.int64)
    back[by_part] = np.arange(len(by_part))
    sorted_rows = gathered.take(pa.array(back))
    added = {"_healpix_29": rows.healpix[inside], "primary": rows.primary[inside]}
    columns = [
        pa.array(added[field.name], field.type)
        if field.name in added
        else sorted_rows.column(field.name).combine_chunks()
        for field in source.schema
    ]
    table = pa.table(columns, schema=source.schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **parquet_options(source.schema))
