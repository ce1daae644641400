"""One classifier for each class against all others (OVANet, Saito & Saenko 2021).

Logits have the shape ``(n, K, 2)``: for each class, that a sample is not of it (0) and that it is (1).
"""

import torch
from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.precision import full_precision


@full_precision
def one_vs_all_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Of its own class, and not of the class it is most likely taken for (equation 1).

    Parameters
    ----------
    logits : Tensor
        Of labelled images, shape ``(n, K, 2)``.
    labels : Tensor of int
        Shape ``(n,)``.

    Returns
    -------
    Tensor
        ``mean(-ln p_y(is) - min_{k != y} ln p_k(is not))``, a scalar; 0 for an empty batch. With one class
        only the first part.
    """
    log_p = functional.log_softmax(logits, dim=2)
    own = functional.one_hot(labels, logits.shape[1]).bool()
    inside = -log_p[:, :, 1][own].sum()
    outside = (-log_p[:, :, 0]).masked_fill(own, 0.0).amax(dim=1).sum()
    return (inside + outside) / max(1, len(labels))


@full_precision
def open_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of all one-against-all classifiers on a target batch (equation 2).

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K, 2)``.

    Returns
    -------
    Tensor
        A scalar from 0 to ln 2; 0 for an empty batch.
    """
    log_p = functional.log_softmax(logits, dim=2)
    return -(log_p.exp() * log_p).sum() / max(1, logits.shape[0] * logits.shape[1])


def joint_logits(logits: Tensor, open_logits: Tensor) -> Tensor:
    """Log-probability that a sample is of a class by the classifier and is inside it by that class's own.

    Parameters
    ----------
    logits : Tensor
        Of the classifier of known classes, shape ``(n, K)``.
    open_logits : Tensor
        Shape ``(n, K, 2)``.

    Returns
    -------
    Tensor
        ``ln p_k + ln p_k(is)``, shape ``(n, K)``. Its energy ``-ln sum_k``, at a temperature of 1, is minus the
        log-probability of being known: what the one-against-all classifiers say of the unknown is in the energy, and
        the entropy sees only where they differ between classes.
    """
    inside: Tensor = functional.log_softmax(open_logits, dim=2)[:, :, 1]
    return torch.add(functional.log_softmax(logits, dim=1), inside)
