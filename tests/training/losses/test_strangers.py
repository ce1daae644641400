import math

import pytest
import torch

from galmorph.training.losses import stranger_loss


def test_even_answers_cost_least():
    even = torch.zeros(5, 3)
    assert float(stranger_loss(even)) == pytest.approx(math.log(3))
    assert float(stranger_loss(torch.eye(3) * 2)) > math.log(3)


def test_by_hand():
    logits = torch.tensor([[math.log(0.5), math.log(0.25), math.log(0.25)]])
    assert float(stranger_loss(logits)) == pytest.approx((math.log(2) + 2 * math.log(4)) / 3)
    open_logits = torch.zeros(1, 3, 2)
    open_logits[0, 0] = torch.tensor([math.log(3.0), 0.0])  # three quarters sure that it is not of class 0
    expected = (math.log(2) + 2 * math.log(4)) / 3 + (math.log(4 / 3) + 2 * math.log(2)) / 3
    assert float(stranger_loss(logits, open_logits)) == pytest.approx(expected)


def test_is_the_cross_entropy_from_the_even_distribution():
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cross_entropy(logits, torch.full((7, 4), 0.25))
    torch.testing.assert_close(stranger_loss(logits), expected)


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    open_logits = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(stranger_loss, (logits, open_logits))


def test_edges():
    assert float(stranger_loss(torch.zeros(0, 3), torch.zeros(0, 3, 2))) == 0
    assert float(stranger_loss(torch.zeros(4, 1))) == 0  # one class: the even answer is the only one
    sure = torch.tensor([[200.0, -200.0]], requires_grad=True)
    stranger_loss(sure).backward()
    assert torch.isfinite(sure.grad).all()
