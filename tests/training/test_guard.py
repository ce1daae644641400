"""The guard against harm: every sign by a hand-made case, and a whole guarded training."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from galmorph.training.guard import Answers, Signs, Verdict, judge, observe_signs
from galmorph.training.options import GuardOptions

CALM = Signs(
    images=1000,
    source_change=0.0,
    source_error=0.0,
    sure=0.8,
    agreement=0.97,
    smallest_class=0.9,
    moved=0.05,
    clusters_change=0.02,
    confidence_change=0.0,
)


def answers(valid: list[int], target: list[int], *, classes: int = 3, strength: float = 8.0) -> Answers:
    """A model that is sure of the classes given; features lie where its classes are."""
    return Answers(
        strength * np.eye(classes)[valid], strength * np.eye(classes)[target], np.eye(classes)[target].astype(float)
    )


def test_a_model_beside_itself_shows_no_sign() -> None:
    labels = np.array([0, 1, 2] * 30)
    same = answers(labels.tolist(), [0, 1, 2] * 50)
    signs = observe_signs(same, same, labels, images=150)
    assert signs.source_change == signs.source_error == signs.moved == signs.clusters_change == 0
    assert signs.agreement == 1
    assert signs.smallest_class == pytest.approx(1)
    assert judge(signs, GuardOptions()) == Verdict("adapted", (), signs)


def test_a_fall_on_the_source_is_the_change_of_mean_recall() -> None:
    labels = np.array([0] * 40 + [1] * 60)
    right = labels.tolist()
    wrong = [1] * 10 + right[10:]  # a quarter of class 0
    target = [0, 1] * 60
    signs = observe_signs(answers(right, target, classes=2), answers(wrong, target, classes=2), labels, images=500)
    assert signs.source_change == pytest.approx(-0.125)
    # The changes of class 0 are 10 times -1 and 30 times 0: variance 0.25 * 0.75, of the mean of 40, and half of it.
    assert signs.source_error == pytest.approx(math.sqrt(0.25 * 0.75 / 40) / 2)
    (reason,) = judge(signs, GuardOptions()).reasons
    assert "0.125" in reason


def test_collapse_to_one_class_is_seen_in_agreement_and_in_the_class_that_is_lost() -> None:
    labels = np.array([0, 1, 2] * 30)
    before, after = answers(labels.tolist(), [0, 1, 2] * 50), answers(labels.tolist(), [0] * 150)
    signs = observe_signs(before, after, labels, images=150)
    assert signs.agreement == pytest.approx(1 / 3)
    assert signs.smallest_class == 0
    assert signs.moved == pytest.approx(2 / 3)
    assert judge(signs, GuardOptions()).shipped == "source_only"


def test_a_class_that_the_target_hardly_has_may_vanish() -> None:
    labels = np.array([0, 1, 2] * 30)
    before, after = (
        answers(labels.tolist(), [0] * 99 + [1] * 100 + [2]),
        answers(labels.tolist(), [0] * 100 + [1] * 100),
    )
    assert observe_signs(before, after, labels, images=200).smallest_class > 0.9


def test_images_of_which_nobody_is_sure_say_nothing_by_agreement() -> None:
    labels = np.array([0, 1] * 50)
    logits = np.where(np.eye(2)[labels] > 0, 1.0, -1.0)
    vague = Answers(logits, np.full((40, 2), 0.0), np.random.default_rng(0).normal(size=(40, 3)))
    signs = observe_signs(vague, vague, labels, images=400)
    assert math.isnan(signs.agreement)
    assert judge(signs, GuardOptions()).shipped == "adapted"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"images": 12}, "too few"),
        ({"source_change": -0.05, "source_error": 0.01}, "recall"),
        ({"agreement": 0.3}, "changed class"),
        ({"smallest_class": 0.05}, "vanished"),
        ({"clusters_change": -0.5}, "silhouette"),
    ],
)
def test_each_sign_alone_falls_back(changed: dict[str, float], word: str) -> None:
    assert judge(CALM, GuardOptions()).shipped == "adapted"
    verdict = judge(replace(CALM, **changed), GuardOptions())
    assert verdict.shipped == "source_only"
    assert len(verdict.reasons) == 1
    assert word in verdict.reasons[0]


def test_noise_on_the_source_is_no_sign() -> None:
    noisy = replace(CALM, source_change=-0.04, source_error=0.03)
    assert judge(noisy, GuardOptions(source_drop=0.02)).shipped == "adapted"


def test_a_verdict_survives_json() -> None:
    verdict = judge(replace(CALM, agreement=math.nan, images=3), GuardOptions())
    again = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
    assert again.reasons == verdict.reasons
    assert math.isnan(again.signs.agreement)
    assert again.signs.images == 3
