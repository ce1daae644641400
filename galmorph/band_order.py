"""Whether objects have their bands in another order than others, told from their colours."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

#: Fewest objects whose colours tell something.
FEWEST = 10

#: Least typical departure of a band's share from an even one for objects to have colours.
COLOURED = 0.01

#: Difference of two sets, in typical departures summed over bands, from which on another order is looked for.
DIFFERENT = 1.0

#: An order is told where it leaves less than this share of the difference.
LEFT = 0.5

Float = NDArray[np.floating]


def light_shares(light: Float) -> Float:
    """Share of the light of objects that each band has.

    Parameters
    ----------
    light : ndarray of float
        Of each object in each band, in any unit; what is not finite is left out. Shape ``(n, bands)``.

    Returns
    -------
    ndarray of float
        Of the brighter half of the objects, as these have the better known colours, and of those with light at all:
        shape ``(m, bands)``, each row with a sum of 1.
    """
    light = light[np.isfinite(light).all(axis=1)]
    total = light.sum(axis=1)
    chosen = (total > 0) & (total >= np.median(total)) if len(total) else np.zeros(0, dtype=bool)
    return np.asarray(light[chosen] / total[chosen, None])


def likely_order(here: Float, there: Float) -> list[int] | None:
    """The order in which one set's bands are like another's, if they are not as they stand.

    Parameters
    ----------
    here, there : ndarray of float
        Shares of light, see `light_shares`.

    Returns
    -------
    list of int or None
        For each band here the number of the band there that is like it: the assignment with the least sum of
        Wasserstein distances between their departures from an even share, each set's in units of its typical one,
        since surveys draw the same galaxies in paler and stronger colours. None where the order there is that, or more
        than half as far from it, and where there are too few objects, one band or no colours.
    """
    if here.shape[1] < 2 or min(len(here), len(there)) < FEWEST:
        return None
    departures = [shares - 1 / shares.shape[1] for shares in (here, there)]
    typical = [float(np.sqrt((each**2).mean())) for each in departures]
    if min(typical) < COLOURED:
        return None
    ours, theirs = (each.T / size for each, size in zip(departures, typical, strict=True))
    distance = np.array([[wasserstein_distance(one, other) for other in theirs] for one in ours])
    rows, order = linear_sum_assignment(distance)
    as_is, best = float(np.trace(distance)), float(distance[rows, order].sum())
    return [int(band) for band in order] if as_is > DIFFERENT and best < LEFT * as_is else None


def exchanged_bands(bands: Sequence[str], order: Sequence[int] | None) -> list[str]:
    """Bands that are like another, in words.

    Parameters
    ----------
    bands : sequence of str
        Their names, or none where they have none.
    order : sequence of int or None
        See `likely_order`.

    Returns
    -------
    list of str
        Such as ``z like g``: what is called z there is like g here. Empty for None.
    """
    order = order or []
    names = list(bands) or [f"band {number}" for number in range(len(order))]
    return [f"{names[there]} like {names[here]}" for here, there in enumerate(order) if here != there]
