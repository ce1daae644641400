import numpy as np
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.catalogs.primary import mark_primary

ARCSEC = 1 / 3600


def one_by_one(ra, dec, tile, edge, bad, object_id, radius):
    """The rule as it is told: from the best row to the worst, on the exact sphere."""
    order = sorted(range(len(ra)), key=lambda i: (-edge[i], bad[i], tile[i], object_id[i]))
    chosen = []
    for i in order:
        near = (
            np.degrees(angular_separation(*np.radians([ra[i], dec[i], ra[j], dec[j]]))) / ARCSEC <= radius
            for j in chosen
            if tile[j] != tile[i]
        )
        if not any(near):
            chosen.append(i)
    return np.isin(np.arange(len(ra)), chosen)


@st.composite
def crowded(draw):
    """Rows of a few tiles within some arcseconds, at an ordinary place, across RA 0, or around a pole."""
    n = draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    place = draw(st.sampled_from(["plain", "wrap", "north", "south"]))
    if place in ("north", "south"):
        ra, dec = rng.uniform(0, 360, n), 90 - rng.uniform(0, 3, n) * ARCSEC
        dec = dec if place == "north" else -dec
    else:
        centre = 180.0 if place == "plain" else 0.0
        ra, dec = (centre + rng.uniform(-3, 3, n) * ARCSEC) % 360, rng.uniform(-3, 3, n) * ARCSEC
    edge = rng.choice([1.0, 2.0, 3.0], n) if draw(st.booleans()) else rng.uniform(0, 100, n)
    bad = rng.choice([0.0, 0.1], n)
    return ra, dec, rng.integers(0, draw(st.integers(1, 4)), n), edge, bad, rng.permutation(n)


@settings(max_examples=150, deadline=None)
@given(crowded(), st.floats(0.1, 3))
def test_the_rounds_do_what_one_by_one_does(rows, radius):
    assert np.array_equal(mark_primary(*rows, radius), one_by_one(*rows, radius))


@settings(max_examples=50, deadline=None)
@given(crowded(), st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter(rows, seed):
    shuffle = np.random.default_rng(seed).permutation(len(rows[0]))
    shuffled = tuple(column[shuffle] for column in rows)
    assert np.array_equal(mark_primary(*rows, 1.0)[shuffle], mark_primary(*shuffled, 1.0))


def mark(ra, tile, edge, bad=None, object_id=None, radius=1.0):
    n = len(ra)
    bad = np.zeros(n) if bad is None else np.array(bad)
    object_id = np.arange(n) if object_id is None else np.array(object_id)
    arrays = np.array(ra) * ARCSEC, np.zeros(n), np.array(tile), np.array(edge, float), bad, object_id
    return mark_primary(*arrays, radius).tolist()


@pytest.mark.parametrize(
    ("kwargs", "primary"),
    [
        ({"ra": [0, 0.5], "tile": [0, 1], "edge": [5, 9]}, [False, True]),
        ({"ra": [0, 0.5], "tile": [0, 1], "edge": [5, 5], "bad": [0.2, 0.1]}, [False, True]),
        ({"ra": [0, 0.5], "tile": [1, 0], "edge": [5, 5]}, [False, True]),
        ({"ra": [0, 0.5], "tile": [0, 0], "edge": [5, 9]}, [True, True]),
        ({"ra": [0, 1.5], "tile": [0, 1], "edge": [5, 9]}, [True, True]),
        ({"ra": [0, 1.5], "tile": [0, 1], "edge": [5, 9], "radius": 2.0}, [False, True]),
        # A chain: the middle one goes, and does not take the last one with it.
        ({"ra": [0, 0.9, 1.8], "tile": [0, 1, 2], "edge": [9, 8, 7]}, [True, False, True]),
        # What cannot be compared is worst.
        ({"ra": [0, 0.5], "tile": [0, 1], "edge": [np.nan, 0]}, [False, True]),
        ({"ra": [0, 0.5], "tile": [0, 1], "edge": [5, 5], "bad": [np.nan, 0.9]}, [False, True]),
        ({"ra": [], "tile": np.empty(0, int), "edge": []}, []),
    ],
)
def test_the_rule(kwargs, primary):
    assert mark(**kwargs) == primary
