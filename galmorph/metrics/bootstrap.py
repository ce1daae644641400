"""How far a measure would move had other objects been drawn (Efron 1979)."""

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

#: Weights that are held at once: bounds the memory to a few times 32 MB.
LARGEST_CHUNK = 4_000_000


def resamples(groups: NDArray[np.intp], number: int, rng: np.random.Generator) -> Float64:
    """How often each image is drawn when objects are drawn with replacement, as many as there are.

    Parameters
    ----------
    groups : ndarray of int
        Object of each image, counted from 0: images of one object are drawn together. Shape ``(n,)``.
    number : int
        Resamples.
    rng : numpy.random.Generator
        Where they come from.

    Returns
    -------
    ndarray of float
        Shape ``(number, n)``.
    """
    objects = int(groups.max()) + 1
    drawn = rng.multinomial(objects, np.full(objects, 1 / objects), size=number)
    return drawn[:, groups].astype(np.float64)


def in_chunks(
    measure: Callable[[Float64], Mapping[Key, Float64]], groups: NDArray[np.intp], number: int, seed: int
) -> dict[Key, Float64]:
    """Values of measures on all resamples.

    Parameters
    ----------
    measure : callable
        Takes weights of the shape ``(r, n)`` and gives named arrays of the shape ``(r,)``.
    groups : ndarray of int
        Object of each image, shape ``(n,)``.
    number : int
        Resamples.
    seed : int
        Same seed, same resamples.

    Returns
    -------
    dict of ndarray
        Shape ``(number,)`` each.
    """
    rng = np.random.default_rng(seed)
    size = max(1, LARGEST_CHUNK // max(1, len(groups)))
    parts = [measure(resamples(groups, min(size, number - start), rng)) for start in range(0, number, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: Float64, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval.

    Parameters
    ----------
    values : ndarray of float
        Of a measure on resamples; those that are NaN, for want of objects, are left out.
    level : float
        Share of the resamples within.

    Returns
    -------
    tuple of float or None
        Lower and upper end; None when the measure exists on no resample.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
