"""The images of a training: labelled ones of the source, unlabelled ones of the target, and their parts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galmorph.band_order import likely_order
from galmorph.errors import ConfigError, DataError
from galmorph.training.band_order import band_shares
from galmorph.training.data import PRIVATE, Dataset, read_source
from galmorph.training.methods import find_method
from galmorph.training.noise import lacking_noise, pixel_noise
from galmorph.training.recipe import Recipe
from galmorph.training.split import PARTS, check_no_copies, check_no_leak, split_objects
from galmorph.training.target import read_target, target_rows

logger = logging.getLogger(__name__)

Rows = dict[str, NDArray[np.intp]]

#: Objects that a message names.
NAMED = 5


@dataclass(frozen=True)
class Domains:
    """The images of a training.

    Parameters
    ----------
    source : Dataset
        Labelled images.
    rows : dict of str to ndarray of int
        Their rows in ``train``, ``validation`` and ``test`` that have a known class.
    target : Dataset or None
        Unlabelled images, if the method adapts to them.
    target_rows : dict of str to ndarray of int
        Their rows in ``train`` and ``validation``.
    noise : list of float
        Largest standard deviation of the noise that labelled images get in training, of each band.
    order : list of int or None
        The order in which the target's bands look like the source's, where it is not theirs; see
        `galmorph.band_order.likely_order`.
    """

    source: Dataset
    rows: Rows
    target: Dataset | None = None
    target_rows: Rows = field(default_factory=dict)
    noise: list[float] = field(default_factory=list)
    order: list[int] | None = None


def read_domains(recipe: Recipe) -> Domains:
    """Read what a recipe names and divide it.

    Parameters
    ----------
    recipe : Recipe
        Settings. A target is only read for a method that adapts.

    Returns
    -------
    Domains
        No object is in different parts of the two domains.

    Raises
    ------
    ConfigError
        If there is no such method, it adapts and the recipe names no target, or noise is given for other bands.
    DataError
        If the data cannot be used, or what is measured on one part shows in another.
    """
    source = read_source(recipe.source)
    check_images(source, recipe.source.path)
    rows = part_rows(source, recipe)
    parts = split_objects(source.object_ids, source.names, recipe.split)
    shown = {part: [(source.images, rows[part], source.object_ids)] for part in PARTS}
    for part in ("validation", "test"):
        # Private classes are not learned, but measured.
        private = np.flatnonzero((source.labels == PRIVATE) & (parts == part))
        shown[part].append((source.images, private, source.object_ids))
    if not find_method(recipe.method.name).adapts:
        check_no_copies(shown)
        return Domains(source, rows, noise=_noise(recipe, source))
    if recipe.target is None:
        raise ConfigError(
            f"method {recipe.method.name!r} adapts to unlabelled images: "
            "give the recipe a table [target] with their path"
        )
    target = read_target(recipe.target, source)
    check_images(target, recipe.target.path)
    chosen = target_rows(target, source, parts, recipe.split)
    check_no_leak(
        {
            part: np.concatenate([source.object_ids[rows[part]], target.object_ids[chosen.get(part, [])]])
            for part in PARTS
        }
    )
    left = np.setdiff1d(np.arange(len(target.images)), np.concatenate(list(chosen.values())))
    for part, numbers in (chosen | {"test": left}).items():
        shown[part].append((target.images, numbers, target.object_ids))
    check_no_copies(shown)
    lacking = lacking_noise(pixel_noise(source.images, rows["train"]), pixel_noise(target.images, chosen["train"]))
    order = likely_order(band_shares(source.images, rows["train"]), band_shares(target.images, chosen["train"]))
    return Domains(source, rows, target, chosen, _noise(recipe, source, lacking), order)


def _noise(recipe: Recipe, source: Dataset, lacking: Sequence[float] = ()) -> list[float]:
    """Of each band what the recipe says, or what the source lacks beside its target."""
    bands, asked = source.images.shape[1], recipe.views.noise
    if asked == "target":
        return list(lacking) or [0.0] * bands
    given = list(asked) if isinstance(asked, tuple) else [asked] * bands
    if len(given) != bands:
        raise ConfigError(f"views.noise has {len(given)} values, the images {bands} bands; give one for each, or one")
    return given


def check_images(dataset: Dataset, path: Path) -> None:
    """Tell blank images, and fail if one has pixels that are no numbers, which no measure of a training would survive.

    Parameters
    ----------
    dataset : Dataset
        Images and identifiers.
    path : Path
        Where they are from, for the message.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    ids, images = dataset.object_ids, dataset.images
    # The least and the largest of pixels of which one is NaN are NaN.
    ends = np.array([(image.min(axis=(1, 2)), image.max(axis=(1, 2))) for image in images])
    low, high = ends.reshape(-1, 2, images.shape[1]).transpose(1, 0, 2)
    if (bad := ~(np.isfinite(low) & np.isfinite(high)).all(axis=1)).any():
        raise DataError(
            f"{path}: {bad.sum()} of {len(ids)} images hold values that are not finite, of object {_some(ids[bad])}. "
            "Repair these or leave them out, and make the set again"
        )
    if (blank := (low == high).all(axis=1)).any():
        logger.warning(
            "%s: %d of %d images have one value everywhere, of object %s; there is nothing to see on these",
            path,
            blank.sum(),
            len(ids),
            _some(ids[blank]),
        )


def _some(ids: NDArray[np.str_]) -> str:
    """The first identifiers."""
    return f"{', '.join(ids[:NAMED].tolist())}{', …' if len(ids) > NAMED else ''}"


def part_rows(dataset: Dataset, recipe: Recipe) -> dict[str, NDArray[np.intp]]:
    """Rows of each part that have a known class.

    Parameters
    ----------
    dataset : Dataset
        All images.
    recipe : Recipe
        How objects are divided.

    Returns
    -------
    dict of str to ndarray of int
        Rows in ``train``, ``validation`` and ``test``.

    Raises
    ------
    DataError
        If an object is in two parts, or a class has no image in the training or validation part.
    """
    parts = split_objects(dataset.object_ids, dataset.names, recipe.split)
    known = dataset.labels >= 0
    rows = {part: np.flatnonzero(known & (parts == part)) for part in PARTS}
    check_no_leak({part: dataset.object_ids[chosen] for part, chosen in rows.items()})
    for part in ("train", "validation"):
        absent = set(range(len(dataset.classes))) - set(dataset.labels[rows[part]].tolist())
        if absent:
            raise DataError(
                f"no {part} image of {', '.join(dataset.classes[k] for k in sorted(absent))}: more images are needed"
                + ("" if recipe.split.stratified else ", or split.stratified = true")
            )
    return rows
