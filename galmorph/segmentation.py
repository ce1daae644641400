"""From a significance image to objects and the pixels that belong to each: sep, and large objects asked about again."""

from dataclasses import dataclass

import cv2
import numpy as np
import sep
from numpy.typing import NDArray

#: Pixels above the threshold that sep has room for at first; it gets more when they do not suffice.
PIXEL_STACK = 1_000_000
#: Sub-objects that sep's deblending has room for.
SUB_OBJECTS = 100_000

#: sep's table of objects, and the number of the object that each pixel belongs to, from 1; 0 for none.
Objects = tuple[NDArray[np.void], NDArray[np.int32]]


@dataclass(frozen=True)
class Segmentation:
    """How objects are told apart, in pixels.

    Parameters
    ----------
    threshold : float
        Significance above which pixels belong to an object.
    min_area : int
        Least pixels of an object.
    contrast : float
        Least fraction of the light of a group of pixels that a peak needs to become an object of its own.
    levels : int
        Thresholds between an object's faintest and brightest pixel that are looked at for peaks.
    large : float
        Pixels beyond which an object may be many that run together.
    """

    threshold: float
    min_area: int
    contrast: float
    levels: int
    large: float


def find_objects(significance: NDArray[np.floating], how: Segmentation) -> Objects:
    """Objects of an image, large ones parted until none falls apart.

    sep's contrast is that to the light of all that touches, however far off. Here each large object is a group of its
    own, so that it is parted as if it were alone. A galaxy that sep found alone stays what it is.

    Parameters
    ----------
    significance : ndarray
        Shape ``(rows, columns)``; 0 where there is no data.
    how : Segmentation
        How to tell objects apart.

    Returns
    -------
    found : ndarray
        sep's table.
    segments : ndarray of int32
        Number of the object that each pixel belongs to, from 1; 0 for none. Shape ``(rows, columns)``.

    Raises
    ------
    MemoryError
        If memory lacks.
    Exception
        sep's own, which is of no other class, if there are too many pixels or objects.
    """
    found, segments = _by_sep(significance, how)
    todo = list(np.flatnonzero(found["npix"] > how.large))
    while todo:
        i = todo.pop(0)
        whole = found[i]
        left, bottom = int(whole["xmin"]), int(whole["ymin"])
        place = np.s_[bottom : whole["ymax"] + 1, left : whole["xmax"] + 1]
        window = segments[place]
        inside = _largest_piece(window == i + 1)
        # A rim of nothing, for sep calls truncated what lies at the border of what it is given; the image's own border
        # is seen in the segments.
        alone = np.pad(np.where(inside, significance[place], np.float32(0)), 1)
        parts, numbers = _by_sep(alone, how)
        if len(parts) < 2:
            continue
        parts["flag"] |= sep.OBJ_MERGED | (whole["flag"] & ~sep.OBJ_TRUNC)
        for axis, offset in (("x", left - 1), ("y", bottom - 1)):
            for name in ("{}", "{}min", "{}max", "{}peak", "{}cpeak"):
                parts[name.format(axis)] += offset
        # The first part has the number of the whole, and so have pixels that are in none; the others come last.
        own = np.array([i, *range(len(found), len(found) + len(parts) - 1)])
        window[inside] = np.append(i, own)[numbers[1:-1, 1:-1][inside]] + 1
        found = np.append(found, parts[1:])
        found[i] = parts[0]
        todo.extend(own[parts["npix"] > how.large])
    return found, segments


def keep_objects(found: NDArray[np.void], segments: NDArray[np.int32], kept: NDArray[np.intp]) -> Objects:
    """Some of the objects, in a new order, numbered so in the segmentation map, which is changed in place.

    Parameters
    ----------
    found, segments : ndarray
        As `find_objects` gives them.
    kept : ndarray of int
        Rows of `found`, in the new order.

    Returns
    -------
    found, segments : ndarray
        The same of those kept.
    """
    numbers = np.zeros(len(found) + 1, dtype=np.int32)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    # Of the few pixels of objects: numpy looks numbers up by indices of twice the size.
    inside = segments > 0
    segments[inside] = numbers.take(segments[inside])
    return found[kept], segments


def _by_sep(significance: NDArray[np.floating], how: Segmentation) -> Objects:
    """What sep finds."""
    sep.set_sub_object_limit(SUB_OBJECTS)
    stack = PIXEL_STACK
    while True:
        sep.set_extract_pixstack(stack)
        try:
            found, segments = sep.extract(
                significance,
                how.threshold,
                minarea=how.min_area,
                filter_kernel=None,
                deblend_nthresh=how.levels,
                deblend_cont=how.contrast,
                segmentation_map=True,
            )
        except Exception as error:
            if "pixel buffer full" not in str(error) or stack >= significance.size:
                raise
            stack *= 4
        else:
            return found, segments


def _largest_piece(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest of the pieces that do not touch: sep hands out pixels between objects by lot, some as islands."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax(), dtype=bool)
