"""Weighted cross-entropy on labelled images (DeepAstroUDA, equation 4)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def class_weights(counts: Sequence[int]) -> Tensor:
    """Weights ``w_k = N / (K n_k)`` divided by their sum.

    Parameters
    ----------
    counts : sequence of int
        Training images of each class, all positive.

    Returns
    -------
    Tensor
        Shape ``(K,)``, sums to 1; ``1 / K`` each when classes are equally frequent.

    Raises
    ------
    ValueError
        If a class has no image.
    """
    numbers = torch.tensor(list(counts), dtype=torch.float64)
    if (numbers <= 0).any():
        raise ValueError(f"every class needs at least one image, got counts {list(counts)}")
    weights = numbers.sum() / (len(numbers) * numbers)
    return (weights / weights.sum()).to(torch.float32)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """``-sum_k w_k y_k ln p_k``, the mean over the batch.

    The weights are normalised over classes, as the paper prints, and not over the batch, as PyTorch does: so an
    image counts the same whatever others are in its batch, and the mean over an epoch's batches is the loss of the
    epoch. With equal weights it is the plain cross-entropy divided by K.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.
    labels : Tensor of int
        True classes, shape ``(n,)``.
    weights : Tensor
        From `class_weights`, shape ``(K,)``.
    smoothing : float
        `y` is ``1 - smoothing`` at the true class, plus ``smoothing / K`` at every class.

    Returns
    -------
    Tensor
        A scalar in float32; 0, with a gradient of 0, for an empty batch.
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    target = functional.one_hot(labels, logits.shape[1]).to(log_p.dtype)
    target = (1 - smoothing) * target + smoothing / logits.shape[1]
    return -(target * log_p * weights).sum() / max(len(labels), 1)
