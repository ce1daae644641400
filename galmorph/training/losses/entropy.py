"""Losses of the entropy of predictions: its minimisation, and its separation about a boundary."""

from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.precision import full_precision


@full_precision
def entropy(logits: Tensor) -> Tensor:
    """``-sum_k p_k ln p_k`` of each sample, from logits, so that it is finite where a probability is 0.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.

    Returns
    -------
    Tensor
        In nats, shape ``(n,)``.
    """
    log_p = functional.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


@full_precision
def entropy_minimisation(logits: Tensor) -> Tensor:
    """Mean entropy of a target batch (DeepMerge II, equation 11; Grandvalet & Bengio 2005).

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.

    Returns
    -------
    Tensor
        A scalar; 0 for an empty batch.
    """
    return entropy(logits).sum() / max(1, len(logits))


@full_precision
def entropy_separation(logits: Tensor, rho: float, margin: float) -> Tensor:
    """Push entropies away from a boundary (DeepAstroUDA, equation 3).

    The mean over the target batch of ``-|H - rho|`` where ``|H - rho| > margin``, else 0: entropy below the boundary
    is lowered (known classes), above it raised (unknown).

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.
    rho : float
        The boundary, in nats.
    margin : float
        Samples within it are left alone, in nats.

    Returns
    -------
    Tensor
        A scalar, not positive; 0 for an empty batch.
    """
    distance = (entropy(logits) - rho).abs()
    return -(distance * (distance > margin)).sum() / max(1, len(logits))


def active_fraction(logits: Tensor, rho: float, margin: float) -> Tensor:
    """Share of samples that `entropy_separation` moves.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.
    rho, margin : float
        As there.

    Returns
    -------
    Tensor
        A scalar from 0 to 1, without gradient.
    """
    distance = (entropy(logits.detach()) - rho).abs()
    return (distance > margin).sum() / max(1, len(logits))
