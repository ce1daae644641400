import math

import pytest
import torch

from galmorph.training.losses import (
    Discriminator,
    domain_loss,
    multilinear_map,
    randomised_map,
    reversal_ramp,
    reverse_gradient,
)


def test_binary_cross_entropy_by_hand():
    source, target = torch.tensor([[math.log(3)]]), torch.tensor([[0.0], [math.log(3)]])
    expected = (-math.log(0.75) - math.log(0.5) - math.log(0.25)) / 3
    assert domain_loss(source, target).item() == pytest.approx(expected)
    assert domain_loss(torch.zeros(3, 1), torch.zeros(5, 1)).item() == pytest.approx(math.log(2))
    assert domain_loss(torch.zeros(0, 1), torch.zeros(0, 1)).item() == 0


def test_weighted_binary_cross_entropy_by_hand():
    source, target = torch.tensor([[math.log(3)], [0.0]]), torch.tensor([[0.0]])
    # Weights of 3 and 1 count as 1.5 and 0.5, two together.
    expected = (-1.5 * math.log(0.75) - 0.5 * math.log(0.5) - math.log(0.5)) / 3
    assert domain_loss(source, target, torch.tensor([3.0, 1.0])).item() == pytest.approx(expected)
    assert domain_loss(source, target, torch.ones(2)).item() == pytest.approx(domain_loss(source, target).item())


def test_reversal():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [-1.5, -2.0]


def test_reversal_is_of_full_strength_unless_told_otherwise():
    x = torch.tensor([2.0], requires_grad=True)
    reverse_gradient(x).backward()
    assert x.grad.item() == -1


def test_ramp():
    assert reversal_ramp(0) == 0
    assert reversal_ramp(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert reversal_ramp(1) == pytest.approx(1, abs=1e-4)


def test_a_step_makes_the_discriminator_better_and_the_features_worse_for_it():
    torch.manual_seed(0)
    judge = Discriminator(3).eval()
    source, target = (torch.randn(20, 3) + shift for shift in (0.5, -0.5))
    features = torch.cat([source, target]).requires_grad_(True)
    values = judge(reverse_gradient(features))
    before = domain_loss(values[:20], values[20:])
    before.backward()
    with torch.no_grad():
        moved = judge(features - 0.5 * features.grad)
        assert domain_loss(moved[:20], moved[20:]) > before
        for parameter in judge.parameters():
            parameter -= 0.05 * parameter.grad
        values = judge(features)
        assert domain_loss(values[:20], values[20:]) < before


def test_discriminator_is_the_papers():
    assert sum(p.numel() for p in Discriminator(2592).parameters()) == 2592 * 1024 + 1024 + 1024 + 1


def test_discriminator_by_hand():
    """Two features, two hidden units of which one is negative, and half of the units dropped in training."""
    judge = Discriminator(2, hidden=2)
    first, last = judge[0], judge[-1]
    for layer, weight, bias in ((first, [[1.0, 2.0], [-1.0, 1.0]], [0.5, 0.0]), (last, [[2.0, 3.0]], [1.0])):
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    # Hidden 5.5 and, cut at 0, -1.
    assert judge.eval()(torch.tensor([[3.0, 1.0]])).item() == 1 + 2 * 5.5
    torch.manual_seed(0)
    values = judge.train()(torch.tensor([[3.0, 1.0]]).repeat(2000, 1))
    # What stays counts twice, so that the mean is that without dropping.
    assert set(values.flatten().tolist()) == {1.0, 1 + 2 * 2 * 5.5}
    assert values.mean().item() == pytest.approx(12, abs=1)


def test_multilinear_map():
    assert multilinear_map(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25, 0.75]])).tolist() == [
        [0.25, 0.75, 0.5, 1.5]
    ]


def test_randomised_map_keeps_inner_products():
    rng = torch.Generator().manual_seed(0)
    f, p = torch.randn(2, 6, generator=rng), torch.randn(2, 3, generator=rng).softmax(dim=1)
    exact = multilinear_map(f, p)
    mapped = randomised_map(f, p, torch.randn(6, 200_000, generator=rng), torch.randn(3, 200_000, generator=rng))
    torch.testing.assert_close(mapped @ mapped.T, exact @ exact.T, rtol=0.05, atol=0.05)
