"""Labelled images for training, from three layouts, as one `Dataset`."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutout_set import REQUIRED_FACTS, read_cutout_set
from galmorph.digests import file_sha256
from galmorph.errors import DataError
from galmorph.table_files import UNREADABLE
from galmorph.taxonomy import map_labels
from galmorph.training.options import Source
from galmorph.training.pictures import check_columns, read_pictures, refuse_twice

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

#: Index of images whose class the recipe keeps private, and of images without a label.
PRIVATE, UNLABELLED = -1, -2


@dataclass(frozen=True)
class Dataset:
    """Images with labels.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; may be memory-mapped.
    labels : ndarray of int
        Index into `classes`, or `PRIVATE`, or `UNLABELLED`. Shape ``(n,)``.
    names : ndarray of str
        Labels as words, after the class map; empty where unlabelled.
    object_ids : ndarray of str
        The object that each image shows. Images of one object share it, whatever the survey.
    classes : tuple of str
        Known classes.
    facts : dict
        What is known of the images: `bands`, and for cutouts `survey`, `pixel_scale` (arcsec), `framing` and `unit`.
    digests : dict
        SHA-256 of each file that was read, by name.
    rejects : dict
        Images that were left out, with the reason.
    """

    images: Float32
    labels: Int64
    names: NDArray[np.str_]
    object_ids: NDArray[np.str_]
    classes: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Images of each class word, unlabelled ones under the empty word."""
        return dict(sorted(Counter(self.names.tolist()).items()))


def read_source(source: Source) -> Dataset:
    """Read labelled images.

    Parameters
    ----------
    source : Source
        Where they are and what their classes mean.

    Returns
    -------
    Dataset
        All images, those of private classes and without label included.

    Raises
    ------
    DataError
        If files are missing or unreadable, do not fit together, or hold a class that the recipe does not name.
    """
    return {"cutouts": _read_cutouts, "folder": _read_folder, "arrays": _read_arrays}[source.kind](source)


def _read_cutouts(source: Source) -> Dataset:
    cutouts = read_cutout_set(source.path)
    names = cutouts.labels["label"].tolist()
    ids = cutouts.labels["object_id"].astype(str).tolist()
    facts = {key: cutouts.meta[key] for key in REQUIRED_FACTS}
    return _dataset(source, cutouts.images, names, ids, facts, cutouts.digests())


def _read_folder(source: Source) -> Dataset:
    """Image files and a CSV of file, label and (if not the file's name) object."""
    path = source.labels or source.path / "labels.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except UNREADABLE as error:
        raise DataError(f"cannot read the table of labels {path}: {error}") from error
    check_columns(table, path, ("object_id",))
    if "object_id" in table and (nameless := table["file"][table["object_id"].str.strip() == ""].tolist()):
        raise DataError(
            f"{path}: {len(nameless)} rows have no object_id, such as that of {nameless[0]}. Give them one, or leave "
            "the column out where the file's name says it"
        )
    refuse_twice(table, path)
    labels = table["label"].str.strip().tolist()
    paths = [source.path / name for name in table["file"]]
    images, rows, rejects = read_pictures(paths, labels, table="source", size=source.size, faults=source.faults)
    ids = table["object_id"] if "object_id" in table else table["file"].map(lambda name: Path(name).stem)
    dataset = _dataset(
        source,
        images,
        [labels[row] for row in rows],
        ids.iloc[rows].tolist(),
        _facts(source, images),
        {path.name: file_sha256(path), "images": hashlib.sha256(images.tobytes()).hexdigest()},
    )
    return replace(dataset, rejects=rejects)


def _read_arrays(source: Source) -> Dataset:
    """A pair of .npy files: images, and indices into the recipe's classes."""
    if source.labels is None:
        raise DataError("source.labels is missing: kind 'arrays' needs the .npy file of labels")
    images, labels = load_array(source.path), load_array(source.labels)
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise DataError(f"{source.path}: images must have the shape (n, bands, N, N), got {images.shape}")
    if labels.shape != (len(images),):
        raise DataError(f"{source.labels}: expected {len(images)} whole numbers, got {labels.dtype} {labels.shape}")
    if (odd := np.flatnonzero(np.mod(labels, 1) != 0)).size:
        raise DataError(
            f"{source.labels}: expected whole numbers; {odd.size} are none, as that of image {odd[0]}, "
            f"{labels[odd[0]]:g}. Correct them, or leave these images out"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= len(source.classes)):
        raise DataError(
            f"{source.labels}: labels run from {labels.min()} to {labels.max()}, "
            f"source.classes names {len(source.classes)} classes (0 to {len(source.classes) - 1})"
        )
    if images.dtype != np.float32:
        images = images.astype(np.float32)
    names = [source.classes[int(label)] for label in labels]
    ids = [str(number) for number in range(len(images))]
    digests = {path.name: file_sha256(path) for path in (source.path, source.labels)}
    return _dataset(source, images, names, ids, _facts(source, images), digests)


def load_array(path: Path) -> NDArray[Any]:
    """Real numbers of a ``.npy`` file, memory-mapped; nothing is unpickled."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} as a .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        held = getattr(array, "dtype", "several arrays")
        raise DataError(f"{path} must be one .npy array of numbers, holds {held}")
    return array


def _facts(source: Source, images: Float32) -> dict[str, Any]:
    """What the recipe says of images that bring no description of their own."""
    bands = source.bands or tuple(f"band{number}" for number in range(images.shape[1]))
    if len(bands) != images.shape[1]:
        raise DataError(f"source.bands names {len(bands)} bands, the images have {images.shape[1]}")
    return {"bands": list(bands)}


def _dataset(
    source: Source,
    images: Float32,
    names: list[str],
    ids: Sequence[str],
    facts: dict[str, Any],
    digests: dict[str, str],
) -> Dataset:
    """Apply the class map and turn words into indices."""
    words = np.array(map_labels(names, source.class_map) if source.class_map else names, dtype=np.str_)
    index = {name: number for number, name in enumerate(source.classes)}
    index |= dict.fromkeys(source.private, PRIVATE) | {"": UNLABELLED}
    strangers = sorted(set(words.tolist()) - set(index))
    if strangers:
        raise DataError(
            f"{source.path} holds the classes {', '.join(strangers)}, which the recipe does not name. "
            "List them in source.classes, or in source.private to keep them out of training"
        )
    empty = [name for name in source.classes if name not in set(words.tolist())]
    if empty:
        raise DataError(f"{source.path} has no image of {', '.join(empty)}, which source.classes names")
    labels = np.array([index[word] for word in words.tolist()], dtype=np.int64)
    object_ids = np.array(ids, dtype=np.str_)
    _tell_contradictions(source.path, object_ids, words)
    return Dataset(images, labels, words, object_ids, source.classes, facts, digests)


def _tell_contradictions(path: Path, object_ids: NDArray[np.str_], words: NDArray[np.str_]) -> None:
    """Warn of objects whose images have different labels, of which at most one can be right."""
    pairs = pd.DataFrame({"object": object_ids, "label": words})[words != ""].drop_duplicates()
    odd = pairs["object"][pairs["object"].duplicated()].unique()
    if len(odd):
        told = ", ".join(pairs["label"][pairs["object"] == odd[0]])
        logger.warning(
            "%s: images of %d objects have different labels, as of %s (%s); correct them, or the identifiers",
            path,
            len(odd),
            odd[0],
            told,
        )
