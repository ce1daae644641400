"""Batch normalisation by domain: any encoder, with statistics and affine parameters of each domain's own.

Which domain images are of is said with `set_domain` before they are passed through.
"""

import copy
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Domain = Literal["source", "target"]


class DomainNorm(nn.Module):
    """A layer of batch normalisation for each domain, alike at first.

    Parameters
    ----------
    layer : Module
        The layer that it stands for, with an activation if it has one.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.source = layer
        self.target = copy.deepcopy(layer)
        self.domain: Domain = "source"

    def forward(self, values: Tensor) -> Tensor:
        """Normalise by the chosen domain."""
        output: Tensor = self.source(values) if self.domain == "source" else self.target(values)
        return output


def split_norms(network: nn.Module) -> int:
    """Replace every batch normalisation of a network by a `DomainNorm`.

    Parameters
    ----------
    network : Module
        Changed in place.

    Returns
    -------
    int
        How many there were.
    """
    count = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(parent, name, DomainNorm(child))
                count += 1
    return count


def domain_norms(network: nn.Module) -> list[DomainNorm]:
    """All layers of a network that differ by domain."""
    return [module for module in network.modules() if isinstance(module, DomainNorm)]


def set_domain(network: nn.Module, domain: Domain) -> None:
    """Choose whose statistics and parameters a network uses; of no effect on one that shares them."""
    for layer in domain_norms(network):
        layer.domain = domain


def start_target_from_source(network: nn.Module) -> None:
    """Give the target the affine parameters that the source has learned; statistics stay each domain's own."""
    for layer in domain_norms(network):
        learned = dict(layer.source.named_parameters())
        for name, parameter in layer.target.named_parameters():
            parameter.data.copy_(learned[name].data)
