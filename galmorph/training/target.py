"""Unlabelled images of the target domain. Labels that may lie beside them are never read."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galmorph.cutout_set import REQUIRED_FACTS, read_cutout_set
from galmorph.digests import file_sha256
from galmorph.errors import DataError
from galmorph.training.data import UNLABELLED, Dataset, Float32, load_array
from galmorph.training.options import SplitOptions, Target
from galmorph.training.pictures import list_pictures, read_pictures
from galmorph.training.split import split_target


class _Read(NamedTuple):
    """Images, identifiers of their objects, facts, digests, and what was left out."""

    images: Float32
    ids: list[str]
    facts: dict[str, Any]
    digests: dict[str, str]
    rejects: Mapping[str, str] = {}


#: Fewest target images of a part: batch statistics and pairs need some, and the criteria that can choose the best epoch
#: are numbers from three images on.
FEWEST = 3


def read_target(target: Target, source: Dataset) -> Dataset:
    """Read unlabelled images, as unlabelled.

    Parameters
    ----------
    target : Target
        Where they are.
    source : Dataset
        The labelled images, which they have to be like.

    Returns
    -------
    Dataset
        With every label `UNLABELLED` and every name empty.

    Raises
    ------
    DataError
        If files are missing or unreadable, or differ from the source in bands, size or framing.
    """
    read = {"cutouts": _read_cutouts, "folder": _read_folder, "arrays": _read_arrays}[target.kind](target)
    _check_alike(target, read.images, read.facts, source)
    labels = np.full(len(read.images), UNLABELLED, dtype=np.int64)
    names = np.full(len(read.images), "", dtype=np.str_)
    ids = np.array(read.ids, dtype=np.str_)
    return Dataset(read.images, labels, names, ids, source.classes, read.facts, read.digests, dict(read.rejects))


def target_rows(
    target: Dataset, source: Dataset, parts: NDArray[np.str_], options: SplitOptions
) -> dict[str, NDArray[np.intp]]:
    """Rows of each part of the target: an object that is in the source too falls into the same part.

    Parameters
    ----------
    target, source : Dataset
        Both domains.
    parts : ndarray of str
        Part of each source image.
    options : SplitOptions
        How other objects are divided, by their identifiers alone, since they have no classes.

    Returns
    -------
    dict of str to ndarray of int
        Rows in ``train`` and ``validation``.

    Raises
    ------
    DataError
        If a part has too few images.
    """
    chosen = split_target(target.object_ids, source.object_ids, parts, options)
    rows = {part: np.flatnonzero(chosen == part) for part in ("train", "validation")}
    for part, numbers in rows.items():
        if len(numbers) < FEWEST:
            raise DataError(
                f"{len(numbers)} target images fall into the {part} part, at least {FEWEST} are needed. "
                "Give more images, or larger shares in [split]"
            )
    return rows


def _check_alike(target: Target, images: Float32, facts: dict[str, Any], source: Dataset) -> None:
    """Fail unless the target's images are made as the source's."""
    if images.shape[1:] != source.images.shape[1:]:
        raise DataError(
            f"{target.path}: target images have the shape {images.shape[1:]}, the source's {source.images.shape[1:]}. "
            "Cut both alike"
        )
    for key in ("bands", "framing", "unit"):
        if key in facts and key in source.facts and facts[key] != source.facts[key]:
            raise DataError(
                f"{target.path}: target images have {key} {facts[key]}, the source's {source.facts[key]}. "
                "Cut both alike: what differs here is no matter of adaptation"
            )


def _read_cutouts(target: Target) -> _Read:
    cutouts = read_cutout_set(target.path)
    facts = {key: cutouts.meta[key] for key in REQUIRED_FACTS}
    return _Read(cutouts.images, cutouts.labels["object_id"].astype(str).tolist(), facts, cutouts.digests())


def _read_folder(target: Target) -> _Read:
    """All pictures of a folder; an object is known by the name of its file."""
    files = list_pictures(target.path)
    images, rows, rejects = read_pictures(files, None, table="target", size=target.size, faults=target.faults)
    digests = {"images": hashlib.sha256(images.tobytes()).hexdigest()}
    return _Read(images, [files[row].stem for row in rows], _facts(target), digests, rejects)


def _read_arrays(target: Target) -> _Read:
    """A .npy file of images; objects are known by their numbers, the same ones as in the source."""
    images = load_array(target.path)
    if images.ndim != 4:
        raise DataError(f"{target.path}: images must have the shape (n, bands, N, N), got {images.shape}")
    images = images if images.dtype == np.float32 else images.astype(np.float32)
    ids = [str(number) for number in range(len(images))]
    return _Read(images, ids, _facts(target), {target.path.name: file_sha256(target.path)})


def _facts(target: Target) -> dict[str, Any]:
    return {"bands": list(target.bands)} if target.bands else {}
