import json

import numpy as np
import pytest
from sklearn import metrics as reference

from galmorph.scores import Scores, energy, entropy, softmax
from galmorph.training.evaluation import summarise

CLASSES = ("a", "b")


def make_scores(p, unknown, anomaly=None):
    p = np.asarray(p, dtype=float)
    return Scores(
        probabilities=p,
        label=p.argmax(axis=1),
        confidence=p.max(axis=1),
        entropy=entropy(p),
        energy=energy(np.log(p)),
        anomaly_score=np.zeros(len(p)) if anomaly is None else np.asarray(anomaly),
        unknown=np.asarray(unknown, dtype=bool),
    )


def summarised(scores, names):
    return summarise(scores, np.array(names), CLASSES, model="m", data="d", part="all")


def test_by_hand():
    scores = make_scores(
        [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.5, 0.5], [0.8, 0.2]],
        [False, True, False, False, True, False],
        [1, 2, 1, 1, 5, 4],
    )
    result = summarised(scores, ["a", "a", "b", "b", "ring", "lens"])
    assert result.objects == {"a": 2, "b": 2, "lens": 1, "ring": 1}
    assert result.confusion == {
        "a": {"a": 1, "b": 0, "unknown": 1},
        "b": {"a": 1, "b": 1, "unknown": 0},
        "lens": {"a": 1, "b": 0, "unknown": 0},
        "ring": {"a": 0, "b": 0, "unknown": 1},
    }
    # Without the flag both a are right and one of two b; with it, one of two a.
    assert result.known["accuracy"] == 0.75
    assert result.known["mean_recall"] == 0.75
    assert result.per_class["a"]["precision"] == pytest.approx(2 / 3)
    assert result.unknown["known_recall"] == 0.5
    assert result.unknown["unknown_recall"] == 0.5
    assert result.unknown["h_score"] == 0.5
    assert result.unknown["false_unknown_rate"] == 0.25
    assert result.unknown["auroc"]["all"]["anomaly_score"] == 1
    assert result.unknown["auroc"]["ring"]["entropy"] == 1
    assert result.unknown["auroc"]["lens"]["entropy"] == 1.5 / 4


def test_against_scikit_learn():
    rng = np.random.default_rng(0)
    classes = ("a", "b", "c")
    true = rng.integers(0, 4, 400)
    logits = rng.normal(size=(400, 3))
    logits[np.arange(400)[true < 3], true[true < 3]] += 1.5
    p = softmax(logits)
    names = np.array(["a", "b", "c", "other"])[true]
    result = summarise(make_scores(p, np.zeros(400)), names, classes, model="m", data="d", part="all")
    known = true < 3
    truth, label = true[known], p[known].argmax(axis=1)
    assert result.known["accuracy"] == pytest.approx(reference.accuracy_score(truth, label))
    assert result.known["mean_recall"] == pytest.approx(reference.balanced_accuracy_score(truth, label))
    assert result.known["f1"] == pytest.approx(reference.f1_score(truth, label, average="macro"))
    assert result.known["auc"] == pytest.approx(reference.roc_auc_score(truth, p[known], multi_class="ovr"))
    assert result.known["negative_log_likelihood"] == pytest.approx(reference.log_loss(truth, p[known]))
    assert result.unknown["auroc"]["all"]["entropy"] == pytest.approx(reference.roc_auc_score(~known, entropy(p)))
    assert result.unknown["average_precision"]["all"]["entropy"] == pytest.approx(
        reference.average_precision_score(~known, entropy(p))
    )


def test_open_set_measures_by_hand():
    """Two known classes with two objects each, two strangers; the flag is set on one known and one strange object."""
    p = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.5, 0.5], [0.8, 0.2]]
    scores = make_scores(p, [False, True, False, False, True, False])
    unknown = summarised(scores, ["a", "a", "b", "b", "ring", "lens"]).unknown
    assert unknown["accuracy"] == 0.5  # right: a, b, ring of six
    assert unknown["mean_accuracy"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 2) / 3)
    # Correct known objects: a (0.9), a (0.6), b (0.8). Below ring (0.5) are all three, below lens (0.8) the first
    # and, tied, the third by half.
    assert unknown["oscr"]["all"]["one_minus_confidence"] == pytest.approx((3 + 1.5) / (4 * 2))
    # Best threshold between 0.2 and 0.3, where b at 0.8 and lens are kept: recalls 1/2 and 1/2, ring found. Between
    # 0.4 and 0.5: recalls 1 and 1/2, ring found.
    assert unknown["oracle_h_score"]["one_minus_confidence"] == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert unknown["oracle_threshold"]["one_minus_confidence"] == pytest.approx(0.4)


@pytest.mark.parametrize("missing", [[np.nan, np.nan], [0.4, np.nan]])
def test_an_object_without_scores_is_wrong_and_unknown(missing):
    p = np.array([[0.9, 0.1], missing, [0.2, 0.8], missing])
    result = summarised(make_scores(p, [False, True, False, True]), ["a", "a", "b", "lens"])
    assert result.without_scores == 2
    assert result.known["accuracy"] == pytest.approx(2 / 3)
    assert result.per_class["a"]["recall"] == 0.5
    assert result.per_class["a"]["precision"] == 1
    assert result.confusion["a"] == {"a": 1, "b": 0, "unknown": 1}
    assert result.unknown["unknown_recall"] == 1
    assert np.isfinite(list(result.known.values())).all()
    # Of no class with any probability.
    assert result.known["brier"] == pytest.approx((2 * 0.1**2 + 1 + 2 * 0.2**2) / 3)
    lost = -np.log(np.finfo(float).tiny)
    assert result.known["negative_log_likelihood"] == pytest.approx((lost - np.log(0.9) - np.log(0.8)) / 3)
    assert "objects without scores" in dict(result.to_table())


def test_the_table_has_every_number_by_its_name():
    scores = make_scores(
        [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3], [0.5, 0.5]], [False, True, False, False, True]
    )
    names = np.array(["a", "a", "b", "b", "ring"])
    result = summarise(scores, names, CLASSES, model="m", data="d", part="test", resamples=50)
    table = dict(result.to_table())
    low, high = result.intervals["known"]["accuracy"]
    assert table["data"] == "d (test)"
    assert table["accuracy"] == f"0.7500 ({low:.4f} to {high:.4f})"
    numbers = {name: value.split(" ")[0] for name, value in table.items()}
    expected = {
        "objects: a": "2",
        "objects: ring": "1",
        "recall: b": "0.5000",
        "precision: a": "0.6667",
        "f1: b": "0.6667",
        "auc: a": "0.7500",
        "confusion: a as a": "1",
        "confusion: a as unknown": "1",
        "confusion: ring as unknown": "1",
        "with unknown: known recall (OS*)": "0.5000",
        "with unknown: unknown recall (UNK)": "1.0000",
        "with unknown: mean accuracy (OS)": "0.6667",
        "unknown auroc: entropy": "1.0000",
        "oracle h score: one_minus_confidence": f"{2 * 0.75 / 1.75:.4f}",
        "oracle threshold: one_minus_confidence": "0.4000",
    }
    assert numbers.items() >= expected.items()
    assert "objects without scores" not in table


def test_one_class_only():
    result = summarised(make_scores([[0.9, 0.1], [0.2, 0.8]], [False, False]), ["a", "a"])
    assert result.known["accuracy"] == result.known["mean_recall"] == 0.5
    assert result.known["auc"] is None
    assert result.per_class["b"] == {"recall": None, "precision": 0.0, "f1": None, "auc": None}


def test_intervals_stand_where_the_numbers_do():
    rng = np.random.default_rng(1)
    p = softmax(2 * rng.normal(size=(200, 2)))
    names = np.array(["a", "b", "lens", "ring"])[rng.integers(0, 4, 200)]
    scores = make_scores(p, entropy(p) > 0.6)
    result = summarise(scores, names, CLASSES, model="m", data="d", part="all", resamples=200)

    def pairs(numbers, ends):
        for key, value in numbers.items():
            if isinstance(value, dict):
                yield from pairs(value, ends[key])
            elif value is not None:
                yield value, ends[key]

    found = list(pairs({"known": result.known, "per_class": result.per_class, "unknown": result.unknown},
                       result.intervals))  # fmt: skip
    assert len(found) > 50
    for value, (low, high) in found:
        assert low <= value <= high or value == pytest.approx(low, abs=0.05) or value == pytest.approx(high, abs=0.05)
    low, high = result.intervals["known"]["accuracy"]
    half = 1.96 * np.sqrt(result.known["accuracy"] * (1 - result.known["accuracy"]) / np.isin(names, CLASSES).sum())
    assert (high - low) / 2 == pytest.approx(half, rel=0.25)
    again = summarise(scores, names, CLASSES, model="m", data="d", part="all", resamples=200)
    assert again.intervals == result.intervals


def test_what_no_resample_has_gets_no_interval():
    scores, names = make_scores([[0.9, 0.1], [0.2, 0.8]], [False, False]), np.array(["a", "b"])
    drawn = [
        summarise(scores, names, CLASSES, model="m", data="d", part="all", resamples=1, seed=seed) for seed in range(9)
    ]
    missing = ["recall" not in each.intervals["per_class"]["b"] for each in drawn]
    assert True in missing
    assert False in missing


def test_images_of_one_object_are_drawn_together():
    p = np.tile([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1]], (50, 1))
    names = np.tile(["a", "b", "b", "a"], 50)
    each = [f"{n}" for n in range(200)]
    of_ten = np.array([f"{n // 20}" for n in range(200)])
    widths = []
    for ids in (np.array(each), of_ten):
        order = np.argsort(p.argmax(axis=1) == np.array([CLASSES.index(n) for n in names]), kind="stable")
        result = summarise(
            make_scores(p[order], np.zeros(200)), names[order], CLASSES, model="m", data="d", part="all",
            object_ids=ids, resamples=300,
        )  # fmt: skip
        low, high = result.intervals["known"]["accuracy"]
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_no_unknown_objects():
    result = summarised(make_scores([[0.9, 0.1], [0.2, 0.8]], [False, False]), ["a", "b"])
    assert result.unknown["auroc"]["all"]["entropy"] is None
    assert result.unknown["h_score"] is None
    assert result.unknown["known_recall"] == 1


def test_only_unknown_objects():
    result = summarised(make_scores([[0.9, 0.1], [0.2, 0.8]], [False, True]), ["x", "x"])
    assert result.known == {}
    assert result.unknown["unknown_recall"] == 0.5
    assert result.unknown["false_unknown_rate"] is None


def test_a_class_of_the_name_of_all_does_not_stand_for_all():
    scores = make_scores([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.99, 0.01]], [False] * 4)
    odd, plain = (summarised(scores, ["a", "b", "lens", name]).unknown["auroc"] for name in ("all", "ring"))
    assert odd["all"] == plain["all"] != plain["ring"]
    assert odd["lens"] == plain["lens"]


def test_known_classes_come_in_their_order_and_others_by_name():
    names = ["f", "b", "e", "c", "a", "d"]
    result = summarised(make_scores([[0.5, 0.5]] * 6, [False] * 6), names)
    assert list(result.objects) == list(result.confusion) == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize("names", [["a", "b"], ["x", "x"], ["a", "x"]])
def test_is_json_and_a_table(names):
    result = summarised(make_scores([[0.9, 0.1], [0.2, 0.8]], [False, True]), names)
    json.dumps(result.to_dict(), allow_nan=False)
    table = dict(result.to_table())
    assert table["model"] == "m"
    assert table[f"objects: {names[0]}"] == str(names.count(names[0]))
