import numpy as np
import pytest

from galmorph.errors import ConfigError
from galmorph.releases.choose import order_for_vetting, sample_evenly, strata


def test_strata_are_quantiles_and_what_is_no_number_is_apart():
    values = np.array([1.0, 2, 3, 4, np.nan])
    assert strata(values, bins=(2,)).tolist() == [0, 0, 1, 1, 2]
    cells = strata(values, np.array([1.0, 1, 1, 1, 1]), bins=(2, 2))
    assert len(np.unique(cells)) == 3


def test_sample_takes_from_each_cell_alike():
    cells = np.repeat([0, 1, 2], [1000, 10, 2])
    rows = sample_evenly(cells, 30, seed=1)
    counts = np.bincount(cells[rows])
    assert counts.sum() == 30
    assert counts[2] == 2
    assert counts[1] == 10
    assert (rows == np.sort(rows)).all()
    assert np.array_equal(rows, sample_evenly(cells, 30, seed=1))
    assert not np.array_equal(rows, sample_evenly(cells, 30, seed=2))


def test_sample_of_few_and_of_none():
    assert sample_evenly(np.zeros(3, dtype=np.int64), 10).tolist() == [0, 1, 2]
    assert sample_evenly(np.zeros(0, dtype=np.int64), 10).tolist() == []


@pytest.fixture
def objects():
    """Three far groups; the first is certain, the second uncertain, the third of one object."""
    rng = np.random.default_rng(0)
    looks = np.concatenate([rng.normal(0, 0.01, (50, 2)), rng.normal(5, 0.01, (50, 2)), [[50.0, 50.0]]])
    uncertainty = np.concatenate([np.zeros(50), np.full(50, 0.5), [0.6]])
    return looks, uncertainty


def test_active_order_is_uncertain_and_diverse(objects):
    chosen = order_for_vetting(*objects, 2, "active", seed=3)
    assert 100 in chosen
    assert (chosen >= 50).all()
    assert len(set(order_for_vetting(*objects, 60, "active"))) == 60


def test_other_orders(objects):
    assert order_for_vetting(*objects, 1, "uncertain").tolist() == [100]
    groups = {int(row) // 50 for row in order_for_vetting(*objects, 3, "diverse")}
    assert groups == {0, 1, 2}
    everything = order_for_vetting(*objects, 1000, "random")
    assert sorted(everything.tolist()) == list(range(101))
    with pytest.raises(ConfigError, match="order must be"):
        order_for_vetting(*objects, 3, "best")


def test_equal_and_odd_objects():
    chosen = order_for_vetting(np.ones((4, 2)), np.array([0.0, np.nan, np.inf, 0.0]), 4)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3]
    assert order_for_vetting(np.ones((0, 2)), np.ones(0), 4, "random").tolist() == []
