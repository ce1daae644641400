"""Views of a batch of images: turned, mirrored, tilted, enlarged, displaced; paler, brighter, blurred, noisier.

All take and return tensors of shape ``(n, bands, N, N)``. Those that change where light is leave fluxes per area as
they are; those that change colour, brightness and sharpness make a network look for what surveys agree on.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from galmorph.training.losses.precision import full_precision
from galmorph.training.options import ViewOptions


def turn(images: Tensor, quarters: Tensor) -> Tensor:
    """Rotate each image by a multiple of 90 degrees.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    quarters : Tensor of int
        Number of quarter turns, counter-clockwise as arrays are printed, shape ``(n,)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    out = images.clone()
    for number in (1, 2, 3):
        chosen = quarters % 4 == number
        out[chosen] = torch.rot90(images[chosen], number, dims=(2, 3))
    return out


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror some images left to right.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    chosen : Tensor of bool
        Which, shape ``(n,)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def place(
    images: Tensor,
    factor: Tensor,
    shift: Tensor,
    angle: Tensor | None = None,
    beyond: Literal["border", "reflection", "zeros"] = "border",
) -> Tensor:
    """Enlarge and rotate each image about its centre and displace it, with one bilinear interpolation.

    A factor of 300/256 and nothing else is DeepAstroUDA's zoom: resize 256 to 300 pixels, crop the centre.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    factor : Tensor
        Enlargement, shape ``(n,)``.
    shift : Tensor
        Displacement of the content in pixels along x and y, shape ``(n, 2)``.
    angle : Tensor, optional
        Of rotation in radians, counter-clockwise as arrays are printed, shape ``(n,)``; by default none.
    beyond : {"border", "reflection", "zeros"}
        What pixels from beyond the edge are: those of the edge again, the image mirrored at its edge, or 0.

    Returns
    -------
    Tensor
        Same shape.
    """
    n, size = len(images), images.shape[-1]
    angle = torch.zeros_like(factor) if angle is None else angle
    cosine, sine = angle.cos() / factor, angle.sin() / factor
    # affine_grid counts in half sides, and in the frame of the output mapped back to the input; y grows downwards.
    back = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(n, 2, 2)
    origin = -(back @ shift[:, :, None]) * (2 / size)
    grid = functional.affine_grid(torch.cat([back, origin], dim=2), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=beyond, align_corners=False)


def fade(images: Tensor, share: Tensor) -> Tensor:
    """Take a share of its colours from each image: bands move towards their mean, which stays.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    share : Tensor
        From 0, nothing, to 1, grey; shape ``(n,)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    return torch.lerp(images, images.mean(dim=1, keepdim=True), share[:, None, None, None])


def blur(images: Tensor, sigma: float, share: Tensor) -> Tensor:
    """Mix each image with itself seen through a Gaussian.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    sigma : float
        Standard deviation of the Gaussian, in pixels; it is cut off at three of them, or at the side of the images.
    share : Tensor
        Of the blurred image, shape ``(n,)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    reach = min(math.ceil(3 * sigma), images.shape[-1] - 1)
    blurred = gaussian_blur(images, 2 * reach + 1, sigma)
    return torch.lerp(images, blurred, share[:, None, None, None])


def add_noise(images: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise in every pixel, of a strength that is drawn for each image between nothing and the largest.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    sigma : Tensor
        Largest standard deviation in each band, shape ``(bands,)``.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor
        Same shape.
    """
    share = torch.rand(len(images), generator=generator)
    drawn = torch.randn(images.shape, generator=generator) * share[:, None, None, None]
    return images + drawn.to(images.device) * sigma[:, None, None]


@full_precision
def random_view(
    images: Tensor, options: ViewOptions, generator: torch.Generator, noise: Tensor | None = None
) -> Tensor:
    """One random view of each image.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    options : ViewOptions
        Which transformations, and how strong.
    generator : torch.Generator
        On the CPU, so that views are the same on every device.
    noise : Tensor, optional
        Largest standard deviation of noise to add, of each band, shape ``(bands,)``.

    Returns
    -------
    Tensor
        Same shape.
    """
    n, device = len(images), images.device
    quarters = torch.randint(0, 4, (n,), generator=generator).to(device)
    mirrored = (torch.rand(n, generator=generator) < 0.5).to(device)
    factor = 1 + (options.zoom - 1) * torch.rand(n, generator=generator).to(device)
    shift = options.shift * (2 * torch.rand(n, 2, generator=generator) - 1).to(device)
    if options.turn:
        images = turn(images, quarters)
    if options.flip:
        images = flip(images, mirrored)
    # What is off draws nothing, so that it does not change what the others draw.
    if options.tilt > 0:
        angle = (math.radians(options.tilt) * (2 * torch.rand(n, generator=generator) - 1)).to(device)
        images = place(images, factor, shift, angle, beyond="reflection")
    elif options.zoom > 1 or options.shift > 0:
        images = place(images, factor, shift)
    if options.colour > 0:
        images = fade(images, options.colour * torch.rand(n, generator=generator).to(device))
    if options.brightness > 0:
        change = options.brightness * (2 * torch.rand(n, generator=generator) - 1)
        images = images * change.exp().to(device)[:, None, None, None]
    if options.blur > 0:
        images = blur(images, options.blur, torch.rand(n, generator=generator).to(device))
    if noise is not None:
        images = add_noise(images, noise, generator)
    return images
