"""A new model for a new release: from the weights of the present one or from scratch, by any method of a recipe."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutout_set import CutoutSet, read_cutout_set, write_cutout_set
from galmorph.errors import BudgetError, ConfigError, DataError, MissingExtraError
from galmorph.releases.description import Adapt
from galmorph.releases.judging import DOMAIN, SOURCE, TARGET
from galmorph.releases.weights import travelling_weights
from galmorph.taxonomy import CLASS_MAPS, map_labels

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from galmorph.training.options import Source
    from galmorph.training.recipe import Recipe

logger = logging.getLogger(__name__)

#: What two sets have to have in common to be trained on as one.
COMMON = ("bands", "framing", "unit")


@dataclass(frozen=True)
class Adapted:
    """What a training for a release leaves.

    Parameters
    ----------
    model : str
        Folder of the bundle.
    weights : str
        Checkpoint to go on from at the next release.
    training : str
        Folder of the training.
    source : str
        The labelled set that it learned from.
    joined : int
        How many labelled images of the new release are among these.
    recipe, method, start : str
        Of the training.
    guard : dict or None
        What the guard against harm saw, if the method adapts.
    budget : dict
        What was allowed, and what was used.
    """

    model: str
    weights: str
    training: str
    source: str
    joined: int
    recipe: str
    method: str
    start: str
    guard: dict[str, Any] | None
    budget: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


def adapt(
    options: Adapt,
    out: Path,
    *,
    target: Path,
    labelled: bool,
    weights: Path | None,
    progress: bool = False,
    callbacks: "Sequence[Callback]" = (),
) -> Adapted:
    """Train a model for a new release and export it.

    A call that was stopped goes on where it was when it is repeated.

    Parameters
    ----------
    options : Adapt
        How.
    out : Path
        Folder for the labelled set, the training, the bundle and its weights.
    target : Path
        Cutouts of the new release.
    labelled : bool
        People's labels stand in that set, and may be learned from.
    weights : Path or None
        Checkpoint of the present model.
    progress : bool
        Show a bar.
    callbacks : sequence of Callback
        Lightning callbacks beside the built-in ones.

    Returns
    -------
    Adapted
        Where everything is.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ConfigError, DataError
        If the recipe or the data cannot be used, there are no weights to start from, or the budget is too small for a
        first usable epoch.
    """
    try:
        from galmorph.training.export import export
        from galmorph.training.guarded import train_guarded
    except ImportError as error:
        raise MissingExtraError("Training", str(error.name), "training") from error
    out.mkdir(parents=True, exist_ok=True)
    recipe, joined = release_recipe(options, out, target=target, labelled=labelled, weights=weights)
    training = out / "training"
    try:
        guarded = train_guarded(
            recipe,
            training,
            device=options.device,
            progress=progress,
            minutes=options.minutes,
            callbacks=callbacks,
        )
    except BudgetError as error:
        raise BudgetError(
            f"after {options.minutes:g} minutes there was no epoch to use yet: allow more in adapt.minutes, or "
            "shorten method.warmup_epochs and method.ramp_epochs of the recipe"
        ) from error
    model = export(training, out / "model")
    result = guarded.shipped
    return Adapted(
        model=str(model),
        weights=str(travelling_weights(training, out / "weights.safetensors")),
        training=str(training),
        source=str(recipe.source.path),
        joined=joined,
        recipe=str(options.recipe),
        method=recipe.method.name,
        start="scratch" if recipe.network.initial is None else "warm",
        guard=None if guarded.verdict is None else guarded.verdict.to_dict(),
        budget={
            "minutes": options.minutes,
            "epochs": recipe.fit.epochs,
            "epochs_used": result.epochs,
            "best_epoch": result.best_epoch,
        },
    )


def release_recipe(
    options: Adapt, out: Path, *, target: Path, labelled: bool, weights: Path | None
) -> "tuple[Recipe, int]":
    """The recipe of the training for a release, with the sets and weights that it names in place.

    Parameters
    ----------
    options, out, target, labelled, weights
        See `adapt`.

    Returns
    -------
    Recipe
        With the new release as target if its method adapts, and the weights to start from.
    int
        How many labelled images of the new release are among those to learn from.

    Raises
    ------
    ConfigError
        If it should start from the present model's weights, and there are none.
    """
    from galmorph.training.methods import find_method
    from galmorph.training.options import Target
    from galmorph.training.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    source, joined = recipe.source, 0
    if labelled and options.use_labels:
        path, joined = join_sets(source, target, out / "labelled")
        source = replace(source, path=path)
    adapts = find_method(recipe.method.name).adapts
    network = recipe.network
    if options.start == "warm":
        given = options.weights or weights
        if given is None:
            raise ConfigError(
                "there are no weights of the present model to start from: name its training in adapt.weights, register "
                "it with `galmorph models register --weights TRAINING`, or set adapt.start = 'scratch'"
            )
        network = replace(
            network, initial=travelling_weights(given, out / "start.safetensors", without=options.leave_out)
        )
    aim = Target(path=target) if adapts else recipe.target
    return replace(recipe, source=source, target=aim, network=network), joined


def join_sets(source: "Source", target: Path, out: Path) -> tuple[Path, int]:
    """Put labelled images of the new release into one set with those of the source.

    Parameters
    ----------
    source : Source
        The labelled images so far, a set of cutouts.
    target : Path
        Cutouts of the new release; those with a label of a class of the source are taken.
    out : Path
        Set to write; its column `domain` tells where an image is from. One that is there already is taken as it is.

    Returns
    -------
    Path
        `out`, or the source's own set if no label of the target is of its classes.
    int
        Images of the target in it.

    Raises
    ------
    DataError
        If one is no set of cutouts, or they are cut in different ways.
    """
    if source.kind != "cutouts":
        raise DataError(
            f"labels of the new release can be learned together with a set of cutouts only, and source.kind is "
            f"{source.kind!r}; set adapt.use_labels = false"
        )
    ours, theirs = read_cutout_set(source.path), read_cutout_set(target)
    for key in COMMON:
        if ours.meta[key] != theirs.meta[key]:
            raise DataError(
                f"{target} has {key} {theirs.meta[key]}, and {source.path} {ours.meta[key]}; cut both alike, or set "
                "adapt.use_labels = false"
            )
    words = raw_words(theirs, source)
    rows = np.flatnonzero(words != "")
    if not rows.size:
        return source.path, 0
    if not out.is_dir():
        _write_joined(ours, theirs, words, rows, out)
    return out, len(rows)


def raw_words(cutouts: CutoutSet, source: "Source") -> NDArray[np.str_]:
    """Labels in the vocabulary of the source's set; empty where there is none, or of a class that it does not learn.

    People label in the words of the model, and its training may have had finer ones: any that means the same will do.
    """
    given = cutouts.labels["label"].tolist()
    if not source.class_map:
        return np.array([name if name in source.classes else "" for name in given], dtype=np.str_)
    finer: dict[str, str] = {}
    for name in CLASS_MAPS[source.class_map]:
        finer.setdefault(map_labels([name], source.class_map)[0], name)
    known = {name for name in CLASS_MAPS[source.class_map] if map_labels([name], source.class_map)[0] in source.classes}
    raw = [name if name in known else finer.get(name, "") for name in given]
    return np.array([name if name in known else "" for name in raw], dtype=np.str_)


def _write_joined(
    ours: CutoutSet, theirs: CutoutSet, words: NDArray[np.str_], rows: NDArray[np.intp], out: Path
) -> None:
    """Write both in one, under another name first: a set that is there is whole."""
    columns = ["object_id", "label"]
    table = pd.concat(
        [
            ours.labels[columns].assign(**{DOMAIN: SOURCE}),
            theirs.labels.iloc[rows][columns].assign(label=words[rows], **{DOMAIN: TARGET}),
        ],
        ignore_index=True,
    )
    images = np.concatenate([ours.images, theirs.images[rows]])
    meta = ours.meta | {"joined_with": {"survey": theirs.meta["survey"], "images": len(rows)}}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        write_cutout_set(Path(scratch) / "set", images, table, meta)
        (Path(scratch) / "set").replace(out)
