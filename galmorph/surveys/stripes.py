"""Large tiles in stripes of full width, each read and searched as a tile of its own: memory is bounded so."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galmorph.fits_planes import Outline, largest_plane, read_outlines, starts_as_fits
from galmorph.grids import difference
from galmorph.sky import local_axes

if TYPE_CHECKING:
    from galmorph.surveys.find import TileSource

log = logging.getLogger(__name__)

#: Largest number of pixels of a plane that are read at once; a tile with more is read in stripes.
MOST_PIXELS = 20_000_000
#: Arcsec that a stripe is read beyond its own rows: half the side of the largest cutout by `galmorph.cutouts.Framing`,
#: for an object at the border to be measured and cut as on the whole tile.
MARGIN = 60.0
#: Rows by which objects may lie beyond a stripe's own rows at a border with another: centres that are measured on both
#: sides differ by less, so that no object falls between. The catalogue's primary rows leave out what is there twice.
OVERLAP = 2.0
#: Most pixels that a byte of a file stands for, masks and constant planes apart: smaller files are not opened to see.
PIXELS_PER_BYTE = 10


@dataclass(frozen=True)
class Stripe:
    """Rows of a tile that are a piece of it.

    Parameters
    ----------
    own : tuple of int
        First row of its own and the one after the last: stripes share a tile's rows among them.
    read : tuple of int
        The same of the rows that are read: its own and a margin.
    shape : tuple of int
        Rows and columns of the whole tile.
    """

    own: tuple[int, int]
    read: tuple[int, int]
    shape: tuple[int, int]

    @property
    def share(self) -> float:
        """Part of the tile that is its own."""
        return (self.own[1] - self.own[0]) / self.shape[0]

    def keeps(self, y: ArrayLike) -> NDArray[np.bool_]:
        """Whether objects are the stripe's, by their rows on the whole tile; those close to a border are of both."""
        y, (first, stop) = np.asarray(y, dtype=float), self.own
        low = first - 0.5 - (OVERLAP if first > 0 else 0)
        high = stop - 0.5 + (OVERLAP if stop < self.shape[0] else 0)
        return np.asarray((y >= low) & (y < high))


def in_stripes(source: "TileSource", bands: Sequence[str]) -> list["TileSource"]:
    """A tile as it is read: itself, or its stripes when it is large.

    A tile is taken whole when its files cannot be read in parts (as those that are compressed by gzip), when its planes
    are not all of one shape on one grid, and when its files do not tell: reading them says then what is wrong.

    Parameters
    ----------
    source : TileSource
        The tile; its name is safe.
    bands : sequence of str
        Of the survey.

    Returns
    -------
    list of TileSource
        Stripes are called as the tile, with ``@`` and a number, which no tile can be called.
    """
    try:
        with np.errstate(all="ignore"):
            stripes = _stripes(source, bands)
    except Exception as error:  # whatever a damaged header or an odd WCS makes a library stumble over
        log.debug("tile %s is taken whole: %s", source.name, error)
        return [source]
    digits = len(str(len(stripes)))
    return [
        replace(source, name=f"{source.name}@{number:0{digits}d}", stripe=stripe)
        for number, stripe in enumerate(stripes, start=1)
    ] or [source]


def _stripes(source: "TileSource", bands: Sequence[str]) -> list[Stripe]:
    """Stripes of a tile; none if it is to be taken whole."""
    requests = source.requests(bands)
    path = source.images[bands[0]]
    if path.stat().st_size * PIXELS_PER_BYTE <= MOST_PIXELS or not starts_as_fits(path):
        return []
    if largest_plane(path) <= MOST_PIXELS:
        return []
    (first,) = read_outlines(path, [next(hdu for role, band, hdu in requests[path] if role == "image")])
    rows, columns = first.shape[-2:]
    if rows * columns <= MOST_PIXELS or first.wcs is None:
        return []
    row = float(np.hypot(*local_axes(first.wcs, (columns - 1) / 2, (rows - 1) / 2)[:, 1]))
    if not (math.isfinite(row) and row > 0):
        return []
    margin = math.ceil(MARGIN / row)
    # No more is read beside its own rows than these, or most of the time would go into margins.
    most = max(MOST_PIXELS // columns - 2 * margin, 2 * margin)
    if most >= rows or not all(starts_as_fits(file) for file in requests):
        return []
    others = [
        outline for file, wanted in requests.items() for outline in read_outlines(file, [hdu for *_, hdu in wanted])
    ]
    if not all(_alike(first, other) and other.together <= margin for other in others):
        return []
    count = math.ceil(rows / most)
    borders = [rows * i // count for i in range(count + 1)]
    return [
        Stripe((low, high), (max(0, low - margin), min(rows, high + margin)), (rows, columns))
        for low, high in pairwise(borders)
    ]


def _alike(first: Outline, other: Outline) -> bool:
    """Whether a plane has the pixels of another one; weights and masks may do without a WCS."""
    if other.shape[-2:] != first.shape[-2:]:
        return False
    return first.wcs is None or other.wcs is None or difference(first.wcs, other.wcs) is None
