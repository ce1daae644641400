from dataclasses import replace

import numpy as np
import pytest

from galmorph.imaging import Imaging
from galmorph.releases.drift import Drift, Limits, conclude, describe_imaging, judge, worst
from galmorph.releases.shift import Seen, Shift, compare

CLASSES = ("spiral", "elliptical")

CALM = Shift(
    objects=500,
    comparable=400,
    beyond=0.1,
    basis="features",
    discrepancy=0.0,
    discrepancy_p=0.5,
    auc=0.5,
    auc_p=0.5,
    stability={"spiral": 0.02, "elliptical": 0.02},
    stability_p={"spiral": 0.6, "elliptical": 0.6},
    shares={"spiral": (0.5, 0.5), "elliptical": (0.5, 0.5)},
    unknown=(0.05, 0.05),
    unknown_p=0.9,
    accuracy=(0.9, 0.9),
    confident=(0.9, 0.9),
)


def seen(n: int, seed: int, spiral: float = 0.5, moved: float = 0.0, faint: float = 0.0) -> Seen:
    """Objects whose two classes lie apart in feature space; `moved` is along an axis that the classes do not use."""
    rng = np.random.default_rng(seed)
    kind = rng.random(n) < spiral
    p = np.where(kind, rng.beta(20, 2, n), rng.beta(2, 20, n))
    probabilities = np.column_stack([p, 1 - p])
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    features = rng.normal(size=(n, 4))
    features[:, 0] += np.where(kind, 4, -4)
    features[:, 1] += moved
    return Seen(
        probabilities,
        entropy,
        -entropy,
        np.abs(rng.normal(1, 0.1, n)),
        entropy > 0.6,
        features,
        rng.uniform(17, 20, n) + faint,
        rng.lognormal(0, 0.3, n),
        np.where(rng.random(n) < 0.9, (rng.random(n) < p.clip(1 - p)).astype(float), np.nan),
    )


@pytest.fixture(scope="module")
def before() -> Seen:
    return seen(600, 0)


def test_the_same_survey_is_as_before(before):
    shift, view = compare(before, seen(900, 1), CLASSES)
    assert shift is not None
    assert view is not None
    assert judge(shift, Limits()) == ("as before", ())
    assert shift.basis == "features"
    assert 300 < shift.comparable <= 600
    assert len(view.points_before) == len(view.points_now) <= 500
    assert abs(shift.accuracy[0] - shift.accuracy[1]) < 0.05


def test_other_looks_of_the_same_classes_are_noticed(before):
    shift, _ = compare(before, seen(900, 1, moved=1.0), CLASSES)
    verdict, reasons = judge(shift, Limits())
    assert verdict == "recalibrate"
    assert "look different" in reasons[0]
    far, _ = compare(before, seen(900, 1, moved=3.0), CLASSES)
    assert judge(far, Limits())[0] == "retrain"
    assert far.auc > shift.auc > 0.65


def test_another_mix_of_classes_is_no_other_look(before):
    shift, _ = compare(before, seen(2500, 1, spiral=0.9), CLASSES)
    assert shift.auc < 0.6
    assert shift.stability["spiral"] > 0.25
    verdict, reasons = judge(shift, Limits())
    assert verdict == "recalibrate"
    assert any("probability of spiral" in reason for reason in reasons)
    assert shift.shares["spiral"][1] == pytest.approx(0.9, abs=0.05)


def test_only_objects_of_like_brightness_are_compared(before):
    shift, view = compare(before, seen(900, 1, faint=1.5), CLASSES)
    assert shift.beyond > 0.4
    assert view.now.brightness.max() <= before.brightness.max()
    nothing, _ = compare(before, seen(900, 1, faint=10), CLASSES)
    assert nothing is None


def with_strangers(sample: Seen, share: float) -> Seen:
    """Some of the objects without known label, and less sure than the others, as those of private classes are."""
    rows = np.random.default_rng(3).random(len(sample)) < share
    flat = np.where(rows[:, None], 0.5 + 0.2 * (sample.probabilities - 0.5), sample.probabilities)
    return replace(sample, probabilities=flat, right=np.where(rows, np.nan, sample.right))


@pytest.mark.parametrize("share", [0.0, 0.15, 0.35])
def test_a_sample_beside_itself_loses_no_accuracy(before, share):
    sample = with_strangers(before, share)
    shift, _ = compare(sample, sample, CLASSES)
    assert shift.accuracy[1] == pytest.approx(shift.accuracy[0], abs=1e-12)
    assert shift.confident[1] == shift.confident[0] < 1
    assert judge(shift, Limits()) == ("as before", ())


def test_a_loss_is_estimated_beside_strangers_too(before):
    lost = with_strangers(before, 0.35)
    rows = np.random.default_rng(4).random(len(lost)) < 0.3
    vague = np.where(rows[:, None], 0.5 + 0.2 * (lost.probabilities - 0.5), lost.probabilities)
    shift, _ = compare(with_strangers(before, 0.35), replace(lost, probabilities=vague), CLASSES)
    assert shift.accuracy[0] - shift.accuracy[1] == pytest.approx(0.3 * shift.confident[0], abs=0.05)
    assert any("labels are right" in reason for reason in judge(shift, Limits())[1])


def test_without_features_scores_are_compared(before):
    shift, _ = compare(before, replace(seen(900, 1), features=None), CLASSES)
    assert shift.basis == "scores"
    assert judge(shift, Limits())[0] == "as before"


def test_without_measurements_all_are_compared(before):
    bare = replace(before, brightness=None, size=None)
    shift, _ = compare(bare, seen(900, 1, faint=10), CLASSES)
    assert shift.comparable == 600
    assert shift.beyond == 0


def test_too_few_objects_give_no_shift(before):
    assert compare(before, seen(20, 1), CLASSES) == (None, None)


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "as before", None),
        # An effect without significance and one without size are none.
        ({"auc": 0.9, "auc_p": 0.2, "discrepancy_p": 0.2}, "as before", None),
        ({"auc": 0.9, "auc_p": 1e-9, "discrepancy_p": 0.06}, "as before", None),
        ({"auc": 0.82, "auc_p": 1e-57, "discrepancy_p": 0.014}, "recalibrate", "AUC of 0.82"),
        ({"auc": 0.55, "auc_p": 1e-9, "discrepancy_p": 0.002}, "as before", None),
        ({"auc": 0.7, "auc_p": 1e-9, "discrepancy_p": 0.002}, "recalibrate", "AUC of 0.70"),
        ({"auc": 0.9, "auc_p": 1e-9, "discrepancy_p": 0.002}, "retrain", "AUC of 0.90"),
        ({"unknown": (0.05, 0.12), "unknown_p": 1e-6}, "recalibrate", "12% of comparable objects are called unknown"),
        ({"unknown": (0.05, 0.4), "unknown_p": 1e-9}, "retrain", "40%"),
        ({"unknown": (0.4, 0.05), "unknown_p": 1e-9}, "recalibrate", "before 40%"),
        ({"accuracy": (0.9, 0.7), "confident": (0.9, 0.7)}, "retrain", "an estimate without labels"),
        ({"accuracy": (0.9, 0.75), "confident": (0.9, 0.75), "comparable": 20}, "as before", None),
        # The error is that of the shares of confident objects, which may be near a half where the accuracy is near one.
        ({"accuracy": (0.99, 0.88), "confident": (0.97, 0.86), "comparable": 100}, "retrain", "about 88%"),
        ({"accuracy": (0.99, 0.88), "confident": (0.56, 0.45), "comparable": 100}, "as before", None),
        ({"accuracy": (np.nan, np.nan), "auc": np.nan}, "as before", None),
    ],
)
def test_verdicts(changes, verdict, words):
    found, reasons = judge(replace(CALM, **changes), Limits())
    assert found == verdict
    assert (words is None and not reasons) or words in reasons[0]


def test_a_part_of_the_sky_can_be_graver_than_the_whole():
    odd = replace(CALM, auc=0.9, auc_p=1e-9, discrepancy_p=0.002)
    verdict, reasons, regions = conclude(CALM, [("5/1", 10.0, 2.0, CALM), ("5/2", 11.0, 2.0, odd)], Limits())
    assert verdict == "retrain"
    assert "1 of 2 parts of the sky" in reasons[0]
    assert [region.verdict for region in regions] == ["as before", "retrain"]
    assert worst([]) == "as before"
    assert worst(["recalibrate", "retrain", "as before"]) == "retrain"


def test_a_drift_in_words_and_as_json():
    import json

    imaging = {
        name: Imaging({"r": 0.1}, {"r": 1.0}, sharpness, 0.2, 100)
        for name, sharpness in (("before", 1.0), ("now", 1.5))
    }
    verdict, reasons, regions = conclude(CALM, [("5/1", 10.0, 2.0, CALM)], Limits())
    drift = Drift(verdict, reasons, ("a note",), "tiny", "mock 2", replace(CALM, auc=np.nan), regions, imaging)
    text = json.dumps(drift.to_dict(), allow_nan=False)
    assert json.loads(text)["shift"]["auc"] is None
    summary = drift.summary()
    assert summary.startswith("mock 2 beside model tiny: as before")
    assert "r: depth 22.81 → 22.81 mag" in summary
    assert "note: a note" in summary


def test_what_could_not_be_measured_is_called_so():
    was = Imaging(noise={"r": 0.01}, seeing={"r": 0.8}, sharpness=1.4, pixel_scale=0.2, objects=9)
    is_now = replace(was, noise={"r": np.nan}, sharpness=np.nan)
    pixels, band = describe_imaging({"before": was, "now": is_now})
    assert pixels.endswith("most compact objects: 1.40 → not measured arcsec across")
    assert band.startswith(
        f"r: depth {was.depth['r']:.2f} → not measured mag, noise in a square arcsec 0.01 → not measured"
    )
