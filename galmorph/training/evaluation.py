"""The numbers that say how good a bundle is, from scores and true classes."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph import metrics
from galmorph.scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """What a bundle does on a labelled set.

    Parameters
    ----------
    model, data, part : str
        What was measured on what.
    classes : tuple of str
        Known classes.
    objects : dict
        Number of objects of each class, unknown ones included.
    known : dict
        On objects of known classes, the unknown flag aside: `accuracy`, `mean_recall`, `f1` (mean over
        classes), `auc` (mean over classes, one against the rest), `brier`, `calibration_error`,
        `negative_log_likelihood`.
    per_class : dict
        `recall`, `precision`, `f1` and `auc` of each known class.
    confusion : dict
        For each true class the number of objects given each label, `unknown` among them.
    unknown : dict
        How well unknown classes are told apart: `auroc` and `average_precision` by score, for all together and
        by class; at the bundle's threshold `false_unknown_rate`, `known_recall` (a flagged object being
        wrong), `unknown_recall` and `h_score`. Numbers that cannot be measured, for want of unknown objects, are None.
    """

    model: str
    data: str
    part: str
    classes: tuple[str, ...]
    objects: dict[str, int]
    known: dict[str, float | None]
    per_class: dict[str, dict[str, float | None]]
    confusion: dict[str, dict[str, int]]
    unknown: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return dataclasses.asdict(self) | {"classes": list(self.classes)}

    def to_table(self) -> list[tuple[str, str]]:
        """Rows of name and value, for a screen."""
        rows = [("model", self.model), ("data", f"{self.data} ({self.part})")]
        rows += [(f"objects: {name}", str(count)) for name, count in self.objects.items()]
        rows += [(name.replace("_", " "), _number(value)) for name, value in self.known.items()]
        rows += [(f"recall: {name}", _number(values["recall"])) for name, values in self.per_class.items()]
        for name, value in self.unknown.items():
            if isinstance(value, dict):
                rows += [(f"unknown {name.replace('_', ' ')}: {key}", _number(v)) for key, v in value["all"].items()]
            else:
                rows.append((name.replace("_", " "), _number(value)))
        return rows


def summarise(
    scores: Scores, names: NDArray[np.str_], classes: tuple[str, ...], *, model: str, data: str, part: str
) -> Evaluation:
    """Numbers from scores and true classes.

    Parameters
    ----------
    scores : Scores
        Of `n` objects.
    names : ndarray of str
        True classes, shape ``(n,)``; those not among `classes` are unknown.
    classes : tuple of str
        Known classes in the order of probabilities.
    model, data, part : str
        What to call them.

    Returns
    -------
    Evaluation
        The numbers.
    """
    strangers = tuple(sorted(set(names.tolist()) - set(classes)))
    order = (*classes, *strangers)
    true = np.array([order.index(name) for name in names.tolist()], dtype=np.int64)
    predicted = np.where(scores.unknown, len(classes), scores.label)
    confusion = metrics.confusion_matrix(true, predicted, len(order), len(classes) + 1)
    known, per_class = _closed(scores, true, classes)
    return Evaluation(
        model=model,
        data=data,
        part=part,
        classes=classes,
        objects={name: int(np.sum(names == name)) for name in order},
        known=known,
        per_class=per_class,
        confusion={
            name: dict(zip((*classes, "unknown"), map(int, row), strict=True))
            for name, row in zip(order, confusion, strict=True)
        },
        unknown=_open(scores, true, classes, strangers, confusion),
    )


def _closed(
    scores: Scores, true: NDArray[np.int64], classes: tuple[str, ...]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Measures on objects of known classes, without the unknown flag."""
    known = true < len(classes)
    truth, p, label = true[known], scores.probabilities[known], scores.label[known]
    if not len(truth):
        return {}, {}
    confusion = metrics.confusion_matrix(truth, label, len(classes), len(classes))
    recall, precision, f1 = metrics.recall_precision_f1(confusion)
    auc = np.array([metrics.auroc(p[:, k], truth == k) for k in range(len(classes))])
    overall = {
        "accuracy": float(np.mean(truth == label)),
        "mean_recall": _mean(recall),
        "f1": _mean(f1),
        "auc": _mean(auc),
        "brier": metrics.brier(p, truth),
        "calibration_error": metrics.calibration_error(p, truth),
        "negative_log_likelihood": metrics.negative_log_likelihood(p, truth),
    }
    measures = {"recall": recall, "precision": precision, "f1": f1, "auc": auc}
    per_class = {
        name: {measure: _plain(values[k]) for measure, values in measures.items()} for k, name in enumerate(classes)
    }
    return overall, per_class


def _open(
    scores: Scores,
    true: NDArray[np.int64],
    classes: tuple[str, ...],
    strangers: tuple[str, ...],
    confusion: NDArray[np.int64],
) -> dict[str, Any]:
    """Measures of the unknown flag and of the scores behind it."""
    known = true < len(classes)
    values = {
        "entropy": scores.entropy,
        "energy": scores.energy,
        "anomaly_score": scores.anomaly_score,
        "one_minus_confidence": 1 - scores.confidence,
    }
    groups = {"all": ~known} | {name: true == len(classes) + j for j, name in enumerate(strangers)}
    result: dict[str, Any] = {
        measure.__name__: {
            group: {
                name: _plain(measure(value[known | member], member[known | member])) for name, value in values.items()
            }
            for group, member in groups.items()
        }
        for measure in (metrics.auroc, metrics.average_precision)
    }
    present = confusion[: len(classes)].sum(axis=1)
    hits = np.diag(confusion[: len(classes), : len(classes)])
    known_recall = float(np.mean(hits[present > 0] / present[present > 0])) if present.any() else math.nan
    unknown_recall = float(np.mean(scores.unknown[~known])) if strangers else math.nan
    result["false_unknown_rate"] = float(np.mean(scores.unknown[known])) if known.any() else None
    result["known_recall"] = _plain(known_recall)
    result["unknown_recall"] = _plain(unknown_recall)
    result["h_score"] = _plain(metrics.h_score(known_recall, unknown_recall))
    return result


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of those that are numbers; None if there are none."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _plain(value: float) -> float | None:
    """The value, or None if it is not a number: JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
