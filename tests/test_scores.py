import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy as scipy_entropy
from sklearn.neighbors import NearestNeighbors

from galmorph.scores import (
    FeatureReference,
    anomaly,
    directions_of,
    energy,
    entropy,
    neighbour_distance,
    score,
    softmax,
)

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e4, 1e4, width=32))


def test_softmax_by_hand():
    p = softmax(np.array([[0.0, np.log(3.0)]]))
    assert p == pytest.approx(np.array([[0.25, 0.75]]))


def test_temperature_divides_logits():
    assert softmax(np.array([[0.0, 2.0]]), 2.0) == pytest.approx(softmax(np.array([[0.0, 1.0]])))


@given(LOGITS)
def test_probabilities_sum_to_one_whatever_the_logits(logits):
    p = softmax(logits)
    assert np.isfinite(p).all()
    assert p.sum(axis=1) == pytest.approx(1.0)


@given(LOGITS)
def test_entropy_is_scipys_and_bounded(logits):
    p = softmax(logits)
    h = entropy(p)
    assert h == pytest.approx(scipy_entropy(p, axis=1), abs=1e-12)
    assert ((h >= 0) & (h <= np.log(p.shape[1]) + 1e-12)).all()


def test_entropy_of_certainty_is_zero_and_of_ignorance_ln_k():
    h = entropy(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]))
    assert h == pytest.approx([0.0, np.log(3)])
    assert not np.signbit(h[0])


def test_energy_by_hand():
    assert energy(np.array([[0.0, 0.0]])) == pytest.approx([-np.log(2)])
    assert energy(np.array([[2.0, 2.0]]), 2.0) == pytest.approx([-2 * np.log(2 * np.e)])


def test_energy_does_not_overflow():
    assert energy(np.array([[1e4, 0.0]])) == pytest.approx([-1e4])


def test_neighbour_distance_by_hand():
    axes = np.eye(3)
    # cos 1 to the first axis, 0 to the two others: fewer than five, so all three count.
    assert neighbour_distance(np.array([[2.0, 0, 0]]), axes) == pytest.approx([1 - 1 / 3])
    assert neighbour_distance(np.array([[1.0, 1.0, 0]]), axes) == pytest.approx([1 - 2 / np.sqrt(2) / 3])
    assert neighbour_distance(-axes, axes) == pytest.approx([1 + 1 / 3] * 3)


def test_neighbour_distance_is_that_of_an_independent_search():
    rng = np.random.default_rng(1)
    features, known = rng.normal(size=(2500, 7)), directions_of(rng.normal(size=(300, 7)))
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(known)
    assert neighbour_distance(features, known) == pytest.approx(search.kneighbors(features)[0].mean(axis=1))


def test_neighbour_distance_at_the_edges():
    assert neighbour_distance(np.zeros((2, 3)), np.eye(3)) == pytest.approx([1, 1])
    assert neighbour_distance(np.ones((2, 3)), np.zeros((0, 3))) == pytest.approx([1, 1])
    assert neighbour_distance(np.zeros((0, 3)), np.eye(3)).shape == (0,)


@pytest.mark.parametrize("function", [softmax, energy, entropy, directions_of])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_what_comes_in_less_precision_is_computed_in_float64(function, kind):
    values = np.array([[300.0, 0.1, 299.0], [1.0, 0.25, 0.3]], dtype=kind)
    np.testing.assert_array_equal(function(values), function(values.astype(np.float64)))
    assert function(values).dtype == np.float64


def test_anomaly_is_the_mean_of_both_in_units_of_the_usual():
    reference = FeatureReference(np.eye(2)[:1], distance=0.5, entropy=0.2)
    features = np.array([[1.0, 0], [0, 1.0]])
    assert anomaly(np.array([0.4, 0.2]), features, reference) == pytest.approx([(2 + 0) / 2, (1 + 2) / 2])


REFERENCE = FeatureReference(np.eye(1), 1.0, 1.0)


def scored(logits, features=None, **settings):
    features = np.zeros((len(logits), 1)) if features is None else np.asarray(features)
    options = {"temperature": 1.0, "unknown_score": "entropy", "threshold": 0.3} | settings
    return score(np.asarray(logits), features, REFERENCE, **options)


def test_unknown_lies_above_the_threshold():
    assert scored([[9.0, 0.0], [0.1, 0.0]]).unknown.tolist() == [False, True]


def test_a_score_at_the_threshold_is_known():
    assert not scored([[0.0, 0.0]], threshold=np.log(2)).unknown.any()


def test_unknown_by_another_score():
    result = scored([[900.0, 0.0]] * 2, [[0.5], [-4.0]], unknown_score="anomaly_score", threshold=0.5)
    assert result.anomaly_score == pytest.approx([0.0, 1.0])
    assert result.unknown.tolist() == [False, True]


def test_no_number_is_never_known():
    with np.errstate(invalid="ignore"):
        assert scored([[np.nan, 0.0]]).unknown.all()


def test_scores_of_no_objects():
    result = scored(np.empty((0, 2)))
    assert result.probabilities.shape == (0, 2)
    assert result.label.shape == (0,)


def test_label_and_confidence():
    result = scored([[0.0, np.log(3.0)]])
    assert (result.label[0], result.confidence[0]) == (1, pytest.approx(0.75))
