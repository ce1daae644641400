"""Parts of the sky that are looked at by themselves."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.catalogs.healpix import INDEX_ORDER
from galmorph.releases.shift import FEWEST_REGION, Seen, Shift, compare

#: Parts of the sky, at most.
REGIONS = 32


def regions_of(healpix: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """HEALPix pixels that divide objects into parts of the sky of some size.

    Parameters
    ----------
    healpix : ndarray of int
        Pixels of order 29, shape ``(n,)``.

    Returns
    -------
    order : int
        The finest, of at most `REGIONS` pixels that hold three times `FEWEST_REGION` objects in the median.
    pixels : ndarray of int
        Shape ``(n,)``.
    """
    best = 0
    for order in range(INDEX_ORDER + 1):
        counts = np.unique(healpix >> 2 * (INDEX_ORDER - order), return_counts=True)[1]
        if len(counts) > REGIONS or np.median(counts) < 3 * FEWEST_REGION:
            break
        best = order
    return best, healpix >> 2 * (INDEX_ORDER - best)


def shifts_of_regions(
    rows: pd.DataFrame, before: Seen, now: Seen, classes: Sequence[str], seed: int = 0
) -> list[tuple[str, float, float, Shift]]:
    """Shift of each part of the sky that has objects enough.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of a catalogue, with their positions.
    before, now : Seen
        What they are compared with, and the rows as the model sees them.
    classes : sequence of str
        Of the model.
    seed : int
        Of everything random.

    Returns
    -------
    list of tuple
        ``ORDER/PIXEL``, right ascension and declination of the middle of its objects in degrees, and the shift. Empty
        if all objects are in one part.
    """
    order, pixels = regions_of(rows["_healpix_29"].to_numpy())
    found: list[tuple[str, float, float, Shift]] = []
    if len(np.unique(pixels)) == 1:
        return found  # the whole
    for pixel in np.unique(pixels):
        here = np.flatnonzero(pixels == pixel)
        if len(here) < FEWEST_REGION:
            continue
        shift, _ = compare(before, now.take(here), classes, seed=seed)
        if shift is None or shift.comparable < FEWEST_REGION:
            continue
        place = rows.iloc[here]
        ra = np.radians(place["ra"].to_numpy())
        middle = math.degrees(math.atan2(np.sin(ra).mean(), np.cos(ra).mean())) % 360
        found.append((f"{order}/{pixel}", middle, float(place["dec"].mean()), shift))
    return found
