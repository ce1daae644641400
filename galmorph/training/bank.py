"""The bank: what a training last saw of every image of both domains (DeepAstroUDA, section 2.2)."""

import torch
from torch import Tensor, nn

from galmorph.training.gather import gather
from galmorph.training.losses import NO_LABEL, Marks


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

    def store(self, probabilities: Tensor, marks: Marks) -> None:
        """Put a batch in the place of what was known of its images.

        Parameters
        ----------
        probabilities : Tensor
            Shape ``(n, K)``.
        marks : Marks
            Which images they are of, with their codes and labels.
        """
        rows = gather(marks.rows)
        self.probabilities[rows] = gather(probabilities.float())
        self.codes[rows] = gather(marks.codes)
        self.labels[rows] = gather(marks.labels)
        self.seen[rows] = True

    def known(self) -> tuple[Tensor, Marks]:
        """Probabilities and marks of all images that were seen; of what ranks first there are none."""
        rows = self.seen.nonzero()[:, 0]
        return self.probabilities[rows], Marks(rows, self.codes[rows], self.labels[rows])
