"""A loss that keeps classes from vanishing among the answers on a target."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.precision import full_precision


@full_precision
def vanishing_loss(logits: Tensor, shares: Tensor, least: float) -> Tensor:
    """How far the mean answer of a target batch falls short of part of each class's share in the source.

    ``sum_k pi_k max(0, ln(least pi_k) - ln p_k)`` with the source's shares ``pi`` and the mean probabilities ``p`` of
    the batch: of classes that are answered less than `least` of their share, the terms of the divergence from what they
    should keep, and 0 where there is none. Within these bounds a target may have any mix of classes; what the loss
    forbids is that clustering draws everything to one. With all terms and ``least = 1`` it would be the
    Kullback-Leibler divergence from the source's shares, which information maximisation has with even ones
    (Liang et al. 2020, equation 4).

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.
    shares : Tensor
        Of the classes in the source, summing to 1, shape ``(K,)``; 0 is allowed.
    least : float
        Part of a class's share that it should keep, from 0 to 1.

    Returns
    -------
    Tensor
        A scalar, not negative; 0 for an empty batch.
    """
    if len(logits) == 0:
        return logits.sum()
    log_mean = torch.logsumexp(functional.log_softmax(logits, dim=1), dim=0) - math.log(len(logits))
    present = shares > 0
    short = (least * shares[present]).log() - log_mean[present]
    return (shares[present] * short.clamp_min(0)).sum()
