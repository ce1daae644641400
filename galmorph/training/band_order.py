"""Whether the images of a target have their bands in another order than the source's."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galmorph.band_order import exchanged_bands, light_shares
from galmorph.training.noise import EDGE, MEASURED

logger = logging.getLogger(__name__)


def band_shares(images: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.floating]:
    """Share of the light of objects that each band has.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``, each with its object in the middle; only some of `rows` are read.
    rows : ndarray of int
        Images that may be used.

    Returns
    -------
    ndarray of float
        As `galmorph.band_order.light_shares` gives them, of the mean of the middle quarter of each image less the
        median of its edges.
    """
    sample = np.asarray(images[np.sort(rows)[:: max(1, -(-len(rows) // MEASURED))]], dtype=np.float64)
    size = sample.shape[-1]
    rim = np.ones((size, size), dtype=bool)
    rim[EDGE:-EDGE, EDGE:-EDGE] = False
    middle = slice(size // 4, size - size // 4)
    return light_shares(sample[:, :, middle, middle].mean(axis=(2, 3)) - np.median(sample[:, :, rim], axis=2))


def tell_order(path: Path, bands: Sequence[str], order: Sequence[int]) -> None:
    """Warn of a target whose bands look like the source's in another order.

    Parameters
    ----------
    path : Path
        Of the target's images.
    bands : sequence of str
        Names of the source's bands, or none.
    order : sequence of int
        See `galmorph.band_order.likely_order`.
    """
    logger.warning(
        "%s: the bands of these images look exchanged: by the colours of the objects %s of the source. A network that "
        "adapts to them, or is served them, takes one band for another. Stop here and put them into the source's "
        "order, unless the objects do have such colours",
        path,
        ", ".join(exchanged_bands(bands, order)),
    )
