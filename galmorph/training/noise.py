"""Noise of images, told from neighbouring pixels, and how much of it one set lacks beside another."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Outermost pixels of an image in which there is mostly sky.
EDGE = 4

#: Images that noise is measured on.
MEASURED = 1024

#: Share of another set's noise from which on a set counts as equally noisy: surveys differ by as much in themselves.
NEARLY = 0.8

#: Standard deviation of a Gaussian over its median absolute deviation.
FROM_MEDIAN = 1.4826


def pixel_noise(images: NDArray[np.float32], rows: NDArray[np.intp]) -> list[float]:
    """Typical noise of a pixel in each band, whatever the level of the sky.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; only some of `rows` are read.
    rows : ndarray of int
        Images that may be used.

    Returns
    -------
    list of float
        For each band 1.4826 times the median absolute difference of neighbouring pixels near the edges, over the root
        of 2: a standard deviation where noise is Gaussian and of each pixel's own. It is 0 where most pixels there are
        equal, as in drawings.
    """
    sample = np.asarray(images[np.sort(rows)[:: max(1, -(-len(rows) // MEASURED))]])
    rim = np.ones(sample.shape[2:], dtype=bool)
    rim[EDGE:-EDGE, EDGE:-EDGE] = False
    change = np.abs(np.diff(sample, axis=-1))[..., rim[:, 1:]]
    return [FROM_MEDIAN * float(each) / math.sqrt(2) for each in np.median(change, axis=(0, 2))]


def lacking_noise(source: Sequence[float], target: Sequence[float]) -> list[float]:
    """Noise to be added to one set so that it has as much as another.

    Parameters
    ----------
    source, target : sequence of float
        Noise of each band, see `pixel_noise`.

    Returns
    -------
    list of float
        For each band the root of the difference of the variances; 0 where the source is `NEARLY` as noisy.
    """
    lacking = [math.sqrt(max(0.0, there**2 - here**2)) for here, there in zip(source, target, strict=True)]
    return [lack if here < NEARLY * there else 0.0 for lack, here, there in zip(lacking, source, target, strict=True)]
