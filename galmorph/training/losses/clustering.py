"""Adaptive clustering: pairs whose ranks agree are drawn together (DeepAstroUDA, equations 1 and 2; Li et al. 2021)."""

import torch
from torch import Tensor

from galmorph.training.losses.precision import full_precision

#: Probability of a pair is kept this far from 0 and 1.
EPSILON = 1e-6


def rank_codes(values: Tensor, top: int, *, ordered: bool) -> Tensor:
    """The positions of the largest entries as one number, so that comparing a pair is one comparison.

    Parameters
    ----------
    values : Tensor
        Probabilities or features, shape ``(n, K)``.
    top : int
        How many of the largest entries count, at most K.
    ordered : bool
        Whether their order counts, or only which they are.

    Returns
    -------
    Tensor of int
        Shape ``(n,)``; equal where the ranks agree. Where K^top has no room in 64 bits, positions are hashed.
    """
    places = values.detach().topk(top, dim=1).indices
    if not ordered:
        places = places.sort(dim=1).values
    code = torch.zeros(len(values), dtype=torch.int64, device=values.device)
    # Whole numbers overflow by wrapping; times an odd number that loses nothing.
    step = values.shape[1] if values.shape[1] ** top < 2**63 else 6364136223846793005
    for column in range(top):
        code = code * step + places[:, column]
    return code


@full_precision
def pair_scores(first: Tensor, second: Tensor) -> Tensor:
    """Probability that two samples are of one class, ``p_i . p_j``.

    Parameters
    ----------
    first, second : Tensor
        Probabilities, shapes ``(n, K)`` and ``(m, K)``.

    Returns
    -------
    Tensor
        Shape ``(n, m)``.
    """
    return first @ second.T


@full_precision
def clustering_loss(scores: Tensor, similar: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy of pairs, the mean over those that count.

    Parameters
    ----------
    scores : Tensor
        From `pair_scores`, shape ``(n, m)``.
    similar : Tensor of bool
        Whether a pair is to be drawn together or pushed apart, same shape.
    counted : Tensor of bool
        Which pairs count, same shape.

    Returns
    -------
    Tensor
        A scalar, never infinite; 0, with a gradient of 0, if no pair counts.
    """
    right = torch.where(similar, scores, 1 - scores).clamp(min=EPSILON, max=1.0)
    return -(right.log() * counted).sum() / counted.sum().clamp(min=1)
