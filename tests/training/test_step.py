"""What a training step shows the network, strangers included."""

import pytest
import torch

from galmorph.training.domain_norm import domain_norms, split_norms
from galmorph.training.loaders import Batch, Pair
from galmorph.training.losses import NO_LABEL
from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import METHODS, Objective
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions, ViewOptions
from galmorph.training.step import observe
from galmorph.training.stretch import Stretch
from galmorph.training.terms import Setting

CLASSES, SIZE = 3, 24


def batch(seed, n):
    """Discs in noise, that strangers can be made of."""
    at = torch.arange(SIZE) - (SIZE - 1) / 2
    disc = 5.0 * (torch.hypot(at[None, :], at[:, None]) < 5)
    images = disc + torch.randn(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return Batch(images, torch.arange(n) % CLASSES, torch.arange(n))


@pytest.fixture
def network():
    torch.manual_seed(0)
    options = NetworkOptions(encoder="deepmerge")
    return build_network(options, Stretch("linear", [1.0]), bands=1, size=SIZE, classes=CLASSES)


def look(network, given, **options):
    return observe(network, given, ViewOptions(), torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_strangers_come_beside_the_same_views(network, mixed, second):
    """Where batches do not count, the answers to the domains' images are what they are without strangers."""
    network.eval()
    pair = Pair(batch(0, 6), batch(1, 5))
    plain, more = (look(network, pair, mixed=mixed, strangers=flag) for flag in (False, True))
    assert plain.strangers is None
    assert 0 < len(more.strangers.logits) <= 6
    assert more.strangers.logits.shape[1] == CLASSES
    for name in ("source", "target"):
        one, other = getattr(plain, name), getattr(more, name)
        torch.testing.assert_close(one.first.logits, other.first.logits)
        assert (one.second is None) == (other.second is None)
    # Made of the views: other than all of them.
    distances = torch.cdist(more.strangers.embedding, more.source.first.embedding)
    assert (distances > 1e-3).all()


def test_second_views_are_other_ones_and_have_no_strangers(network):
    outputs = look(network.eval(), batch(0, 6), second=True, strangers=True)
    assert not torch.equal(outputs.source.first.logits, outputs.source.second.logits)
    assert len(outputs.source.second.logits) == 6


def test_strangers_are_normalised_with_the_source(network):
    assert split_norms(network) > 0
    images = []
    layer = domain_norms(network)[0]
    for name in ("source", "target"):
        getattr(layer, name).register_forward_pre_hook(lambda _, given, name=name: images.append((name, len(given[0]))))
    look(network, Pair(batch(0, 6), batch(1, 5)), strangers=True)
    (first, together), second = images
    assert (first, second) == ("source", ("target", 5))
    assert 6 < together <= 12


def test_one_batch_for_all_where_domains_are_mixed(network):
    images = []
    network.encoder.register_forward_pre_hook(lambda _, given: images.append(len(given[0])))
    look(network, Pair(batch(0, 6), batch(1, 5)), mixed=True, strangers=True)
    assert len(images) == 1
    assert 11 < images[0] <= 17


@pytest.mark.parametrize("name", METHODS)
def test_a_whole_step_of_every_method_in_mixed_precision(name):
    """As on a GPU, with every kind of view: the total and all gradients are finite."""
    torch.manual_seed(0)
    options, stretch = NetworkOptions(encoder="deepmerge"), Stretch("linear", [1.0])
    network = build_network(
        options, stretch, bands=1, size=SIZE, classes=CLASSES, open_head=METHODS[name].open_head
    ).train()
    setting = Setting([4] * CLASSES, 8, *network.lengths(1, SIZE))
    objective = Objective(MethodOptions(name=name, weights={"strangers": 0.5}), setting)
    source = batch(0, 12)
    given = Pair(source, Batch(source.images.flip(0)[:8], torch.full((8,), NO_LABEL), torch.arange(8)))
    views = ViewOptions(shift=1.0, colour=1.0, brightness=0.3, blur=1.5)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = observe(
            network,
            given if objective.adapts else source,
            views,
            torch.Generator().manual_seed(0),
            second=objective.second,
            mixed=True,
            strangers=True,
        )
        total, parts, _ = objective(outputs)
    total.backward()
    assert total.isfinite()
    assert all(value.isfinite() for value in parts.values())
    gradients = [value.grad for value in network.encoder.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
