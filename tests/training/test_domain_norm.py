import pytest
import torch

from galmorph.training.domain_norm import DomainNorm, domain_norms, set_domain, split_norms, start_target_from_source
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch

STRETCH = Stretch("asinh", [1.0, 1.0, 1.0])


def images(seed, shift=0.0):
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) + shift


def build(encoder):
    torch.manual_seed(0)
    options = {"channels": [8, 8, 8, 8]} if encoder == "resnet18" else {}
    return build_network(NetworkOptions(encoder=encoder, encoder_options=options), STRETCH, bands=3, size=32, classes=3)


@pytest.mark.parametrize("encoder", ["deepmerge", "resnet18", "mobilenetv3_small_050", "efficientnet_lite0"])
def test_any_encoder_is_converted_and_computes_the_same(encoder):
    network = build(encoder).eval()
    before, _ = network(images(0))
    layers = sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert split_norms(network) == layers == len(domain_norms(network)) > 0
    for domain in ("source", "target"):
        set_domain(network, domain)
        torch.testing.assert_close(network.eval()(images(0))[0], before)


def test_each_domain_has_statistics_of_its_own():
    network = build("deepmerge")
    split_norms(network)
    layer = domain_norms(network)[0]
    start = layer.target.running_mean.clone()
    network.train()(images(0, shift=3.0))
    assert torch.equal(layer.target.running_mean, start)
    source = layer.source.running_mean.clone()
    assert not torch.equal(source, start)
    set_domain(network, "target")
    network(images(1, shift=-3.0))
    assert torch.equal(layer.source.running_mean, source)
    assert not torch.equal(layer.target.running_mean, start)


def test_each_domain_has_parameters_of_its_own_and_starts_from_the_sources():
    network = build("deepmerge")
    split_norms(network)
    layer = domain_norms(network)[0]
    set_domain(network, "source")
    network(images(0))[0].sum().backward()
    assert layer.source.weight.grad.abs().sum() > 0
    assert layer.target.weight.grad is None
    layer.source.weight.data.fill_(7.0)
    layer.source.bias.data.fill_(3.0)
    layer.target.running_mean.fill_(5.0)
    start_target_from_source(network)
    assert layer.target.weight.tolist() == [7.0] * 8
    assert layer.target.bias.tolist() == [3.0] * 8
    # What was seen of a domain stays its own.
    assert layer.target.running_mean.tolist() == [5.0] * 8
    assert layer.source.running_mean.tolist() != [5.0] * 8
    layer.source.weight.data.fill_(8.0)
    assert layer.target.weight.tolist() == [7.0] * 8


def test_shared_normalisation_knows_no_domain():
    network = build("deepmerge").eval()
    before, _ = network(images(0))
    set_domain(network, "target")
    start_target_from_source(network)
    assert not any(isinstance(module, DomainNorm) for module in network.modules())
    torch.testing.assert_close(network(images(0))[0], before)
