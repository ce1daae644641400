import math

import pytest
import torch

from galmorph.training.losses import neighbourhood_loss

MEMORY = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])


def test_by_hand():
    """A sample at (1, 0) that is memory 0: it is compared with (0, 1) and with prototypes (1, 0) and (0, 2)."""
    loss = neighbourhood_loss(
        torch.tensor([[3.0, 0.0]]), MEMORY, torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0]), temperature=1.0
    )
    total = math.e + 2
    p = [1 / total, math.e / total, 1 / total]
    assert loss.item() == pytest.approx(-sum(value * math.log(value) for value in p))


def test_mean_over_samples_at_a_temperature_by_hand():
    """Two samples that are memory 0 and 1, with a cosine of 0.6, and a prototype where the first is."""
    memory, prototypes = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    features = torch.tensor([[3.0, 0.0], [1.2, 1.6]])
    loss = neighbourhood_loss(features, memory, prototypes, torch.tensor([0, 1]), temperature=0.5)
    # The first is nearer to the prototype than to the second, which is as near to both.
    total = math.exp(0.6 / 0.5) + math.exp(1 / 0.5)
    p = [math.exp(0.6 / 0.5) / total, math.exp(1 / 0.5) / total]
    assert loss.item() == pytest.approx((math.log(2) - sum(value * math.log(value) for value in p)) / 2)


def test_length_of_features_and_prototypes_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    features, prototypes = torch.randn(2, 2, generator=generator), torch.randn(3, 2, generator=generator)
    own = torch.tensor([0, 1])
    torch.testing.assert_close(
        neighbourhood_loss(features, MEMORY, prototypes, own),
        neighbourhood_loss(5 * features, MEMORY, 0.1 * prototypes, own),
    )


def test_draws_towards_the_nearest():
    features = torch.tensor([[1.0, 0.3]], requires_grad=True)
    neighbourhood_loss(features, MEMORY, torch.tensor([[1.0, 0.0]]), torch.tensor([2]), temperature=0.5).backward()
    assert features.grad[0, 1] > 0
