"""Whether another set of images has its bands in another order, told from the colours of what is on them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

from galmorph.training.noise import EDGE, MEASURED

logger = logging.getLogger(__name__)

#: Fewest objects whose colours tell something.
FEWEST = 10

#: Least typical departure of a band's share from an even one for a set to have colours.
COLOURED = 0.01

#: Difference of two sets, in typical departures summed over bands, from which on another order is looked for.
DIFFERENT = 1.0

#: An order is told where it leaves less than this share of the difference.
LEFT = 0.5

Float = NDArray[np.floating]


def band_shares(images: NDArray[np.float32], rows: NDArray[np.intp]) -> Float:
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
        Shape ``(objects, bands)``, each row with a sum of 1: mean of the middle quarter of the image less the median of
        its edges. Only of the brighter half of the objects, as these have the better known colours, and of those with
        light in their middle.
    """
    sample = np.asarray(images[np.sort(rows)[:: max(1, -(-len(rows) // MEASURED))]], dtype=np.float64)
    size = sample.shape[-1]
    rim = np.ones((size, size), dtype=bool)
    rim[EDGE:-EDGE, EDGE:-EDGE] = False
    middle = slice(size // 4, size - size // 4)
    light = sample[:, :, middle, middle].mean(axis=(2, 3)) - np.median(sample[:, :, rim], axis=2)
    total = light.sum(axis=1)
    chosen = (total >= np.median(total)) & (total > 0) if len(total) else np.zeros(0, dtype=bool)
    return np.asarray(light[chosen] / total[chosen, None])


def likely_order(source: Float, target: Float) -> list[int] | None:
    """The order in which a target's bands are like the source's, if they are not as they stand.

    Parameters
    ----------
    source, target : ndarray of float
        Shares of light, see `band_shares`.

    Returns
    -------
    list of int or None
        For each band of the source the number of the target's band that is like it: the assignment with the least sum
        of Wasserstein distances between their departures from an even share, each set's in units of its typical one,
        since surveys draw the same galaxies in paler and stronger colours. None where the target's own order is that,
        or more than half as far from it, and where there are too few objects, one band or no colours.
    """
    if source.shape[1] < 2 or min(len(source), len(target)) < FEWEST:
        return None
    departures = [shares - 1 / shares.shape[1] for shares in (source, target)]
    typical = [float(np.sqrt((each**2).mean())) for each in departures]
    if min(typical) < COLOURED:
        return None
    here, there = (each.T / size for each, size in zip(departures, typical, strict=True))
    distance = np.array([[wasserstein_distance(one, other) for other in there] for one in here])
    rows, order = linear_sum_assignment(distance)
    as_is, best = float(np.trace(distance)), float(distance[rows, order].sum())
    return [int(band) for band in order] if as_is > DIFFERENT and best < LEFT * as_is else None


def tell_order(path: Path, bands: Sequence[str], order: Sequence[int]) -> None:
    """Warn of a target whose bands look like the source's in another order.

    Parameters
    ----------
    path : Path
        Of the target's images.
    bands : sequence of str
        Names of the source's bands, or none.
    order : sequence of int
        See `likely_order`.
    """
    names = list(bands) or [f"band {number}" for number in range(len(order))]
    likes = ", ".join(f"{names[there]} like {names[here]}" for here, there in enumerate(order) if here != there)
    logger.warning(
        "%s: the bands of these images look exchanged: by the colours of the objects %s of the source. A network that "
        "adapts to them, or is served them, takes one band for another. Stop here and put them into the source's "
        "order, unless the objects do have such colours",
        path,
        likes,
    )
