import numpy as np
import pytest
from sklearn import metrics as reference

from galmorph import metrics


@pytest.fixture
def predictions(rng_seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rng_seed)
    logits = rng.normal(size=(500, 4)).round(1)  # rounded, so that scores have ties
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = np.where(rng.random(500) < 0.5, p.argmax(axis=1), rng.integers(0, 4, 500))
    return p, true


def test_confusion_and_what_follows_agree_with_scikit_learn(predictions):
    p, true = predictions
    label = p.argmax(axis=1)
    confusion = metrics.confusion_matrix(true, label, 4, 4)
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(true, label))
    recall, precision, f1 = metrics.recall_precision_f1(confusion)
    expected = reference.precision_recall_fscore_support(true, label)
    np.testing.assert_allclose(precision, expected[0])
    np.testing.assert_allclose(recall, expected[1])
    np.testing.assert_allclose(f1, expected[2])


def test_confusion_by_hand():
    confusion = metrics.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 3, 1, 0]), 3, 4)
    assert confusion.tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    recall, precision, f1 = metrics.recall_precision_f1(confusion)
    assert (recall.tolist(), precision.tolist(), f1.tolist()) == ([0.5, 1, 0], [0.5, 1, 0], [0.5, 1, 0])


def test_class_without_objects_and_label_never_given():
    recall, precision, f1 = metrics.recall_precision_f1(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]]))
    np.testing.assert_array_equal(recall, [0.75, np.nan, 0])
    np.testing.assert_array_equal(precision, [0.6, 0, 0])
    np.testing.assert_array_equal(f1, [2 / 3, np.nan, 0])


def test_ranking_measures_agree_with_scikit_learn(predictions):
    p, true = predictions
    for k in range(4):
        assert metrics.auroc(p[:, k], true == k) == pytest.approx(reference.roc_auc_score(true == k, p[:, k]))
        assert metrics.average_precision(p[:, k], true == k) == pytest.approx(
            reference.average_precision_score(true == k, p[:, k])
        )


@pytest.mark.parametrize(
    ("score", "positive", "auroc", "precision"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0, 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0, (1 / 3 + 2 / 4) / 2),
        ([5, 5, 5, 5], [0, 1, 0, 1], 0.5, 0.5),
        ([1, 3, 2, 4], [0, 0, 1, 1], 0.75, (1 + 2 / 3) / 2),
    ],
)
def test_ranking_measures_by_hand(score, positive, auroc, precision):
    score, positive = np.array(score, dtype=float), np.array(positive, dtype=bool)
    assert metrics.auroc(score, positive) == pytest.approx(auroc)
    assert metrics.average_precision(score, positive) == pytest.approx(precision)


def test_ranking_measures_without_one_side():
    assert np.isnan(metrics.auroc(np.arange(3.0), np.ones(3, dtype=bool)))
    assert np.isnan(metrics.auroc(np.arange(3.0), np.zeros(3, dtype=bool)))
    assert np.isnan(metrics.average_precision(np.arange(3.0), np.zeros(3, dtype=bool)))


def test_probability_measures_by_hand():
    p = np.array([[0.8, 0.2], [0.4, 0.6]])
    true = np.array([0, 0])
    assert metrics.brier(p, true) == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    assert metrics.negative_log_likelihood(p, true) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert metrics.calibration_error(p, true, bins=10) == pytest.approx((0.2 + 0.6) / 2)
    # Bins are closed above: 0.5 and 0.45 are in one.
    p = np.array([[0.5, 0.3, 0.2], [0.45, 0.3, 0.25]])
    assert metrics.calibration_error(p, np.array([0, 1]), bins=10) == pytest.approx((0.5 - 0.45) / 2)
    # Rounding may make a probability a little more than 1.
    assert metrics.calibration_error(np.nextafter([[1.0, 0.0]], 2), true[:1]) == pytest.approx(0)


def test_log_likelihood_agrees_with_scikit_learn_and_bears_zero(predictions):
    p, true = predictions
    assert metrics.negative_log_likelihood(p, true) == pytest.approx(reference.log_loss(true, p))
    for kind in (np.float64, np.float32):
        assert np.isfinite(metrics.negative_log_likelihood(np.array([[1, 0]], dtype=kind), np.array([1])))


def test_calibration_error_of_calibrated_and_of_overconfident():
    confidence = np.full(1000, 0.75)
    p = np.stack([confidence, 1 - confidence], axis=1)
    true = (np.arange(1000) % 4 == 0).astype(int)
    assert metrics.calibration_error(p, true) == pytest.approx(0, abs=1e-12)
    assert metrics.calibration_error(p, 1 - true) == pytest.approx(0.5)


@pytest.mark.parametrize(("known", "unknown", "expected"), [(1, 1, 1), (0.9, 0.6, 0.72), (1, 0, 0), (0, 0, 0)])
def test_h_score(known, unknown, expected):
    assert metrics.h_score(known, unknown) == pytest.approx(expected)
