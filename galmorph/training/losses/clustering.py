"""Adaptive clustering: pairs whose ranks agree are drawn together (DeepAstroUDA, equations 1 and 2; Li et al. 2021)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from galmorph.training.losses.precision import full_precision

#: Label of an image that has none.
NO_LABEL = -1

#: Probability of a pair is kept this far from 0 and 1.
EPSILON = 1e-6

#: Pairs that are compared at a time: on a CPU as many as stay in its caches, elsewhere so many that launching the work
#: takes no time beside the work.
PAIRS, PAIRS_ON_A_DEVICE = 2**18, 2**22


class Marks(NamedTuple):
    """What tells which samples are alike.

    Parameters
    ----------
    rows : Tensor of int
        Which images they are, shape ``(n,)``; none is paired with itself.
    codes : Tensor of int
        From `rank_codes`, shape ``(n,)``.
    labels : Tensor of int
        Classes of the labelled ones, `NO_LABEL` elsewhere. Shape ``(n,)``.
    firsts : Tensor of int or None
        What each ranks first, shape ``(n,)``. Pairs that agree in that and not in their codes are left out; where it is
        None they are unlike.
    """

    rows: Tensor
    codes: Tensor
    labels: Tensor
    firsts: Tensor | None = None

    def chosen(self, part: slice) -> "Marks":
        """Those of some of the samples."""
        firsts = None if self.firsts is None else self.firsts[part]
        return Marks(self.rows[part], self.codes[part], self.labels[part], firsts)


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
def clustering_loss(first: Tensor, second: Tensor, mine: Marks, others: Marks) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of pairs, the mean over all but those of an image with itself and those left out.

    The score of a pair, the probability that both are of one class, is ``p_i . p_j``; it is to be high where the labels
    are the same or, if one of them is missing, the codes, and low elsewhere. Time grows as the number of pairs, memory
    does not.

    Parameters
    ----------
    first : Tensor
        Probabilities, shape ``(n, K)``.
    second : Tensor
        Probabilities of what they are paired with, held constant: shape ``(m, K)``.
    mine, others : Marks
        Of both.

    Returns
    -------
    loss : Tensor
        A scalar, never infinite; 0, with a gradient of 0, if there is no pair.
    positive_rate : Tensor
        Share of alike ones among the pairs of which not both are labelled; 0 if there is none. Without gradient.
    """
    loss, rate = _Pairs.apply(first, second, mine, others)
    return loss, rate


class _Pairs(torch.autograd.Function):
    """The loss and, since its gradient needs the same pairs again, at once its gradient."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, mine: Marks, others: Marks) -> tuple[Tensor, Tensor]:
        total, gradient = first.new_zeros(()), torch.zeros_like(first)
        pairs, unlabelled, positive = torch.zeros(3, dtype=torch.int64, device=first.device).unbind()
        for chosen in _chunks(len(first), len(second), first.device):
            p = second[chosen]
            similar, counted, without = _compare(mine, others.chosen(chosen))
            scores = first @ p.T
            right = torch.where(similar, scores, 1 - scores)
            # As clamping has it: no gradient at the bounds and beyond.
            moved = counted & (right > EPSILON) & (right < 1)
            right.clamp_(min=EPSILON, max=1.0)
            total = total - (right.log() * counted).sum()
            slope = moved / right
            gradient = gradient - torch.where(similar, slope, -slope) @ p
            pairs = pairs + counted.count_nonzero()
            unlabelled, positive = unlabelled + without.count_nonzero(), positive + (similar & without).count_nonzero()
        pairs = pairs.clamp(min=1)
        ctx.save_for_backward(gradient / pairs)
        rate = positive / unlabelled.clamp(min=1)
        ctx.mark_non_differentiable(rate)
        return total / pairs, rate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None, None


def _chunks(first: int, second: int, device: torch.device) -> Iterator[slice]:
    """Parts of the second set, in which so many pairs are as are compared at a time."""
    width = max(1, (PAIRS if device.type == "cpu" else PAIRS_ON_A_DEVICE) // max(1, first))
    return (slice(start, start + width) for start in range(0, second, width))


def _compare(mine: Marks, others: Marks) -> tuple[Tensor, Tensor, Tensor]:
    """Which pairs are alike, which count, and which of these are not of two labelled images; shape ``(n, m)`` each."""
    labels, their_labels = mine.labels[:, None], others.labels[None, :]
    labelled = (labels != NO_LABEL) & (their_labels != NO_LABEL)
    similar = torch.where(labelled, labels == their_labels, mine.codes[:, None] == others.codes[None, :])
    counted = mine.rows[:, None] != others.rows[None, :]
    if mine.firsts is not None and others.firsts is not None:
        counted &= labelled | similar | (mine.firsts[:, None] != others.firsts[None, :])
    return similar, counted, counted & ~labelled
