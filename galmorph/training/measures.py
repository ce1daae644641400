"""Every measure of a set of scores by name, for any weights of its objects."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galmorph import metrics
from galmorph.scores import Scores

Float64 = NDArray[np.float64]

#: Where a measure stands in an evaluation, such as ``("unknown", "auroc", "all", "entropy")``.
Name = tuple[str, ...]

#: Measures of the unknown scores that no threshold has a part in.
RANKING = ("auroc", "average_precision", "oscr")


@dataclass(frozen=True)
class Case:
    """Scores and true classes of `n` objects.

    Parameters
    ----------
    classes, strangers : tuple of str
        Known classes, and those that are not.
    true : ndarray of int
        Index into both, known classes first. Shape ``(n,)``.
    label : ndarray of int
        Index of the most probable class; K without finite scores.
    probabilities : ndarray of float
        Shape ``(n, K)``, 0 where they are not numbers.
    flagged : ndarray of bool
        Where the bundle calls the object unknown.
    scores : dict of ndarray
        What grows with strangeness, by name; NaN where it is no number.
    objects : ndarray of int
        Object that each image shows, counted from 0: what resamples are drawn of. Shape ``(n,)``.
    """

    classes: tuple[str, ...]
    strangers: tuple[str, ...]
    true: NDArray[np.int64]
    label: NDArray[np.int64]
    probabilities: Float64
    flagged: NDArray[np.bool_]
    scores: dict[str, Float64]
    objects: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        scores: Scores,
        names: NDArray[np.str_],
        classes: tuple[str, ...],
        objects: NDArray[np.intp] | None = None,
    ) -> "Case":
        """A case from scores and true classes in words; classes not among `classes` are unknown.

        Each image shows an object of its own unless `objects` are given.
        """
        strangers = tuple(sorted(set(names.tolist()) - set(classes)))
        place = {name: number for number, name in enumerate((*classes, *strangers))}
        p = np.asarray(scores.probabilities, dtype=np.float64)
        finite = np.asarray(np.isfinite(p).all(axis=1))
        return cls(
            classes,
            strangers,
            np.array([place[name] for name in names.tolist()], dtype=np.int64),
            np.where(finite, scores.label, len(classes)),
            np.where(finite[:, None], p, 0.0),
            scores.unknown | ~finite,
            {
                "entropy": scores.entropy,
                "energy": scores.energy,
                "anomaly_score": scores.anomaly_score,
                "one_minus_confidence": 1 - scores.confidence,
            },
            np.arange(len(names)) if objects is None else objects,
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where the true class is known, shape ``(n,)``."""
        return self.true < len(self.classes)

    @property
    def decided(self) -> NDArray[np.int64]:
        """Label with the unknown flag: K where it is set."""
        return np.where(self.flagged, len(self.classes), self.label)

    def measures(self, weights: Float64) -> dict[Name, Float64]:
        """All measures.

        Parameters
        ----------
        weights : ndarray of float
            How often each object counts, shape ``(r, n)``.

        Returns
        -------
        dict of ndarray
            Shape ``(r,)`` each, NaN where a measure does not exist for want of objects.
        """
        return self._closed(weights) | self._ranking(weights) | self._open(weights)

    def _closed(self, weights: Float64) -> dict[Name, Float64]:
        """Measures on objects of known classes, without the unknown flag."""
        known = self.known
        if not known.any():
            return {}
        true, label, p, weights = self.true[known], self.label[known], self.probabilities[known], weights[:, known]
        k = len(self.classes)
        confusion = metrics.confusion_matrix(true, label, k, k + 1, weights)
        recall, precision, f1 = metrics.recall_precision_f1(confusion)
        auc = np.stack([metrics.auroc(p[:, j], true == j, weights) for j in range(k)], axis=1)
        # A class without objects has no recall, and no part in the means.
        seen = np.where(np.isnan(recall), np.nan, precision)
        with np.errstate(invalid="ignore", divide="ignore"):
            overall = {
                "accuracy": np.trace(confusion, axis1=1, axis2=2) / weights.sum(axis=1),
                "mean_recall": _mean(recall),
                "mean_precision": _mean(seen),
                "f1": _mean(f1),
                "auc": _mean(auc),
                "brier": metrics.brier(p, true, weights),
                "calibration_error": metrics.calibration_error(p, true, weights),
                "negative_log_likelihood": metrics.negative_log_likelihood(p, true, weights),
            }
        by_class = {"recall": recall, "precision": precision, "f1": f1, "auc": auc}
        return {("known", name): values for name, values in overall.items()} | {
            ("per_class", name, measure): values[:, j]
            for j, name in enumerate(self.classes)
            for measure, values in by_class.items()
        }

    def _ranking(self, weights: Float64) -> dict[Name, Float64]:
        """Measures of the scores, whatever the threshold: for all strangers together, and each against the known."""
        known, correct = self.known, self.label == self.true
        # A class may be called "all" too; that all are meant by it is what others read.
        groups = {name: self.true == len(self.classes) + j for j, name in enumerate(self.strangers) if name != "all"}
        found: dict[Name, Float64] = {}
        for group, member in ({"all": ~known} | groups).items():
            chosen = known | member
            these, right, strange = weights[:, chosen], correct[chosen], member[chosen]
            for name, score in self.scores.items():
                if len(self.strangers) == 1 and group != "all":
                    # The only stranger is all of them.
                    found |= {("unknown", m, group, name): found["unknown", m, "all", name] for m in RANKING}
                    continue
                found["unknown", "auroc", group, name] = metrics.auroc(score[chosen], strange, these)
                found["unknown", "average_precision", group, name] = metrics.average_precision(
                    score[chosen], strange, these
                )
                found["unknown", "oscr", group, name] = metrics.oscr(score[chosen], right, strange, these)
        return found

    def _open(self, weights: Float64) -> dict[Name, Float64]:
        """Measures of the unknown flag, and what the best threshold would give."""
        k, known = len(self.classes), self.known
        rows = np.minimum(self.true, k)
        confusion = metrics.confusion_matrix(rows, self.decided, k + 1, k + 1, weights)
        recall, _, _ = metrics.recall_precision_f1(confusion)
        shared, private = _mean(recall[:, :k]), recall[:, k]
        flagged = weights[:, known] @ self.flagged[known].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "accuracy": np.trace(confusion, axis1=1, axis2=2) / weights.sum(axis=1),
                "mean_accuracy": _mean(recall),
                "false_unknown_rate": flagged / weights[:, known].sum(axis=1),
                "known_recall": shared,
                "unknown_recall": private,
                "h_score": metrics.h_score(shared, private),
            }
        result: dict[Name, Float64] = {("unknown", name): values for name, values in found.items()}
        for name, score in self.scores.items():
            best, threshold = metrics.best_h_score(score, self.label == self.true, self.true, k, weights)
            result["unknown", "oracle_h_score", name] = best
            result["unknown", "oracle_threshold", name] = threshold
        return result


def _mean(values: Float64) -> Float64:
    """Mean along the last axis of those that are numbers; NaN where there are none."""
    present = np.isfinite(values)
    number = present.sum(axis=-1)
    total = np.where(present, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))
