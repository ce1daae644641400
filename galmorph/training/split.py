"""Divide objects into training, validation and test parts by their identifiers.

All images of an object, in every survey and every augmented form that has its identifier, fall into the same part,
because the part is a function of the identifier. (In the data of both papers pristine and noisy images of one galaxy
could be in source-training and target-test.)
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.training.options import SplitOptions

PARTS = ("train", "validation", "test")


def split_objects(object_ids: NDArray[np.str_], names: NDArray[np.str_], options: SplitOptions) -> NDArray[np.str_]:
    """Part of each image.

    Parameters
    ----------
    object_ids : ndarray of str
        Object that each image shows, shape ``(n,)``.
    names : ndarray of str
        Class of each image; used when `options.stratified` only. Shape ``(n,)``.
    options : SplitOptions
        Shares, salt, and whether shares are exact within classes.

    Returns
    -------
    ndarray of str
        ``train``, ``validation`` or ``test`` for each image, shape ``(n,)``.

    Raises
    ------
    DataError
        If the shares are to be exact within classes and an object has images of different classes.
    """
    unique, first, inverse = np.unique(object_ids, return_index=True, return_inverse=True)
    place = np.array([_place(name, options.salt) for name in unique.tolist()])
    if options.stratified:
        if np.any(names[first][inverse] != names):
            odd = object_ids[names[first][inverse] != names][0]
            raise DataError(f"object {odd} has images of different classes; a stratified split needs one class")
        place = _ranks_within(place, names[first])
    edges = np.cumsum([options.train, options.validation])
    # Rounding, so that a share like 0.7 + 0.15 does not move an object that stands exactly on the edge.
    parts = np.searchsorted(np.round(edges, 9), np.round(place, 9), side="right")
    return np.asarray(PARTS)[parts][inverse]


def split_target(
    target_ids: NDArray[np.str_],
    source_ids: NDArray[np.str_],
    source_parts: NDArray[np.str_],
    options: SplitOptions,
) -> NDArray[np.str_]:
    """Part of each image of a second domain; an object that the source shows too is in the same part there.

    The target's classes have no say: an object that only the target shows is placed by its identifier.

    Parameters
    ----------
    target_ids, source_ids : ndarray of str
        Object that each image shows, shapes ``(m,)`` and ``(n,)``.
    source_parts : ndarray of str
        Part of each source image, shape ``(n,)``.
    options : SplitOptions
        Shares and salt.

    Returns
    -------
    ndarray of str
        Shape ``(m,)``.
    """
    own = split_objects(target_ids, np.full(len(target_ids), ""), replace(options, stratified=False))
    # Exact shares within classes depend on all objects of the source: what it shows too has to follow it.
    known = dict(zip(source_ids.tolist(), source_parts.tolist(), strict=True))
    return np.array([known.get(name, part) for name, part in zip(target_ids.tolist(), own.tolist(), strict=True)])


def _place(object_id: str, salt: str) -> float:
    """A number in [0, 1) that depends on identifier and salt only."""
    digest = hashlib.blake2b(f"{salt}\0{object_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def _ranks_within(place: NDArray[np.float64], names: NDArray[np.str_]) -> NDArray[np.float64]:
    """Replace each number by its rank among those of its class, as a fraction in [0, 1)."""
    ranks = np.empty_like(place)
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        ranks[members[np.argsort(place[members], kind="stable")]] = np.arange(len(members)) / len(members)
    return ranks


def check_no_leak(parts: Mapping[str, NDArray[np.str_]]) -> None:
    """Fail if an object is in more than one part.

    Parameters
    ----------
    parts : mapping of str to ndarray of str
        Object identifiers of each part, of all domains together.

    Raises
    ------
    DataError
        With the parts and some of the objects that they share.
    """
    names = list(parts)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            common = np.intersect1d(parts[first], parts[second])
            if common.size:
                raise DataError(
                    f"{common.size} objects are in both {first} and {second}, for example "
                    f"{', '.join(common[:3].tolist())}: what is measured on them would not be honest. "
                    "Give every image of an object the same object_id and split again"
                )


def check_no_copies(
    parts: Mapping[str, Sequence[tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.str_]]]],
) -> None:
    """Fail if the same pixels are in more than one part: an object that goes by two identifiers.

    Blank images, of one value or with pixels that are no numbers, show no object and do not count.

    Parameters
    ----------
    parts : mapping of str to sequence of tuple
        Of each part and each domain in it all images ``(n, bands, N, N)``, the chosen rows, and the identifiers of the
        objects that all images show, shape ``(n,)``.

    Raises
    ------
    DataError
        With the parts and the objects.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    for part, domains in parts.items():
        for images, rows, object_ids in domains:
            for row in rows.tolist():
                image = images[row]
                if not (image.min(axis=(1, 2)) < image.max(axis=(1, 2))).any():
                    continue
                digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
                other, name = seen.setdefault(digest, (part, str(object_ids[row])))
                if other != part:
                    raise DataError(
                        f"object {name} in the {other} part and object {object_ids[row]} in the {part} part have the "
                        "same image: what is measured on it would not be honest. Give both one object_id, or leave "
                        "one out"
                    )
