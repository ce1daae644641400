"""Measure a bundle on labelled cutouts: what ships is what is measured, through onnxruntime."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from galmorph.bundle import Bundle, load_bundle
from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.cutouts import Framing
from galmorph.errors import DataError
from galmorph.scores import score
from galmorph.taxonomy import map_labels
from galmorph.training.evaluation import Evaluation, summarise
from galmorph.training.options import SplitOptions
from galmorph.training.split import PARTS, split_objects

Part = Literal["all", "train", "validation", "test"]

#: Images scored at a time.
BATCH = 256

#: Resamples that intervals are taken from unless told otherwise.
RESAMPLES = 1000


def evaluate(bundle: Path, data: Path, *, part: Part | None = None, resamples: int = RESAMPLES) -> Evaluation:
    """Measure a bundle on labelled cutouts.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    data : Path
        Folder of a set of cutouts. Labels pass through the class map of the bundle's recipe; objects of classes
        that the bundle does not know count as unknown, objects without label are left out.
    part : {"all", "train", "validation", "test"}, optional
        Which part, by the division of the bundle's training. By default ``test`` if this is the set that it was
        trained on, else ``all``.
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
    """
    loaded, cutouts = load_bundle(bundle), read_cutout_set(data)
    _check(loaded, cutouts)
    training = loaded.manifest.training
    recipe = training.get("recipe", {})
    own = cutouts.digests() == training.get("data")
    part = part or ("test" if own else "all")
    class_map = recipe.get("source", {}).get("class_map", "")
    raw = cutouts.labels["label"].fillna("").astype(str).tolist()
    names = np.array(map_labels(raw, class_map) if class_map else raw, dtype=np.str_)
    ids = cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
    chosen = names != ""
    if part != "all":
        if "split" not in recipe:
            raise DataError(f"bundle {bundle} does not say how its data were divided; only part 'all' can be measured")
        chosen &= split_objects(ids, names, SplitOptions(**recipe["split"])) == part
    rows = np.flatnonzero(chosen)
    if not rows.size:
        raise DataError(f"{data} has no labelled object in part {part!r}; choose among all, {', '.join(PARTS)}")
    logits, features = predict(loaded.model_path, cutouts.images, rows)
    manifest = loaded.manifest
    scores = score(
        logits,
        features,
        loaded.reference,
        temperature=manifest.temperature,
        unknown_score=manifest.unknown.score,
        threshold=manifest.unknown.threshold,
    )
    return summarise(
        scores,
        names[rows],
        tuple(manifest.classes),
        model=manifest.name,
        data=str(data),
        part=part,
        object_ids=ids[rows],
        resamples=resamples,
    )


def predict(
    model: Path | bytes, images: NDArray[np.float32], rows: NDArray[np.intp], batch: int = BATCH
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and features of chosen images by an ONNX model on the CPU.

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
    session = ort.InferenceSession(
        model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"]
    )
    logits, features = zip(*_batches(session, images, rows, batch), strict=True)
    return np.concatenate(logits), np.concatenate(features)


def _batches(
    session: ort.InferenceSession, images: NDArray[np.float32], rows: NDArray[np.intp], batch: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    for start in range(0, len(rows), batch):
        logits, features = session.run(["logits", "features"], {"image": images[rows[start : start + batch]]})
        yield logits, features


def _check(bundle: Bundle, cutouts: CutoutSet) -> None:
    """Fail unless the cutouts are what the bundle takes."""
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
    if Framing(**cutouts.meta["framing"]) != manifest.framing:
        raise DataError(
            f"{cutouts.path} was cut with the framing {cutouts.meta['framing']}, and model {manifest.name} takes "
            f"{dataclasses.asdict(manifest.framing)}. Make the set with the model's framing"
        )
