"""Scores of what is unknown that were tried, and the average of weights: measures by hand, on small things."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from galmorph.training.ensemble import Ensemble

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


def test_kept_predictions_are_joined_as_networks_are(module):
    together = module("together")

    class Kept(torch.nn.Module):
        def __init__(self, saved):
            super().__init__()
            self.answer = torch.from_numpy(saved["target_logits"]), torch.from_numpy(saved["target_features"])

        def forward(self, images):
            return self.answer

    rng = np.random.default_rng(0)
    members = [
        {
            "facts": np.array(json.dumps({"method": "dance", "seed": seed})),
            "target_logits": rng.normal(size=(4, 3)),
            "target_features": rng.normal(size=(4, 2)),
            "target_names": np.array(["a", "b", "a", "b"]),
        }
        for seed in (3, 4)
    ]
    joined = together.join(members)
    logits, features = Ensemble([Kept(member) for member in members])(torch.zeros(4))
    np.testing.assert_allclose(joined["target_logits"], logits)
    np.testing.assert_allclose(joined["target_features"], features)
    assert json.loads(str(joined["facts"])) == {"method": "dance", "seed": 0, "seeds": [3, 4]}
    members[1]["target_names"] = np.array(["b", "b", "a", "b"])
    with pytest.raises(ValueError, match="different images"):
        together.join(members)
