import math

import numpy as np
import pytest

from galmorph.training import criteria
from galmorph.training.criteria import mutual_information, neighbourhood_density


def test_density_by_hand():
    # Two alike and one orthogonal, with T = 1: softmax over the cosines with the two others.
    p = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    near = np.array([math.e, 1.0]) / (math.e + 1.0)
    entropies = [-(near * np.log(near)).sum()] * 2 + [math.log(2)]
    assert neighbourhood_density(p, temperature=1.0) == pytest.approx(np.mean(entropies))


def test_density_is_largest_where_all_are_alike():
    assert neighbourhood_density(np.full((7, 3), 1 / 3)) == pytest.approx(math.log(6))
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
