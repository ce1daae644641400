"""Two bundles on the same images: what the gates are decided by."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from galmorph.bundle import SOURCE_MODEL, Bundle
from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.errors import DataError, GalmorphError
from galmorph.releases import gate_options as asked
from galmorph.releases import gates as gate
from galmorph.releases.gate_options import Gates
from galmorph.releases.verdict import Verdict, not_computed, numbered
from galmorph.scores import Scores, score
from galmorph.training.evaluate import check_fit, label_words, predict
from galmorph.training.measures import Case
from galmorph.training.options import SplitOptions
from galmorph.training.split import split_objects

#: Graph in whole numbers, where a bundle has one.
INT8 = "model.int8.onnx"

#: Images that times are measured on, and how often.
TIMED, REPEATED = 64, 15

#: Column of a joined set that tells the domain of each image.
DOMAIN, SOURCE, TARGET = "domain", "source", "target"


@dataclass(frozen=True)
class Material:
    """What two models are judged on.

    Parameters
    ----------
    source : Path
        The labelled set that the new model was trained on. If it holds labelled images of the new release too, its
        column `domain` tells which.
    target : Path
        Cutouts of the new release. Labels count if `labelled`.
    labelled : bool
        The target's labels come from people.
    """

    source: Path
    target: Path
    labelled: bool


def judge(old: Bundle, new: Bundle, material: Material, gates: Gates) -> list[Verdict]:
    """Decide all gates that are asked for.

    Parameters
    ----------
    old, new : Bundle
        The model in use, and the one that may take its place.
    material : Material
        Images and labels.
    gates : Gates
        What is asked.

    Returns
    -------
    list of Verdict
        One for each gate, two for calibration if that is asked for on the target too. What a gate needs and is not
        there makes it fail, not the call.
    """
    bench = _Bench(old, new, material, gates)
    verdicts: list[Verdict] = []
    for name, options in gates.asked().items():
        try:
            verdicts += bench.methods[name](options)
        except (GalmorphError, OSError, ValueError) as error:
            words = {"estimate": "accuracy on the new release, estimated without labels"}.get(name, name)
            verdicts.append(not_computed(name, words, str(error), estimate=name == "estimate"))
    return verdicts


class _Bench:
    """Both models on both sets, scored once; a method for each gate, given what is asked of it."""

    def __init__(self, old: Bundle, new: Bundle, material: Material, gates: Gates) -> None:
        self.models, self.material, self.gates = (old, new), material, gates
        self.methods: dict[str, Callable[[Any], list[Verdict]]] = {
            "source": self.source,
            "target": self.target,
            "estimate": self.estimate,
            "calibration": self.calibration,
            "unknown": self.unknown,
            "agreement": self.agreement,
            "int8": self.int8,
            "speed": self.speed,
        }

    def source(self, options: asked.SourceGate) -> list[Verdict]:
        metrics = self.models[0].manifest.metrics
        part = metrics.get("test") or metrics.get("validation") or {}
        recorded = part.get("known", {}).get(options.measure)
        return [gate.source_gate(*self._source, recorded, options, self.gates)]

    def target(self, options: asked.TargetGate) -> list[Verdict]:
        return [gate.target_gate(*self._labelled, options, self.gates)]

    def estimate(self, options: asked.EstimateGate) -> list[Verdict]:
        confidence = [scores.confidence for scores in self._release]
        both = [(case, numbers) for case, numbers in zip(self._source, confidence, strict=True)]
        return [gate.estimate_gate(both[0], both[1], options, self.gates, self._release_ids)]

    def calibration(self, options: asked.CalibrationGate) -> list[Verdict]:
        target = None if options.target_error is None else self._labelled[1]
        return gate.calibration_gates(self._source[1], target, options, self.gates)

    def unknown(self, options: asked.UnknownGate) -> list[Verdict]:
        return [gate.unknown_gate(self._release[1].unknown, options, self.gates, self._release_ids)]

    def agreement(self, options: asked.AgreementGate) -> list[Verdict]:
        if "snr" not in self._cutouts.labels:
            raise DataError(f"{self.material.target} has no column snr, which says what is bright")
        names = [_labels(model, scores) for model, scores in zip(self.models, self._release, strict=True)]
        snr = self._cutouts.labels["snr"].to_numpy(dtype=np.float64)
        return [gate.agreement_gate(names[0], names[1], snr, options, self.gates, self._release_ids)]

    def int8(self, options: asked.Int8Gate) -> list[Verdict]:
        new = self.models[1]
        if INT8 not in new.manifest.files:
            raise DataError(f"the bundle {new.path} has no {INT8}")
        rows = np.arange(len(self._cutouts.labels))
        logits, _ = predict(new.path / INT8, self._cutouts.images, rows)
        labels = self._release[1].label, logits.argmax(axis=1)
        return [gate.int8_gate(*labels, options, self.gates, self._release_ids)]

    def speed(self, options: asked.SpeedGate) -> list[Verdict]:
        images = np.ascontiguousarray(self._cutouts.images[:TIMED])
        seconds = measure_seconds([model.model_path for model in self.models], images)
        return [gate.speed_gate(seconds[0], seconds[1], options, self.gates)]

    @cached_property
    def _cutouts(self) -> CutoutSet:
        cutouts = read_cutout_set(self.material.target)
        for model in self.models:
            check_fit(model, cutouts)
        return cutouts

    @cached_property
    def _parts(self) -> "_Parts":
        """The labelled set that the new model was trained on, and its part of each object."""
        cutouts = read_cutout_set(self.material.source)
        training = self.models[1].manifest.training
        if cutouts.digests() != training.get("data"):
            raise DataError(f"{cutouts.path} is not the set that the new model was trained on: its digests differ")
        for model in self.models:
            check_fit(model, cutouts)
        names = label_words(cutouts, training["recipe"]["source"].get("class_map", ""))
        ids = cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
        parts = split_objects(ids, names, SplitOptions(**training["recipe"]["split"]))
        domain = (
            cutouts.labels[DOMAIN].to_numpy(dtype=np.str_) if DOMAIN in cutouts.labels else np.full(len(ids), SOURCE)
        )
        return _Parts(cutouts, names, ids, parts, domain)

    @cached_property
    def _source(self) -> tuple[Case, Case]:
        parts = self._parts
        rows = np.flatnonzero((parts.part == "test") & (parts.domain == SOURCE) & (parts.names != ""))
        if not rows.size:
            raise DataError(f"{parts.cutouts.path} has no labelled object of the source in its test part")
        return self._cases(parts.cutouts, rows, parts.names[rows], parts.ids[rows], "source")

    @cached_property
    def _labelled(self) -> tuple[Case, Case]:
        """Labelled objects of the new release that the new model has not learned from, there or in the source."""
        if not self.material.labelled:
            raise DataError(f"no table of labels speaks of the objects of {self.material.target}")
        parts, cutouts = self._parts, self._cutouts
        names = label_words(cutouts, self.models[1].manifest.training["recipe"]["source"].get("class_map", ""))
        ids = self._release_ids
        learned = parts.ids[parts.part != "test"]
        rows = np.flatnonzero((names != "") & ~np.isin(ids, learned))
        if not rows.size:
            raise DataError(f"{self.material.target} has no labelled object that the new model was not trained on")
        return self._cases(cutouts, rows, names[rows], ids[rows], "target")

    @cached_property
    def _release_ids(self) -> NDArray[np.str_]:
        """Object of the new release that each image shows."""
        return self._cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)

    @cached_property
    def _release(self) -> tuple[Scores, Scores]:
        rows = np.arange(len(self._cutouts.labels))
        old, new = (scored(model, self._cutouts, rows, "target") for model in self.models)
        return old, new

    def _cases(
        self,
        cutouts: CutoutSet,
        rows: NDArray[np.intp],
        names: NDArray[np.str_],
        ids: NDArray[np.str_],
        domain: str,
    ) -> tuple[Case, Case]:
        old, new = (
            Case.of(scored(model, cutouts, rows, domain), names, tuple(model.manifest.classes), numbered(ids, len(ids)))
            for model in self.models
        )
        return old, new


class _Parts(NamedTuple):
    """A labelled set with the class, object, part and domain of each image."""

    cutouts: CutoutSet
    names: NDArray[np.str_]
    ids: NDArray[np.str_]
    part: NDArray[np.str_]
    domain: NDArray[np.str_]


def scored(bundle: Bundle, cutouts: CutoutSet, rows: NDArray[np.intp], domain: str) -> Scores:
    """What a bundle says of chosen images, calibrated as it ships.

    Parameters
    ----------
    bundle : Bundle
        The model.
    cutouts : CutoutSet
        Images that fit it.
    rows : ndarray of int
        Which.
    domain : str
        ``source`` or ``target``: whose batch normalisation, where the bundle has one for each.

    Returns
    -------
    Scores
        In the order of `rows`.
    """
    manifest = bundle.manifest
    own = domain == SOURCE and SOURCE_MODEL in manifest.files
    logits, features = predict(bundle.path / SOURCE_MODEL if own else bundle.model_path, cutouts.images, rows)
    return score(
        logits,
        features,
        bundle.reference,
        temperature=manifest.temperature,
        unknown_score=manifest.unknown.score,
        threshold=manifest.unknown.threshold,
    )


def measure_seconds(models: Sequence[Path], images: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Time of each model for the same images, in one thread, measured in turn so that a busy machine hits all alike.

    Parameters
    ----------
    models : sequence of Path
        ONNX files.
    images : ndarray of float32
        Shape ``(n, bands, N, N)``.

    Returns
    -------
    list of ndarray
        Seconds of each repetition, by model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [
        ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"]) for model in models
    ]
    for session in sessions:
        session.run(["logits"], {"image": images})
    seconds = np.empty((len(sessions), REPEATED))
    for repetition in range(REPEATED):
        for number, session in enumerate(sessions):
            started = time.perf_counter()
            session.run(["logits"], {"image": images})
            seconds[number, repetition] = time.perf_counter() - started
    return list(seconds)


def _labels(bundle: Bundle, scores: Scores) -> NDArray[np.str_]:
    return np.array(bundle.manifest.classes, dtype=np.str_)[scores.label]
