import numpy as np
import pytest
from scipy.special import softmax as reference_softmax

from galmorph.metrics import negative_log_likelihood
from galmorph.scores import anomaly, softmax
from galmorph.training.calibrate import (
    REFERENCE_IMAGES,
    between,
    calibrate,
    fit_reference,
    fit_temperature,
    fit_threshold,
    least_threshold,
    statistics,
)
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


def test_known_objects_are_as_strange_as_usual_on_average(rng):
    labels = rng.integers(0, 2, 4000)
    features = rng.normal(size=(4000, 4)) + np.array([[4, 0, 0, 0], [0, 4, 0, 0]])[labels]
    fitted, others, entropies = features[:2000], features[2000:], rng.uniform(0.0, 0.4, 2000)
    reference = fit_reference(fitted, others, entropies, 2)
    assert anomaly(entropies, others, reference).mean() == pytest.approx(1)
    assert reference.entropy == pytest.approx(entropies.mean())
    np.testing.assert_allclose(np.linalg.norm(reference.directions, axis=1), 1, atol=1e-3)
    # What a bundle can hold without a further change.
    np.testing.assert_array_equal(reference.directions, reference.directions.astype(np.float16))


def test_the_reference_holds_some_of_many_images_and_always_the_same(rng):
    fitted, others = rng.normal(size=(REFERENCE_IMAGES + 500, 3)), rng.normal(size=(10, 3))
    first, second = (fit_reference(fitted, others, np.ones(10), 2) for _ in range(2))
    assert first.directions.shape == (REFERENCE_IMAGES, 3)
    np.testing.assert_array_equal(first.directions, second.directions)


def test_a_network_that_is_sure_of_everything_has_a_reference_all_the_same():
    reference = fit_reference(np.zeros((4, 3)), np.zeros((2, 3)), np.zeros(2), 3)
    assert reference.entropy == pytest.approx(1e-3 * np.log(3))
    assert np.isfinite(anomaly(np.zeros(2), np.zeros((2, 3)), reference)).all()


@pytest.mark.parametrize("score", ["entropy", "energy", "anomaly_score"])
def test_calibration_flags_the_chosen_share(rng, score):
    labels = rng.integers(0, 3, 2000)
    features = rng.normal(size=(2000, 3))
    features[np.arange(2000), labels] += 4
    options = ExportOptions(unknown_score=score, false_unknown_rate=0.1)
    found = calibrate(features, features, features, labels, options)
    scores = found.score(features, features)
    assert 0.099 <= scores.unknown.mean() <= 0.1
    values = getattr(scores, score)
    assert values[scores.unknown].min() > values[~scores.unknown].max()
    # What is usual is so at the temperature of the scores.
    assert found.reference.entropy == pytest.approx(scores.entropy.mean())


def test_statistics_describe_scores_and_features(rng):
    features = rng.normal(size=(500, 2))
    labels = rng.integers(0, 2, 500)
    scores = calibrate(features, features, features, labels, ExportOptions()).score(features, features)
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
    levels = ["q01", "q05", "q25", "q50", "q75", "q95", "q99"]
    assert list(table.columns) == ["n", "mean", "std", *levels]
    expected = [np.percentile(features[:, 1], int(level[1:])) for level in levels]
    assert table.loc["feature_1", levels].tolist() == pytest.approx(expected)
    assert table.loc["entropy", "mean"] == pytest.approx(scores.entropy.mean())
    assert (table["n"] == 500).all()


def test_no_more_than_half_of_a_target_is_above_the_least_threshold(rng):
    assert least_threshold(np.array([4.0, 1.0, 3.0, 2.0])) == 3.0
    assert least_threshold(np.array([1.0, 2.0, np.inf, 3.0, np.nan])) == 2.0
    values = rng.normal(size=1001)
    assert 0.49 < (values > least_threshold(values)).mean() <= 0.5


def test_a_target_without_scores_has_no_least_threshold():
    assert least_threshold(np.array([])) == -np.inf
    assert least_threshold(np.full(50, np.nan)) == -np.inf


def test_a_target_less_sure_than_the_source_raises_the_threshold_and_never_lowers_it(rng, caplog):
    labels = rng.integers(0, 3, 500)
    sure, vague = 9.0 * np.eye(3)[labels], 2.0 * np.eye(3)[labels]
    features = rng.normal(size=(500, 3)) + 4 * np.eye(3)[labels]
    options = ExportOptions()
    noise = 0.05 * rng.normal(size=(500, 3))
    alone = calibrate(features, sure + noise, features, labels, options)
    target = np.concatenate([vague, np.zeros((500, 3))]) + 0.05 * rng.normal(size=(1000, 3))
    raised = calibrate(features, sure + noise, features, labels, options, (target, np.concatenate([features] * 2)))
    flagged = raised.score(target, np.concatenate([features] * 2)).unknown
    assert raised.threshold > alone.threshold
    assert "more than half of the target's images would be called unknown" in caplog.text
    caplog.clear()
    assert flagged[:500].mean() < 0.02 < 0.98 < flagged[500:].mean()
    same = calibrate(features, vague + noise, features, labels, options, (sure, features))
    assert same.threshold == calibrate(features, vague + noise, features, labels, options).threshold
    assert not caplog.messages


def test_the_threshold_between_images_and_strangers_is_that_of_the_best_harmonic_mean():
    # Above 3 are one of four images and all strangers, 2 * 0.75 / 1.75; above 4 two of three, 2 * 0.667 / 1.667.
    assert between(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.5, 5.0, 6.0])) == (pytest.approx(1.5 / 1.75), 3.0)
    assert between(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5, 5.0, 6.0, 7.0, 8.0])) == (pytest.approx(8 / 9), 4.0)


def test_strangers_that_cannot_be_told_are_known_by_their_mean(rng):
    values = rng.normal(size=2000)
    assert between(values, rng.normal(size=2000)).mean == pytest.approx(0.5, abs=0.02)
    assert between(values + 3, values).mean < 0.2
    assert between(values, np.empty(0)).mean == 0
    assert between(np.zeros(5), np.zeros(5)).mean == 0


def test_the_score_that_tells_strangers_best_is_taken(rng):
    labels = rng.integers(0, 3, 500)
    logits = 6.0 * np.eye(3)[labels] + 0.1 * rng.normal(size=(500, 3))
    features = rng.normal(size=(500, 3)) + 4 * np.eye(3)[labels]
    # The same probabilities as known images have, of all classes less; and the same with every class as likely.
    less, vague = (logits - 5.0, features), (0.1 * rng.normal(size=(500, 3)) + 6.0, features)

    def fit(strangers, score="strangers"):
        options = ExportOptions(threshold="strangers", unknown_score=score)
        return calibrate(features, logits, features, labels, options, None, strangers)

    found = fit(less)
    assert found.unknown_score == "energy"
    assert found.score(*less).unknown.all()
    assert not found.score(logits, features).unknown.any()
    assert fit(vague).unknown_score == "entropy"
    # As if this score had been asked for; and where nothing tells them, the one that decides by default.
    assert fit(less).threshold == fit(less, "energy").threshold
    none, usual = fit((logits, features)), fit((logits, features), ExportOptions().unknown_score)
    assert (none.unknown_score, none.threshold) == ("anomaly_score", usual.threshold)


def test_strangers_set_the_threshold_where_they_were_asked_for(rng, caplog):
    labels = rng.integers(0, 3, 500)
    logits = 6.0 * np.eye(3)[labels] + 0.1 * rng.normal(size=(500, 3))
    features = rng.normal(size=(500, 3)) + 4 * np.eye(3)[labels]
    vague = (2.5 * np.eye(3)[labels] + 0.1 * rng.normal(size=(500, 3)), features)
    strangers = (0.1 * rng.normal(size=(400, 3)), rng.normal(size=(400, 3)))

    def fit(options, *more):
        return calibrate(features, logits, features, labels, options, *more)

    asked, usual = ExportOptions(threshold="strangers"), ExportOptions()
    alone, adapted = fit(asked, None, strangers), fit(asked, vague, strangers)
    for found, images in ((alone, (logits, features)), (adapted, vague)):
        assert not found.score(*images).unknown.any()
        assert found.score(*strangers).unknown.all()
    # By the target's images where there are some: the source's are surer.
    assert adapted.threshold > alone.threshold
    assert fit(usual, vague, strangers).threshold == fit(usual, vague).threshold
    assert "strangers cannot be told" not in caplog.text
    assert fit(asked, vague, vague).threshold == fit(usual, vague).threshold
    assert fit(asked, vague).threshold == fit(usual, vague).threshold
    assert caplog.text.count("strangers cannot be told") == 2


def test_a_network_that_is_right_everywhere_is_as_sure_as_its_images_are_many():
    draw = np.random.default_rng(0)
    for images, least in ((20, 0.9), (2000, 0.999)):
        labels = draw.integers(0, 3, images)
        logits = np.clip(draw.normal(0, 0.5, (images, 3)), -1.5, 1.5)
        logits[np.arange(images), labels] += 4
        temperature = fit_temperature(logits, labels)
        assert temperature > 0.1
        confidence = softmax(logits, temperature).max(axis=1).mean()
        assert least < confidence < 1 - 0.2 / images
    # The mean of the log-odds is what the smoothed counts say: two classes, all images alike.
    alike = np.tile([2.0, 0.0], (98, 1))
    assert softmax(alike, fit_temperature(alike, np.zeros(98, dtype=int)))[0, 0] == pytest.approx(99 / 100, abs=1e-4)
    assert fit_temperature(10 * alike, np.zeros(98, dtype=int)) == pytest.approx(1, abs=1e-3)
    assert fit_temperature(np.ones((5, 1)), np.zeros(5, dtype=int)) > 0
