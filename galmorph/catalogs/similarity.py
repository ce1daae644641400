"""More like this: the rows whose embeddings point the same way as those of examples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.errors import CatalogError

Floats = NDArray[np.float32]

#: Column of the result by which it is sorted.
SIMILARITY = "similarity"
#: Column of the result: which of the examples, from 0, a row is most like.
EXAMPLE = "example"
#: Columns that stand beside, as of candidates.
_SHOWN = (
    "object_id", "ra", "dec", "label", "confidence", "unknown", "anomaly_score",
    "snr", "radius", "half_light_radius", "flags", "tile", "x", "y", "cutout_side",
)  # fmt: skip


def find_similar(
    files: Sequence[Path],
    examples: NDArray[np.floating],
    top: int,
    *,
    leave_out: Sequence[int] = (),
    among: NDArray[np.int64] | None = None,
) -> pa.Table:
    """Primary rows nearest to examples in the space of features.

    Exact: every embedding is looked at, one row group of a file at a time. The measure is the cosine of the angle
    between embeddings, and of several examples the nearest counts.

    Parameters
    ----------
    files : sequence of Path
        Partitions of a catalogue that keeps embeddings of length `d`.
    examples : ndarray of float, shape (k, d)
        Features of the examples.
    top : int
        How many rows, at most.
    leave_out : sequence of int
        Object ids that are not wanted, as those of the examples.
    among : ndarray of int64, optional
        Object ids that come into question; all by default.

    Returns
    -------
    pyarrow.Table
        Best first, ties by object id: `similarity` (1 is the same direction), `example` (place of the nearest example)
        and what a candidate has.

    Raises
    ------
    CatalogError
        If the catalogue keeps no embeddings, or the examples are not of their length, not finite or zero.
    """
    if top < 1:
        raise CatalogError(f"top must be at least 1, got {top}")
    directions = _directions(examples, embedding_length(files))
    best = _Best(top)
    outside = np.asarray(leave_out, dtype=np.int64)
    asked = None if among is None else np.sort(among)
    for number, file in enumerate(files):
        opened = pq.ParquetFile(file)
        start = 0
        for group in range(opened.num_row_groups):
            table = opened.read_row_group(group, columns=["object_id", "primary", "embedding"])
            embedding = matrix(table.column("embedding"))
            similarity, nearest = _cosines(embedding, directions)
            object_id = table.column("object_id").to_numpy()
            wanted = table.column("primary").to_numpy() & np.isfinite(similarity)
            if len(outside):
                wanted &= ~np.isin(object_id, outside)
            if asked is not None:
                wanted &= _among(object_id, asked)
            best.add(number, start + np.arange(table.num_rows), similarity, nearest, object_id, wanted)
            start += table.num_rows
    return best.rows(files)


def find_probably_similar(
    catalog: Path,
    files: Sequence[Path],
    examples: NDArray[np.floating],
    top: int,
    *,
    leave_out: Sequence[int] = (),
) -> pa.Table:
    """The same by an approximate index beside the catalogue: a few of the true nearest may be missing.

    What is found is measured exactly.

    Parameters
    ----------
    catalog : Path
        Folder of the catalogue.
    files, examples, top, leave_out
        As for `find_similar`.

    Returns
    -------
    pyarrow.Table
        As of `find_similar`.

    Raises
    ------
    CatalogError
        As of `find_similar`, or if usearch is not installed.
    """
    from galmorph.catalogs.likeness_index import nearest_rows

    if top < 1:
        raise CatalogError(f"top must be at least 1, got {top}")
    directions = _directions(examples, embedding_length(files))
    file, row = nearest_rows(catalog, files, directions, top + len(leave_out))
    best = _Best(top)
    outside = np.asarray(leave_out, dtype=np.int64)
    for number in np.unique(file):
        rows = row[file == number]
        table = _take(pq.ParquetFile(files[int(number)]), rows, ["object_id", "embedding"])
        similarity, nearest = _cosines(matrix(table.column("embedding")), directions)
        object_id = table.column("object_id").to_numpy()
        wanted = ~np.isin(object_id, outside) & np.isfinite(similarity)
        best.add(int(number), rows, similarity, nearest, object_id, wanted)
    return best.rows(files)


def embeddings_of(files: Sequence[Path], object_ids: Sequence[int]) -> Floats:
    """Embeddings of rows, in the order of their ids.

    Parameters
    ----------
    files : sequence of Path
        Partitions of a catalogue that keeps embeddings.
    object_ids : sequence of int
        Identifiers.

    Returns
    -------
    ndarray of float32, shape (k, d)
        Embeddings.

    Raises
    ------
    CatalogError
        If the catalogue keeps none, or an id is not in it.
    """
    length = embedding_length(files)
    wanted = np.asarray(object_ids, dtype=np.int64)
    found = np.full((len(wanted), length), np.nan, dtype=np.float32)
    for file in files:
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            ids = opened.read_row_group(group, columns=["object_id"]).column("object_id").to_numpy()
            here = np.flatnonzero(np.isin(ids, wanted))
            if len(here):
                column = opened.read_row_group(group, columns=["embedding"]).column("embedding")
                vectors = matrix(column.take(pa.array(here))).astype(np.float32)
                for identifier, row in zip(ids[here], vectors, strict=True):
                    found[wanted == identifier] = row
    missing = wanted[~np.isfinite(found).all(axis=1)]
    if len(missing):
        raise CatalogError(f"no row has the object_id {', '.join(map(str, missing[:5]))}, or it has no embedding")
    return found


def embedding_length(files: Sequence[Path]) -> int:
    """Length of the embeddings of a catalogue.

    Raises
    ------
    CatalogError
        If it keeps none.
    """
    columns = pq.read_schema(files[0])
    if "embedding" not in columns.names:
        raise CatalogError(
            "this catalogue keeps no embeddings, so that nothing can be said of likeness: run "
            "`galmorph classify ... --embedding` into a new folder"
        )
    return int(columns.field("embedding").type.list_size)


def _among(values: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which values are among sorted ones, of which there may be far more."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values)


class _Best:
    """The best rows so far."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._kept = [np.empty(0), *(np.empty(0, np.int64) for _ in range(4))]

    def add(
        self,
        file: int,
        place: NDArray[np.int64],
        similarity: Floats,
        nearest: NDArray[np.intp],
        object_id: NDArray[np.int64],
        wanted: NDArray[np.bool_],
    ) -> None:
        """Take what is better than the worst that is kept."""
        if len(self._kept[0]) >= self._top:
            wanted = wanted & (similarity >= self._kept[0][-1])
        rows = np.flatnonzero(wanted)
        if len(rows) > self._top:
            # Of ties at the border all are kept until they are sorted by id.
            border = np.partition(similarity[rows], len(rows) - self._top)[len(rows) - self._top]
            rows = rows[similarity[rows] >= border]
        new = [similarity[rows].astype(float), object_id[rows], nearest[rows], np.full(len(rows), file), place[rows]]
        together = [np.concatenate([old, fresh]) for old, fresh in zip(self._kept, new, strict=True)]
        order = np.lexsort((together[1], -together[0]))[: self._top]
        self._kept = [column[order] for column in together]

    def rows(self, files: Sequence[Path]) -> pa.Table:
        """The kept rows, with their columns."""
        similarity, _, nearest, file, row = self._kept
        parts, places = [], []
        for number in np.unique(file) if len(file) else [0]:
            here = np.flatnonzero(file == number)
            parts.append(_take(pq.ParquetFile(files[int(number)]), row[here].astype(np.int64)))
            places.append(here)
        table = pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(places))))
        table = table.add_column(0, EXAMPLE, pa.array(nearest, pa.int32()))
        return table.add_column(0, SIMILARITY, pa.array(similarity, pa.float32()))


def _take(opened: pq.ParquetFile, rows: NDArray[np.int64], columns: Sequence[str] = _SHOWN) -> pa.Table:
    """Rows of a file, from the row groups that hold them."""
    counts = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
    starts = np.cumsum([0, *counts])
    group = np.searchsorted(starts, rows, side="right") - 1
    used = np.unique(group)
    table = opened.read_row_groups(used.tolist(), columns=list(columns)).select(list(columns))
    base = dict(zip(used.tolist(), np.cumsum([0, *(counts[i] for i in used)]), strict=False))
    return table.take(pa.array([row - starts[g] + base[g] for row, g in zip(rows, group, strict=True)], pa.int64()))


def _directions(examples: NDArray[np.floating], length: int) -> Floats:
    """Examples as unit vectors."""
    vectors = np.atleast_2d(np.asarray(examples, dtype=np.float64))
    if vectors.ndim != 2 or vectors.shape[1] != length or not len(vectors):
        raise CatalogError(f"examples must have {length} features, as the catalogue's; got shape {vectors.shape}")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise CatalogError("the features of an example are zero or not finite: it is like nothing")
    return np.asarray(vectors / norms, dtype=np.float32)


def matrix(column: pa.ChunkedArray) -> NDArray[np.float16]:
    """Embeddings as an array, without a copy where Arrow has them in one piece.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Fixed-size lists of float16.

    Returns
    -------
    ndarray of float16, shape (n, d)
        A row for each.
    """
    whole = column.combine_chunks()
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(whole), column.type.list_size))


def _cosines(embedding: NDArray[np.float16], directions: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Largest cosine of each row with a direction, and which; NaN for a row of zeros."""
    vectors = embedding.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    cosines = vectors @ directions.T
    nearest = cosines.argmax(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = cosines[np.arange(len(cosines)), nearest] / norms
    return np.minimum(largest, np.float32(1)), nearest
