"""Weights of objects: what repeating objects gives, and what scikit-learn and torchmetrics give."""

import time

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional.classification import multiclass_calibration_error

from galmorph import metrics

N, K = 300, 4


@pytest.fixture(scope="module")
def case():
    """Probabilities, true classes (K is unknown), a score with ties, and weights."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(N, K))
    true = rng.integers(0, K + 1, N)
    logits[np.arange(N)[true < K], true[true < K]] += 1.0
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    score = (-p.max(axis=1) + 0.1 * rng.normal(size=N)).round(1)
    return p, true, score, rng.integers(0, 4, (6, N)).astype(float)


def measures(p, true, score, weights):
    """Every measure, stacked along the last axis."""
    label, known = p.argmax(axis=1), np.minimum(true, K - 1)
    confusion = metrics.confusion_matrix(known, label, K, K, weights)
    best, threshold = metrics.best_h_score(score, label == true, true, K, weights)
    return np.concatenate(
        [
            *metrics.recall_precision_f1(confusion),
            np.stack(
                [
                    metrics.auroc(score, true == K, weights),
                    metrics.average_precision(score, true == K, weights),
                    metrics.oscr(score, label == true, true == K, weights),
                    metrics.brier(p, known, weights),
                    metrics.calibration_error(p, known, weights),
                    metrics.negative_log_likelihood(p, known, weights),
                    best,
                    threshold,
                ],
                axis=-1,
            ),
        ],
        axis=-1,
    )


def test_a_weight_is_a_number_of_repetitions(case):
    p, true, score, weights = case
    together = measures(p, true, score, weights)
    for row, weight in zip(together, weights, strict=True):
        rows = np.repeat(np.arange(N), weight.astype(int))
        np.testing.assert_allclose(row, measures(p[rows], true[rows], score[rows], None), atol=1e-12)


def test_weighted_measures_agree_with_scikit_learn(case):
    _, true, score, weights = case
    for weight in weights:
        positive = true == K
        expected = reference.roc_auc_score(positive, score, sample_weight=weight)
        assert metrics.auroc(score, positive, weight) == pytest.approx(expected)
        expected = reference.average_precision_score(positive, score, sample_weight=weight)
        assert metrics.average_precision(score, positive, weight) == pytest.approx(expected)


def test_calibration_error_agrees_with_torchmetrics(case):
    p, true, _, _ = case
    known = true < K
    expected = multiclass_calibration_error(
        torch.tensor(p[known]), torch.tensor(true[known]), num_classes=K, n_bins=15, norm="l1"
    )
    assert float(metrics.calibration_error(p[known], true[known])) == pytest.approx(float(expected), abs=1e-6)


def test_oscr_is_the_area_under_its_curve(case):
    """Rates at every threshold, as Dhamija et al. define them, by the trapezoidal rule."""
    p, true, score, _ = case
    correct, unknown = p.argmax(axis=1) == true, true == K
    points = []
    for threshold in [-np.inf, *np.unique(score)]:
        kept = score <= threshold
        points.append((kept[unknown].mean(), (kept & correct)[~unknown].mean()))
    false_rate, right_rate = np.array(points).T
    assert metrics.oscr(score, correct, unknown) == pytest.approx(np.trapezoid(right_rate, false_rate))


@pytest.mark.parametrize(
    ("score", "correct", "unknown", "expected"),
    [
        ([1, 2, 3, 4], [1, 1, 0, 0], [0, 0, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 0, 0, 0], [0, 0, 1, 1], 0.5),  # one of two known objects is wrong
        ([1, 2, 3, 4], [1, 0, 1, 1], [0, 0, 1, 1], 0.5),  # labels of unknown objects are of no matter
        ([3, 4, 1, 2], [1, 1, 0, 0], [0, 0, 1, 1], 0.0),
        ([1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], 0.5),
        ([1, 2], [1, 1], [0, 0], np.nan),
        ([1, 2], [0, 0], [1, 1], np.nan),
    ],
)
def test_oscr_by_hand(score, correct, unknown, expected):
    found = metrics.oscr(np.array(score, float), np.array(correct, bool), np.array(unknown, bool))
    assert found == pytest.approx(expected, nan_ok=True)


def test_best_h_score_is_that_of_the_best_threshold(case):
    p, true, score, _ = case
    label = p.argmax(axis=1)
    tried = {}
    for threshold in np.unique(score):
        flagged = score > threshold
        recalls = [np.mean((label == k)[true == k] & ~flagged[true == k]) for k in range(K)]
        tried[threshold] = float(metrics.h_score(np.mean(recalls), flagged[true == K].mean()))
    best, threshold = metrics.best_h_score(score, label == true, true, K)
    assert best == pytest.approx(max(tried.values()))
    assert tried[float(threshold)] == pytest.approx(max(tried.values()))


def test_best_h_score_of_single_objects_that_count_little():
    score, true, weights = np.array([1.0, 2.0, 2.5, 3.0]), np.array([0, 1, 1, 2]), np.array([0.5, 0.25, 0.25, 0.1])
    assert metrics.best_h_score(score[:3], np.ones(3, dtype=bool), np.array([0, 1, 2]), 2) == (1, 2)
    # At the second score class 0 and half of class 1 are kept, and all of the unknown are flagged.
    found = metrics.best_h_score(score, np.array([True, True, False, False]), true, 2, weights)
    assert found == (pytest.approx(2 * 0.75 / 1.75), 2)


def test_best_h_score_is_missing_only_where_a_kind_is():
    weights = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    found = metrics.best_h_score(np.array([1.0, 2.0]), np.array([True, False]), np.array([0, 1]), 1, weights)
    np.testing.assert_array_equal(found, [[1, np.nan, np.nan]] * 2)


@pytest.mark.parametrize("true", [[0, 0, 1, 1], [2, 2, 2, 2]])
def test_best_h_score_needs_both_kinds(true):
    score, true = np.arange(4.0), np.array(true)
    assert np.isnan(metrics.best_h_score(score, true == true, true, 2)).all()


def test_a_score_that_is_no_number_is_the_strangest():
    score, unknown = np.array([1.0, np.nan, 2.0, 3.0]), np.array([False, True, False, False])
    assert metrics.auroc(score, unknown) == 1
    assert metrics.average_precision(score, unknown) == 1
    assert metrics.oscr(score, ~unknown, unknown) == 1
    best, threshold = metrics.best_h_score(score, ~unknown, np.where(unknown, 1, 0), 1)
    assert (best, threshold) == (1, 3)
    # Where no score is a number there is no threshold.
    assert np.isnan(metrics.best_h_score(np.full(4, np.nan), ~unknown, np.where(unknown, 1, 0), 1)).all()


def test_a_probability_that_is_no_number_is_none():
    p = np.array([[np.nan, np.nan], [0.0, 1.0]])
    true = np.array([0, 1])
    assert metrics.brier(p, true) == pytest.approx(0.5)
    assert metrics.calibration_error(p, true) == 0
    assert metrics.negative_log_likelihood(p, true) == pytest.approx(-np.log(np.finfo(float).tiny) / 2)


def test_labels_beyond_the_classes_count_as_wrong():
    confusion = metrics.confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 2, 3)
    recall, precision, f1 = metrics.recall_precision_f1(confusion)
    np.testing.assert_allclose(recall, [0.5, 1])
    np.testing.assert_allclose(precision, [1, 1])
    np.testing.assert_allclose(f1, [2 / 3, 1])


def test_resamples_draw_whole_objects():
    groups = np.array([0, 1, 0, 2, 2, 2])
    weights = metrics.resamples(groups, 500, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


def test_interval_leaves_out_as_much_on_both_sides():
    values = np.linspace(0, 1, 1001)
    assert metrics.interval(values) == pytest.approx((0.025, 0.975))
    assert metrics.interval(values, 0.5) == pytest.approx((0.25, 0.75))


def test_interval_of_a_share_is_the_binomial_one():
    right = np.arange(400) < 300
    groups = np.arange(400)
    drawn = metrics.in_chunks(lambda w: {"share": w @ right / w.sum(axis=1)}, groups, 2000, seed=1)["share"]
    low, high = metrics.interval(drawn)
    expected = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - expected, 0.75 + expected), abs=0.005)


def test_chunks_and_seeds(monkeypatch):
    groups, sizes = np.arange(50), []

    def drawn(seed):
        sizes.clear()
        return metrics.in_chunks(lambda w: sizes.append(len(w)) or {"first": w[:, 0]}, groups, 40, seed)["first"]

    whole = drawn(3)
    assert sizes == [40]
    monkeypatch.setattr("galmorph.metrics.bootstrap.LARGEST_CHUNK", 7 * 50)
    np.testing.assert_array_equal(drawn(3), whole)
    assert sizes == [7, 7, 7, 7, 7, 5]
    assert (drawn(4) != whole).any()


def test_interval_leaves_out_resamples_without_the_measure():
    assert metrics.interval(np.array([np.nan, 1.0, 1.0])) == (1, 1)
    assert metrics.interval(np.array([np.nan])) is None


def test_a_thousand_resamples_take_seconds(case):
    rng = np.random.default_rng(0)
    score, positive = rng.random(2000), rng.random(2000) < 0.2
    start = time.perf_counter()
    metrics.in_chunks(lambda w: {"auroc": metrics.auroc(score, positive, w)}, np.arange(2000), 1000, seed=0)
    assert time.perf_counter() - start < 5
