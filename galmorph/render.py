"""Colour pictures of cutouts and mosaics of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: Softening: intensity is stretched as ``asinh(Q x) / Q``, linear for faint pixels and logarithmic for bright ones.
SOFTENING = 8.0

#: Weights of bands in colour pictures.
BAND_WEIGHTS = {"u": 2.5, "g": 1.5, "r": 1.07, "i": 0.85, "z": 0.66, "y": 0.6}

#: Pixels between the pictures of a mosaic.
GAP = 4


def rgb(
    images: NDArray[np.float32], stretch: float | None = None, bands: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Colour composites that keep the colours of bright pixels (Lupton et al. 2004).

    Parameters
    ----------
    images : ndarray
        Surface brightness in nanomaggies per square arcsec. The shape is ``(..., bands, N, N)``, bands from blue to
        red: the first is shown blue, the middle one green, the last red. One band makes a grey picture.
    stretch : float, optional
        Surface brightness that comes out white. By default twice the 98th percentile of each image, or 40 times its
        noise where that is more, so that every image shows its object and none shows only noise.

    bands : sequence of str, optional
        Names of the bands, which give each the weight that makes an Sbc galaxy nearly white.

    Returns
    -------
    ndarray of uint8
        The shape is ``(..., N, N, 3)``.
    """
    images = np.nan_to_num(np.asarray(images, dtype=np.float32))
    number = images.shape[-3]
    planes = images * _weights(number, bands)[:, None, None]
    intensity = planes.mean(axis=-3)
    if stretch is None:
        bright = np.percentile(intensity, 98, axis=(-2, -1), keepdims=True)
        noise = 1.4826 * np.median(np.abs(intensity), axis=(-2, -1), keepdims=True)
        scale = 2 * np.maximum(bright, 20 * noise)
    else:
        scale = np.full((*intensity.shape[:-2], 1, 1), stretch)
    scale = np.maximum(scale, 1e-9)
    value = np.maximum(intensity / scale, 0)
    stretched = np.arcsinh(SOFTENING * value) / np.arcsinh(SOFTENING) / np.maximum(value, 1e-6)
    order = [number - 1, number // 2, 0]
    colour = np.stack([planes[..., band, :, :] / scale * stretched for band in order], axis=-1)
    # A pixel too bright for white keeps its hue.
    colour /= np.maximum(colour.max(axis=-1, keepdims=True), 1.0)
    return np.asarray(np.clip(colour, 0, 1) * 255, dtype=np.uint8)


def _weights(number: int, bands: Sequence[str] | None) -> NDArray[np.float32]:
    """Weight of each band, by name or else by place: galaxies are redder than white light."""
    if bands is not None and all(band in BAND_WEIGHTS for band in bands):
        return np.array([BAND_WEIGHTS[band] for band in bands], dtype=np.float32)
    if number == 1:
        return np.ones(1, dtype=np.float32)
    return np.linspace(1.55, 0.75, number, dtype=np.float32)


def mosaic(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    captions: Sequence[str],
    columns: int,
    side: int = 128,
) -> Image.Image:
    """Grid of pictures with a caption under each.

    Parameters
    ----------
    images : sequence of ndarray of uint8
        Pictures of shape ``(N, N, 3)``, first row at the bottom as in FITS.
    captions : sequence of str
        One for each picture; lines are separated by newlines. Empty captions take no room if all are empty.
    columns : int
        Pictures in a row.
    side : int
        Side of each picture in the mosaic, pixels.

    Returns
    -------
    PIL.Image.Image
        The mosaic, RGB.

    Raises
    ------
    ValueError
        If there are no pictures, or not as many captions as pictures.
    """
    if len(images) == 0 or len(images) != len(captions) or columns < 1:
        raise ValueError(
            f"a mosaic needs pictures, as many captions and at least one column; got {len(images)} pictures, "
            f"{len(captions)} captions, {columns} columns"
        )
    font = ImageFont.load_default(size=12)
    lines = max(caption.count("\n") + 1 if caption else 0 for caption in captions)
    caption_height = 15 * lines
    rows = -(-len(images) // columns)
    size = (columns * (side + GAP) + GAP, rows * (side + caption_height + GAP) + GAP)
    canvas = Image.new("RGB", size, (24, 24, 28))
    pen = ImageDraw.Draw(canvas)
    for number, (picture, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + (number % columns) * (side + GAP)
        top = GAP + (number // columns) * (side + caption_height + GAP)
        tile = Image.fromarray(np.ascontiguousarray(np.asarray(picture)[::-1]))
        canvas.paste(tile.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        pen.multiline_text((left + 2, top + side), caption, fill=(230, 230, 230), font=font, spacing=2)
    return canvas
