"""Counts of true classes and labels, and what follows from them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Int = NDArray[np.integer]


def confusion_matrix(true: Int, predicted: Int, rows: int, columns: int, weights: Float64 | None = None) -> Float64:
    """Number of objects of each true class (row) that were given each label (column).

    Parameters
    ----------
    true, predicted : ndarray of int
        Indices of classes, shape ``(n,)``.
    rows, columns : int
        How many classes and labels there are.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        Shape ``(..., rows, columns)``.
    """
    cell = np.asarray(true) * columns + np.asarray(predicted)
    if weights is None:
        counts = np.bincount(cell, minlength=rows * columns).astype(np.float64)
    else:
        counts = weights @ np.eye(rows * columns)[cell]
    return counts.reshape(*counts.shape[:-1], rows, columns)


def recall_precision_f1(confusion: NDArray[np.integer] | Float64) -> tuple[Float64, Float64, Float64]:
    """Recall, precision and F1 of each class.

    Parameters
    ----------
    confusion : ndarray
        Rows are true classes, columns labels; labels beyond the classes, such as "unknown", come last.
        Shape ``(..., K, L)`` with ``L >= K``.

    Returns
    -------
    recall, precision, f1 : ndarray of float
        Shape ``(..., K)``. Recall and F1 are NaN for a class without objects; precision is 0 for a label never
        given.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    present = confusion.sum(axis=-1)
    given = confusion.sum(axis=-2)[..., : hits.shape[-1]]
    recall = np.divide(hits, present, out=np.full(hits.shape, np.nan), where=present > 0)
    precision = np.divide(hits, given, out=np.zeros(hits.shape), where=given > 0)
    f1 = np.divide(2 * hits, present + given, out=np.full(hits.shape, np.nan), where=present > 0)
    return recall, precision, f1


def h_score(known: ArrayLike, unknown: ArrayLike) -> Float64:
    """Harmonic mean ``2 a_C a_u / (a_C + a_u)`` of known and unknown accuracy (Fu et al. 2020, equation 11).

    Parameters
    ----------
    known : array_like
        Mean of per-class recalls of known classes, an object flagged as unknown being wrong.
    unknown : array_like
        Recall of unknown objects, all their classes taken together.

    Returns
    -------
    ndarray of float
        0 where both are 0.
    """
    known, unknown = np.asarray(known, dtype=np.float64), np.asarray(unknown, dtype=np.float64)
    total = known + unknown
    return np.asarray(np.divide(2 * known * unknown, total, out=np.zeros(total.shape), where=total != 0))
