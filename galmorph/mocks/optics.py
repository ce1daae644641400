"""The telescope and the air: point-spread functions, and scenes seen through them."""

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy import fft

Float = NDArray[np.float32]

#: Wings of the Moffat profile; between a pure Kolmogorov profile (about 4.8) and the wings of real telescopes (2.5).
MOFFAT_BETA = 3.5

#: Half-side in pixels of the convolution kernel, hence of the margin drawn around a tile.
MARGIN = 48


def convolve(scene: Float, fwhm: float, scale: float) -> Float:
    """Scene through a Moffat point-spread function.

    Parameters
    ----------
    scene : ndarray of float32
        Light per pixel, shape ``(h, w)``, already integrated over pixels.
    fwhm : float
        Seeing in arcsec.
    scale : float
        Arcsec per pixel.

    Returns
    -------
    ndarray of float32
        Same shape; within `MARGIN` of the border the light of the opposite border leaks in.
    """
    side = 2 * MARGIN + 1
    # The scene's pixels are integrals already: the kernel is the profile itself.
    kernel = (
        galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm).drawImage(nx=side, ny=side, scale=scale, method="no_pixel").array
    )
    shape = tuple(fft.next_fast_len(length, real=True) for length in scene.shape)
    padded = np.zeros(shape, dtype=np.float32)
    padded[:side, :side] = kernel / kernel.sum()
    padded = np.roll(padded, (-MARGIN, -MARGIN), axis=(0, 1))
    seen = fft.irfft2(fft.rfft2(scene, s=shape) * fft.rfft2(padded), s=shape)
    return np.asarray(seen[: scene.shape[0], : scene.shape[1]], dtype=np.float32)


def star(x: float, y: float, flux: float, fwhm: float, scale: float, half: int) -> tuple[Float, int, int]:
    """Point source through the same point-spread function, integrated over pixels.

    Returns
    -------
    image : ndarray of float32
        Flux per pixel, shape ``(2 half + 1, 2 half + 1)``.
    x0, y0 : int
        Pixel of its first element.
    """
    column, row = round(x), round(y)
    profile = galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm, flux=flux)
    side = 2 * half + 1
    image = profile.drawImage(nx=side, ny=side, scale=scale, offset=(x - column, y - row))
    return image.array, column - half, row - half
