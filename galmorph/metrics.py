"""How good predictions are. Arrays in, numbers out; nothing here chooses anything."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Float = NDArray[np.floating]
Int = NDArray[np.integer]
Bool = NDArray[np.bool_]


def confusion_matrix(true: Int, predicted: Int, rows: int, columns: int) -> NDArray[np.int64]:
    """Number of objects of each true class (row) that were given each label (column).

    Parameters
    ----------
    true, predicted : ndarray of int
        Indices of classes, shape ``(n,)``.
    rows, columns : int
        How many classes there are.

    Returns
    -------
    ndarray of int
        Shape ``(rows, columns)``.
    """
    return np.bincount(np.asarray(true) * columns + predicted, minlength=rows * columns).reshape(rows, columns)


def recall_precision_f1(
    confusion: NDArray[np.integer],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Recall, precision and F1 of each class.

    Parameters
    ----------
    confusion : ndarray of int
        Rows are true classes, columns labels. Shape ``(K, K)``.

    Returns
    -------
    recall, precision, f1 : ndarray of float
        Shape ``(K,)``. Recall and F1 are NaN for a class without objects; precision is 0 for a label never
        given.
    """
    hits = np.diag(confusion).astype(np.float64)
    present, given = confusion.sum(axis=1), confusion.sum(axis=0)
    recall = np.divide(hits, present, out=np.full(len(hits), np.nan), where=present > 0)
    precision = np.divide(hits, given, out=np.zeros(len(hits)), where=given > 0)
    both = present + given
    f1 = np.divide(2 * hits, both, out=np.full(len(hits), np.nan), where=present > 0)
    return recall, precision, f1


def auroc(score: Float, positive: Bool) -> float:
    """Area under the receiver operating characteristic: chance that a positive scores above a negative.

    Parameters
    ----------
    score : ndarray of float
        Larger for positives. Shape ``(n,)``.
    positive : ndarray of bool
        Shape ``(n,)``.

    Returns
    -------
    float
        Ties count half. NaN if there are no positives or no negatives.
    """
    positive = np.asarray(positive, dtype=bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(score: Float, positive: Bool) -> float:
    """Area under the precision-recall curve, ``sum (R_i - R_{i-1}) P_i`` over distinct thresholds.

    Parameters
    ----------
    score : ndarray of float
        Larger for positives. Shape ``(n,)``.
    positive : ndarray of bool
        Shape ``(n,)``.

    Returns
    -------
    float
        NaN if there are no positives.
    """
    score, positive = np.asarray(score), np.asarray(positive, dtype=bool)
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(positive[order])[last_of_tie]
    given = np.flatnonzero(last_of_tie) + 1
    return float(np.sum(np.diff(hits, prepend=0) / positive.sum() * hits / given))


def brier(probabilities: Float, true: Int) -> float:
    """Brier score, the mean of ``sum_k (p_k - y_k)²`` (from 0 to 2).

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.

    Returns
    -------
    float
        0 is perfect.
    """
    target = np.eye(probabilities.shape[1])[true]
    return float(np.mean(np.sum((probabilities - target) ** 2, axis=1)))


def calibration_error(probabilities: Float, true: Int, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3).

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.
    bins : int
        Bins of equal width in the confidence, each open below and closed above.

    Returns
    -------
    float
        Mean over objects of ``|accuracy - confidence|`` of their bin.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == true
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(number, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def negative_log_likelihood(probabilities: Float, true: Int) -> float:
    """Mean of ``-ln p`` of the true class.

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.

    Returns
    -------
    float
        Probabilities below the smallest float64 count as that.
    """
    chosen = np.asarray(probabilities, dtype=np.float64)[np.arange(len(true)), true]
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())


def h_score(known: float, unknown: float) -> float:
    """Harmonic mean ``2 a_C a_u / (a_C + a_u)`` of known and unknown accuracy.

    Parameters
    ----------
    known : float
        Mean of per-class recalls of known classes, an object flagged as unknown being wrong.
    unknown : float
        Recall of unknown objects, all their classes taken together.

    Returns
    -------
    float
        0 if both are 0.
    """
    total = known + unknown
    return 0.0 if total == 0 else 2 * known * unknown / total
