"""Scores of what is unknown that were tried, and the average of weights: measures by hand, on small things."""

import importlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "training" / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_wander_is_of_late_epochs_and_of_neighbours(module):
    wander = module("average").wander
    assert wander([0.0] * 6 + [0.8, 0.9, 0.8, 0.9]) == pytest.approx(np.std([0.1, -0.1, 0.1]) / np.sqrt(2))
    assert wander([0.1, 0.9, 0.0, 0.8, 0.1, 0.2, 0.7, 0.7, 0.7, 0.7]) == 0


def test_moments_of_weighted_images(module):
    moments = module("strangeness")._moments
    features = np.array([[0.0, 5.0], [4.0, 5.0], [100.0, 5.0]])
    mean, scale = moments(features, np.array([0.75, 0.25, 0.0]))
    assert mean == pytest.approx([1, 5])
    assert scale == pytest.approx([np.sqrt(3), 0.1 * np.sqrt(3)])


def test_depths_tell_what_only_they_see(module):
    depths = module("depths")
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)

    def part(count, strange=0.0):
        values = {f"block {block}": rng.normal(size=(count, 4)) for block in depths.BLOCKS}
        values["block 3"] = values["block 3"] + strange
        logits = 3 * np.eye(2)[np.arange(count) % 2] + rng.normal(size=(count, 2))
        return values | {
            "logits": logits,
            "features": logits + 5,
            "views": np.repeat(logits[:, None], len(depths.SHIFTS), axis=1),
        }

    names = ("valid", "source known", "target known")
    parts = {"fitted": part(120)} | {name: part(120) for name in names}
    parts |= {f"{domain} unknown": part(120, 8.0) for domain in ("source", "target")}
    found = depths.areas(depths.scores(parts, (labels, np.arange(120) % 2)))
    assert found["block 3 Mahalanobis"]["target"] > 0.99
    assert found["now"]["target"] == pytest.approx(0.5, abs=0.1)
    assert found["now and blocks, Mahalanobis, deviations"]["source"] > 0.85
