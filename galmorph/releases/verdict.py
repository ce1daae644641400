"""What a gate says, and how: a number, its bootstrap interval over objects, and the limits that it has to keep."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph import metrics
from galmorph.errors import DataError
from galmorph.releases.gate_options import Gates
from galmorph.training.measures import Case, Name

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

#: Fewest objects, or repetitions, that any gate is decided by.
FEWEST = 10

#: Where measures stand among those of a `Case`.
MEASURES: dict[str, Name] = {
    "accuracy": ("known", "accuracy"),
    "mean_recall": ("known", "mean_recall"),
    "h_score": ("unknown", "h_score"),
    "mean_accuracy": ("unknown", "mean_accuracy"),
}


@dataclass(frozen=True)
class Verdict:
    """What a gate says.

    Parameters
    ----------
    gate : str
        Its name.
    question : str
        What it asks, in words.
    passed : bool
        What it says.
    reason : str
        Why, in words.
    value, low, high : float or None
        The number that decides and its 95 % interval; None if it cannot be computed.
    limit : str
        What it has to keep, in words.
    before, after : float or None
        The measure of the old and of the new model, where the number is their difference or ratio.
    objects : int
        That it was computed on.
    estimate : bool
        No labels were there: the number is an estimate, not a measurement.
    """

    gate: str
    question: str
    passed: bool
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: str = ""
    before: float | None = None
    after: float | None = None
    objects: int = 0
    estimate: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)


def not_computed(gate: str, question: str, reason: str, *, estimate: bool = False) -> Verdict:
    """The verdict of a gate that cannot be computed: not passed."""
    return Verdict(gate, question, False, f"cannot be computed, so it is not passed: {reason}", estimate=estimate)


def decide(
    gate: str,
    question: str,
    value: float,
    drawn: Float64,
    least: float,
    most: float,
    objects: int,
    gates: Gates,
    *,
    change: bool = False,
) -> Verdict:
    """The verdict on a number between limits.

    Parameters
    ----------
    gate, question : str
        Its name, and what it asks in words.
    value : float
        The number that decides.
    drawn : ndarray of float
        The same of resamples, shape ``(r,)``.
    least, most : float
        The limits, infinite where there is none.
    objects : int
        That it was computed on.
    gates : Gates
        Whether the number decides or both ends of its interval.
    change : bool
        The number is a change, and is told with its sign.

    Returns
    -------
    Verdict
        Not passed if the number or its interval is no number.
    """
    interval = metrics.interval(drawn)
    if not math.isfinite(value) or interval is None:
        return not_computed(gate, question, "the number or its interval is no number")
    low, high = interval
    ends = (low, high) if gates.decide_by == "interval" else (value, value)
    passed = ends[0] >= least and ends[1] <= most
    sign = "+" if change else ""
    limits = [f"at least {least:{sign}.3f}"] if math.isfinite(least) else []
    limits += [f"at most {most:{sign}.3f}"] if math.isfinite(most) else []
    limit = " and ".join(limits)
    what = "change " if change else ""
    reason = f"{what}{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f}); {limit} is asked for"
    if not passed and least <= value <= most:
        reason += f", and {objects} objects do not prove it"
    return Verdict(gate, question, passed, reason, value, low, high, limit, objects=objects)


def decide_share(
    gate: str,
    question: str,
    member: Bool,
    least: float,
    most: float,
    gates: Gates,
    object_ids: NDArray[np.str_] | None = None,
) -> Verdict:
    """A gate on the share of objects for which something holds.

    Parameters
    ----------
    gate, question : str
        Its name, and what it asks in words.
    member : ndarray of bool
        Whether it holds, shape ``(n,)``.
    least, most : float
        The limits, infinite where there is none.
    gates : Gates
        How to decide.
    object_ids : ndarray of str, optional
        Object that each image shows, of its own unless given: images of one are drawn together.

    Returns
    -------
    Verdict
        Not passed if there are too few objects.
    """
    objects = numbered(object_ids, len(member))
    if (count := count_objects(objects)) < FEWEST:
        return not_computed(gate, question, f"{count} objects are not enough")

    def share(weights: Float64) -> dict[str, Float64]:
        return {"share": weights @ member.astype(np.float64) / weights.sum(axis=1)}

    drawn = metrics.in_chunks(share, objects, gates.resamples, gates.seed)
    return decide(gate, question, float(member.mean()), drawn["share"], least, most, count, gates)


def numbered(object_ids: NDArray[np.str_] | NDArray[np.intp] | None, images: int) -> NDArray[np.intp]:
    """Number of the object that each of so many images shows, from 0; one of its own each without identifiers."""
    # In the order in which they come: where each image shows another object, resamples are those of the images.
    return np.arange(images) if object_ids is None else np.asarray(pd.factorize(object_ids)[0], dtype=np.intp)


def count_objects(objects: NDArray[np.intp]) -> int:
    """How many objects images show, which are numbered from 0."""
    return int(objects.max()) + 1 if len(objects) else 0


def decide_change(gate: str, question: str, measure: str, old: Case, new: Case, least: float, gates: Gates) -> Verdict:
    """A gate on the change of a measure, both models on the same resamples of objects.

    Parameters
    ----------
    gate, question : str
        Its name, and what it asks in words.
    measure : str
        One of `MEASURES`.
    old, new : Case
        Both models on the same objects.
    least : float
        The change that is asked for.
    gates : Gates
        How to decide.

    Returns
    -------
    Verdict
        Not passed if there are too few objects, or none that the measure is of.

    Raises
    ------
    DataError
        If the objects are not the same.
    """
    if len(old.true) != len(new.true):
        raise DataError("both models have to be measured on the same objects")
    if (count := count_objects(old.objects)) < FEWEST:
        return not_computed(gate, question, f"{count} objects are not enough")
    name = MEASURES[measure]

    def both(weights: Float64) -> dict[str, Float64]:
        missing = np.full(len(weights), np.nan)
        return {key: case.measures(weights).get(name, missing) for key, case in (("old", old), ("new", new))}

    whole = {key: float(values[0]) for key, values in both(np.ones((1, len(old.true)))).items()}
    if not all(math.isfinite(value) for value in whole.values()):
        lacking = "unknown classes" if name[0] == "unknown" else "known classes"
        return not_computed(gate, question, f"no labelled object of {lacking}, or none of them scored")
    drawn = metrics.in_chunks(both, old.objects, gates.resamples, gates.seed)
    change = whole["new"] - whole["old"]
    verdict = decide(gate, question, change, drawn["new"] - drawn["old"], least, math.inf, count, gates, change=True)
    return replace(verdict, before=whole["old"], after=whole["new"])
