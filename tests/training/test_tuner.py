import json
import math

import pytest

from galmorph.training.tuner import Tuner


def run(tuner, losses):
    for epoch, loss in enumerate(losses):
        tuner.end_epoch(epoch, loss)
    return [(change.epoch, change.parameter, round(change.after, 6)) for change in tuner.changes]


def paper(**options):
    return Tuner(**{"rho": 1.1, "margin": 1.1, "classes": 9, "mode": "paper", **options})


def test_algorithm_1_on_a_flat_loss():
    """The first epoch sets the minimum; from then on the loss never falls below it.

    Counting epochs from 0 after each change: boundary at the sixth, margin and its doubling at the third, the next
    step at the third.
    """
    assert run(paper(), [1.0] * 60) == [
        (5, "rho", 1.4), (8, "margin", 1.4), (11, "margin", 2.8),
        (20, "rho", 1.1), (23, "margin", 2.5), (26, "margin", 5.0),
        (35, "rho", 1.6), (38, "margin", 5.5), (41, "margin", 11.0),
        (50, "rho", 1.1), (53, "margin", 10.5), (56, "margin", 21.0),
    ]  # fmt: skip


def test_algorithm_1_on_a_scripted_loss():
    """Nothing while the loss falls; an equal loss is no improvement; waiting goes on while it falls."""
    losses = [9, 8, 7, 6, 5, 4, 3.0, 3.0, 2.0, 2.5, 1.0, 0.5, 0.6, 0.1, 0.2, 0.3]
    assert run(paper(), losses) == [(7, "rho", 1.4), (12, "margin", 1.4), (15, "margin", 2.8)]


def test_the_loss_is_held_against_its_least_and_not_against_the_one_before():
    """Every other epoch is better than the one before, and none than the first."""
    assert run(paper(), [1.0] + [2.0, 1.5] * 30) == run(paper(), [1.0] * 61)


def test_a_loss_that_always_falls_changes_nothing():
    assert run(paper(), [1 / (n + 1) for n in range(50)]) == []


def test_paper_mode_changes_nothing_after_the_fourth_cycle():
    tuner = paper()
    run(tuner, [1.0] * 60)
    assert tuner.step == 4
    assert len(run(tuner, [1.0] * 60)) == 12


def test_one_printed_cycle_kills_the_loss_and_the_bounded_one_does_not():
    """The margin passes ln 9, the largest entropy there is."""
    tuner = paper()
    run(tuner, [1.0] * 12)
    assert tuner.margin > math.log(9)


@pytest.mark.parametrize("classes", [2, 3, 9, 10])
@pytest.mark.parametrize("losses", [[1.0] * 200, [1 / (n % 7 + 1) - n / 1000 for n in range(200)]])
@pytest.mark.parametrize(("rho", "margin"), [(0.5, 0.15), (0.3, 0.6), (0.7, 0.6)])
def test_bounded_never_leaves_the_range(classes, losses, rho, margin):
    largest = math.log(classes)
    tuner = Tuner(rho * largest, margin * largest, classes, "bounded")
    for epoch, loss in enumerate(losses):
        tuner.end_epoch(epoch, loss)
        assert 0 < tuner.rho < largest
        assert 0 <= tuner.margin < max(tuner.rho, largest - tuner.rho)


def test_bounded_takes_back_what_made_things_no_better():
    tuner = Tuner(1.0, 0.3, 9, "bounded")
    run(tuner, [1.0] * 6)
    assert tuner.rho == pytest.approx(1 + 0.3 * math.log(9) / 2)
    run(tuner, [2.0] * 3)
    assert tuner.rho == 1.0
    assert [change.reverted for change in tuner.changes] == [False, True]
    assert [(change.before, change.after) for change in tuner.changes] == [
        (1.0, pytest.approx(1 + 0.3 * math.log(9) / 2)),
        (pytest.approx(1 + 0.3 * math.log(9) / 2), 1.0),
    ]
    # The next change has to wait as long as after any other.
    run(tuner, [2.0] * 2)
    assert len(tuner.changes) == 2
    run(tuner, [2.0])
    assert tuner.changes[-1].parameter == "margin"


def test_bounded_takes_back_what_made_things_neither_better_nor_worse():
    tuner = Tuner(1.0, 0.3, 9, "bounded")
    run(tuner, [1.0] * 9)
    assert [change.reverted for change in tuner.changes] == [False, True]


def test_bounded_waits_while_the_loss_falls_after_a_change():
    """What the loss is worth has changed with the boundary: that it is higher than before says nothing yet."""
    tuner = Tuner(1.0, 0.3, 9, "bounded")
    run(tuner, [1.0] * 6 + [2.0, 1.9, 1.8, 1.7, 1.6])
    assert len(tuner.changes) == 1
    run(tuner, [1.6])
    assert tuner.changes[-1].reverted


def test_after_a_change_is_taken_back_the_least_loss_is_that_of_before_it():
    tuner = Tuner(1.0, 0.3, 9, "bounded")
    run(tuner, [1.0] * 6 + [2.0] * 3)
    # Falling, but not below 1.
    run(tuner, [1.9, 1.8, 1.7])
    assert [change.parameter for change in tuner.changes] == ["rho", "rho", "margin"]


def test_a_step_that_the_bounds_leave_nothing_of_is_no_change():
    largest = math.log(9)
    tuner = Tuner((1 - 0.05) * largest, 0.1 * largest, 9, "bounded")
    assert run(tuner, [1.0] * 8) == []
    # The next change has its turn all the same, and waits as long as after any other.
    assert [parameter for _, parameter, _ in run(tuner, [1.0])] == ["margin"]


def test_bounded_keeps_what_made_things_better():
    tuner = Tuner(1.0, 0.3, 9, "bounded")
    run(tuner, [1.0] * 6 + [0.5] * 3)
    assert [change.parameter for change in tuner.changes] == ["rho", "margin"]
    assert not any(change.reverted for change in tuner.changes)


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [(0, (0.4, 0.2), (0.55, 0.35)), (0, (0.9, 0.4), (0.95, 0.475)), (1, (0.1, 0.1), (0.05, 0.0))],
)
def test_bounded_steps_in_halves_of_the_range_and_stops_short_of_its_ends(step, before, after):
    """All as shares of ln K: the boundary stays a twentieth away from both ends, the margin below that of a half."""
    largest = math.log(9)
    tuner = Tuner(*(largest * share for share in before), 9, "bounded")
    tuner.step = step
    run(tuner, [1.0] * 6 + [0.5] * 3)
    assert (tuner.rho / largest, tuner.margin / largest) == (pytest.approx(after[0]), pytest.approx(after[1]))


def test_every_change_is_recorded():
    tuner = paper()
    run(tuner, [1.0] * 12)
    values = {"rho": 1.1, "margin": 1.1}
    for change in tuner.changes:
        assert change.before == values[change.parameter]
        assert change.loss == 1.0
        values[change.parameter] = change.after
    assert values == {"rho": tuner.rho, "margin": tuner.margin}


@pytest.mark.parametrize("mode", ["paper", "bounded"])
@pytest.mark.parametrize("broken_off", [0, 3, 7, 12, 25])
def test_goes_on_from_its_state(mode, broken_off):
    losses = [1 / (n % 5 + 1) for n in range(80)]
    whole = paper(mode=mode)
    run(whole, losses)
    first, second = paper(mode=mode), paper(mode=mode)
    for epoch in range(broken_off):
        first.end_epoch(epoch, losses[epoch])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for epoch in range(broken_off, 80):
        second.end_epoch(epoch, losses[epoch])
    assert second.changes == whole.changes
    assert second.state_dict() == whole.state_dict()
