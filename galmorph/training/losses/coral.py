"""Correlation alignment (Deep CORAL, Sun & Saenko 2016)."""

import math

from torch import Tensor

from galmorph.training.losses.precision import full_precision

#: Sum of weights below which none counts.
LEAST = 1e-12


@full_precision
def coral(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """``|C_s - C_t|_F^2 / (4 d^2)`` with the unbiased covariances of features (equation 1).

    Parameters
    ----------
    source, target : Tensor
        Features, shapes ``(n, d)`` and ``(m, d)``.
    weights : Tensor, optional
        What each of the source's samples counts in its mean and covariance, shape ``(n,)``.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, if a domain has fewer than two samples.
    """
    if len(source) < 2 or len(target) < 2:
        return 0.0 * (source.sum() + target.sum())
    first, second = _rows(source, weights), _rows(target)
    if source.shape[1] <= len(source) + len(target):
        square = (first.T @ first - second.T @ second).square().sum()
    else:
        # The same from products of samples, which are fewer than those of features.
        square = (first @ first.T).square().sum() + (second @ second.T).square().sum()
        square = square - 2 * (first @ second.T).square().sum()
    return square / (4 * source.shape[1] ** 2)


def _rows(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """A matrix of which the covariance is its transpose times itself."""
    if weights is None:
        return (features - features.mean(dim=0)) / math.sqrt(len(features) - 1)
    w = weights.to(features)[:, None]
    # Unbiased for weights that say how much a sample counts: the sum less the share of it that each counts itself.
    total = w.sum().clamp(min=LEAST)
    freedom = (total - w.square().sum() / total).clamp(min=LEAST)
    return (features - (w * features).sum(dim=0) / total) * (w / freedom).sqrt()
