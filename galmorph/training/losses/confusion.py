"""Minimum class confusion (Jin et al. 2020)."""

from torch import Tensor

from galmorph.training.losses.entropy import entropy
from galmorph.training.losses.precision import full_precision


@full_precision
def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Mean confusion between classes on a target batch (equations 1 to 6).

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``.
    temperature : float
        Divides the logits.

    Returns
    -------
    Tensor
        A scalar from 0 to ``(K - 1) / K``; 0 for an empty batch.
    """
    n, classes = logits.shape
    if not n:
        return logits.sum()
    probabilities = (logits / temperature).softmax(dim=1)
    certainty = 1 + (-entropy(logits / temperature).detach()).exp()
    weights = n * certainty / certainty.sum()
    confusion = (probabilities * weights[:, None]).T @ probabilities
    confusion = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return (confusion.sum() - confusion.trace()) / classes
