import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import mahalanobis
from scipy.stats import entropy as scipy_entropy

from galmorph.scores import FeatureReference, anomaly, energy, entropy, score, softmax

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


def test_anomaly_is_the_mahalanobis_distance_to_the_nearest_class():
    rng = np.random.default_rng(1)
    means, root = rng.normal(size=(3, 4)), rng.normal(size=(4, 4))
    precision = root @ root.T
    features = rng.normal(size=(5, 4))
    expected = [min(mahalanobis(f, m, precision) for m in means) / 2.0 for f in features]  # sqrt(d) = 2
    assert anomaly(features, FeatureReference(means, precision)) == pytest.approx(expected)


def test_a_typical_known_object_has_anomaly_one():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2000, 16))
    assert anomaly(features, FeatureReference(np.zeros((1, 16)), np.eye(16))).mean() == pytest.approx(1.0, abs=0.02)


REFERENCE = FeatureReference(np.zeros((2, 1)), np.eye(1))


def scored(logits, features=None, **settings):
    features = np.zeros((len(logits), 1)) if features is None else np.asarray(features)
    options = {"temperature": 1.0, "unknown_score": "entropy", "threshold": 0.3} | settings
    return score(np.asarray(logits), features, REFERENCE, **options)


def test_unknown_lies_above_the_threshold():
    assert scored([[9.0, 0.0], [0.1, 0.0]]).unknown.tolist() == [False, True]


def test_a_score_at_the_threshold_is_known():
    assert not scored([[0.0, 0.0]], threshold=np.log(2)).unknown.any()


def test_unknown_by_another_score():
    result = scored([[9.0, 0.0]] * 2, [[0.5], [4.0]], unknown_score="anomaly_score", threshold=2.0)
    assert result.anomaly_score == pytest.approx([0.5, 4.0])
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
