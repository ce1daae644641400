"""Finding objects on a tile, beside nothing but sep on the same arrays; photometry aside.

Processor time of one thread. Ours measures the background of each band twice, the second time without the objects,
weighs the bands and filters with the point-spread function; sep's ``Background`` is made once for each band, and
``extract`` runs with its own filter on the mean of the bands.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import sep
from common.outcome import entry, finish, parser

from galmorph import detection, segmentation
from galmorph.detection import DetectionConfig
from galmorph.tiles import Tile

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from make_crowded import sky_planes
from make_sky import BANDS, NOISE, SCALE, tile_wcs

SIDE, OBJECTS, REPEATS = 2000, 1500, 8


def fastest(*calls: Callable[[], object]) -> list[float]:
    """Least processor time of several goes at each of the calls, which take turns: the machine's moods are shared."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, taken in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def make_tile() -> Tile:
    """A tile in memory."""
    image = np.stack(list(sky_planes(SIDE, OBJECTS).values()))
    valid = np.ones(image.shape, dtype=bool)
    nowhere = np.zeros(image.shape[1:], dtype=bool)
    weight = np.full(image.shape, NOISE**-2, np.float32)
    seeing = (1.29, 1.18, 1.11)
    return Tile("t", BANDS, image, weight, nowhere, valid, tile_wcs(150, 2, SIDE), SCALE, (), seeing, ("g", "r", "z"))


def bare(tile: Tile, config: DetectionConfig) -> int:
    """Background and extraction by sep alone."""
    side = round(config.background_box / SCALE)
    levelled = []
    for plane, valid in zip(tile.image, tile.valid, strict=True):
        background = sep.Background(plane, mask=~valid, bw=side, bh=side)
        levelled.append(plane - background.back())
    image = np.mean(levelled, axis=0)
    error = np.full(image.shape, NOISE / np.sqrt(len(BANDS)), np.float32)
    found, _ = sep.extract(
        image,
        config.threshold,
        err=error,
        mask=~tile.valid.all(axis=0),
        minarea=16,
        deblend_nthresh=config.deblend_levels,
        deblend_cont=config.deblend_contrast,
        segmentation_map=True,
    )
    return len(found)


def main() -> None:
    """Measure, print, and with ``--check`` fail when the target is missed."""
    check = parser(__doc__).parse_args().check
    sep.set_extract_pixstack(segmentation.PIXEL_STACK)
    sep.set_sub_object_limit(segmentation.SUB_OBJECTS)
    tile, config = make_tile(), DetectionConfig()
    counts = {}

    def counted(tile: Tile, sky: object, found: detection._Detection, *others: object) -> list[object]:
        counts["ours"] = len(found.found)
        return []

    with mock.patch.object(detection, "_measure", counted):
        theirs, ours = fastest(
            lambda: counts.update(theirs=bare(tile, config)), lambda: detection.extract(tile, config)
        )
    found = f"{counts['ours']} objects ({counts['theirs']} by sep)"
    print(f"{SIDE} x {SIDE} in three bands, {found}: {ours:.2f} s beside {theirs:.2f}")
    name = "background and extraction: time beside sep"
    finish("detection", [entry(name, ours / theirs, 1.15, "most", seconds=round(ours, 3))], check=check)


if __name__ == "__main__":
    main()
