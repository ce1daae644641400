"""How well a score tells two kinds of objects apart, whatever the threshold.

A score that is not a number counts as the largest: a survey run calls such an object unknown whatever the threshold.
"""

import numpy as np
from numpy.typing import NDArray

from galmorph.metrics.confusion import h_score

Float = NDArray[np.floating]
Float64 = NDArray[np.float64]
Int = NDArray[np.integer]
Bool = NDArray[np.bool_]


def auroc(score: Float, positive: Bool, weights: Float64 | None = None) -> Float64:
    """Area under the receiver operating characteristic: chance that a positive scores above a negative.

    Parameters
    ----------
    score : ndarray of float
        Larger for positives. Shape ``(n,)``.
    positive : ndarray of bool
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        Ties count half. NaN if there are no positives or no negatives. Shape ``(...)``.
    """
    positive = np.asarray(positive, dtype=bool)
    return _share_of_pairs(score, positive, ~positive, ~positive, weights)


def oscr(score: Float, correct: Bool, unknown: Bool, weights: Float64 | None = None) -> Float64:
    """Area under the open-set classification rate curve (Dhamija et al. 2018, section 4).

    The correct-classification rate of known objects that are not rejected, over the share of unknown objects that
    are not rejected, for every threshold: the chance that a known object has the right label and scores below an
    unknown one.

    Parameters
    ----------
    score : ndarray of float
        Larger for unknown objects. Shape ``(n,)``.
    correct : ndarray of bool
        Where the label is right, shape ``(n,)``; of no matter for unknown objects.
    unknown : ndarray of bool
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        Ties count half. NaN if there are no known or no unknown objects. Shape ``(...)``.
    """
    unknown = np.asarray(unknown, dtype=bool)
    return _share_of_pairs(score, unknown, np.asarray(correct, dtype=bool) & ~unknown, ~unknown, weights)


def average_precision(score: Float, positive: Bool, weights: Float64 | None = None) -> Float64:
    """Area under the precision-recall curve, ``sum (R_i - R_{i-1}) P_i`` over distinct thresholds.

    Parameters
    ----------
    score : ndarray of float
        Larger for positives. Shape ``(n,)``.
    positive : ndarray of bool
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        NaN if there are no positives. Shape ``(...)``.
    """
    ladder = _Ladder(score, weights, descending=True)
    hits, given = ladder.sums(positive), ladder.sums(np.ones(len(positive), dtype=bool))
    precision = np.divide(hits, given, out=np.zeros(hits.shape), where=given > 0)
    return _ratio(np.sum(np.diff(hits, prepend=0, axis=-1) * precision, axis=-1), hits[..., -1])


def best_h_score(
    score: Float, correct: Bool, true: Int, classes: int, weights: Float64 | None = None
) -> tuple[Float64, Float64]:
    """Largest H-score that any threshold gives: an oracle, which knows what is unknown.

    Parameters
    ----------
    score : ndarray of float
        Larger for unknown objects. Shape ``(n,)``.
    correct : ndarray of bool
        Where the label is right, shape ``(n,)``; of no matter for unknown objects.
    true : ndarray of int
        True classes, those from `classes` on being unknown. Shape ``(n,)``.
    classes : int
        Known classes.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    value, threshold : ndarray of float
        Objects above the threshold are called unknown. NaN if there are no known or no unknown objects, or no
        score is a number. Shape ``(...)``.
    """
    ladder = _Ladder(score, weights)
    unknown = np.asarray(true) >= classes
    totals = ladder.weights @ np.eye(classes + 1)[np.minimum(true, classes)[ladder.order]][:, :classes]
    # An object that is right adds its share of its class to the mean of recalls.
    share = np.divide(1.0, totals, out=np.zeros(totals.shape), where=totals > 0)
    share = np.concatenate([share, np.zeros((*share.shape[:-1], 1))], axis=-1)[..., np.minimum(true, classes)]
    present = (totals > 0).sum(axis=-1, keepdims=True)
    kept = ladder.sums(correct, share)
    recall = np.divide(kept, present, out=np.full(kept.shape, np.nan), where=present > 0)
    passed = ladder.sums(unknown)
    flagged = 1 - _ratio(passed, passed[..., -1:])
    value = np.where(np.isfinite(ladder.values), h_score(recall, flagged), np.nan)
    none = np.isnan(value).all(axis=-1)
    best = np.where(np.isnan(value), -1.0, value).argmax(axis=-1)
    chosen = np.take_along_axis(value, best[..., None], axis=-1)[..., 0]
    return np.asarray(chosen), np.asarray(np.where(none, np.nan, ladder.values[best]))


class _Ladder:
    """Objects in the order of their scores, those of one score on one rung.

    `values` are the scores of the rungs, `order` sorts objects, `weights` are those of sorted objects.
    """

    values: Float64
    order: NDArray[np.intp]
    weights: Float64

    def __init__(self, score: Float, weights: Float64 | None, descending: bool = False) -> None:
        values = _ranked(score)
        self.order = np.argsort(-values if descending else values, kind="stable")
        ordered = values[self.order]
        self._last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self.values = ordered[self._last]
        self.weights = np.ones(len(values)) if weights is None else np.asarray(weights)[..., self.order]

    def sums(self, member: Bool, factor: Float64 | None = None) -> Float64:
        """Weight of the members up to each rung, each times its factor. Shape ``(..., rungs)``."""
        values = self.weights * np.asarray(member, dtype=bool)[self.order]
        if factor is not None:
            values *= factor[..., self.order]
        return np.asarray(np.cumsum(values, axis=-1)[..., self._last])


def _share_of_pairs(score: Float, upper: Bool, lower: Bool, lower_all: Bool, weights: Float64 | None) -> Float64:
    """Share of pairs of `upper` and `lower_all` in which the second is of `lower` and scores less; a tie is half."""
    values = _ranked(score)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    rows = np.flatnonzero(lower)
    rows = rows[np.argsort(values[rows])]
    sums = np.cumsum(weights[..., rows], axis=-1)
    sums = np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)
    left = np.searchsorted(values[rows], values[upper], side="left")
    right = np.searchsorted(values[rows], values[upper], side="right")
    middle = (sums[..., left] + sums[..., right]) / 2
    mine = weights[..., upper]
    pairs = np.sum(mine * middle, axis=-1)
    return _ratio(pairs, mine.sum(axis=-1) * weights[..., lower_all].sum(axis=-1))


def _ranked(score: Float) -> Float64:
    """The score, infinite where it is not a number."""
    values = np.asarray(score, dtype=np.float64)
    return np.where(np.isnan(values), np.inf, values)


def _ratio(part: Float64, whole: Float64) -> Float64:
    """The quotient, NaN where there is nothing to divide by."""
    part, whole = np.asarray(part), np.asarray(whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
