"""The guard against harm: every sign by a hand-made case, and a whole guarded training."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from galmorph.training.guard import RARE, Answers, Signs, Verdict, judge, neighbours_agree, observe_signs
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
    likelihood_change=0.01,
    away=-0.02,
    neighbours_change=0.01,
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
    (reason,) = judge(signs, GuardOptions(likelihood_drop=100.0)).reasons
    assert "0.125" in reason


def test_one_image_of_a_rare_class_is_no_sign_of_harm() -> None:
    labels = np.array([0] * 200 + [1] * 200 + [2])
    right, target = labels.tolist(), [0, 1, 2] * 60
    signs = observe_signs(answers(right, target), answers([*right[:-1], 0], target), labels, images=500)
    assert signs.source_change == pytest.approx(-1 / 3)
    assert signs.source_error == pytest.approx(1 / 3)
    assert judge(signs, GuardOptions(likelihood_drop=100.0)).reasons == ()


def test_images_of_a_small_class_that_all_change_leave_an_error_as_if_one_of_them_might_not():
    # Of class 1 all four are lost, of which the variance is 0.
    labels = np.array([0] * 40 + [1] * 4)
    right, target = labels.tolist(), [0, 1] * 30
    signs = observe_signs(answers(right, target, classes=2), answers([0] * 44, target, classes=2), labels, images=500)
    assert signs.source_change == pytest.approx(-0.5)
    assert signs.source_error == pytest.approx(math.sqrt(1 / 4 / 4) / 2)


def test_the_likelihood_on_the_source_is_of_calibrated_probabilities() -> None:
    # 60 of 100 right at 8 to 0: the temperature that fits says 0.6 and 0.4; of 80 right, 0.8 and 0.2.
    labels = np.zeros(100, dtype=int)
    labels[50:] = 1
    target = [0, 1] * 60

    def right_in(share: float) -> Answers:
        wrong = np.arange(100) % 50 >= 50 * share
        return answers(np.where(wrong, 1 - labels, labels).tolist(), target, classes=2)

    signs = observe_signs(right_in(0.8), right_in(0.6), labels, images=500)
    assert signs.likelihood_change == pytest.approx(
        (0.6 * math.log(0.6) + 0.4 * math.log(0.4)) - (0.8 * math.log(0.8) + 0.2 * math.log(0.2)), abs=1e-4
    )
    # The same temperatures are those of the answers on the target, of which none is then sure.
    assert signs.confidence_change == pytest.approx(0.6 - 0.8, abs=1e-4)
    assert signs.sure == 0


def of_four(target: list[int], features: list[list[float]]) -> Answers:
    """What a model says of four images of a target, of whose classes it is sure."""
    return Answers(8.0 * np.eye(2), 8.0 * np.eye(2)[target], np.array(features))


@pytest.mark.parametrize(
    ("was", "now", "change"),
    [
        ([0, 0, 1, 1], [0, 1, 0, 1], -1.5),  # of each class one in each of both places: -1/2 in place of 1
        ([0, 0, 0, 0], [0, 0, 1, 1], 1.0),  # one class alone has no clusters
        ([0, 0, 1, 1], [1, 1, 1, 1], -1.0),
    ],
)
def test_clusters_by_hand(was: list[int], now: list[int], change: float) -> None:
    places = [[0.0], [0.0], [1.0], [1.0]]
    signs = observe_signs(of_four(was, places), of_four(now, places), np.arange(2), images=500)
    assert signs.clusters_change == pytest.approx(change)


def test_a_model_that_gives_every_image_the_same_features_says_nothing_of_clusters() -> None:
    same, places = [[3.0], [3.0], [3.0], [3.0]], [[0.0], [0.0], [1.0], [1.0]]
    one, other = of_four([0, 0, 1, 1], places), of_four([0, 1, 0, 1], same)
    assert observe_signs(one, other, np.arange(2), images=500).clusters_change == pytest.approx(-1.5)


def test_as_many_classes_as_images_are_no_clusters() -> None:
    logits, features = 8.0 * np.eye(2), np.array([[0.0], [1.0]])
    signs = observe_signs(
        Answers(logits, logits, features), Answers(logits, logits[[0, 0]], features), np.arange(2), images=500
    )
    assert signs.clusters_change == 0


def test_clusters_are_looked_for_in_the_features_of_both_models_alike() -> None:
    """Whatever their scale and number: corners of a square, halved by the one model's axis and by the other's."""
    plain = of_four([0, 0, 1, 1], [[-1.0], [-1.0], [1.0], [1.0]])
    adapted = of_four([0, 1, 0, 1], [[-70.0, 5.0], [70.0, 5.0], [-70.0, 5.0], [70.0, 5.0]])
    assert observe_signs(plain, adapted, np.arange(2), images=500).clusters_change == pytest.approx(0)


def test_only_images_of_which_the_source_only_model_is_sure_have_to_agree() -> None:
    places = [[0.0], [0.0], [1.0], [1.0]]
    plain, adapted = of_four([0, 1, 0, 0], places), of_four([0, 1, 1, 1], places)
    plain.target_logits[3] = 0
    signs = observe_signs(plain, adapted, np.arange(2), images=500)
    assert signs.sure == 0.75
    assert signs.agreement == pytest.approx(2 / 3)
    # Of two images that are right the network is as sure as it is by itself, which is nearly certain.
    assert signs.confidence_change == pytest.approx(1 - (3 + 0.5) / 4, abs=1e-3)


@pytest.mark.parametrize(("sure", "share"), [(0.79, 1.0), (0.81, 0.0)])
def test_how_sure_is_sure_is_told(sure: float, share: float) -> None:
    # Right in 80 of 100 cases: calibrated, all answers have 0.8.
    labels = np.array([0, 1] * 50)
    right = np.where(np.arange(100) < 80, labels, 1 - labels)
    one = answers(right.tolist(), [0, 1] * 20, classes=2)
    assert observe_signs(one, one, labels, images=500, sure=sure).sure == share


def test_what_is_sure_by_itself_is_what_the_guard_takes_for_it() -> None:
    logits = np.array([[math.log(p), math.log(1 - p)] for p in (0.95, 0.92, 0.88, 0.6)])
    valid = np.repeat(logits[:1], 20, axis=0)
    labels = np.array([0] * 19 + [1])  # 19 of 20 right at 0.95: the temperature is 1
    one = Answers(valid, logits, np.arange(4.0)[:, None])
    assert observe_signs(one, one, labels, images=500).sure == 0.5
    assert GuardOptions().sure == 0.9


def test_where_source_and_target_share_no_class_none_vanishes() -> None:
    only = answers([0, 0], [1, 1, 1], classes=2)
    assert observe_signs(only, only, np.zeros(2, dtype=int), images=500).smallest_class == 1


def test_answers_move_away_from_the_mix_of_the_source_or_towards_it() -> None:
    labels = np.array([0, 1] * 50)
    even, leaning = [0, 1] * 50, [0] * 70 + [1] * 30
    one, other = answers(labels.tolist(), even, classes=2), answers(labels.tolist(), leaning, classes=2)
    assert observe_signs(one, other, labels, images=100).away == pytest.approx(0.2)
    assert observe_signs(other, one, labels, images=100).away == pytest.approx(-0.2)


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


@pytest.mark.parametrize(("each", "left"), [(50, 0.0), (51, 2.0)])
def test_a_class_may_vanish_that_is_rarer_than_one_in_fifty(each: int, left: float) -> None:
    labels = np.array([0, 1] * 50)
    target = [0] * (each - 1) + [1]
    signs = observe_signs(
        answers(labels.tolist(), target, classes=2), answers(labels.tolist(), [0] * each, classes=2), labels, images=500
    )
    assert RARE == 1 / 50
    # Where it does not count there is the other class alone, of whose share the source has half.
    assert signs.smallest_class == left


def test_a_class_is_expected_in_the_smaller_of_its_two_shares() -> None:
    # The source-only model leans to class 0, the source is even: of class 0 a half is expected, of class 1 a tenth.
    labels = np.array([0, 1] * 50)
    before = answers(labels.tolist(), [0] * 90 + [1] * 10, classes=2)
    after = answers(labels.tolist(), [0] * 45 + [1] * 55, classes=2)
    assert observe_signs(before, after, labels, images=500).smallest_class == pytest.approx(0.45 / 0.5)
    # And the other way about: of class 0 a tenth, of class 1 a half.
    uneven = np.array([0] * 10 + [1] * 90)
    before = answers(uneven.tolist(), [0] * 50 + [1] * 50, classes=2)
    after = answers(uneven.tolist(), [0] * 60 + [1] * 40, classes=2)
    assert observe_signs(before, after, uneven, images=500).smallest_class == pytest.approx(0.4 / 0.5)


def test_a_few_images_of_which_it_is_sure_tell_nothing() -> None:
    few = replace(CALM, images=300, sure=9 / 300, agreement=0.0)
    assert judge(few, GuardOptions()).shipped == "adapted"
    assert judge(replace(few, sure=10 / 300), GuardOptions()).shipped == "source_only"


def test_neighbours_are_asked_for_the_same_answer_class_by_class() -> None:
    # Two heaps of eleven images: each image's ten neighbours are the others of its heap.
    space = np.repeat([[0.0, 0.0], [9.0, 9.0]], 11, axis=0) + np.random.default_rng(0).normal(0, 0.1, (22, 2))
    assert neighbours_agree(space, np.repeat([0, 1], 11)) == 1
    one_astray = np.array([1, *[0] * 10, *[1] * 11])
    # Class 0: ten images, each with one neighbour astray. Class 1: eleven that agree, and one that does not at all.
    assert neighbours_agree(space, one_astray) == pytest.approx((0.9 + 11 / 12) / 2)
    assert neighbours_agree(space[:1], np.array([0])) == 1
    assert neighbours_agree(space[:3], np.array([0, 0, 1])) == pytest.approx((0.5 + 0.0) / 2)


def test_answers_that_scatter_among_neighbours_are_seen() -> None:
    labels, places = np.array([0, 1] * 50), np.repeat([[0.0], [9.0]], 50, axis=0)
    places = places + np.random.default_rng(1).normal(0, 0.1, places.shape)
    by_place, by_lot = np.repeat([0, 1], 50), np.tile([0, 1], 50)
    logits = np.eye(2)[labels] * 8
    plain, adapted = (Answers(logits, np.eye(2)[said] * 8, places) for said in (by_place, by_lot))
    change = observe_signs(plain, adapted, labels, images=100).neighbours_change
    assert change == pytest.approx(neighbours_agree(places, by_lot) - 1)
    assert change < -0.4


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
        ({"likelihood_change": -0.2}, "log-probability"),
        ({"away": 0.3}, "moved away"),
        ({"agreement": 0.3}, "changed class"),
        ({"smallest_class": 0.05}, "vanished"),
        ({"clusters_change": -0.5}, "silhouette"),
        ({"neighbours_change": -0.2}, "agree less with their neighbours"),
    ],
)
def test_each_sign_alone_falls_back(changed: dict[str, float], word: str) -> None:
    assert judge(CALM, GuardOptions()).shipped == "adapted"
    verdict = judge(replace(CALM, **changed), GuardOptions())
    assert verdict.shipped == "source_only"
    assert len(verdict.reasons) == 1
    assert word in verdict.reasons[0]


def test_changes_for_the_better_are_no_signs_of_harm() -> None:
    better = replace(CALM, source_change=0.5, likelihood_change=1.0, away=-0.9, clusters_change=1.0, smallest_class=3.0)
    assert judge(better, GuardOptions()).reasons == ()


def test_the_reason_says_what_share_changed_class() -> None:
    (reason,) = judge(replace(CALM, agreement=0.3), GuardOptions()).reasons
    assert reason.endswith("sure (80%), 70% changed class")


def test_a_sign_at_its_limit_is_none_of_harm() -> None:
    options = GuardOptions()
    signs = Signs(
        images=options.least_images,
        source_change=-options.source_drop,
        source_error=0.0,
        sure=0.8,
        agreement=options.agreement,
        smallest_class=options.smallest_class,
        moved=0.0,
        clusters_change=-options.clusters_drop,
        confidence_change=0.0,
        likelihood_change=-options.likelihood_drop,
        away=options.away,
        neighbours_change=-options.neighbours_drop,
    )
    assert judge(signs, options).reasons == ()


def test_noise_on_the_source_is_no_sign() -> None:
    noisy = replace(CALM, source_change=-0.06, source_error=0.021)
    assert judge(noisy, GuardOptions(source_drop=0.02)).shipped == "adapted"
    assert judge(replace(noisy, source_error=0.019), GuardOptions(source_drop=0.02)).shipped == "source_only"


def test_a_verdict_survives_json() -> None:
    verdict = judge(replace(CALM, agreement=math.nan, images=3), GuardOptions())
    again = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict(), allow_nan=False)))
    assert again.reasons == verdict.reasons
    assert again.signs.source_change == 0
    assert math.isnan(again.signs.agreement)
    assert again.signs.images == 3


def test_a_verdict_knows_the_images_that_it_was_made_of() -> None:
    verdict = replace(judge(replace(CALM, away=0.3), GuardOptions()), target={"images": "0123"})
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


def test_a_verdict_that_knew_fewer_signs_is_read() -> None:
    values = judge(CALM, GuardOptions()).to_dict()
    for later in ("likelihood_change", "away"):
        del values["signs"][later]
    again = Verdict.from_dict(values)
    assert math.isnan(again.signs.away)
    assert judge(again.signs, GuardOptions()).shipped == "adapted"
