"""Stripes of a large tile, and given positions: which rows are one object."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph import flags
from galmorph.catalogs.counterparts import counterparts
from galmorph.catalogs.primary import mark_primary
from galmorph.surveys.stripes import MARGIN, Stripe

#: Arcsec of a pixel: several lie within the radius of a match.
SCALE = 0.1


def mark(tile, x, y, *, source_id=None, radius=None, flag=None, object_id=None, edge=None):
    """Primary rows of a tile whose pixels lie along right ascension and declination."""
    n = len(tile)
    columns = {
        "object_id": np.arange(n) if object_id is None else np.array(object_id),
        "source_id": pa.array([""] * n if source_id is None else source_id, pa.string()),
        "ra": 150 + np.array(x) * SCALE / 3600,
        "dec": np.array(y) * SCALE / 3600,
        "tile": pa.array(tile, pa.string()),
        "x": np.array(x, np.float32),
        "y": np.array(y, np.float32),
        "radius": np.full(n, 2, np.float32) if radius is None else np.array(radius, np.float32),
        "flags": np.zeros(n, np.int32) if flag is None else np.array(flag, np.int32),
    }
    keys = pa.table(columns)
    numbers = np.unique(tile, return_inverse=True)[1]
    edge = np.zeros(n) if edge is None else np.array(edge)
    arguments = columns["ra"], columns["dec"], numbers, edge, np.zeros(n), columns["object_id"], 1.0
    return mark_primary(*arguments, partial(counterparts, keys)).tolist()


@pytest.mark.parametrize(
    ("rows", "primary"),
    [
        # Two of a close pair, of which each stripe has one; as tiles that overlap, one would go.
        ({"tile": ["t@1", "t@2"], "x": [5, 5], "y": [96, 104]}, [True, True]),
        ({"tile": ["t", "u"], "x": [5, 5], "y": [96, 104]}, [True, False]),
        ({"tile": ["t@1", "u@1"], "x": [5, 5], "y": [96, 104]}, [True, False]),
        # One that both have, and one that both have beside one that the upper has alone.
        ({"tile": ["t@1", "t@2"], "x": [5, 5.3], "y": [99, 100.5]}, [True, False]),
        ({"tile": ["t@1", "t@2", "t@2"], "x": [5, 5, 5], "y": [100.5, 100.4, 103]}, [True, False, True]),
        (
            {"tile": ["t@1", "t@2", "t@2"], "x": [5, 5, 5], "y": [100.5, 100.4, 103], "edge": [0, 1, 2]},
            [False, True, True],
        ),
        ({"tile": ["t@1", "t@2"], "x": [5, 5], "y": [99, 101]}, [True, True]),
        # Large and cut off on both, anywhere within its radius; never a small one, or one that is whole.
        (
            {"tile": ["t@1", "t@2"], "x": [5, 5], "y": [0, 500], "radius": [70, 80], "flag": 2 * [flags.TRUNCATED]},
            [True, False],
        ),
        (
            {"tile": ["t@1", "t@2"], "x": [5, 5], "y": [0, 800], "radius": [70, 99], "flag": 2 * [flags.TRUNCATED]},
            [True, True],
        ),
        (
            {"tile": ["t@1", "u@2"], "x": [5, 5], "y": [0, 500], "radius": [70, 80], "flag": 2 * [flags.TRUNCATED]},
            [True, True],
        ),
        (
            {"tile": ["t@1", "t@1"], "x": [5, 5], "y": [0, 500], "radius": [70, 80], "flag": 2 * [flags.TRUNCATED]},
            [True, True],
        ),
        (
            {"tile": ["t@1", "t@2"], "x": [5, 5], "y": [0, 50], "radius": [50, 50], "flag": 2 * [flags.TRUNCATED]},
            [True, True],
        ),
        (
            {"tile": ["t@1", "t@2"], "x": [5, 5], "y": [0, 500], "radius": [70, 80], "flag": [0, flags.TRUNCATED]},
            [True, True],
        ),
        # Given positions are known by their identifiers, on stripes and on tiles that overlap.
        ({"tile": ["t@1", "t@2"], "x": [5, 5], "y": [99, 100], "source_id": ["a", "b"]}, [True, True]),
        ({"tile": ["t@1", "t@2"], "x": [5, 5], "y": [99, 99], "source_id": ["a", "a"]}, [True, False]),
        ({"tile": ["t", "u"], "x": [5, 5], "y": [99, 100], "source_id": ["a", "b"]}, [True, True]),
        ({"tile": ["t", "u"], "x": [5, 5], "y": [99, 99], "source_id": ["a", "a"]}, [True, False]),
        ({"tile": ["t", "u"], "x": [5, 5], "y": [99, 100], "source_id": ["a", ""]}, [True, False]),
        ({"tile": [], "x": [], "y": []}, []),
    ],
)
def test_the_rule(rows, primary):
    assert MARGIN == 60
    assert mark(**rows) == primary


@st.composite
def striped(draw):
    """Objects of a tile no closer than four pixels, a row for each stripe that keeps them, and which object it is."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    places: list[np.ndarray] = []
    for place in rng.uniform((0, 1), (30, 88), (draw(st.integers(1, 120)), 2)):
        if all(np.hypot(*(place - other)) > 4 for other in places):
            places.append(place)
    x, y = np.array(places).T
    rows = []
    for number, first in enumerate(range(0, 90, 30), start=1):
        stripe = Stripe((first, first + 30), (first, first + 30), (90, 30))
        measured = y + rng.uniform(-0.3, 0.3, len(y))
        rows += [(f"t@{number}", x[i], measured[i], i) for i in np.flatnonzero(stripe.keeps(measured))]
    order = rng.permutation(len(rows))
    tile, x, y, thing = zip(*(rows[i] for i in order), strict=True)
    edge = rng.choice([0.0, 1.0], len(rows))
    return {"tile": list(tile), "x": x, "y": y, "edge": edge, "object_id": rng.permutation(len(rows))}, thing


@settings(max_examples=150, deadline=None)
@given(striped())
def test_every_object_of_a_tile_in_stripes_has_one_primary_row(case):
    rows, thing = case
    primary = mark(**rows)
    assert sorted(np.array(thing)[primary]) == sorted(set(thing))
