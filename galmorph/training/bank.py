"""The bank: what a training last saw of every image of both domains (DeepAstroUDA, section 2.2)."""

import torch
from torch import Tensor, nn

from galmorph.training.gather import gather

#: Label of an image that has none.
NO_LABEL = -1


class Bank(nn.Module):
    """Probabilities and codes of ranks by image, as last seen. 40,000 images of 10 classes take 2.3 MB.

    Part of the training's state, so that a resumed training finds it as it was; on several devices it is the same
    on all.

    Parameters
    ----------
    images : int
        How many.
    classes : int
        K.
    """

    probabilities: Tensor
    codes: Tensor
    labels: Tensor
    seen: Tensor

    def __init__(self, images: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("probabilities", torch.zeros(images, classes))
        self.register_buffer("codes", torch.zeros(images, dtype=torch.int64))
        self.register_buffer("labels", torch.full((images,), NO_LABEL, dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(images, dtype=torch.bool))

    @torch.no_grad()
    def store(self, rows: Tensor, probabilities: Tensor, codes: Tensor, labels: Tensor) -> None:
        """Put a batch in the place of what was known of its images.

        Parameters
        ----------
        rows : Tensor of int
            Which images, shape ``(n,)``.
        probabilities : Tensor
            Shape ``(n, K)``.
        codes : Tensor of int
            From `galmorph.training.losses.rank_codes`, shape ``(n,)``.
        labels : Tensor of int
            Classes of the labelled ones, `NO_LABEL` elsewhere. Shape ``(n,)``.
        """
        rows = gather(rows)
        self.probabilities[rows] = gather(probabilities.float())
        self.codes[rows] = gather(codes)
        self.labels[rows] = gather(labels)
        self.seen[rows] = True
