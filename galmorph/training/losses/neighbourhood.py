"""Neighbourhood clustering of DANCE (Saito et al. 2020, section 3.2)."""

import torch
from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.entropy import entropy
from galmorph.training.losses.precision import full_precision


@full_precision
def neighbourhood_loss(
    features: Tensor, memory: Tensor, prototypes: Tensor, own: Tensor, temperature: float = 0.05
) -> Tensor:
    """Mean entropy of the similarity of target samples to all others and to the class prototypes (equation 3).

    Parameters
    ----------
    features : Tensor
        Of a target batch, shape ``(n, d)``; their length does not matter.
    memory : Tensor
        Features of all target samples as last seen, of length 1 or, where none was seen yet, 0. Shape ``(N, d)``.
    prototypes : Tensor
        Weights of the classifier, shape ``(K, d)``; their length does not matter.
    own : Tensor of int
        Place of each sample of the batch in the memory, where it is not compared with itself. Shape ``(n,)``.
    temperature : float
        Divides the cosines.

    Returns
    -------
    Tensor
        A scalar; 0 for an empty batch.
    """
    features = functional.normalize(features, dim=1)
    left_out = (torch.linalg.vector_norm(memory, dim=1) == 0)[None, :].repeat(len(features), 1)
    left_out[torch.arange(len(features), device=own.device), own] = True
    # A large negative number and not -inf, of which the entropy would make no number.
    neighbours = (features @ memory.T / temperature).masked_fill(left_out, -1e4)
    classes = features @ functional.normalize(prototypes, dim=1).T / temperature
    return entropy(torch.cat([neighbours, classes], dim=1)).sum() / max(1, len(features))
