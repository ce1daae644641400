"""Gates: whether a new model may take the place of an old one. Arrays in, verdicts out.

Each verdict has a number, its 95 % bootstrap interval over objects, the limit, and a reason in words. A gate that
cannot be computed is not passed.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from galmorph import metrics
from galmorph.metrics.bootstrap import LARGEST_CHUNK
from galmorph.releases.gate_options import (
    AgreementGate,
    CalibrationGate,
    EstimateGate,
    Gates,
    Int8Gate,
    SourceGate,
    SpeedGate,
    TargetGate,
    UnknownGate,
)
from galmorph.releases.verdict import (
    FEWEST,
    Verdict,
    count_objects,
    decide,
    decide_change,
    decide_share,
    not_computed,
    numbered,
)
from galmorph.training.measures import Case, Name

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Names = NDArray[np.str_]

#: Where the calibration error stands among measures of a `Case`.
CALIBRATION: Name = ("known", "calibration_error")

#: Temperatures among which the one is sought that probabilities still need, in steps of a twentieth.
TEMPERATURES = np.geomspace(1 / 20, 20, 123)


def source_gate(old: Case, new: Case, recorded: float | None, options: SourceGate, gates: Gates) -> Verdict:
    """Whether the new model is as good as the old one on what the old one learned.

    Parameters
    ----------
    old, new : Case
        Both models on the same objects of the source's test part.
    recorded : float or None
        The old model's measure as its manifest has it.
    options : SourceGate
        The limits.
    gates : Gates
        How to decide.

    Returns
    -------
    Verdict
        Not passed either if the old model itself is worse here than it was: then it is not the set it learned from.
    """
    words = options.measure.replace("_", " ")
    verdict = decide_change(
        "source", f"{words} on the source's test part", options.measure, old, new, -options.drop, gates
    )
    if verdict.value is None or options.familiar == 1:
        return verdict
    if recorded is None:
        return not_computed("source", verdict.question, "the old model's manifest does not say how good it was")
    if verdict.before is not None and verdict.before < recorded - options.familiar:
        reason = (
            f"the old model's {words} is {verdict.before:.3f} here and was {recorded:.3f} when it was exported: "
            "labels or images of the source are not those it learned from, and prove nothing of the new one"
        )
        return replace(verdict, passed=False, reason=reason)
    return verdict


def target_gate(old: Case, new: Case, options: TargetGate, gates: Gates) -> Verdict:
    """Whether the new model is better than the old one on labelled objects of the new release.

    Parameters
    ----------
    old, new : Case
        Both models on the same objects.
    options : TargetGate
        The limit.
    gates : Gates
        How to decide.

    Returns
    -------
    Verdict
        Not passed if there are too few objects.
    """
    question = f"{options.measure.replace('_', ' ')} on labelled objects of the new release"
    if (count := count_objects(old.objects)) < options.least_objects:
        return not_computed(
            "target", question, f"{count} labelled objects to judge on, at least {options.least_objects} wanted"
        )
    return decide_change("target", question, options.measure, old, new, options.gain, gates)


def calibration_gates(source: Case, target: Case | None, options: CalibrationGate, gates: Gates) -> list[Verdict]:
    """Whether the new model's probabilities mean what they say, on the source and if asked for on the target."""
    asked: list[tuple[str, Case | None, float]] = [("the source's test part", source, options.error)]
    if options.target_error is not None:
        asked.append(("labelled objects of the new release", target, options.target_error))
    errors = [_calibration(where, case, limit, gates) for where, case, limit in asked]
    return [*errors, _temperature(source, options.temperature, gates)]


def unknown_gate(flagged: Bool, options: UnknownGate, gates: Gates, object_ids: Names | None = None) -> Verdict:
    """Whether the share of objects called unknown is plausible.

    Parameters
    ----------
    flagged : ndarray of bool
        Of objects of the new release, shape ``(n,)``.
    options : UnknownGate
        What is plausible.
    gates : Gates
        How to decide.
    object_ids : ndarray of str, optional
        See `galmorph.releases.verdict.decide_share`.

    Returns
    -------
    Verdict
        Without any label.
    """
    question = "share of the new release called unknown"
    return decide_share("unknown", question, flagged, options.least, options.most, gates, object_ids)


def agreement_gate(
    old: Names,
    new: Names,
    snr: Float64,
    options: AgreementGate,
    gates: Gates,
    object_ids: Names | None = None,
) -> Verdict:
    """Whether both models call bright objects of the new release alike.

    Parameters
    ----------
    old, new : ndarray of str
        What they call them, the unknown flag aside; shape ``(n,)``.
    snr : ndarray of float
        Signal to noise, shape ``(n,)``; objects for which it is not a number are left out.
    options : AgreementGate
        Which are bright, and the limit.
    gates : Gates
        How to decide.
    object_ids : ndarray of str, optional
        See `galmorph.releases.verdict.decide_share`.

    Returns
    -------
    Verdict
        Without any label.
    """
    question = f"share of the brightest {options.brightest:.0%} of the new release that both models call alike"
    finite = np.isfinite(snr)
    if not finite.any():
        return not_computed("agreement", question, "no object has a signal to noise")
    bright = finite & (snr >= np.quantile(snr[finite], 1 - options.brightest))
    objects = None if object_ids is None else object_ids[bright]
    return decide_share("agreement", question, (old == new)[bright], options.least, math.inf, gates, objects)


def int8_gate(
    float_label: NDArray[np.int64],
    int8_label: NDArray[np.int64],
    options: Int8Gate,
    gates: Gates,
    object_ids: Names | None = None,
) -> Verdict:
    """Whether the graph in whole numbers gives the classes of that in floating point; labels of shape ``(n,)``."""
    question = "share of the new release that the int8 graph calls as the float32 graph does"
    return decide_share("int8", question, float_label == int8_label, options.least, math.inf, gates, object_ids)


def speed_gate(old: Float64, new: Float64, options: SpeedGate, gates: Gates) -> Verdict:
    """Whether the new model is not much slower.

    Parameters
    ----------
    old, new : ndarray of float
        Seconds for the same images, measured in turn; shape ``(n,)``.
    options : SpeedGate
        The limit.
    gates : Gates
        How to decide.

    Returns
    -------
    Verdict
        Of the ratio of medians.
    """
    question = "time for the same images, new model over old"
    if len(old) < FEWEST or len(old) != len(new) or not (np.isfinite(old) & np.isfinite(new) & (old > 0)).all():
        return not_computed("speed", question, f"{len(old)} and {len(new)} measurements are not enough")
    rng = np.random.default_rng(gates.seed)
    drawn = rng.integers(len(old), size=(gates.resamples, len(old)))
    ratios = np.median(new[drawn], axis=1) / np.median(old[drawn], axis=1)
    before, after = float(np.median(old)), float(np.median(new))
    verdict = decide("speed", question, after / before, ratios, -math.inf, options.most, len(old), gates)
    return replace(verdict, before=before, after=after)


def estimate_gate(
    old: tuple[Case, Float64],
    new: tuple[Case, Float64],
    options: EstimateGate,
    gates: Gates,
    object_ids: Names | None = None,
) -> Verdict:
    """Whether the new model is better on the new release, as far as that can be estimated without labels.

    Parameters
    ----------
    old, new : tuple of Case and ndarray
        Each model's source test part, and its confidence on objects of the new release, shape ``(n,)``.
    options : EstimateGate
        The limit.
    gates : Gates
        How to decide.
    object_ids : ndarray of str, optional
        Object of the new release that each image shows, of its own unless given.

    Returns
    -------
    Verdict
        Marked as an estimate.
    """
    question = "accuracy on the new release, estimated without labels"
    sizes = len(old[0].true), len(old[1])
    both = old[0].objects, numbered(object_ids, sizes[1])
    counts = [count_objects(objects) for objects in both]
    if min(counts) < FEWEST or not old[0].known.any():
        reason = f"{counts[0]} objects of the source and {counts[1]} of the release are not enough"
        return not_computed("estimate", question, reason, estimate=True)
    whole = [np.ones((1, size)) for size in sizes]
    values = [float(estimated_accuracy(*each, *whole)[0]) for each in (old, new)]

    rng, step = np.random.default_rng(gates.seed), max(1, LARGEST_CHUNK // sum(sizes))
    parts = []
    for start in range(0, gates.resamples, step):
        number = min(step, gates.resamples - start)
        drawn = [metrics.resamples(objects, number, rng) for objects in both]
        parts.append(estimated_accuracy(*new, *drawn) - estimated_accuracy(*old, *drawn))
    changes = np.concatenate(parts)
    verdict = decide(
        "estimate", question, values[1] - values[0], changes, options.gain, math.inf, counts[1], gates, change=True
    )
    return replace(verdict, before=values[0], after=values[1], estimate=True)


def estimated_accuracy(source: Case, confidence: Float64, source_weights: Float64, weights: Float64) -> Float64:
    """Average thresholded confidence (Garg et al. 2022, equation 4).

    The threshold is the confidence that a share of source objects equal to the accuracy there reaches; the estimate is
    the share of other objects that reach it.

    Parameters
    ----------
    source : Case
        `m` objects with labels; those of unknown classes are left out.
    confidence : ndarray of float
        Of objects without labels, shape ``(n,)``.
    source_weights, weights : ndarray of float
        How often each counts, shapes ``(r, m)`` and ``(r, n)``.

    Returns
    -------
    ndarray of float
        Shape ``(r,)``.
    """
    known = source.known
    certain, right = source.probabilities[known].max(axis=1), (source.label == source.true)[known]
    order = np.argsort(-certain, kind="stable")
    counted = source_weights[:, known][:, order]
    total = counted.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = counted @ right[order].astype(np.float64) / total
        # The first rung that as many objects reach as are right; a hair's breadth for sums of floats.
        reached = np.cumsum(counted, axis=1) / total[:, None] >= accuracy[:, None] - 1e-12
        threshold = np.where(accuracy > 0, certain[order][reached.argmax(axis=1)], math.inf)
        above = confidence[None, :] >= threshold[:, None]
        return np.asarray((weights * above).sum(axis=1) / weights.sum(axis=1))


def _calibration(where: str, case: Case | None, limit: float, gates: Gates) -> Verdict:
    question = f"calibration error on {where}"
    if case is None or (count := count_objects(_known_objects(case))) < FEWEST:
        return not_computed("calibration", question, "too few labelled objects of known classes")

    def error(weights: Float64) -> dict[str, Float64]:
        return {"error": case.measures(weights)[CALIBRATION]}

    value = float(error(np.ones((1, len(case.true))))["error"][0])
    drawn = metrics.in_chunks(error, case.objects, gates.resamples, gates.seed)
    return decide("calibration", question, value, drawn["error"], -math.inf, limit, count, gates)


def _temperature(case: Case, limit: float, gates: Gates) -> Verdict:
    question = "temperature that the probabilities on the source's test part still need"
    known, objects = case.known, _known_objects(case)
    if (count := count_objects(objects)) < FEWEST:
        return not_computed("calibration", question, "too few labelled objects of known classes")
    logits = np.log(np.maximum(case.probabilities[known], np.finfo(np.float64).tiny))
    true = case.true[known]
    losses = np.stack([_losses(logits / temperature, true) for temperature in TEMPERATURES], axis=1)

    def best(weights: Float64) -> dict[str, Float64]:
        return {"temperature": TEMPERATURES[(weights @ losses).argmin(axis=1)]}

    value = float(best(np.ones((1, len(true))))["temperature"][0])
    drawn = metrics.in_chunks(best, objects, gates.resamples, gates.seed)
    return decide("calibration", question, value, drawn["temperature"], -math.inf, limit, count, gates)


def _known_objects(case: Case) -> NDArray[np.intp]:
    """Number of the object that each image of a known class shows, from 0."""
    return numbered(case.objects[case.known], int(case.known.sum()))


def _losses(logits: Float64, true: NDArray[np.int64]) -> Float64:
    """Negative log-likelihood of each object, shape ``(n,)``."""
    return np.asarray(logsumexp(logits, axis=1) - logits[np.arange(len(true)), true])
