"""Encoders by name: those of both papers, and of other families, all the way from random weights to a graph."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from galmorph.training.domain_norm import domain_norms, set_domain, split_norms
from galmorph.training.graph import compare, export_graph
from galmorph.training.loaders import Batch, Pair
from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import Objective
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions, ViewOptions
from galmorph.training.step import observe
from galmorph.training.stretch import Stretch
from galmorph.training.terms import Setting

SHAPE, CLASSES = (3, 32, 32), 4

#: DeepMerge II has the first two, DeepAstroUDA the third; the others stand for what else timm has.
ENCODERS = {
    "deepmerge": {},
    "resnet18": {"bottleneck": 256},
    "resnet50": {},
    "mobilenetv3_small_050": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"encoder_options": {"img_size": 32, "depth": 1}},
}

#: Families without batch normalisation.
WITHOUT = ("convnext_atto", "vit_tiny_patch16_224")


def batch(seed, labels):
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(len(labels), *SHAPE, generator=generator), torch.tensor(labels), torch.arange(len(labels)))


@pytest.mark.parametrize("name", ENCODERS)
def test_from_random_weights_to_a_graph(name):
    torch.manual_seed(0)
    options = NetworkOptions(encoder=name, batch_norm="domain", **ENCODERS[name])
    network = build_network(options, Stretch("linear", [1.0] * 3), bands=3, size=32, classes=CLASSES)
    norms = sum(isinstance(module, _BatchNorm) for module in network.modules())
    assert split_norms(network) == norms == len(domain_norms(network))
    assert (norms == 0) == (name in WITHOUT)

    setting = Setting([2] * CLASSES, 8, *network.lengths(3, 32))
    objective = Objective(MethodOptions(name="mmd"), setting)
    before = copy.deepcopy(network.state_dict())
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    pair = Pair(batch(0, [0, 0, 1, 1, 2, 2, 3, 3]), batch(1, [-1] * 8))
    outputs = observe(network.train(), pair, ViewOptions(), torch.Generator().manual_seed(0))
    loss, _, _ = objective(outputs, 1.0)
    loss.backward()
    optimiser.step()
    assert loss.isfinite()
    after = network.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    for part in ("encoder", "head"):
        assert any(not torch.equal(after[key], before[key]) for key in after if key.startswith(part))
    for layer in domain_norms(network):
        assert not torch.equal(layer.source.running_mean, layer.target.running_mean)

    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    set_domain(network, "target")
    graph = export_graph(network.eval(), SHAPE)
    facts = compare(graph, network, images)
    assert facts["logits"] <= facts["tolerance"] * max(1, facts["largest_logit"])
