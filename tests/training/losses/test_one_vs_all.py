import math

import pytest
import torch

from galmorph.training.losses import entropy, joint_logits, one_vs_all_loss, open_entropy


def open_logits(*inside):
    """Logits whose classifiers give these probabilities of being inside."""
    p = torch.tensor(inside)
    return torch.stack([1 - p, p], dim=2).log()


def test_by_hand():
    """Of class 0 with 0.9; wrongly inside class 1 with 0.2 and class 2 with 0.6, the harder."""
    loss = one_vs_all_loss(open_logits([0.9, 0.2, 0.6]), torch.tensor([0]))
    assert loss.item() == pytest.approx(-math.log(0.9) - math.log(0.4), rel=1e-5)


def test_only_the_hardest_class_has_a_gradient():
    logits = open_logits([0.9, 0.2, 0.6]).requires_grad_(True)
    one_vs_all_loss(logits, torch.tensor([0])).backward()
    assert logits.grad.abs().sum(dim=2)[0].gt(0).tolist() == [True, False, True]


def test_open_entropy():
    assert open_entropy(open_logits([0.5, 0.5], [0.5, 0.5])).item() == pytest.approx(math.log(2))
    expected = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert open_entropy(open_logits([0.1, 0.9])).item() == pytest.approx(expected)


def test_energy_of_joint_logits_is_the_log_probability_of_being_known():
    logits, inside = torch.tensor([[0.5, 0.3, 0.2]]).log(), open_logits([0.9, 0.5, 0.1])
    joint = joint_logits(logits, inside)
    assert joint.logsumexp(dim=1).item() == pytest.approx(math.log(0.45 + 0.15 + 0.02), rel=1e-5)


def test_joint_logits_of_certain_classifiers_change_nothing():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    joint = joint_logits(logits, torch.tensor([[[0.0, 50.0]] * 3]))
    torch.testing.assert_close(joint.softmax(dim=1), logits.softmax(dim=1))
    torch.testing.assert_close(entropy(joint), entropy(logits))
