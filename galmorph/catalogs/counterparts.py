"""Which rows of different tiles are one object, beyond lying close: given positions, and stripes of a large tile."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph import flags
from galmorph.sky import unit_vectors
from galmorph.surveys import stripes

Pairs = NDArray[np.intp]

#: Columns that tell.
KEYS = ("object_id", "source_id", "ra", "dec", "tile", "x", "y", "radius", "flags")
_ARCSEC = np.pi / (180 * 3600)
_STRIPE = re.compile("@[0-9]+$")


def counterparts(keys: pa.Table, pairs: Pairs) -> Pairs:
    """Pairs of rows that are one object.

    Where positions were given, their identifiers decide. Stripes share a tile's rows, and both keep what lies within
    `galmorph.surveys.stripes.OVERLAP` rows of a border: rows of two stripes are one object if each is the other's
    nearest and they are closer than that. An object that reaches beyond what either stripe read has a centre of its own
    on each, somewhere within its radius.

    Parameters
    ----------
    keys : pyarrow.Table
        Rows of a catalogue, with the columns `KEYS`.
    pairs : ndarray of int, shape (n, 2)
        Rows of different tiles that lie close.

    Returns
    -------
    ndarray of int, shape (m, 2)
        Those of the pairs, and of large objects on stripes, that are one object.
    """
    source = pc.fill_null(keys.column("source_id"), "")
    one, other = (source.take(pa.array(pairs[:, side])) for side in (0, 1))
    given = pc.and_(pc.not_equal(one, ""), pc.not_equal(other, "")).to_numpy()
    same = pc.equal(one, other).to_numpy()
    encoded = pc.dictionary_encode(keys.column("tile")).unify_dictionaries().combine_chunks()
    tile, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    whole = np.unique([_STRIPE.sub("", name) for name in names], return_inverse=True)[1][tile]
    striped = ~given & (whole[pairs[:, 0]] == whole[pairs[:, 1]])
    stripe = np.array([_STRIPE.search(name) is not None for name in names], dtype=bool)[tile]
    decided: Pairs = pairs[np.where(given, same, ~striped)]
    if not stripe.any():
        return decided
    place = np.column_stack([keys.column(name).to_numpy() for name in ("x", "y")]).astype(np.float64)
    close = pairs[striped]
    close = close[_distance(place, close) < stripes.OVERLAP]
    large = _large(keys, np.flatnonzero(stripe & pc.equal(source, "").to_numpy()), tile, whole)
    of_stripes = _nearest(np.concatenate([close, large]), place, tile, keys.column("object_id").to_numpy())
    return np.concatenate([decided, of_stripes])


def _distance(place: NDArray[np.float64], pairs: Pairs) -> NDArray[np.float64]:
    """Pixels between the rows of pairs of one tile."""
    return np.asarray(np.hypot(*(place[pairs[:, 0]] - place[pairs[:, 1]]).T))


def _large(keys: pa.Table, rows: Pairs, tile: NDArray[np.int32], whole: NDArray[np.int64]) -> Pairs:
    """Pairs, among some rows of stripes, of what reaches beyond the rows that were read, within each other's radius."""
    radius = keys.column("radius").to_numpy()
    cut = (pc.fill_null(keys.column("flags"), 0).to_numpy() & flags.TRUNCATED) != 0
    rows = rows[cut[rows] & (radius[rows] > stripes.MARGIN)]
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.intp)
    sky = unit_vectors(*(keys.column(name).to_numpy()[rows] for name in ("ra", "dec")))
    angle = np.minimum(radius[rows] * _ARCSEC, np.pi)
    found = cKDTree(sky).query_pairs(2 * np.sin(0.5 * angle.max()), output_type="ndarray")
    reach = 2 * np.sin(0.5 * angle[found].min(axis=1))
    found = found[np.linalg.norm(sky[found[:, 0]] - sky[found[:, 1]], axis=1) <= reach]
    pairs = rows[found]
    one, other = pairs[:, 0], pairs[:, 1]
    return np.asarray(pairs[(whole[one] == whole[other]) & (tile[one] != tile[other])])


def _nearest(pairs: Pairs, place: NDArray[np.float64], tile: NDArray[np.int32], object_id: NDArray[np.int64]) -> Pairs:
    """Those of the pairs whose rows are nearer to each other than to other rows of the other's tile."""
    distance = _distance(place, pairs)
    mutual = np.ones(len(pairs), dtype=bool)
    for row, other in (pairs.T, pairs.T[::-1]):
        order = np.lexsort((object_id[other], distance, tile[other], row))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(row[order]) != 0) | (np.diff(tile[other][order]) != 0)
        mutual[order[~first]] = False
    return pairs[mutual]
