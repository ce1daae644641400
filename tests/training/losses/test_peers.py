"""Equality with the losses of pytorch-adapt and skada, whose values are frozen in tests/data/peer_values.json."""

import json
from pathlib import Path

import pytest
import torch
from make_peer_values import STRENGTH, TEMPERATURE, VARIANCES

from galmorph.training.losses import class_confusion, coral, entropy_minimisation, mmd, reverse_gradient

FROZEN = json.loads((Path(__file__).parents[2] / "data" / "peer_values.json").read_text())
INPUTS = {name: torch.tensor(value, dtype=torch.float64) for name, value in FROZEN["inputs"].items()}


@pytest.mark.parametrize("peer", FROZEN["values"])
def test_same_as_peer(peer):
    source, target, logits = INPUTS["source"], INPUTS["target"], INPUTS["logits"]
    kind = peer.split()[1]
    if kind == "mmd":
        # Theirs is the mean over kernels, the paper's the sum.
        ours = mmd(source, target, VARIANCES) / len(VARIANCES)
    elif kind == "coral":
        ours = coral(source, target)
    elif kind == "confusion":
        ours = class_confusion(logits, TEMPERATURE)
    elif kind == "entropy":
        ours = entropy_minimisation(logits)
    else:
        leaf = source.clone().requires_grad_(True)
        reverse_gradient(leaf, STRENGTH).pow(2).sum().backward()
        ours = leaf.grad
    # skada adds 1e-7 where it divides.
    expected = torch.tensor(FROZEN["values"][peer], dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-9)
