"""The numbers that say how good a bundle is, from scores and true classes."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph import metrics
from galmorph.scores import Scores
from galmorph.training.measures import RANKING, Case, Name

#: What the numbers at the threshold are called in the literature.
ALSO = {"known_recall": "OS*", "unknown_recall": "UNK", "mean_accuracy": "OS"}


@dataclass(frozen=True)
class Evaluation:
    """What a bundle does on a labelled set.

    An object whose scores are not finite has no label: it is wrong for every class, and unknown.

    Parameters
    ----------
    model, data, part : str
        What was measured on what.
    classes : tuple of str
        Known classes.
    objects : dict
        Number of objects of each class, unknown ones included.
    without_scores : int
        Those whose scores are not finite.
    known : dict
        On objects of known classes, the unknown flag aside: `accuracy` (closed-set accuracy), `mean_recall`,
        `mean_precision`, `f1` and `auc` (means over classes, `auc` one against the rest), `brier`,
        `calibration_error`, `negative_log_likelihood`.
    per_class : dict
        `recall`, `precision`, `f1` and `auc` of each known class.
    confusion : dict
        For each true class the number of objects given each label, `unknown` among them.
    unknown : dict
        How well unknown classes are told apart: `auroc`, `average_precision` and `oscr` by score, for all together and
        by class; at the bundle's threshold, a flagged object of a known class being wrong, `accuracy` over
        all objects, `mean_accuracy` over known classes and all unknown ones as one more, `false_unknown_rate`,
        `known_recall` (OS*), `unknown_recall` (UNK) and `h_score`. `oracle_h_score` is the best that any threshold
        on a score gives, at `oracle_threshold`: it was chosen by the labels that it is measured with, and no user
        without them can have it. Numbers that cannot be measured, for want of unknown objects, are None.
    intervals : dict
        Lower and upper end of the 95 % bootstrap interval of every number of `known`, `per_class` and
        `unknown`, in the same places; empty if none were asked for.
    without_label : int
        Objects of the same part whose class is not known, which no number is of.
    """

    model: str
    data: str
    part: str
    classes: tuple[str, ...]
    objects: dict[str, int]
    without_scores: int
    known: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]
    confusion: dict[str, dict[str, int]]
    unknown: dict[str, Any]
    intervals: dict[str, Any]
    without_label: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return dataclasses.asdict(self) | {"classes": list(self.classes)}

    def to_table(self) -> list[tuple[str, str]]:
        """Rows of name and value, with the interval if there is one, for a screen."""
        rows = [("model", self.model), ("data", f"{self.data} ({self.part})")]
        rows += [(f"objects: {name}", str(count)) for name, count in self.objects.items()]
        for what, count in (("scores", self.without_scores), ("label, not measured", self.without_label)):
            if count:
                rows.append((f"objects without {what}", str(count)))
        rows += [(name.replace("_", " "), self._number("known", name)) for name in self.known]
        rows += [
            (f"{measure}: {name}", self._number("per_class", name, measure))
            for measure in ("recall", "precision", "f1", "auc")
            for name in self.per_class
        ]
        rows += [
            (f"confusion: {true} as {decided}", str(count))
            for true, decisions in self.confusion.items()
            for decided, count in decisions.items()
            if count
        ]
        for name, value in self.unknown.items():
            words = name.replace("_", " ") + (f" ({ALSO[name]})" if name in ALSO else "")
            if name in RANKING:
                rows += [(f"unknown {words}: {key}", self._number("unknown", name, "all", key)) for key in value["all"]]
            elif isinstance(value, dict):
                rows += [(f"{words}: {key}", self._number("unknown", name, key)) for key in value]
            else:
                rows.append((f"with unknown: {words}", self._number("unknown", name)))
        return rows

    def _number(self, *name: str) -> str:
        """A number and its interval in words."""
        value, ends = _at(dataclasses.asdict(self), name), _at(self.intervals, name)
        if value is None:
            return "–"
        return f"{value:.4f}" if ends is None else f"{value:.4f} ({ends[0]:.4f} to {ends[1]:.4f})"


def summarise(
    scores: Scores,
    names: NDArray[np.str_],
    classes: tuple[str, ...],
    *,
    model: str,
    data: str,
    part: str,
    object_ids: NDArray[np.str_] | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Numbers from scores and true classes.

    Parameters
    ----------
    scores : Scores
        Of `n` images.
    names : ndarray of str
        True classes, shape ``(n,)``; those not among `classes` are unknown.
    classes : tuple of str
        Known classes in the order of probabilities.
    model, data, part : str
        What to call them.
    object_ids : ndarray of str, optional
        Object that each image shows, shape ``(n,)``: images of one are drawn together for the intervals. By
        default each shows its own.
    resamples : int
        How many the intervals are taken from; 0 gives none.
    seed : int
        Of the resamples.

    Returns
    -------
    Evaluation
        The numbers.
    """
    objects = None if object_ids is None else np.unique(object_ids, return_inverse=True)[1]
    case = Case.of(scores, names, classes, objects)
    values = {name: float(array[0]) for name, array in case.measures(np.ones((1, len(names)))).items()}
    intervals: dict[Name, list[float]] = {}
    if resamples and len(names):
        drawn = metrics.in_chunks(case.measures, case.objects, resamples, seed)
        ends = {name: metrics.interval(array) for name, array in drawn.items() if math.isfinite(values[name])}
        intervals = {name: list(pair) for name, pair in ends.items() if pair is not None}
    order = (*classes, *case.strangers)
    confusion = metrics.confusion_matrix(case.true, case.decided, len(order), len(classes) + 1)
    nested = {"known": {}, "per_class": {}, "unknown": {}} | _nest({key: _plain(v) for key, v in values.items()})
    return Evaluation(
        model=model,
        data=data,
        part=part,
        classes=classes,
        objects={name: int(np.sum(names == name)) for name in order},
        without_scores=int(np.sum(case.label == len(classes))),
        known=nested["known"],
        per_class=nested["per_class"],
        confusion={
            name: dict(zip((*classes, "unknown"), map(int, row), strict=True))
            for name, row in zip(order, confusion, strict=True)
        },
        unknown=nested["unknown"],
        intervals=_nest(intervals),
    )


def _nest(values: Mapping[Name, Any]) -> dict[str, Any]:
    """A tree of dictionaries from names of several words."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        branch = tree
        for word in name[:-1]:
            branch = branch.setdefault(word, {})
        branch[name[-1]] = value
    return tree


def _at(tree: dict[str, Any], name: Name) -> Any:
    """The leaf of that name, None if there is none."""
    leaf: Any = tree
    for word in name:
        leaf = leaf.get(word) if isinstance(leaf, dict) else None
    return leaf


def _plain(value: float) -> float | None:
    """The value, or None if it is not a number: JSON has no NaN."""
    return value if math.isfinite(value) else None
