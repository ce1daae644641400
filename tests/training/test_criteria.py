import math

import numpy as np
import pytest

from galmorph.training import criteria
from galmorph.training.criteria import mutual_information, neighbourhood_density, separated_density


def test_density_by_hand():
    # Two alike and one orthogonal, with T = 1: softmax over the cosines with the two others.
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    near = np.array([math.e, 1.0]) / (math.e + 1.0)
    entropies = [-(near * np.log(near)).sum()] * 2 + [math.log(2)]
    assert neighbourhood_density(p, temperature=1.0) == pytest.approx(np.mean(entropies))


def test_cosines_are_divided_by_the_temperature_of_the_paper():
    # Cosines 1 and 0.6 with the two others, by 0.05: a share of 1 / (1 + exp(8)) for the farther one.
    p = np.array([[1.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    far = 1 / (1 + math.exp((1 - 0.6) / 0.05))
    each = -(far * math.log(far) + (1 - far) * math.log(1 - far))
    density = (2 * each + math.log(2)) / 3
    assert neighbourhood_density(p) == pytest.approx(density)
    p /= p.sum(axis=1, keepdims=True)
    expected = density / math.log(2) * mutual_information(p) / math.log(2)
    assert separated_density(p) == pytest.approx(expected)


def test_density_is_of_cosines():
    # The one between has a cosine of the root of a half with both others, which are orthogonal.
    near = np.array([math.exp(math.sqrt(0.5)), 1.0]) / (math.exp(math.sqrt(0.5)) + 1.0)
    expected = (2 * -(near * np.log(near)).sum() + math.log(2)) / 3
    assert neighbourhood_density(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), temperature=1.0) == pytest.approx(
        expected
    )


def test_density_is_largest_where_all_are_alike():
    for temperature in (0.05, 1e-4):
        assert neighbourhood_density(np.full((7, 3), 1 / 3), temperature) == pytest.approx(math.log(6))
    assert neighbourhood_density(np.full((2, 3), 1 / 3)) == 0
    assert math.isnan(neighbourhood_density(np.ones((1, 2))))


def test_density_does_not_depend_on_blocks(monkeypatch):
    p = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    whole = neighbourhood_density(p)
    monkeypatch.setattr(criteria, "BLOCK", 7)
    assert neighbourhood_density(p) == pytest.approx(whole, rel=1e-12)


def test_information_by_hand():
    assert mutual_information(np.eye(3)) == pytest.approx(math.log(3))
    assert mutual_information(np.array([[1.0, 0.0]] * 4)) == 0
    assert mutual_information(np.full((4, 2), 0.5)) == 0
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    mean = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    each = [-(a * math.log(a) + b * math.log(b)) for a, b in p]
    assert mutual_information(p) == pytest.approx(mean - np.mean(each))
    assert math.isnan(mutual_information(np.empty((0, 3))))


def test_separated_density_by_hand():
    # Three pairs of alike images, certain of three classes: the softmax over cosines 1, 0, 0, 0, 0 with T = 1.
    p = np.repeat(np.eye(3), 2, axis=0)
    near = np.array([math.e, 1, 1, 1, 1]) / (math.e + 4)
    density = -(near * np.log(near)).sum() / math.log(5)
    assert separated_density(p, temperature=1.0) == pytest.approx(density)
    # With half the information the same neighbours are worth half.
    soft = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    expected = neighbourhood_density(soft) / math.log(3) * (1 - 0.5)
    assert separated_density(soft) == pytest.approx(expected)


def test_separated_density_does_not_reward_having_nothing_to_say():
    one_class, no_idea = np.tile([1.0, 0.0, 0.0], (8, 1)), np.full((8, 3), 1 / 3)
    useful = np.repeat(np.eye(3), 3, axis=0)[:8]
    assert neighbourhood_density(one_class) == neighbourhood_density(no_idea) > neighbourhood_density(useful)
    assert separated_density(one_class) == pytest.approx(0, abs=1e-12)
    assert separated_density(no_idea) == pytest.approx(0, abs=1e-12)
    assert separated_density(useful) > 0.2


def test_separated_density_of_too_little():
    assert separated_density(np.eye(3)) == pytest.approx(1)
    assert math.isnan(separated_density(np.array([[1.0, 0.0], [0.0, 1.0]])))
    assert math.isnan(separated_density(np.ones((5, 1))))
