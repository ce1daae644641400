"""A training step before the losses: views of a batch, and what the network gives for them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from galmorph.training.domain_norm import Domain, set_domain
from galmorph.training.loaders import Batch, Pair
from galmorph.training.networks import Activations, Classifier
from galmorph.training.options import ViewOptions
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.strangers import make_strangers
from galmorph.training.views import random_view

#: Name of what is made of the source's images, beside the domains.
STRANGERS = "strangers"


def observe(
    network: Classifier,
    batch: Batch | Pair,
    views: ViewOptions,
    generator: torch.Generator,
    *,
    noise: Tensor | None = None,
    second: bool = False,
    mixed: bool = False,
    progress: float = 0.0,
    strangers: bool = False,
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
    noise : Tensor, optional
        That views of the source's images get, see `random_view`.
    second : bool
        Draw a second view of each image.
    mixed : bool
        Pass both domains through in one batch, so that they share its statistics.
    progress : float
        Share of the training that is done.
    strangers : bool
        Make strangers of the labelled images too.

    Returns
    -------
    Outputs
        For the losses.
    """
    domains: dict[Domain, Batch] = {"source": batch.source if isinstance(batch, Pair) else batch}
    if isinstance(batch, Pair):
        domains["target"] = batch.target

    def look(strangers: bool = False) -> dict[str, Activations]:
        images: dict[str, Tensor] = {
            name: random_view(part.images, views, generator, noise if name == "source" else None)
            for name, part in domains.items()
        }
        if strangers:
            images[STRANGERS] = make_strangers(images["source"], generator)
        return _activate(network, images, mixed)

    first = look(strangers)
    other = look() if second else {}
    seen = {name: Seen(part.rows, first[name], other.get(name)) for name, part in domains.items()}
    made = first.get(STRANGERS)
    return Outputs(seen["source"], domains["source"].labels, seen.get("target"), network.head, progress, made)


def _activate(network: Classifier, images: Mapping[str, Tensor], mixed: bool) -> dict[str, Activations]:
    """What the network gives for the images of each domain, and for strangers, which go with the source's."""
    alone = [] if mixed else [name for name in images if name == "target"]
    given: dict[str, Activations] = {}
    for names in ([name for name in images if name not in alone], alone):
        if names:
            set_domain(network, "target" if names == alone else "source")
            whole = network.activations(_last(torch.cat([images[name] for name in names])))
            given |= dict(zip(names, _split(whole, [len(images[name]) for name in names]), strict=True))
    set_domain(network, "source")
    return given


def _split(whole: Activations, sizes: list[int]) -> list[Activations]:
    """Activations of each part of a batch."""
    parts = [[None] * len(sizes) if value is None else torch.split(value, sizes) for value in whole]
    return [Activations(*part) for part in zip(*parts, strict=True)]


def _last(images: Tensor) -> Tensor:
    """Channels last in memory, which convolutions are fastest with."""
    return images.contiguous(memory_format=torch.channels_last)
