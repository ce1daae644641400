"""Maximum mean discrepancy with a sum of Gaussian kernels (DeepMerge II, equations 6 and 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from galmorph.training.losses.precision import full_precision

#: Variances of the kernels in the code that the paper's authors built on.
VARIANCES = (
    *(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    *(1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0),
    *(1e3, 1e4, 1e5, 1e6),
)

#: Sum of weights below which none counts.
LEAST = 1e-12


@full_precision
def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """``|x_i - y_j|^2`` by the Gram form, without a tensor of shape ``(n, m, d)``.

    Parameters
    ----------
    first, second : Tensor
        Shapes ``(n, d)`` and ``(m, d)``.

    Returns
    -------
    Tensor
        Shape ``(n, m)``, not negative.
    """
    # Distances do not feel a common shift, but the rounding of the squares below does.
    # The mean of nothing is no number, nor would the gradient be one.
    centre = second.detach().mean(dim=0) if len(second) else 0.0
    first, second = first - centre, second - centre
    squares = (first**2).sum(dim=1)[:, None] + (second**2).sum(dim=1)[None, :]
    return (squares - 2 * first @ second.T).clamp(min=0)


@full_precision
def mmd(
    source: Tensor, target: Tensor, variances: Sequence[float] = VARIANCES, weights: Tensor | None = None
) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy.

    ``mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j)`` with
    ``k(x, y) = sum_v exp(-|x - y|^2 / (2 v))``. It is about 0, and can be negative, where the distributions agree.

    Parameters
    ----------
    source, target : Tensor
        Features, shapes ``(n, d)`` and ``(m, d)``.
    variances : sequence of float
        `v` of each kernel.
    weights : Tensor, optional
        What each of the source's samples counts, shape ``(n,)``: means are weighted by it, and of pairs by the product.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, if a domain has fewer than two samples.
    """
    if len(source) < 2 or len(target) < 2:
        return 0.0 * (source.sum() + target.sum())
    w = torch.ones_like(source[:, 0]) if weights is None else weights.to(source)
    even = torch.ones_like(target[:, 0])
    within = _kernel_mean(source, source, variances, _without_diagonal(w))
    within = within + _kernel_mean(target, target, variances, _without_diagonal(even))
    return within - 2 * _kernel_mean(source, target, variances, torch.outer(w, even))


def _without_diagonal(weights: Tensor) -> Tensor:
    """Products of the weights of all pairs but those of a sample with itself."""
    products = torch.outer(weights, weights)
    return products - torch.diag(products.diagonal())


def _kernel_mean(first: Tensor, second: Tensor, variances: Sequence[float], weights: Tensor) -> Tensor:
    """Weighted mean over pairs of the sum of all kernels; 0 where no pair counts."""
    distances = squared_distances(first, second)
    values = torch.stack([torch.exp(-distances / (2 * variance)) for variance in variances]).sum(dim=0)
    return (weights * values).sum() / weights.sum().clamp(min=LEAST)
