"""Domain-adversarial training (Ganin et al. 2016; DeepMerge II, equations 8 and 9) and its conditional form."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from galmorph.training.losses.precision import full_precision


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(values: Tensor, strength: float = 1.0) -> Tensor:
    """The values as they are, with a gradient times ``-strength``.

    Parameters
    ----------
    values : Tensor
        Any shape.
    strength : float
        Factor of the reversed gradient.

    Returns
    -------
    Tensor
        The same values.
    """
    reversed_values: Tensor = _Reverse.apply(values, strength)
    return reversed_values


def reversal_ramp(progress: float) -> float:
    """Strength of the reversal ``2 / (1 + exp(-10 p)) - 1`` (Ganin et al. 2016, section 5.2.2).

    Parameters
    ----------
    progress : float
        Share of the training that is done, 0 to 1.

    Returns
    -------
    float
        From 0 to nearly 1.
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


class Discriminator(nn.Sequential):
    """Tells domains apart: d to 1024, ReLU, dropout of one half, to 1 (DeepMerge II, section 3).

    Parameters
    ----------
    features : int
        d.
    hidden : int
        Units of the hidden layer.
    """

    def __init__(self, features: int, hidden: int = 1024) -> None:
        super().__init__(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 1))


@full_precision
def domain_loss(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of a discriminator; source is 1, target is 0.

    Parameters
    ----------
    source, target : Tensor
        What the discriminator gives before the sigmoid, shapes ``(n, 1)`` and ``(m, 1)``.
    weights : Tensor, optional
        What each of the source's samples counts, shape ``(n,)``; together they count as many as there are.

    Returns
    -------
    Tensor
        A scalar, the mean over all samples; ``ln 2`` for a discriminator that knows nothing, 0 without samples.
    """
    of_source = functional.softplus(-source)
    if weights is not None:
        of_source = of_source * (weights / weights.mean().clamp(min=1e-12)).to(source)[:, None]
    total = of_source.sum() + functional.softplus(target).sum()
    return total / max(1, source.numel() + target.numel())


@full_precision
def multilinear_map(features: Tensor, probabilities: Tensor) -> Tensor:
    """Outer product of features and probabilities (CDAN, Long et al. 2018, equation 4).

    Parameters
    ----------
    features : Tensor
        Shape ``(n, d)``.
    probabilities : Tensor
        Shape ``(n, K)``.

    Returns
    -------
    Tensor
        Shape ``(n, d K)``.
    """
    return torch.einsum("nd,nk->ndk", features, probabilities).flatten(start_dim=1)


@full_precision
def randomised_map(features: Tensor, probabilities: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Randomised form of `multilinear_map`, for long features (Long et al. 2018, equation 6).

    Parameters
    ----------
    features : Tensor
        Shape ``(n, d)``.
    probabilities : Tensor
        Shape ``(n, K)``.
    first, second : Tensor
        Fixed standard normal matrices, shapes ``(d, r)`` and ``(K, r)``.

    Returns
    -------
    Tensor
        ``(F R_1) * (P R_2) / sqrt(r)``, shape ``(n, r)``; its inner products have those of `multilinear_map` as
        expectation.
    """
    return (features @ first) * (probabilities @ second) / math.sqrt(first.shape[1])
