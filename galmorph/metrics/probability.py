"""How good probabilities are.

A probability that is not a number counts as 0, so that an object without a prediction is one that is wrong.
"""

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
Float64 = NDArray[np.float64]
Int = NDArray[np.integer]


def brier(probabilities: Float, true: Int, weights: Float64 | None = None) -> Float64:
    """Brier score, the mean of ``sum_k (p_k - y_k)²`` (from 0 to 2).

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        0 is perfect. Shape ``(...)``.
    """
    p = _numbers(probabilities)
    return _mean(np.sum((p - np.eye(p.shape[1])[true]) ** 2, axis=1), weights)


def calibration_error(probabilities: Float, true: Int, weights: Float64 | None = None, bins: int = 15) -> Float64:
    """Expected calibration error (Guo et al. 2017, equation 3).

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.
    bins : int
        Bins of equal width in the confidence, each open below and closed above.

    Returns
    -------
    ndarray of float
        Mean over objects of ``|accuracy - confidence|`` of their bin. Shape ``(...)``.
    """
    p = _numbers(probabilities)
    confidence = p.max(axis=1)
    correct = (p.argmax(axis=1) == true) & (confidence > 0)
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.eye(bins)[number] * (correct - confidence)[:, None]
    weights = np.ones(len(p)) if weights is None else weights
    return np.asarray(np.abs(weights @ gaps).sum(axis=-1) / weights.sum(axis=-1))


def negative_log_likelihood(probabilities: Float, true: Int, weights: Float64 | None = None) -> Float64:
    """Mean of ``-ln p`` of the true class.

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    true : ndarray of int
        Shape ``(n,)``.
    weights : ndarray of float, optional
        How often each object counts, shape ``(..., n)``.

    Returns
    -------
    ndarray of float
        Probabilities below the smallest float64 count as that. Shape ``(...)``.
    """
    chosen = _numbers(probabilities)[np.arange(len(true)), true]
    return _mean(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)), weights)


def _numbers(probabilities: Float) -> Float64:
    p = np.asarray(probabilities, dtype=np.float64)
    return np.where(np.isnan(p), 0.0, p)


def _mean(values: Float64, weights: Float64 | None) -> Float64:
    """Weighted mean over objects."""
    if weights is None:
        return np.asarray(values.mean())
    return np.asarray(weights @ values / weights.sum(axis=-1))
