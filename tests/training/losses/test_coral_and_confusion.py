import numpy as np
import pytest
import torch

from galmorph.training.losses import class_confusion, coral


def test_coral_by_hand():
    """Covariances diag(2, 0) and diag(0, 8)."""
    source, target = torch.tensor([[1.0, 3.0], [-1.0, 3.0]]), torch.tensor([[5.0, 2.0], [5.0, -2.0]])
    assert coral(source, target).item() == pytest.approx((4 + 64) / 16)


def test_coral_feels_no_shift():
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert coral(x, x + 5).item() == pytest.approx(0, abs=1e-10)


def test_weighted_coral_is_that_of_weighted_covariances():
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (6, 7))
    weights = np.array([0.0, 2.0, 0.5, 1.0, 3.0, 0.25])
    expected = (np.cov(source.numpy().T, aweights=weights) - np.cov(target.numpy().T)) ** 2
    assert coral(source, target, torch.from_numpy(weights)).item() == pytest.approx(expected.sum() / (4 * 4**2))
    torch.testing.assert_close(coral(source, target, torch.full((6,), 0.2)), coral(source, target))


def test_a_source_that_counts_nothing_has_no_covariance():
    source, target = torch.randn(4, 2), torch.tensor([[5.0, 2.0], [5.0, -2.0]])
    assert coral(source, target, torch.zeros(4)).item() == pytest.approx(64 / 16)


def test_a_class_that_nothing_is_taken_for_is_confused_with_none():
    """Its probability underflows to 0 in the whole batch."""
    logits = torch.tensor([[500.0, 500.0, -500.0]]).repeat(3, 1).requires_grad_(True)
    value = class_confusion(logits, 2.5)
    value.backward()
    # Each of the two others is taken for the other in half of the cases.
    assert value.item() == pytest.approx((0.5 + 0.5) / 3)
    assert logits.grad.isfinite().all()


def test_confusion_of_certain_predictions_is_0():
    assert class_confusion(1000 * torch.eye(3), 2.5).item() == pytest.approx(0, abs=1e-6)


def test_confusion_of_ignorance_is_that_of_chance():
    assert class_confusion(torch.zeros(5, 4), 2.5).item() == pytest.approx(3 / 4)


def test_confusion_by_hand():
    """Two samples of the same certainty: C = P^T P, each row divided by its sum."""
    p = torch.tensor([[0.8, 0.2], [0.2, 0.8]])
    assert class_confusion(p.log(), temperature=1.0).item() == pytest.approx(0.32)


def test_confusion_of_unlike_certainties_weighs_them_and_holds_the_weights_constant():
    """Equations 2 to 6, differentiated by torch with constant weights."""
    logits = 2 * torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits.requires_grad_(True)
    p = (logits / 2.5).softmax(dim=1)
    with torch.no_grad():
        certainty = 1 + torch.exp((p * p.log()).sum(dim=1))
        weights = torch.diag(7 * certainty / certainty.sum())
    confusion = p.T @ weights @ p
    confusion = confusion / confusion.sum(dim=1, keepdim=True)
    expected = (confusion.sum() - confusion.diagonal().sum()) / 4
    found = class_confusion(logits, 2.5)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (found, expected)))


@pytest.mark.parametrize("length", [3, 11, 12, 500])
def test_coral_of_features_of_any_length_is_the_formula(length):
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(n, length, generator=generator, dtype=torch.float64) for n in (5, 6))
    expected = (np.cov(source.numpy().T) - np.cov(target.numpy().T)) ** 2
    assert coral(source, target).item() == pytest.approx(expected.sum() / (4 * length**2))
    assert coral(source.float(), target.float()).item() == pytest.approx(expected.sum() / (4 * length**2), rel=1e-5)
    assert coral(source, source).item() == pytest.approx(0, abs=1e-12)
