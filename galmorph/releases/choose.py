"""Which objects of a release are wanted: spread over strata for adaptation, uncertain and diverse for people's eyes.

Arrays in, rows out.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import ConfigError

Rows = NDArray[np.intp]
Order = Literal["active", "uncertain", "diverse", "random"]


def strata(*values: NDArray[np.floating], bins: tuple[int, ...]) -> NDArray[np.int64]:
    """Number the cells of a grid of quantiles.

    Parameters
    ----------
    values : ndarray of float
        Each of shape ``(n,)``; what is not a number falls into a bin of its own.
    bins : tuple of int
        Bins of as many objects each, for each of the values.

    Returns
    -------
    ndarray of int
        Shape ``(n,)``.
    """
    cell = np.zeros(len(values[0]), dtype=np.int64)
    for each, count in zip(values, bins, strict=True):
        finite = np.isfinite(each)
        place = np.full(len(each), count, dtype=np.int64)
        if finite.any():
            edges = np.quantile(each[finite], np.linspace(0, 1, count + 1)[1:-1])
            place[finite] = np.searchsorted(edges, each[finite], side="right")
        cell = cell * (count + 1) + place
    return cell


def sample_evenly(cells: NDArray[np.int64], count: int, seed: int = 0) -> Rows:
    """Choose objects, from each cell as many as from others as long as it has some.

    Parameters
    ----------
    cells : ndarray of int
        Cell of each object, shape ``(n,)``.
    count : int
        How many.
    seed : int
        Decides which.

    Returns
    -------
    ndarray of int
        Sorted rows, ``min(n, count)`` of them.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(cells))
    # The turn of an object is its rank within its cell: all firsts come before all seconds.
    order = shuffled[np.argsort(cells[shuffled], kind="stable")]
    grouped = cells[order]
    starts = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1])) if len(grouped) else np.empty(0, np.intp)
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    chance = rng.random(len(order))
    return np.sort(order[np.lexsort((chance, turn))[:count]])


def order_for_vetting(
    looks: NDArray[np.floating], uncertainty: NDArray[np.floating], count: int, order: Order = "diverse", seed: int = 0
) -> Rows:
    """Put objects in the order in which people should look at them.

    Parameters
    ----------
    looks : ndarray of float
        Features of objects, shape ``(n, d)``.
    uncertainty : ndarray of float
        Not negative, larger for objects that the model is less sure of, such as the entropy. Shape ``(n,)``.
    count : int
        How many are wanted.
    order : {"active", "uncertain", "diverse", "random"}
        ``active``: each time an object is drawn with a chance in proportion to its uncertainty times its squared
        distance from the nearest object drawn before, which is the seeding of k-means++ (Arthur and Vassilvitskii 2007)
        with weights; the others are its two halves by themselves, and none.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray of int
        Rows, the first to be looked at first; ``min(n, count)`` of them.

    Raises
    ------
    ConfigError
        If there is no such order.
    """
    rng = np.random.default_rng(seed)
    n = len(looks)
    if order == "random":
        return np.asarray(rng.permutation(n)[:count])
    weight = np.nan_to_num(np.asarray(uncertainty, dtype=np.float64), nan=0.0, posinf=0.0).clip(min=0)
    if order == "uncertain":
        return np.asarray(np.argsort(-weight, kind="stable")[:count])
    if order not in ("active", "diverse"):
        raise ConfigError(f"order must be active, uncertain, diverse or random, got {order!r}")
    weight = np.ones(n) if order == "diverse" else weight
    points = _scaled(looks)
    chosen: list[int] = []
    far = np.full(n, np.inf)
    for _ in range(min(n, count)):
        chance = weight * np.where(np.isfinite(far), far, 1.0)
        chance[chosen] = 0
        total = chance.sum()
        # Nothing uncertain or different is left: the rest is all the same.
        left = np.setdiff1d(np.arange(n), chosen) if total <= 0 else None
        pick = int(rng.choice(n, p=chance / total)) if left is None else int(rng.choice(left))
        chosen.append(pick)
        far = np.minimum(far, ((points - points[pick]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.intp)


def _scaled(looks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Features about their mean, in units of their whole spread."""
    points = np.asarray(looks, dtype=np.float64)
    points = points - points.mean(axis=0)
    return np.asarray(points / max(float(np.sqrt(points.var(axis=0).sum())), 1e-12))
