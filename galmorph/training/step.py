"""A training step before the losses: views of a batch, and what the network gives for them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from galmorph.training.domain_norm import Domain, set_domain
from galmorph.training.loaders import Batch, Pair
from galmorph.training.networks import Activations, Classifier
from galmorph.training.options import ViewOptions
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.views import random_view


def observe(
    network: Classifier,
    batch: Batch | Pair,
    views: ViewOptions,
    generator: torch.Generator,
    *,
    second: bool = False,
    mixed: bool = False,
    progress: float = 0.0,
) -> Outputs:
    """Pass random views of a batch through a network.

    Parameters
    ----------
    network : Classifier
        The network.
    batch : Batch or Pair
        Labelled images, perhaps with unlabelled ones of a target.
    views : ViewOptions
        How views are drawn.
    generator : torch.Generator
        From what.
    second : bool
        Draw a second view of each image.
    mixed : bool
        Pass both domains through in one batch, so that they share its statistics.
    progress : float
        Share of the training that is done.

    Returns
    -------
    Outputs
        For the losses.
    """
    domains: dict[Domain, Batch] = {"source": batch.source if isinstance(batch, Pair) else batch}
    if isinstance(batch, Pair):
        domains["target"] = batch.target

    def look() -> dict[Domain, Activations]:
        images = {name: random_view(part.images, views, generator) for name, part in domains.items()}
        return _activate(network, images, mixed)

    first = look()
    other: dict[Domain, Activations] = look() if second else {}
    seen = {name: Seen(part.rows, first[name], other.get(name)) for name, part in domains.items()}
    return Outputs(seen["source"], domains["source"].labels, seen.get("target"), network.head, progress)


def _activate(network: Classifier, images: Mapping[Domain, Tensor], mixed: bool) -> dict[Domain, Activations]:
    """What the network gives for the images of each domain."""
    if mixed and len(images) > 1:
        whole = network.activations(_last(torch.cat(list(images.values()))))
        sizes = [len(part) for part in images.values()]
        parts = [None if value is None else torch.split(value, sizes) for value in whole]
        return {
            name: Activations(*(None if part is None else part[number] for part in parts))  # type: ignore[arg-type]
            for number, name in enumerate(images)
        }
    given: dict[Domain, Activations] = {}
    for name, part in images.items():
        set_domain(network, name)
        given[name] = network.activations(_last(part))
    set_domain(network, "source")
    return given


def _last(images: Tensor) -> Tensor:
    """Channels last in memory, which convolutions are fastest with."""
    return images.contiguous(memory_format=torch.channels_last)
