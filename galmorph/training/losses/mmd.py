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
    centre = second.detach().mean(dim=0) if len(second) else 0.0
    first, second = first - centre, second - centre
    squares = (first**2).sum(dim=1)[:, None] + (second**2).sum(dim=1)[None, :]
    return (squares - 2 * first @ second.T).clamp(min=0)


@full_precision
def mmd(source: Tensor, target: Tensor, variances: Sequence[float] = VARIANCES) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy.

    ``mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j)`` with
    ``k(x, y) = sum_v exp(-|x - y|^2 / (2 v))``. It is about 0, and can be negative, where the distributions agree.

    Parameters
    ----------
    source, target : Tensor
        Features, shapes ``(n, d)`` and ``(m, d)``.
    variances : sequence of float
        `v` of each kernel.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, if a domain has fewer than two samples.
    """
    n, m = len(source), len(target)
    if n < 2 or m < 2:
        return 0.0 * (source.sum() + target.sum())
    within = _kernel_sum(source, source, variances, diagonal=False) / (n * (n - 1))
    within = within + _kernel_sum(target, target, variances, diagonal=False) / (m * (m - 1))
    return within - 2 * _kernel_sum(source, target, variances, diagonal=True) / (n * m)


def _kernel_sum(first: Tensor, second: Tensor, variances: Sequence[float], diagonal: bool) -> Tensor:
    """Sum of all kernels over all pairs; without `diagonal` not over pairs of a sample with itself."""
    distances = squared_distances(first, second)
    values = torch.stack([torch.exp(-distances / (2 * variance)) for variance in variances]).sum(dim=0)
    if not diagonal:
        values = values * (1 - torch.eye(len(first), dtype=values.dtype, device=values.device))
    return values.sum()
