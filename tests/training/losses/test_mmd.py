import math

import numpy as np
import pytest
import torch

from galmorph.training.losses import VARIANCES, mmd
from galmorph.training.losses.mmd import squared_distances


def test_by_hand():
    """Two points at 0 and 2, two at 1 and 3, one kernel of variance 2."""
    source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    k = {0: 1.0, 1: math.exp(-1 / 4), 2: math.exp(-1.0), 3: math.exp(-9 / 4)}
    expected = k[2] + k[2] - 2 * (3 * k[1] + k[3]) / 4
    assert mmd(source, target, [2.0]).item() == pytest.approx(expected, rel=1e-6)


def test_weighted_by_hand():
    """Points at 0, 2 and 3 that count 1, 2 and 1, two at 1 and 3, one kernel of variance 2."""
    source, target = torch.tensor([[0.0], [2.0], [3.0]]), torch.tensor([[1.0], [3.0]])
    k = {0: 1.0, 1: math.exp(-1 / 4), 2: math.exp(-1.0), 3: math.exp(-9 / 4)}
    # Pairs of different samples, by the product of what they count.
    within = (2 * k[2] + 2 * k[1] + 1 * k[3]) / 5
    across = (1 * (k[1] + k[3]) + 2 * (k[1] + k[1]) + 1 * (k[2] + k[0])) / 8
    found = mmd(source, target, [2.0], torch.tensor([1.0, 2.0, 1.0])).item()
    assert found == pytest.approx(within + k[2] - 2 * across, rel=1e-6)


def test_what_counts_nothing_might_not_be_there():
    rng = torch.Generator().manual_seed(3)
    source, target = torch.randn(6, 3, generator=rng), torch.randn(5, 3, generator=rng)
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    torch.testing.assert_close(mmd(source, target, weights=weights), mmd(source[weights > 0], target))
    torch.testing.assert_close(mmd(source, target, weights=torch.full((6,), 2.0)), mmd(source, target))


def test_kernels_are_those_of_the_papers_code():
    powers = [10.0**n for n in (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6)]
    assert sorted([*powers, 5, 15, 20, 25, 30, 35]) == pytest.approx(VARIANCES)
    assert len(VARIANCES) == 19


def test_kernels_are_summed():
    rng = torch.Generator().manual_seed(0)
    source, target = torch.randn(6, 3, generator=rng), torch.randn(5, 3, generator=rng)
    parts = sum(mmd(source, target, [variance]) for variance in VARIANCES)
    torch.testing.assert_close(mmd(source, target), parts)


def test_unbiased_where_distributions_agree():
    rng = torch.Generator().manual_seed(0)
    values = [mmd(torch.randn(16, 3, generator=rng), torch.randn(16, 3, generator=rng)).item() for _ in range(400)]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert error < 0.02


def test_does_not_feel_shifts_and_turns_of_both_domains():
    rng = torch.Generator().manual_seed(1)
    source = torch.randn(8, 4, generator=rng, dtype=torch.float64)
    target = torch.randn(9, 4, generator=rng, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=rng, dtype=torch.float64))
    torch.testing.assert_close(mmd(source @ turn + 3, target @ turn + 3), mmd(source, target))
    torch.testing.assert_close(mmd(target, source), mmd(source, target))


def test_gram_form_far_from_the_origin():
    rng = torch.Generator().manual_seed(2)
    x, y = torch.randn(20, 50, generator=rng) + 100, torch.randn(30, 50, generator=rng) + 100
    expected = torch.cdist(x.double(), y.double()).pow(2).float()
    torch.testing.assert_close(squared_distances(x, y), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n", "m"), [(3, 0), (0, 3), (0, 0)])
def test_of_nothing_there_are_no_distances_and_gradients_are_0(n, m):
    x, y = torch.randn(n, 4, requires_grad=True), torch.randn(m, 4)
    distances = squared_distances(x, y)
    assert distances.shape == (n, m)
    distances.sum().backward()
    assert torch.equal(x.grad, torch.zeros(n, 4))


def test_gradient_draws_domains_together():
    source = (torch.arange(4)[:, None] / 10).requires_grad_(True)
    mmd(source, source.detach() + 3).backward()
    assert source.grad.sum() < 0
