"""An approximate index of embeddings (HNSW, by usearch) beside a catalogue, for those too large to be read at once."""

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.catalogs.ledger import LEDGER_FILE
from galmorph.catalogs.similarity import embedding_length, matrix
from galmorph.errors import CatalogError
from galmorph.locks import take

logger = logging.getLogger(__name__)

#: Bits of a key that number the row in its file; those above number the file.
_ROW_BITS = 40
_FILE, _ABOUT, _LOCK = "embeddings.usearch", "about.json", ".lock"
#: Nearest rows that are looked up for each that is asked for: more finds more of the true ones.
_WIDER = 4
#: Rows that are looked up at least.
_LEAST = 64


def nearest_rows(
    catalog: Path, files: Sequence[Path], directions: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are probably the nearest to examples.

    The index is made when it is first asked, and made anew when the catalogue has changed.

    Parameters
    ----------
    catalog : Path
        Folder of the catalogue; the index is kept beside it, in `NAME.likeness`.
    files : sequence of Path
        Its partitions.
    directions : ndarray of float32, shape (k, d)
        Examples.
    count : int
        How many rows are wanted.

    Returns
    -------
    file, row : ndarray of int64, shape (n,)
        Places of primary rows, several times as many as are wanted.

    Raises
    ------
    CatalogError
        If usearch is not installed, the index cannot be written, or another call makes it.
    """
    if importlib.util.find_spec("usearch") is None:
        raise CatalogError("approximate likeness needs usearch: pip install 'galmorph-survey[likeness]'")
    from usearch.index import Index

    folder, digest = catalog.with_name(f"{catalog.name}.likeness"), _digest(catalog)
    if _told(folder) != digest:
        with _alone(folder):
            _make(folder, files, digest)
    index = Index.restore(str(folder / _FILE), view=True)
    if index is None:
        raise CatalogError(f"{folder / _FILE} is no index that this usearch can read: remove {folder}, it is made anew")
    wanted = min(max(_WIDER * count, _LEAST), len(index))
    if not wanted:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = np.unique(
        np.concatenate([np.asarray(index.search(one, wanted, exact=False).keys) for one in directions])
    ).astype(np.int64)
    return keys >> _ROW_BITS, keys & ((1 << _ROW_BITS) - 1)


def _digest(catalog: Path) -> str:
    """What the rows of a catalogue are known by."""
    return hashlib.sha256((catalog / LEDGER_FILE).read_bytes()).hexdigest()


def _told(folder: Path) -> str:
    """Digest of the catalogue that an index was made of; empty if there is none."""
    try:
        return str(json.loads((folder / _ABOUT).read_text(encoding="utf-8"))["catalog"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one call at a time make an index, whose folder is made if it is not there."""
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / _LOCK).open("a")
    except OSError as error:
        raise _unwritable(folder, error) from error
    with file:
        if not take(file, folder):
            raise CatalogError(f"another call makes the index of embeddings {folder} now; ask again when it is there")
        yield


def _unwritable(folder: Path, error: OSError) -> CatalogError:
    return CatalogError(f"the index of embeddings {folder} cannot be written: {error.strerror}")


def _make(folder: Path, files: Sequence[Path], digest: str) -> None:
    from usearch.index import Index

    logger.info("making the index of embeddings %s; this is done once", folder)
    index = Index(ndim=embedding_length(files), metric="cos", dtype="f16")
    for number, file in enumerate(files):
        start = 0
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group, columns=["primary", "embedding"])
                vectors = matrix(table.column("embedding"))
                usable = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
                kept = np.flatnonzero(table.column("primary").to_numpy() & usable)
                if len(kept):
                    keys = (number << _ROW_BITS) + start + kept
                    index.add(keys.astype(np.uint64), np.ascontiguousarray(vectors[kept]))
                start += table.num_rows
    try:
        (folder / _ABOUT).unlink(missing_ok=True)
        index.save(str(folder / f".{_FILE}"))
        (folder / f".{_FILE}").replace(folder / _FILE)
        (folder / _ABOUT).write_text(json.dumps({"catalog": digest, "rows": len(index)}) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
