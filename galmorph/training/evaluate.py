"""Measure a bundle on labelled cutouts: what ships is what is measured, through onnxruntime."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from galmorph.bundle import SOURCE_MODEL, Bundle, load_bundle
from galmorph.cutout_set import IMAGES, UNIT, CutoutSet, read_cutout_set
from galmorph.cutouts import Framing
from galmorph.errors import BundleError, ConfigError, DataError
from galmorph.taxonomy import CLASS_MAPS, map_labels
from galmorph.training.evaluation import Evaluation, summarise
from galmorph.training.options import SplitOptions
from galmorph.training.split import PARTS, split_objects

logger = logging.getLogger(__name__)

Part = Literal["all", "train", "validation", "test"]
Domain = Literal["source", "target"]

#: Images scored at a time.
BATCH = 32

#: Resamples that intervals are taken from unless told otherwise.
RESAMPLES = 1000


def evaluate(
    bundle: Path,
    data: Path,
    *,
    part: Part | None = None,
    domain: Domain | None = None,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Measure a bundle on labelled cutouts.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    data : Path
        Folder of a set of cutouts. Labels pass through the class map of the bundle's recipe, as far as it goes; objects
        of classes that the bundle does not know count as unknown, objects without label are left out.
    part : {"all", "train", "validation", "test"}, optional
        Which part, by the division of the bundle's training. By default ``test`` if this is one of the sets that it
        was trained on, labelled or unlabelled, or the adapted model was whose place it took, else ``all``.
    domain : {"source", "target"}, optional
        Whose batch normalisation to use where a bundle has one for each. By default the source's for the labelled set
        that it was trained on, else the target's.
    resamples : int
        Bootstrap resamples of objects for the intervals; 0 gives none.

    Returns
    -------
    Evaluation
        The numbers.

    Raises
    ------
    BundleError, DataError
        If bundle or data cannot be used or do not fit each other.
    ConfigError
        If the number of resamples is negative.
    """
    if resamples < 0:
        raise ConfigError(f"{resamples} bootstrap resamples were asked for; give 0 for no intervals, or more")
    loaded, cutouts = load_bundle(bundle), read_cutout_set(data)
    check_fit(loaded, cutouts)
    training = loaded.manifest.training
    recipe = training.get("recipe", {})
    digests = cutouts.digests()
    # Its images are those of the training also where labels were corrected, or given to a target, since.
    own = digests[IMAGES] == (training.get("data") or {}).get(IMAGES)
    # What a model is measured on does not depend on whether the guard let the adapted one ship.
    targets = ((training.get("target") or {}).get("digests"), (training.get("guard") or {}).get("target"))
    adapted_to = digests[IMAGES] in [(each or {}).get(IMAGES) for each in targets]
    part = part or ("test" if own or adapted_to else "all")
    names = label_words(cutouts, recipe.get("source", {}).get("class_map", ""))
    ids = cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
    within = np.ones(len(names), dtype=bool)
    if part != "all":
        if "split" not in recipe:
            raise DataError(f"bundle {bundle} does not say how its data were divided; only part 'all' can be measured")
        try:
            options = SplitOptions(**recipe["split"])
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"bundle {bundle} says of how its data were divided what this version does not know ({error}); update "
                "galmorph, or measure part 'all'"
            ) from error
        if options.stratified and digests != training.get("data"):
            logger.warning(
                "%s: split.stratified divided the objects of the labelled set by the classes that they had then, which "
                "this one does not tell; objects that are in both may be in another part here",
                data,
            )
        # Of other sets than the labelled one the training knew no classes: identifiers alone decide.
        options = options if own else dataclasses.replace(options, stratified=False)
        within = split_objects(ids, names, options) == part
    rows = np.flatnonzero((names != "") & within)
    unlabelled = int(((names == "") & within).sum())
    if not rows.size:
        others = f"; choose among all, {', '.join(PARTS)}" if (names != "").any() else ", nor in any other"
        raise DataError(f"{data} has no labelled object in part {part!r}{others}")
    manifest = loaded.manifest
    _tell_misspelt(cutouts, names[rows], manifest.classes)
    model = loaded.path / SOURCE_MODEL if (domain or ("source" if own else "target")) == "source" else loaded.model_path
    # A bundle without a graph of the source's own has one for both.
    model = model if model.name in manifest.files else loaded.model_path
    logits, features = predict(model, cutouts.images, rows)
    found = summarise(
        loaded.score(logits, features),
        names[rows],
        tuple(manifest.classes),
        model=manifest.name,
        data=str(data),
        part=part,
        object_ids=ids[rows],
        resamples=resamples,
    )
    return dataclasses.replace(found, without_label=unlabelled)


def label_words(cutouts: CutoutSet, class_map: str) -> NDArray[np.str_]:
    """Labels in the words of a model.

    Parameters
    ----------
    cutouts : CutoutSet
        With labels or without.
    class_map : str
        Key of `galmorph.taxonomy.CLASS_MAPS`; empty: none.

    Returns
    -------
    ndarray of str
        What the class map does not name stays as it is, with a warning; empty where there is no label. Shape ``(n,)``.
    """
    raw = cutouts.labels["label"].tolist()
    if not class_map:
        return np.array(raw, dtype=np.str_)
    if class_map not in CLASS_MAPS:
        raise BundleError(
            f"the model's class map {class_map!r} is not known here, only {', '.join(sorted(CLASS_MAPS))}; "
            "update galmorph"
        )
    strangers = sorted({name for name in raw if name and name not in CLASS_MAPS[class_map]})
    if strangers:
        logger.warning("%s: class map %s does not name %s; they stay", cutouts.path, class_map, ", ".join(strangers))
    words = {name: map_labels([name], class_map)[0] for name in {*raw} - {*strangers}}
    return np.array([words.get(name, name) for name in raw], dtype=np.str_)


def _tell_misspelt(cutouts: CutoutSet, names: NDArray[np.str_], classes: Sequence[str]) -> None:
    """Warn of labels that count as unknown, though they are a known class but for capitals."""
    known = {name.casefold(): name for name in classes}
    others = sorted({*names.tolist()} - {*classes})
    if alike := [name for name in others if name.casefold() in known]:
        logger.warning(
            "%s: objects labelled %s count as of unknown classes; the model writes %s. Correct the labels",
            cutouts.path,
            ", ".join(alike),
            ", ".join(known[name.casefold()] for name in alike),
        )


def predict(
    model: Path | bytes, images: NDArray[np.float32], rows: NDArray[np.intp], batch: int = BATCH
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and features of chosen images by an ONNX model on the CPU; logits of images that are not finite are NaN.

    Parameters
    ----------
    model : Path or bytes
        The model.
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; read a batch at a time.
    rows : ndarray of int
        Which.
    batch : int
        Images at a time.

    Returns
    -------
    logits, features : ndarray of float32
        Shapes ``(len(rows), K)`` and ``(len(rows), d)``.
    """
    # From memory, so that a graph cannot point to files that no digest covers.
    graph = model if isinstance(model, bytes) else model.read_bytes()
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    logits, features = zip(*_batches(session, images, rows, batch), strict=True)
    return np.concatenate(logits), np.concatenate(features)


def _batches(
    session: ort.InferenceSession, images: NDArray[np.float32], rows: NDArray[np.intp], batch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    for start in range(0, len(rows), batch):
        chosen = images[rows[start : start + batch]]
        logits, features = session.run(["logits", "features"], {"image": chosen})
        # Maxima pass over what is no number: a network would answer for half an image.
        logits[~np.isfinite(chosen).all(axis=(1, 2, 3))] = np.nan
        yield logits, features


def check_fit(bundle: Bundle, cutouts: CutoutSet) -> None:
    """Fail unless cutouts are what a bundle takes.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cutouts : CutoutSet
        The images.

    Raises
    ------
    DataError
        If bands, size, unit or framing are others.
    """
    manifest = bundle.manifest
    expected = (len(manifest.bands), manifest.framing.size, manifest.framing.size)
    if list(cutouts.meta["bands"]) != list(manifest.bands) or cutouts.images.shape[1:] != expected:
        raise DataError(
            f"{cutouts.path} has the bands {cutouts.meta['bands']} and images of shape {cutouts.images.shape[1:]}; "
            f"model {manifest.name} takes {manifest.bands} and {expected}. "
            "Make the set with the model's framing and bands"
        )
    if cutouts.meta["unit"] != manifest.unit:
        raise DataError(
            f"{cutouts.path} is in {cutouts.meta['unit']}, and model {manifest.name} takes {manifest.unit}. "
            "Measure it on a set of the kind that it was trained on"
        )
    scale, (low, high) = cutouts.meta["pixel_scale"], manifest.pixel_scale_range
    if manifest.unit == UNIT and not low <= scale <= high:
        logger.warning(
            "%s is of a survey of %g arcsec per pixel; model %s takes %g to %g, and a survey run would refuse it",
            cutouts.path,
            scale,
            manifest.name,
            low,
            high,
        )
    if Framing(**cutouts.meta["framing"]) != manifest.framing:
        raise DataError(
            f"{cutouts.path} was cut with the framing {cutouts.meta['framing']}, and model {manifest.name} takes "
            f"{dataclasses.asdict(manifest.framing)}. Make the set with the model's framing"
        )
