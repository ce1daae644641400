import pytest
import torch

from galmorph.training.losses import class_centroids, fisher_ratio

FEATURES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 1.0]])
LABELS = torch.tensor([0, 0, 1])


def ratio(features, labels, classes=2, **options):
    return fisher_ratio(features, labels, *class_centroids(features, labels, classes), **options)


def test_by_hand():
    """Within: 1 + 1 + 0. Between: centroids (1, 0) and (5, 1), each half of sqrt(17) from their mean."""
    assert ratio(FEATURES, LABELS).item() == pytest.approx(2 / 8.5)
    assert ratio(FEATURES, LABELS, within=0.01, between=2.0).item() == pytest.approx(0.01 * 2 / (2 * 8.5))


def test_does_not_feel_shift_or_scale():
    torch.testing.assert_close(ratio(3 * FEATURES - 7, LABELS), ratio(FEATURES, LABELS))


def test_classes_that_are_not_in_the_batch_do_not_count():
    torch.testing.assert_close(ratio(FEATURES, 3 * LABELS, classes=5), ratio(FEATURES, LABELS))


def test_one_class():
    features = FEATURES.clone().requires_grad_(True)
    value = ratio(features, torch.zeros(3, dtype=torch.int64))
    value.backward()
    assert value.item() == 0
    assert not features.grad.any()


def test_learned_centroids_have_a_gradient():
    """Of 20 / 1: (dW - 20 dB) with dW = 2 sum (c - x) and dB = 2 (c - mean)."""
    centroids = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    value = fisher_ratio(FEATURES, LABELS, centroids, torch.ones(2, dtype=torch.bool))
    value.backward()
    assert value.item() == pytest.approx(20)
    assert centroids.grad.tolist() == [[-4 + 20, 0 + 20], [-8 - 20, 0 - 20]]


@pytest.mark.parametrize("samples", [0, 3])
def test_learned_centroids_of_less_than_two_classes_have_a_gradient_of_0(samples):
    centroids = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    present = torch.tensor([True, samples == 0])
    fisher_ratio(FEATURES[:samples], torch.zeros(samples, dtype=torch.int64), centroids, present).backward()
    assert centroids.grad.tolist() == [[0, 0], [0, 0]]


def test_coinciding_centroids_do_not_divide_by_zero():
    features = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], requires_grad=True)
    value = ratio(features, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert value.isfinite()
    assert features.grad.isfinite().all()
