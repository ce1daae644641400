"""The target's mix of classes, estimated while a network learns, and what it makes of the source's images.

Losses that align whole domains draw a target of another mix of classes towards the source's mix, and objects into wrong
classes with it: where features are alike and the mixes are not, an error remains that grows with their difference, as
Zhao et al. (2019) bound it from below. Where images of the source count by the ratio of the mixes there is none (Tachet
des Combes et al. 2020).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from galmorph.training.gather import gather

#: Share of the estimate that a batch renews.
RENEWED = 0.05

#: Most that an image may count, and the inverse of the least: an estimate may be wrong.
MOST = 5.0


class TargetMix(nn.Module):
    """Shares of the classes among the target's images, by expectation and maximisation on each batch in turn.

    A step takes the probabilities to those under the present estimate, ``q_k ~ p_k t_k / a_k`` with the shares `a` that
    the network takes for granted, and their mean into the estimate (Saerens et al. 2002).

    Parameters
    ----------
    counts : sequence of int
        Training images of each class of the source.
    even : bool
        The network learned with weights that make classes count alike, and takes even shares for granted, not those of
        its training images.
    """

    source: Tensor
    granted: Tensor
    target: Tensor

    def __init__(self, counts: Sequence[int], even: bool) -> None:
        super().__init__()
        shares = torch.tensor(counts, dtype=torch.float32)
        shares /= shares.sum()
        self.register_buffer("source", shares, persistent=False)
        self.register_buffer("granted", torch.full_like(shares, 1 / len(counts)) if even else shares, persistent=False)
        self.register_buffer("target", shares.clone())

    def ratio(self) -> Tensor:
        """What an image of each class counts, shape ``(K,)``, within `MOST` and its inverse."""
        return (self.target / self.source).clamp(1 / MOST, MOST)

    @torch.no_grad()
    def renew(self, logits: Tensor) -> None:
        """Take a batch of the target into the estimate.

        Parameters
        ----------
        logits : Tensor
            Shape ``(n, K)``; of all processes, where there are several. An empty batch changes nothing.
        """
        if not len(logits):
            return
        weighed = gather(logits.float().softmax(dim=1)) * self.ratio() * self.source / self.granted
        self.target.lerp_((weighed / weighed.sum(dim=1, keepdim=True)).mean(dim=0), RENEWED)

    def weights(self, labels: Tensor) -> Tensor:
        """What images of the source count, shape ``(n,)``.

        Parameters
        ----------
        labels : Tensor of int
            Their classes, shape ``(n,)``.
        """
        return self.ratio()[labels]
