"""Methods: what a training minimises, as a named set of losses with weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from galmorph.errors import ConfigError
from galmorph.training.losses import class_weights, weighted_cross_entropy
from galmorph.training.options import MethodOptions


@dataclass(frozen=True)
class Outputs:
    """What a training step hands to the losses.

    Parameters
    ----------
    logits : Tensor
        Of the labelled source batch, shape ``(n, K)``.
    features : Tensor
        Of the same, shape ``(n, d)``.
    labels : Tensor of int
        True classes, shape ``(n,)``.
    """

    logits: Tensor
    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Method:
    """A method.

    Parameters
    ----------
    summary : str
        One line on what it does.
    reference : str
        Where it comes from.
    losses : mapping of str to float
        Weight of each loss; keys of `TERMS`.
    """

    summary: str
    reference: str
    losses: Mapping[str, float]


#: Every method by name.
METHODS: Mapping[str, Method] = {
    "source_only": Method(
        summary="weighted cross-entropy on the labelled source; no adaptation",
        reference="DeepAstroUDA (Ćiprijanović et al. 2023), equation 4",
        losses={"cross_entropy": 1.0},
    ),
}


class CrossEntropy(nn.Module):
    """`weighted_cross_entropy` of the source batch, with weights from the frequencies of classes."""

    weights: Tensor

    def __init__(self, options: MethodOptions, counts: Sequence[int]) -> None:
        super().__init__()
        self.smoothing = options.label_smoothing
        weights = class_weights(counts if options.class_weights else [1] * len(counts))
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, outputs: Outputs) -> Tensor:
        """Loss of a batch."""
        return weighted_cross_entropy(outputs.logits, outputs.labels, self.weights, self.smoothing)


#: Every loss that a method can name: made from the options and the number of training images of each class.
TERMS: Mapping[str, Callable[[MethodOptions, Sequence[int]], nn.Module]] = {"cross_entropy": CrossEntropy}


class Objective(nn.Module):
    """The weighted sum of a method's losses.

    Parameters
    ----------
    options : MethodOptions
        Which method, and weights that differ from its own.
    counts : sequence of int
        Training images of each class.

    Raises
    ------
    ConfigError
        If there is no such method, or a weight is given for a loss that it does not have.
    """

    def __init__(self, options: MethodOptions, counts: Sequence[int]) -> None:
        super().__init__()
        if options.name not in METHODS:
            raise ConfigError(f"method.name must be one of {', '.join(METHODS)}; got {options.name!r}")
        losses = METHODS[options.name].losses
        strangers = sorted(set(options.weights) - set(losses))
        if strangers:
            raise ConfigError(
                f"method {options.name!r} has the losses {', '.join(losses)}; "
                f"method.weights names {', '.join(strangers)}"
            )
        self.weights = {**losses, **options.weights}
        self.terms = nn.ModuleDict({name: TERMS[name](options, counts) for name in losses})

    def forward(self, outputs: Outputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss of a step and its parts before weighting."""
        parts: dict[str, Tensor] = {name: term(outputs) for name, term in self.terms.items()}
        total: Tensor = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return total, parts
