import numpy as np
import pytest
from scipy.special import softmax as reference_softmax

from galmorph.metrics import negative_log_likelihood
from galmorph.scores import anomaly, softmax
from galmorph.training.calibrate import boundary, calibrate, fit_reference, fit_temperature, fit_threshold, statistics
from galmorph.training.options import ExportOptions


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_temperature_recovers_the_one_that_made_the_labels(rng):
    honest = 2 * rng.normal(size=(20000, 4))
    labels = np.array([rng.choice(4, p=p) for p in reference_softmax(honest, axis=1)])
    assert fit_temperature(3 * honest, labels) == pytest.approx(3, rel=0.03)


def test_temperature_is_the_best_on_a_grid(rng):
    logits, labels = rng.normal(size=(300, 3)) * 4, rng.integers(0, 3, 300)
    logits[np.arange(300), labels] += 2
    best = negative_log_likelihood(softmax(logits, fit_temperature(logits, labels)), labels)
    assert best <= min(negative_log_likelihood(softmax(logits, t), labels) for t in np.geomspace(0.05, 20, 400)) + 1e-9


def test_threshold_leaves_the_chosen_share_above(rng):
    values = rng.normal(size=1000)
    for rate in (0.01, 0.05, 0.5):
        above = np.mean(values > fit_threshold(values, rate))
        assert rate - 2e-3 <= above <= rate
    assert np.mean(np.ones(100) > fit_threshold(np.ones(100), 0.05)) == 0


def test_reference_is_means_and_inverse_covariance(rng):
    mixing = np.array([[2.0, 0.0], [1.0, 0.5]])
    labels = np.repeat([0, 1], 20000)
    features = rng.normal(size=(40000, 2)) @ mixing.T + np.array([[0, 0], [10, -5]])[labels]
    reference = fit_reference(features, labels, 2)
    np.testing.assert_allclose(reference.means, [[0, 0], [10, -5]], atol=0.1)
    np.testing.assert_allclose(reference.precision @ mixing @ mixing.T, np.eye(2), atol=0.05)
    # Half a mean squared distance per feature of a class of its own is 1 by construction.
    assert np.mean(anomaly(features, reference) ** 2) == pytest.approx(1, rel=0.02)


def test_reference_of_fewer_images_than_features_is_finite(rng):
    features = np.concatenate([rng.normal(size=(6, 20)), np.zeros((6, 5))], axis=1)
    reference = fit_reference(features, np.array([0, 0, 0, 1, 1, 1]), 2)
    assert np.isfinite(reference.precision).all()
    assert np.isfinite(fit_reference(np.zeros((4, 3)), np.array([0, 0, 1, 1]), 2).precision).all()


@pytest.mark.parametrize("score", ["entropy", "energy", "anomaly_score"])
def test_calibration_flags_the_chosen_share(rng, score):
    labels = rng.integers(0, 3, 2000)
    features = rng.normal(size=(2000, 3))
    features[np.arange(2000), labels] += 4
    reference = fit_reference(features, labels, 3)
    options = ExportOptions(unknown_score=score, false_unknown_rate=0.1)
    scores = calibrate(reference, features, features, labels, options).score(features, features)
    assert 0.099 <= scores.unknown.mean() <= 0.1
    values = getattr(scores, score)
    assert values[scores.unknown].min() > values[~scores.unknown].max()


def test_statistics_describe_scores_and_features(rng):
    features = rng.normal(size=(500, 2))
    labels = rng.integers(0, 2, 500)
    reference = fit_reference(features, labels, 2)
    scores = calibrate(reference, features, features, labels, ExportOptions()).score(features, features)
    table = statistics(scores, features, ("a", "b")).set_index("quantity")
    assert list(table.index) == [
        "entropy",
        "energy",
        "anomaly_score",
        "confidence",
        "p_a",
        "p_b",
        "feature_0",
        "feature_1",
    ]
    assert table.loc["feature_1", "q50"] == pytest.approx(np.median(features[:, 1]))
    assert table.loc["entropy", "mean"] == pytest.approx(scores.entropy.mean())
    assert (table["n"] == 500).all()


def test_the_boundary_lies_where_two_equal_groups_meet(rng):
    values = np.concatenate([rng.normal(0.0, 1.0, 4000), rng.normal(6.0, 1.0, 4000)])
    assert boundary(values) == pytest.approx(3.0, abs=0.15)
    # Of unequal ones it moves towards the smaller: there 4 exp(-x^2/2) = exp(-(6-x)^2/2), at x = 3 + ln 4 / 6.
    assert boundary(np.concatenate([values[:4000], values[4000:5000]])) == pytest.approx(3 + np.log(4) / 6, abs=0.15)


def test_without_two_groups_there_is_no_boundary():
    assert boundary(np.zeros(100)) == -np.inf
    assert boundary(np.array([])) == -np.inf
    assert boundary(np.full(50, np.nan)) == -np.inf


def test_a_target_less_sure_than_the_source_raises_the_threshold_and_never_lowers_it(rng):
    labels = rng.integers(0, 3, 500)
    sure, vague = 9.0 * np.eye(3)[labels], 2.0 * np.eye(3)[labels]
    features = rng.normal(size=(500, 3)) + 4 * np.eye(3)[labels]
    reference = fit_reference(features, labels, 3)
    options = ExportOptions()
    noise = 0.05 * rng.normal(size=(500, 3))
    alone = calibrate(reference, sure + noise, features, labels, options)
    target = np.concatenate([vague, np.zeros((500, 3))]) + 0.05 * rng.normal(size=(1000, 3))
    raised = calibrate(reference, sure + noise, features, labels, options, (target, np.concatenate([features] * 2)))
    flagged = raised.score(target, np.concatenate([features] * 2)).unknown
    assert raised.threshold > alone.threshold
    assert flagged[:500].mean() < 0.02 < 0.98 < flagged[500:].mean()
    same = calibrate(reference, vague + noise, features, labels, options, (sure, features))
    assert same.threshold == calibrate(reference, vague + noise, features, labels, options).threshold
