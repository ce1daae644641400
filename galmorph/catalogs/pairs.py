"""Pairs of detections that lie within each other's apertures: mergers for a model that knows none."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.sky import ARCSEC, unit_vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Apertures beyond so many times the median are looked at by themselves.
_LARGE = 4.0


def close_pairs(ra: Floats, dec: Floats, radius: Floats) -> tuple[Ints, Ints, Floats]:
    """Pairs of positions, each within the other's radius.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    radius : ndarray of float64, shape (n,)
        Arcsec.

    Returns
    -------
    first, second : ndarray of int64, shape (k,)
        Places of the two, the smaller first; each pair once.
    separation : ndarray of float64, shape (k,)
        Arcsec, at most the smaller radius of the two.
    """
    if len(ra) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    points = unit_vectors(ra, dec)
    reach = _LARGE * float(np.median(radius))
    # Two that lie farther apart than that are both large.
    found = [_within(points, np.arange(len(ra)), reach), _within(points, np.flatnonzero(radius > reach), radius.max())]
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    chord = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    separation = 2 * np.arcsin(np.minimum(chord / 2, 1)) * ARCSEC
    near = separation <= np.minimum(radius[pairs[:, 0]], radius[pairs[:, 1]])
    return pairs[near, 0], pairs[near, 1], separation[near]


def _within(points: Floats, rows: Ints, reach: float) -> Ints:
    """Pairs of some points within an angle (arcsec)."""
    if len(rows) < 2:
        return np.empty((0, 2), np.int64)
    found = cKDTree(points[rows]).query_pairs(2 * np.sin(reach / ARCSEC / 2) * (1 + 1e-9), output_type="ndarray")
    return np.asarray(rows[found], dtype=np.int64)


def rank_pairs(rows: pa.Table, top: int) -> pa.Table:
    """The brighter one of each pair, the most intimate pairs first.

    Parameters
    ----------
    rows : pyarrow.Table
        Rows that come into question, with `object_id`, `ra`, `dec`, `radius` and `snr`.
    top : int
        How many, at most.

    Returns
    -------
    pyarrow.Table
        `score`, 1 less the separation in units of the smaller radius; `companion`, its object id; `separation` in
        arcsec; and the columns of the rows. An object stands once, with its nearest companion; ties by object id.
    """
    ra, dec, radius, snr = (rows[name].cast(pa.float64()).to_numpy() for name in ("ra", "dec", "radius", "snr"))
    first, second, separation = close_pairs(ra, dec, radius)
    score = 1 - separation / np.minimum(radius[first], radius[second])
    brighter = np.where(snr[first] >= snr[second], first, second)
    fainter = first + second - brighter
    ids = rows["object_id"].to_numpy()
    order = np.lexsort((ids[fainter], ids[brighter], -score))
    once = np.sort(np.unique(brighter[order], return_index=True)[1])[:top]
    chosen = order[once]
    table = rows.take(pa.array(brighter[chosen]))
    for name, values in (
        ("separation", separation[chosen]),
        ("companion", ids[fainter[chosen]]),
        ("score", score[chosen]),
    ):
        table = table.add_column(0, name, pa.array(values))
    return table
