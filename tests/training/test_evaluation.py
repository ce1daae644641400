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


@pytest.mark.parametrize("names", [["a", "b"], ["x", "x"], ["a", "x"]])
def test_is_json_and_a_table(names):
    result = summarised(make_scores([[0.9, 0.1], [0.2, 0.8]], [False, True]), names)
    json.dumps(result.to_dict(), allow_nan=False)
    table = dict(result.to_table())
    assert table["model"] == "m"
    assert table[f"objects: {names[0]}"] == str(names.count(names[0]))
