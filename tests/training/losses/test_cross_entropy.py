import math

import pytest
import torch
from torch.nn import functional

from galmorph.training.losses import class_weights, weighted_cross_entropy


def test_weights_are_inverse_frequencies_that_sum_to_one():
    # w_k = N / (K n_k) = 60 / (3 * [10, 20, 30]) = [2, 1, 2/3]
    torch.testing.assert_close(class_weights([10, 20, 30]), torch.tensor([2.0, 1.0, 2 / 3]) / (11 / 3))
    torch.testing.assert_close(class_weights([7, 7]), torch.tensor([0.5, 0.5]))


def test_class_without_images_has_no_weight():
    with pytest.raises(ValueError, match=r"at least one image, got counts \[3, 0\]"):
        class_weights([3, 0])


def test_equals_equation_4_by_hand():
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    weights = class_weights([1, 3])
    p = math.exp(2) / (math.exp(2) + 1)
    expected = -(0.75 * math.log(p) + 0.25 * math.log(0.5)) / 2
    assert weighted_cross_entropy(logits, torch.tensor([0, 1]), weights).item() == pytest.approx(expected)


def test_equal_weights_are_plain_cross_entropy_over_k():
    logits, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    for smoothing in (0.0, 0.1):
        loss = weighted_cross_entropy(logits, labels, class_weights([5] * 4), smoothing)
        torch.testing.assert_close(loss, functional.cross_entropy(logits, labels, label_smoothing=smoothing) / 4)


def test_smoothing_with_weights_agrees_with_torch_up_to_its_normalisation():
    logits, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    weights = class_weights([1, 5, 20])
    total = functional.cross_entropy(logits, labels, weight=weights, label_smoothing=0.2, reduction="sum")
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, weights, 0.2), total / 9)


def test_mean_over_batches_is_the_mean_over_all():
    logits, labels = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
    weights = class_weights([1, 5, 20])
    whole = weighted_cross_entropy(logits, labels, weights)
    halves = [weighted_cross_entropy(logits[half], labels[half], weights) for half in (slice(0, 6), slice(6, 12))]
    torch.testing.assert_close(whole, torch.stack(halves).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient(smoothing):
    logits = torch.randn(5, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    labels, weights = torch.tensor([0, 1, 2, 2, 1]), class_weights([3, 2, 9])
    weighted_cross_entropy(logits, labels, weights, smoothing).backward()
    # d/dz_j of -sum_k t_k log p_k is p_j sum_k t_k - t_j, with t = w y.
    y = (1 - smoothing) * functional.one_hot(labels, 3) + smoothing / 3
    target = y * weights
    expected = (torch.softmax(logits, 1) * target.sum(1, keepdim=True) - target) / 5
    torch.testing.assert_close(logits.grad, expected.detach())


def test_one_class_and_extreme_logits_and_empty_batch():
    assert weighted_cross_entropy(torch.tensor([[3.0]]), torch.tensor([0]), class_weights([4])).item() == 0
    far = weighted_cross_entropy(torch.tensor([[1e4, -1e4]]), torch.tensor([1]), class_weights([1, 1]))
    assert far.item() == pytest.approx(1e4)
    logits = torch.zeros(0, 3, requires_grad=True)
    empty = weighted_cross_entropy(logits, torch.zeros(0, dtype=torch.int64), class_weights([1, 1, 1]))
    empty.backward()
    assert empty.item() == 0
    assert logits.grad is not None


def test_half_precision_is_computed_in_float32():
    logits = torch.tensor([[5.0, -5.0]], dtype=torch.float16)
    loss = weighted_cross_entropy(logits, torch.tensor([0]), class_weights([1, 1]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.5 * math.log1p(math.exp(-10)), rel=1e-3)
