"""Which tile an object belongs to, and which detection is which object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutouts import Framing, field_cutouts
from galmorph.detection import DetectionConfig, extract
from galmorph.imaging import measured_columns
from galmorph.mocks.config import MockConfig
from galmorph.mocks.sky import MockTile, tile_wcs
from galmorph.surveys import Survey, find_tiles
from galmorph.tiles import read_tile
from galmorph.truth import match

#: A detection within this many arcsec of an object, or this fraction of its half-light radius, is that object.
MATCH_ARCSEC, MATCH_RADII = 1.5, 0.8


@dataclass(frozen=True)
class TileCutouts:
    """The labelled objects found on a tile.

    Parameters
    ----------
    objects : pandas.DataFrame
        A row per object: `object_id`, `label`, `tile`, and as detected `x`, `y`, `radius`, `side_arcsec`,
        `snr`, `flags`, `off_edge_fraction`, `bad_fraction`, `match_arcsec`, `detected` (true).
    images : ndarray of float32
        Their cutouts in the same order, shape ``(n, bands, N, N)``.
    measured : pandas.DataFrame
        What `galmorph.imaging.measured_columns` names, of the same objects.
    detections : pandas.DataFrame
        All objects of the tile, as `galmorph.detection.extract` gives them.
    """

    objects: pd.DataFrame
    images: NDArray[np.float32]
    measured: pd.DataFrame
    detections: pd.DataFrame


def primary_tiles(sky: pd.DataFrame, tiles: Sequence[MockTile], pixel_scale: float, config: MockConfig) -> pd.DataFrame:
    """Say of every object where it is to be looked for.

    Adds `tiles`, the names of all tiles that show the object (comma-separated), `tile`, the one in whose interior it
    lies deepest, and `match_radius` (arcsec), from `match_radii`.
    """
    depths = []
    for tile in tiles:
        wcs, side = tile_wcs(tile, pixel_scale, config)
        x, y = wcs.world_to_pixel_values(sky["ra"].to_numpy(), sky["dec"].to_numpy())
        depths.append(np.minimum(np.minimum(x, side - 1 - x), np.minimum(y, side - 1 - y)) + 0.5)
    depth = np.stack(depths, axis=1)
    names = np.array([tile.name for tile in tiles], dtype=object)
    shown = depth >= 0
    return sky.assign(
        tiles=[",".join(names[row]) for row in shown], tile=names[depth.argmax(axis=1)], match_radius=match_radii(sky)
    )


def cut_tile(
    paths: Sequence[Path],
    tile: MockTile,
    truth: pd.DataFrame,
    survey: Survey,
    framing: Framing,
    detection: DetectionConfig,
) -> TileCutouts:
    """Read a tile, detect on it as a survey run does, and cut out the labelled objects whose tile it is.

    Parameters
    ----------
    paths : sequence of Path
        Files of the tile.
    tile : MockTile
        Which.
    truth : pandas.DataFrame
        All objects of the mock, from `primary_tiles`.
    survey : Survey
        Profile.
    framing : Framing
        Of the cutouts.
    detection : DetectionConfig
        How objects are found.
    """
    sources, _ = find_tiles(list(paths), survey)
    # Whole, however large it is: it was made in memory.
    image = read_tile(replace(sources[0], stripe=None), survey)
    field = extract(image, detection)
    here = truth[truth["tiles"].str.contains(tile.name, regex=False) & (truth["label"] != "")]
    rows, distance = match(field.objects, here, here["match_radius"].to_numpy())
    wanted = (rows >= 0) & (here["tile"] == tile.name).to_numpy()
    cutouts = field_cutouts(field, image, rows[wanted], framing)
    detected = field.objects.iloc[rows[wanted]]
    objects = pd.DataFrame(
        {
            "object_id": here["object_id"].to_numpy()[wanted],
            "label": here["label"].to_numpy()[wanted],
            "tile": tile.name,
            "x": detected["x"].to_numpy(),
            "y": detected["y"].to_numpy(),
            "radius": detected["radius"].to_numpy(),
            "side_arcsec": cutouts.side,
            "snr": detected["snr"].to_numpy(),
            "flags": detected["flags"].to_numpy(),
            "off_edge_fraction": cutouts.off_edge_fraction,
            "bad_fraction": cutouts.bad_fraction,
            "match_arcsec": distance[wanted],
            "detected": True,
        }
    )
    measured = detected[measured_columns(survey.bands)].astype(np.float32).reset_index(drop=True)
    return TileCutouts(objects, cutouts.images, measured, field.objects)


def match_radii(objects: pd.DataFrame) -> NDArray[np.float64]:
    """How far from an object, in arcsec, a detection may lie that is called that object."""
    radius = np.maximum(MATCH_ARCSEC, MATCH_RADII * objects["half_light_radius"].to_numpy())
    # The centre of light of a pair may lie between its nuclei.
    return np.maximum(radius, 0.6 * objects["companion_distance"].fillna(0).to_numpy())
