import numpy as np
import pytest
from scipy.stats import norm

from galmorph.metrics import discrepancy, separation, stability
from galmorph.metrics.shift import WIDTHS


def by_hand(first, second):
    """The U-statistic pair by pair."""
    joined = np.concatenate([first, second])
    distances = np.linalg.norm(joined[:, None] - joined[None, :], axis=-1)
    typical = np.sqrt(np.median(distances[np.triu_indices(len(joined), 1)] ** 2))

    def kernel(x, y):
        return np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * (width * typical) ** 2)) for width in WIDTHS])

    n, m = len(first), len(second)
    within = sum(kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j) / (n * (n - 1))
    within += sum(kernel(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j) / (m * (m - 1))
    return within - 2 * sum(kernel(x, y) for x in first for y in second) / (n * m)


def test_discrepancy_is_the_u_statistic():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(7, 3)), rng.normal(0.5, 1, size=(5, 3))
    assert discrepancy(first, second, permutations=9).squared == pytest.approx(by_hand(first, second), abs=1e-12)


def test_p_values_are_uniform_where_nothing_differs_and_small_where_something_does():
    rng = np.random.default_rng(2)
    values = [discrepancy(*rng.normal(size=(2, 30, 4)), permutations=99, seed=n).p_value for n in range(40)]
    assert np.mean(np.array(values) <= 0.05) <= 0.15
    assert 0.35 < np.mean(values) < 0.65
    shifted = discrepancy(rng.normal(size=(40, 4)), rng.normal(1, 1, size=(40, 4)), permutations=99)
    assert shifted.p_value == 0.01
    assert shifted.squared > 0.05


def test_equal_points_differ_in_nothing():
    found = discrepancy(np.ones((5, 2)), np.ones((6, 2)), permutations=19)
    assert found.squared == pytest.approx(0)
    assert found.p_value == 1


def test_discrepancy_does_not_feel_where_the_samples_lie():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(7, 3)), rng.normal(0.5, 1, size=(5, 3))
    near, far = (discrepancy(first + shift, second + shift, permutations=9) for shift in (0.0, 1e6))
    assert far.squared == pytest.approx(near.squared, abs=1e-6)


def test_separation_of_like_and_of_unlike():
    rng = np.random.default_rng(3)
    like = separation(*rng.normal(size=(2, 120, 5)))
    assert 0.35 < like.auc < 0.62
    assert like.p_value > 0.001
    # A spread that differs is seen too, which no linear classifier can.
    wider = separation(rng.normal(size=(200, 5)), rng.normal(0, 3, size=(200, 5)))
    assert wider.auc > 0.9
    assert wider.p_value < 1e-10


def test_a_seed_gives_the_same_forest_and_another_seed_another():
    first, second = np.random.default_rng(3).normal(size=(2, 40, 5))
    areas = [separation(first, second, seed).auc for seed in (0, 0, 1)]
    assert areas[0] == areas[1] != areas[2]


def test_significance_of_a_separation_is_that_of_the_rank_statistic():
    rng = np.random.default_rng(4)
    found = separation(rng.normal(size=(90, 3)), rng.normal(0.3, 1, size=(40, 3)))
    assert found.p_value == pytest.approx(norm.sf(found.auc, 0.5, np.sqrt((90 + 40 + 1) / (12 * 90 * 40))))


def test_stability_by_hand():
    old, new = np.full(10, 0.05), np.full(10, 0.95)
    p, q = (10 + 0.5) / 15, 0.5 / 15
    assert stability(old, new) == pytest.approx(2 * (q - p) * np.log(q / p))
    assert stability(old, old) == 0
    assert np.isnan(stability(old, np.empty(0)))
    # Rounding may make a probability a little more than 1, or less than 0.
    assert stability(np.full(4, 1 + 1e-7), np.full(4, 0.99)) == stability(np.full(4, -1e-7), np.full(4, 0.01)) == 0
