"""What a training step hands to the losses."""

from dataclasses import dataclass

from torch import Tensor, nn

from galmorph.training.networks import Activations


@dataclass(frozen=True)
class Seen:
    """What the network gave for a batch of one domain.

    Parameters
    ----------
    rows : Tensor of int
        Which images of the domain's training part, shape ``(n,)``.
    first : Activations
        Of one random view of each image.
    second : Activations or None
        Of another, if a loss of the method compares views.
    """

    rows: Tensor
    first: Activations
    second: Activations | None = None


@dataclass(frozen=True)
class Outputs:
    """What a training step hands to the losses.

    Parameters
    ----------
    source : Seen
        The labelled batch.
    labels : Tensor of int
        Its classes, shape ``(n,)``.
    target : Seen or None
        The unlabelled batch of the target, for methods that adapt.
    head : Module
        The network's last layer, features to logits.
    progress : float
        Share of the training that is done, 0 to 1.
    strangers : Activations or None
        Of strangers that were made of the labelled images, if a loss of the method asks for them.
    """

    source: Seen
    labels: Tensor
    target: Seen | None
    head: nn.Module
    progress: float = 0.0
    strangers: Activations | None = None
