"""Gates on numbers that can be counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from galmorph.releases import gates as gate
from galmorph.releases.gate_options import (
    AgreementGate,
    CalibrationGate,
    EstimateGate,
    Gates,
    Int8Gate,
    SourceGate,
    SpeedGate,
    TargetGate,
    UnknownGate,
)
from galmorph.scores import Scores
from galmorph.training.measures import Case

BY_INTERVAL, BY_VALUE = Gates(resamples=200), Gates(resamples=200, decide_by="value")


def case(right: int, n: int = 100, confidence: float = 0.9, names: list[str] | None = None, flagged: int = 0) -> Case:
    """Objects of class a, of which the first are called a, the others b; the last ones are called unknown."""
    p = np.full((n, 2), 1 - confidence)
    p[np.arange(n), (np.arange(n) >= right).astype(int)] = confidence
    nothing, unknown = np.zeros(n), np.arange(n) >= n - flagged
    scores = Scores(p, p.argmax(axis=1), p.max(axis=1), nothing, nothing, nothing, unknown)
    return Case.of(scores, np.array(names or ["a"] * n), ("a", "b"))


def test_a_change_is_that_of_both_models_on_the_same_objects():
    verdict = gate.source_gate(case(80), case(85), 0.8, SourceGate(drop=0.03), BY_INTERVAL)
    assert (verdict.before, verdict.after) == (0.8, 0.85)
    assert verdict.value == pytest.approx(0.05)
    # Five objects of a hundred differ, all for the better: no resample is worse.
    assert 0.0 <= verdict.low < 0.05 < verdict.high < 0.12
    assert verdict.passed
    assert verdict.objects == 100


def test_few_objects_prove_little():
    worse = case(79), case(78)
    assert not gate.source_gate(*worse, 0.8, SourceGate(drop=0.015), BY_INTERVAL).passed
    assert "100 objects do not prove it" in gate.source_gate(*worse, 0.8, SourceGate(drop=0.015), BY_INTERVAL).reason
    assert gate.source_gate(*worse, 0.8, SourceGate(drop=0.015), BY_VALUE).passed
    assert not gate.source_gate(*worse, 0.8, SourceGate(drop=0.005), BY_VALUE).passed


def test_images_of_one_object_prove_no_more_than_one_of_them():
    def times(one: Case) -> Case:
        """The same objects, with ten images of each."""
        arrays = ("true", "label", "probabilities", "flagged", "objects")
        many = {name: np.repeat(getattr(one, name), 10, axis=0) for name in arrays}
        return replace(one, **many, scores={name: np.repeat(values, 10) for name, values in one.scores.items()})

    def verdicts(old, new, ids, confidence, flags, snr):
        return [
            gate.source_gate(old, new, 0.8, SourceGate(), BY_INTERVAL),
            gate.target_gate(old, new, TargetGate(least_objects=100), BY_INTERVAL),
            *gate.calibration_gates(old, new, CalibrationGate(target_error=0.1), BY_INTERVAL),
            gate.estimate_gate((old, confidence), (new, confidence), EstimateGate(), BY_INTERVAL, ids),
            gate.unknown_gate(flags, UnknownGate(), BY_INTERVAL, ids),
            gate.agreement_gate(ids, np.where(flags, "b", ids), snr, AgreementGate(brightest=0.95), BY_INTERVAL, ids),
            gate.int8_gate(flags * 1, flags * 0, Int8Gate(), BY_INTERVAL, ids),
        ]

    old, new = case(80), case(78)
    rows = np.arange(100).astype(str), np.linspace(0.5, 1, 100), np.arange(100) < 10, np.arange(100.0)
    alone, many = verdicts(old, new, *rows), [np.repeat(values, 10) for values in rows]
    together = verdicts(times(old), times(new), *many)
    for one, other in zip(alone, together, strict=True):
        assert (other.low, other.high, other.objects) == pytest.approx((one.low, one.high, one.objects))
    few = gate.target_gate(times(old), times(new), TargetGate(least_objects=101), BY_VALUE)
    assert "100 labelled objects" in few.reason


def test_a_source_that_the_old_model_does_not_know_proves_nothing():
    # As after labels were shuffled: the new model is as bad as the old one, which was better once.
    verdict = gate.source_gate(case(40), case(45), 0.85, SourceGate(), BY_VALUE)
    assert not verdict.passed
    assert "not those it learned from" in verdict.reason
    assert gate.source_gate(case(40), case(45), 0.85, SourceGate(familiar=1.0), BY_VALUE).passed
    missing = gate.source_gate(case(40), case(45), None, SourceGate(), BY_VALUE)
    assert not missing.passed
    assert "cannot be computed" in missing.reason


def test_h_score_needs_strangers():
    names = ["a"] * 80 + ["lens"] * 20
    old, new = case(80, names=names, flagged=5), case(80, names=names, flagged=20)
    verdict = gate.target_gate(old, new, TargetGate(), BY_INTERVAL)
    # Known recall 1 in both; a quarter of the lenses is flagged, then all: 2 * .25 / 1.25 = 0.4, then 1.
    assert (verdict.before, verdict.after) == (pytest.approx(0.4), pytest.approx(1.0))
    assert verdict.passed
    closed = gate.target_gate(case(80), case(90), TargetGate(), BY_VALUE)
    assert not closed.passed
    assert "cannot be computed, so it is not passed: no labelled object of unknown classes" in closed.reason
    assert gate.target_gate(case(80), case(90), TargetGate(measure="accuracy"), BY_VALUE).passed
    few = gate.target_gate(case(10, 20), case(20, 20), TargetGate(measure="accuracy", least_objects=30), BY_VALUE)
    assert not few.passed
    assert "20 labelled objects" in few.reason


def test_calibration():
    # Confidence 0.9 and accuracy 0.9, then 0.6: errors of 0 and 0.3.
    good, bad = case(90), case(60)
    verdict, _ = gate.calibration_gates(good, None, CalibrationGate(error=0.1), BY_INTERVAL)
    assert verdict.value == pytest.approx(0.0)
    assert verdict.passed
    verdict, _ = gate.calibration_gates(bad, None, CalibrationGate(error=0.2), BY_VALUE)
    assert verdict.value == pytest.approx(0.3)
    assert not verdict.passed
    both = gate.calibration_gates(good, None, CalibrationGate(error=0.1, target_error=0.1), BY_VALUE)
    assert [each.passed for each in both] == [True, False, True]


@pytest.mark.parametrize("sharper", [1, 2, 10])
def test_a_model_that_is_too_sure_needs_a_temperature(sharper):
    # Nine in ten are right. Of confidence 0.9 the logits differ by ln 9; times ten, the model is all but certain.
    odds = 9.0**sharper
    verdict = gate.calibration_gates(case(90, confidence=odds / (1 + odds)), None, CalibrationGate(), BY_VALUE)[-1]
    assert verdict.value == pytest.approx(sharper, rel=0.03)
    assert verdict.passed == (sharper < 4)


def test_a_model_that_is_always_right_cannot_be_too_sure():
    verdict = gate.calibration_gates(case(100, confidence=0.999), None, CalibrationGate(), BY_INTERVAL)[-1]
    assert verdict.value < 1
    assert verdict.passed


def test_shares():
    flags = np.arange(200) < 20
    verdict = gate.unknown_gate(flags, UnknownGate(least=0.02, most=0.2), BY_INTERVAL)
    assert verdict.value == 0.1
    assert verdict.passed
    assert not gate.unknown_gate(flags, UnknownGate(least=0.02, most=0.11), BY_INTERVAL).passed
    assert not gate.unknown_gate(np.zeros(200, dtype=bool), UnknownGate(least=0.02), BY_INTERVAL).passed
    assert not gate.unknown_gate(flags[:5], UnknownGate(), BY_INTERVAL).passed
    assert gate.int8_gate(np.arange(50), np.arange(50), Int8Gate(), BY_INTERVAL).passed
    assert not gate.int8_gate(np.arange(50), np.arange(50) + 1, Int8Gate(), BY_INTERVAL).passed


def test_bright_objects_agree():
    n = 100
    old, new = np.array(["a"] * n), np.array(["b"] * 75 + ["a"] * 25)
    # The 25 brightest are those at the end.
    snr = np.arange(n, dtype=float)
    verdict = gate.agreement_gate(old, new, snr, AgreementGate(brightest=0.25), BY_INTERVAL)
    assert (verdict.value, verdict.objects, verdict.passed) == (1.0, 25, True)
    assert gate.agreement_gate(old, new, snr, AgreementGate(brightest=1.0), BY_VALUE).value == 0.25
    nothing = gate.agreement_gate(old, new, np.full(n, np.nan), AgreementGate(), BY_VALUE)
    assert not nothing.passed


def test_speed():
    old = np.full(15, 0.010)
    assert gate.speed_gate(old, old * 1.2, SpeedGate(most=1.5), BY_INTERVAL).value == pytest.approx(1.2)
    assert not gate.speed_gate(old, old * 2, SpeedGate(most=1.5), BY_INTERVAL).passed
    assert not gate.speed_gate(old[:3], old[:3], SpeedGate(), BY_INTERVAL).passed
    assert not gate.speed_gate(old, old * np.nan, SpeedGate(), BY_INTERVAL).passed


def test_accuracy_estimated_without_labels(monkeypatch):
    n = 100
    certain = np.linspace(0.51, 0.99, n)
    p = np.column_stack([certain, 1 - certain])
    nothing = np.zeros(n)
    scores = Scores(p, p.argmax(axis=1), certain, nothing, nothing, nothing, nothing > 0)
    # The 80 most certain are right: an object is held to be right when it is as certain as the 80th.
    source = Case.of(scores, np.array(["b"] * 20 + ["a"] * 80), ("a", "b"))
    confidence = np.concatenate([np.full(30, 0.99), np.full(70, 0.55)])
    one = np.ones((1, n))
    assert gate.estimated_accuracy(source, certain, one, one)[0] == pytest.approx(0.8)
    assert gate.estimated_accuracy(source, confidence, one, one)[0] == pytest.approx(0.3)
    verdict = gate.estimate_gate((source, confidence), (source, certain), EstimateGate(gain=0.2), BY_INTERVAL)
    assert verdict.value == pytest.approx(0.5)
    assert verdict.passed
    assert verdict.estimate
    with monkeypatch.context() as patch:
        patch.setattr(gate, "LARGEST_CHUNK", 7 * 2 * n)
        chunks = gate.estimate_gate((source, confidence), (source, certain), EstimateGate(gain=0.2), BY_INTERVAL)
    assert (chunks.low, chunks.high) == pytest.approx((verdict.low, verdict.high), abs=0.05)
    assert not gate.estimate_gate((source, confidence[:3]), (source, certain[:3]), EstimateGate(), BY_VALUE).passed
