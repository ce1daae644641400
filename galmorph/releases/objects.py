"""Objects of a catalogue and of a bundle, as the model sees them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.bundle import Bundle
from galmorph.catalogs import Catalog
from galmorph.catalogs.schema import other_column
from galmorph.errors import CatalogError
from galmorph.imaging import NANOMAGGY
from galmorph.reference import ReferenceSample
from galmorph.releases.shift import Seen
from galmorph.scores import score

#: Rows of a catalogue that are looked at; a larger one is sampled by its identifiers.
ROWS = 20_000

#: What to do about a partition that is damaged.
_AGAIN = "copy the catalogue again, or give the command of its run again"

_MIXING = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Chosen:
    """Which rows of a catalogue are looked at."""

    share: float
    seed: int

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        # Identifiers are hashes; mixed with the seed, another seed looks at other objects.
        mixed = (ids.astype(np.uint64) ^ np.uint64(self.seed)) * _MIXING
        return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53 < self.share)


def read_rows(catalog: Catalog, most: int = ROWS, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.float32] | None]:
    """Primary rows of a catalogue, about `most` of them, and their features if it keeps them.

    Parameters
    ----------
    catalog : Catalog
        The catalogue; a partition at a time is in memory.
    most : int
        A larger catalogue is sampled by its identifiers.
    seed : int
        Of the sample.

    Returns
    -------
    rows : pandas.DataFrame
        All columns but the embedding.
    features : ndarray of float32 or None
        Shape ``(n, d)``.

    Raises
    ------
    CatalogError
        If a partition cannot be read.
    """
    names = [name for name in catalog.schema.names if name != "embedding"]
    kept = "embedding" in catalog.schema.names
    total = 0
    for file in catalog.files:
        with _told_in_words(file):
            total += pq.read_metadata(file).num_rows
    chosen = _Chosen(min(1.0, most / max(total, 1)), seed)
    frames: list[pd.DataFrame] = []
    features: list[NDArray[np.float32]] = []
    for file in catalog.files:
        with _told_in_words(file):
            opened = pq.ParquetFile(file)
            if words := other_column(catalog.schema, opened.schema_arrow):
                raise CatalogError(f"partition {file} is not as the catalogue says: {words}; {_AGAIN}")
            for group in range(opened.num_row_groups):
                keys = opened.read_row_group(group, columns=["object_id", "primary"])
                wanted = keys.column("primary").to_numpy() & chosen.of(keys.column("object_id").to_numpy())
                if not wanted.any():
                    continue
                frames.append(opened.read_row_group(group, columns=names).to_pandas()[wanted])
                if kept:
                    column = opened.read_row_group(group, columns=["embedding"]).column("embedding").combine_chunks()
                    flat = column.flatten().to_numpy(zero_copy_only=False)
                    features.append(flat.reshape(len(column), -1)[wanted].astype(np.float32))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)
    return rows, np.concatenate(features) if features else None


@contextmanager
def _told_in_words(file: Path) -> Iterator[None]:
    """Name the partition that cannot be read."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise CatalogError(f"partition {file} cannot be read: {' '.join(str(error).split())}; {_AGAIN}") from error


def seen_of_sample(sample: ReferenceSample, bundle: Bundle) -> Seen:
    """The objects of a bundle as its model sees them."""
    manifest = bundle.manifest
    scores = score(
        sample.logits,
        sample.features,
        bundle.reference,
        temperature=manifest.temperature,
        unknown_score=manifest.unknown.score,
        threshold=manifest.unknown.threshold,
    )
    known = np.isin(sample.label, manifest.classes)
    right = np.asarray(manifest.classes)[scores.label] == sample.label
    brightness, size = _measured(sample.measured, bundle)
    return Seen(
        scores.probabilities,
        scores.entropy,
        scores.energy,
        scores.anomaly_score,
        scores.unknown,
        sample.features,
        brightness,
        size,
        np.where(known, right.astype(float), np.nan),
    )


def seen_of_rows(rows: pd.DataFrame, features: NDArray[np.float32] | None, bundle: Bundle) -> Seen:
    """Rows of a catalogue as the model sees them."""
    probabilities = np.column_stack([rows[f"p_{name}"].to_numpy(dtype=float) for name in bundle.manifest.classes])
    entropy, energy, anomaly = (rows[name].to_numpy(dtype=float) for name in ("entropy", "energy", "anomaly_score"))
    brightness, size = _measured(rows, bundle)
    unknown = rows["unknown"].to_numpy(dtype=bool)
    return Seen(probabilities, entropy, energy, anomaly, unknown, features, brightness, size)


def without_measures(seen: Seen) -> Seen:
    """The same objects, with nothing told of their brightness and size."""
    return replace(seen, brightness=None, size=None)


def _measured(table: pd.DataFrame, bundle: Bundle) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Magnitude in the middle one of the model's bands, and half-light radius; None unless both are there."""
    bands = bundle.manifest.bands
    flux = f"flux_{bands[len(bands) // 2]}"
    if not {flux, "half_light_radius"} <= set(table.columns):
        return None, None
    values = table[flux].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(values > 0, NANOMAGGY - 2.5 * np.log10(values), np.nan)
    return magnitude, table["half_light_radius"].to_numpy(dtype=np.float64)
