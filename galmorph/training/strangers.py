"""Strangers: images of nothing that is known, made of known ones, for a network to be unsure of.

Objects of unknown classes cannot be had, but what a survey's tend to look like can be made without a label of any: two
objects over each other (mergers, chance neighbours), one bent around another (arcs, rings), two joined at a cut
(artefacts). All take and return tensors of shape ``(n, bands, N, N)``, with the noise of one image in each pixel.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from galmorph.training.losses.precision import full_precision
from galmorph.training.views import place

#: Of an image's side: standard deviation of the Gaussian that brightness is compared through, no less than a pixel.
SEEN_THROUGH = 1 / 48

#: Share of its own peak above its own median that an object must have where it is laid over another: sky is not laid.
LEAST_LIGHT = 0.05

#: Share of the light that each of two objects must have for both to be seen.
LEAST_SHARE = 0.2

#: Of an image's side: distance of the second of two objects from the first.
APART = (0.12, 0.30)

#: Of half a side: distance of an arc from the object that it is bent around, and of a cut from the centre.
AROUND = (0.20, 0.55)
OFF_CENTRE = 0.30

#: How many times longer and thinner than the object an arc is.
LONGER, THINNER = (1.0, 3.0), (1.0, 2.5)

#: Images that a threshold's strangers are made of, and how many are put together at a time.
DRAWN, TOGETHER = 600, 64


def lay_over(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The objects of `others` over `images`, where they are the brighter.

    Parameters
    ----------
    images, others : Tensor
        Shape ``(n, bands, N, N)``.

    Returns
    -------
    made : Tensor
        Same shape. Each pixel is of one of both, so that neither noise nor sky tells of what was done.
    strange : Tensor of bool
        Whether both objects are to be seen in it, shape ``(n,)``.
    """
    below, above = _light(images), _light(others)
    return _put_together(images, others, above > below)


def bend(images: Tensor, radius: Tensor, angle: Tensor, longer: Tensor, thinner: Tensor) -> Tensor:
    """Bend each image into an arc about the centre.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    radius : Tensor
        Of the arc, in half sides of the image, shape ``(n,)``.
    angle : Tensor
        Direction of its middle in radians, shape ``(n,)``.
    longer, thinner : Tensor
        How many times longer along the arc, and thinner across it, than the image is wide; shape ``(n,)``.

    Returns
    -------
    Tensor
        Same shape; 0 where the image does not reach.
    """
    x, y = _grid(images)
    distance = torch.hypot(x, y)
    around = torch.remainder(torch.atan2(y, x) - angle[:, None, None] + math.pi, 2 * math.pi) - math.pi
    along = around * (radius / longer)[:, None, None]
    across = (distance - radius[:, None, None]) * thinner[:, None, None]
    places = torch.stack([along, across], dim=-1)
    return functional.grid_sample(images, places, mode="bilinear", padding_mode="zeros", align_corners=False)


def join(images: Tensor, others: Tensor, angle: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Of each pair the one on this side of a straight cut, and the other beyond.

    Parameters
    ----------
    images, others : Tensor
        Shape ``(n, bands, N, N)``.
    angle : Tensor
        Direction across the cut in radians, shape ``(n,)``.
    offset : Tensor
        Of the cut from the centre in that direction, in half sides of the image, shape ``(n,)``.

    Returns
    -------
    made : Tensor
        Same shape.
    strange : Tensor of bool
        Whether both objects are to be seen in it, shape ``(n,)``.
    """
    x, y = _grid(images)
    across = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]
    return _put_together(images, others, (across > offset[:, None, None])[:, None])


@full_precision
def make_strangers(images: Tensor, generator: torch.Generator) -> Tensor:
    """A stranger of each image and another of the batch, in turn by `lay_over`, `bend` and `join`.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    generator : torch.Generator
        On the CPU, so that strangers are the same on every device.

    Returns
    -------
    Tensor
        At most as many as `images`: what shows one object alone, since the other is hidden or cut off, is left out.
    """
    n, device = len(images), images.device
    others = images[_others(n, generator).to(device)]

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, generator=generator)).to(device)

    angle = draw(0.0, 2 * math.pi)
    apart = images.shape[-1] * draw(*APART)
    one, shift = torch.ones_like(angle), torch.stack([apart * angle.cos(), apart * angle.sin()], dim=1)
    bent = draw(*AROUND), angle, draw(*LONGER), draw(*THINNER)
    offset = draw(-OFF_CENTRE, OFF_CENTRE)
    kinds: tuple[Callable[[slice], tuple[Tensor, Tensor]], ...] = (
        lambda rows: lay_over(images[rows], place(others[rows], one[rows], shift[rows], beyond="zeros")),
        lambda rows: lay_over(images[rows], bend(others[rows], *(value[rows] for value in bent))),
        lambda rows: join(images[rows], others[rows], angle[rows], offset[rows]),
    )
    made = [kind(slice(number, None, len(kinds))) for number, kind in enumerate(kinds)]
    return torch.cat([pictures[strange] for pictures, strange in made])


def draw_strangers(images: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Strangers of some images, always the same ones, for a threshold to be fitted to.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; read a few at a time.
    rows : ndarray of int
        Which of them may be used; at most `DRAWN` are.

    Returns
    -------
    ndarray of float32
        Shape ``(m, bands, N, N)``, ``m`` at most as many as were used, and 0 of fewer than two.
    """
    chosen = np.random.default_rng(0).permutation(rows)[:DRAWN]
    generator = torch.Generator().manual_seed(0)
    batches = np.array_split(chosen, max(1, math.ceil(len(chosen) / TOGETHER)))
    made = [make_strangers(torch.from_numpy(images[np.sort(batch)]), generator) for batch in batches if len(batch) > 1]
    if not made:
        return np.zeros((0, *images.shape[1:]), dtype=np.float32)
    return torch.cat(made).numpy()


def _light(images: Tensor) -> Tensor:
    """Brightness of objects over all bands, seen through a Gaussian; 0 where there is sky. Shape ``(n, 1, N, N)``."""
    sigma = max(1.0, images.shape[-1] * SEEN_THROUGH)
    seen = gaussian_blur(images.mean(1, keepdim=True), 2 * math.ceil(2 * sigma) + 1, sigma)
    seen = seen - seen.flatten(1).median(dim=1).values[:, None, None, None]
    objects: Tensor = seen * (seen > LEAST_LIGHT * seen.amax((1, 2, 3), keepdim=True))
    return objects


def _put_together(images: Tensor, others: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """`others` where chosen, `images` elsewhere, and whether each of both has its share of the light then."""
    shown = [(_light(one) * where).sum((1, 2, 3)) for one, where in ((images, ~chosen), (others, chosen))]
    strange = torch.minimum(*shown) > LEAST_SHARE * (shown[0] + shown[1])
    return torch.where(chosen, others, images), strange


def _others(n: int, generator: torch.Generator) -> Tensor:
    """For each of n another: all in a random round, each paired with the next."""
    order = torch.randperm(n, generator=generator)
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others


def _grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Places of each pixel's centre along x and y, in half sides from the image's centre, shape ``(1, N, N)``."""
    size = images.shape[-1]
    places = (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(places, places, indexing="ij")
    return x[None], y[None]
