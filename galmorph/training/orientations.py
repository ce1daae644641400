"""What a network says of an image, whichever way that lies: the mean over its quarter turns and mirror images."""

import torch
from torch import Tensor, nn

from galmorph.training.networks import Classifier


class Oriented(nn.Module):
    """A network that looks at every image in several orientations, as it is served.

    The features of all orientations are averaged, and the last layer takes the mean; a linear one gives the mean of the
    logits. With eight orientations an image gives the same answer in each of them. It takes as many times as long.

    Parameters
    ----------
    network : Classifier
        What was trained.
    orientations : {4, 8}
        Quarter turns, or these and their mirror images.
    """

    def __init__(self, network: Classifier, orientations: int) -> None:
        super().__init__()
        self.network = network
        self.orientations = orientations

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and mean features; see `Classifier.forward`."""
        turned = orient(self.network.stretch(images), self.orientations)
        features = self.network.features(turned)
        mean = features.reshape(self.orientations, -1, features.shape[-1]).mean(0)
        return self.network.answer(mean), mean


def orient(images: Tensor, orientations: int) -> Tensor:
    """Images in several orientations.

    Parameters
    ----------
    images : Tensor
        Square, shape ``(n, bands, N, N)``.
    orientations : {4, 8}
        Quarter turns, or these and their mirror images.

    Returns
    -------
    Tensor
        Shape ``(orientations * n, bands, N, N)``: all images in one orientation, then all in the next.
    """
    turned = [torch.rot90(images, turns, (-2, -1)) for turns in range(4)]
    if orientations == 8:
        turned += [one.flip(-1) for one in turned]
    return torch.cat(turned)
