"""Where tiles overlap, one row per object is primary."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.sky import unit_vectors

_ARCSEC = np.pi / (180 * 3600)


def mark_primary(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    tile: NDArray[np.int64],
    edge_distance: NDArray[np.float64],
    bad_fraction: NDArray[np.float64],
    object_id: NDArray[np.int64],
    radius: float,
    counterparts: Callable[[NDArray[np.intp]], NDArray[np.intp]] | None = None,
) -> NDArray[np.bool_]:
    """Mark one row per object where tiles overlap.

    Rows are taken from the best to the worst: farther from the edge of its tile first, then fewer bad pixels, then the
    smaller tile number, then the smaller object id. A row becomes primary unless a primary row of *another* tile lies
    within the radius. So every row that is not primary has a primary counterpart, two primary rows of different tiles
    are never within the radius, rows of one tile never suppress one another, and the order of the rows does not matter.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees, anywhere on the sphere.
    tile : ndarray of int64, shape (n,)
        Number of the tile of each row; tiles are numbered in the order of their names.
    edge_distance : ndarray of float64, shape (n,)
        Distance to the nearest edge of the tile (arcsec); NaN counts as the worst.
    bad_fraction : ndarray of float64, shape (n,)
        Fraction of bad pixels; NaN counts as the worst.
    object_id : ndarray of int64, shape (n,)
        Unique identifiers.
    radius : float
        Rows of different tiles within this angle (arcsec) are one object.
    counterparts : callable, optional
        Given the pairs of such rows, those that are one object; all of them by default. See
        `galmorph.catalogs.counterparts`.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for primary rows.
    """
    order = np.lexsort(
        (object_id, tile, np.nan_to_num(bad_fraction, nan=np.inf), -np.nan_to_num(edge_distance, nan=-np.inf))
    )
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    chord = 2 * np.sin(0.5 * radius * _ARCSEC)
    pairs = cKDTree(unit_vectors(ra, dec)).query_pairs(chord, output_type="ndarray")
    pairs = pairs[tile[pairs[:, 0]] != tile[pairs[:, 1]]]
    if counterparts is not None:
        pairs = counterparts(pairs)
    swap = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    better, worse = np.where(swap, pairs[:, 1], pairs[:, 0]), np.where(swap, pairs[:, 0], pairs[:, 1])

    # The rounds give what taking the rows one by one would: whoever has no better undecided neighbour is decided.
    undecided = np.ones(len(order), dtype=bool)
    primary = np.zeros(len(order), dtype=bool)
    while undecided.any():
        blocked = np.zeros(len(order), dtype=bool)
        blocked[worse] = True
        winners = undecided & ~blocked
        primary |= winners
        undecided &= blocked
        undecided[worse[winners[better]]] = False
        open_pairs = undecided[better] & undecided[worse]
        better, worse = better[open_pairs], worse[open_pairs]
    return primary
