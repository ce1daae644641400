"""The mock sky: a grid of overlapping tiles and where the objects lie on it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from galmorph.mocks.config import MockConfig
from galmorph.mocks.population import BACKGROUND, draw_population
from galmorph.taxonomy import map_labels

Float = NDArray[np.float64]

#: Right ascension and declination of the first tile of seed 0, degrees.
FIRST_RA, FIRST_DEC = 150.0, 2.5

#: Degrees of right ascension and of declination between mocks of different seeds.
APART = 2.0

#: Seeds on one declination, and declinations: from the first one to the north, then from the southernmost.
SEEDS_AROUND, NORTH, SOUTH = 180, 28, 28

#: Arcsec that labelled objects keep from the border of the mock: a survey, too, has few objects at its edge.
MARGIN = 10.0

#: Places tried for an object before the least crowded of them is taken.
TRIES = 40


@dataclass(frozen=True)
class MockTile:
    """One tile of the grid.

    Parameters
    ----------
    name : str
        Right ascension and declination of the centre in thousandths of a degree, as ``150000p02500``.
    ra, dec : float
        Centre in degrees.
    number : int
        Position in the grid, row by row.
    """

    name: str
    ra: float
    dec: float
    number: int


def tile_grid(tiles: int, seed: int, config: MockConfig) -> list[MockTile]:
    """Centres of `tiles` tiles in rows of equal declination, about as many rows as columns.

    They begin at the place of the seed, unless the settings name another.
    """
    columns = int(np.ceil(np.sqrt(tiles)))
    step = config.tile_side * (1 - config.overlap) / 3600
    first_ra, first_dec = place_of(seed) if config.centre is None else config.centre
    grid = []
    for number in range(tiles):
        dec = first_dec + step * (number // columns)
        ra = (first_ra - step * (number % columns) / np.cos(np.radians(dec))) % 360.0
        name = f"{round(ra * 1000):06d}{'p' if dec >= 0 else 'm'}{round(abs(dec) * 1000):05d}"
        grid.append(MockTile(name, ra, dec, number))
    return grid


def place_of(seed: int) -> tuple[float, float]:
    """Centre of the first tile of a seed's mock: right ascension and declination in degrees.

    Mocks of different seeds lie 2 degrees of right ascension or declination apart, so that their catalogues can be
    joined: objects of two mocks neither lie in one place nor have one identifier, which the tile's name goes into. From
    seed 10,260 on places come again.
    """
    row, column = divmod(seed, SEEDS_AROUND)
    row = (row + SOUTH) % (SOUTH + 1 + NORTH) - SOUTH
    return FIRST_RA + APART * column, FIRST_DEC + APART * row


def tile_wcs(tile: MockTile, pixel_scale: float, config: MockConfig) -> tuple[WCS, int]:
    """Tangential projection of a tile, north up and east left, and its side in pixels."""
    side = round(config.tile_side / pixel_scale)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [tile.ra, tile.dec]
    wcs.wcs.crpix = [(side + 1) / 2, (side + 1) / 2]
    wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) * pixel_scale / 3600
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs, side


def make_sky(tiles: list[MockTile], seed: int, config: MockConfig) -> pd.DataFrame:
    """Draw every object of a mock and put it on the sky.

    Parameters
    ----------
    tiles : list of MockTile
        The grid; objects lie on its tiles.
    seed : int
        Seed of the mock.
    config : MockConfig
        What to draw.

    Returns
    -------
    pandas.DataFrame
        The columns of `draw_population` after `object_id`, `number`, `ra`, `dec` (degrees), `fine_class` and
        `label` (by the class map ``"shape"``; empty for the background).
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    area = _covered_area(tiles, config) / 3600
    labelled = max(round(area * config.density), 1)
    objects = draw_population(labelled, round(area * config.background_density), config, rng)
    east, north = _place(objects["reach"].to_numpy(), labelled, tiles, config, rng)
    # A sinusoidal projection: equal areas, so that the density is even.
    dec = tiles[0].dec + north / 3600
    objects["ra"] = (tiles[0].ra + east / 3600 / np.cos(np.radians(dec))) % 360.0
    objects["dec"] = dec
    # Numbered by place, not by class.
    objects = objects.iloc[rng.permutation(len(objects))].reset_index(drop=True)
    objects["number"] = np.arange(len(objects))
    objects["object_id"] = [f"mock{seed}-{number:06d}" for number in objects["number"]]
    objects["label"] = map_labels(objects["fine_class"].replace(BACKGROUND, ""), "shape")
    first = ["object_id", "number", "ra", "dec", "fine_class", "label"]
    return objects[first + [column for column in objects if column not in first]]


def _tile_offsets(tiles: list[MockTile], config: MockConfig) -> Float:
    """East and north offsets of tile centres from the first, in arcsec. Shape ``(tiles, 2)``."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    step = config.tile_side * (1 - config.overlap)
    numbers = np.array([tile.number for tile in tiles])
    return np.stack([-step * (numbers % columns), step * (numbers // columns)], axis=1)


def _covered_area(tiles: list[MockTile], config: MockConfig) -> float:
    """Area of the union of the tiles in square arcsec."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    step, overlap = config.tile_side * (1 - config.overlap), config.tile_side * config.overlap
    full_rows, rest = divmod(len(tiles), columns)

    def row_area(count: int) -> float:
        return (count * step + overlap) * step if count else 0.0

    # Every row adds its width times one step; the topmost part of each column adds the overlap.
    return full_rows * row_area(columns) + row_area(rest) + (columns * step + overlap) * overlap


def _place(
    reach: Float, labelled: int, tiles: list[MockTile], config: MockConfig, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Offsets in arcsec: the labelled (the first rows) keep clear of each other where there is room, largest first.

    The background lies anywhere.
    """
    offsets = _tile_offsets(tiles, config)
    total = len(reach)
    east, north = np.empty(total), np.empty(total)
    # Labelled objects keep off the border of the mock, not off the borders between its tiles.
    half = config.tile_side / 2 - min(MARGIN, config.tile_side * config.overlap / 2)
    cell = 40.0
    cells: dict[tuple[int, int], list[int]] = {}
    for index in np.argsort(-reach[:labelled], kind="stable"):
        spots = _uniform(TRIES, offsets, half, rng)
        best, best_gap = 0, -np.inf
        for spot, (e, n) in enumerate(spots):
            gap = _gap(e, n, float(reach[index]), east, north, reach, cells, cell)
            if gap > best_gap:
                best, best_gap = spot, gap
            if gap >= 0:
                break
        east[index], north[index] = spots[best]
        cells.setdefault((int(east[index] // cell), int(north[index] // cell)), []).append(int(index))
    scattered = _uniform(total - labelled, offsets, config.tile_side / 2, rng)
    east[labelled:], north[labelled:] = scattered[:, 0], scattered[:, 1]
    return east, north


def _uniform(count: int, offsets: Float, half: float, rng: np.random.Generator) -> Float:
    """Places spread evenly over the union of squares of half-side `half` at `offsets`.

    A place that several squares cover is kept only when it was drawn for the first of them.
    """
    places = np.empty((0, 2))
    while len(places) < count:
        tile = rng.integers(len(offsets), size=2 * count)
        spots = offsets[tile] + rng.uniform(-half, half, (2 * count, 2))
        covers = (np.abs(spots[:, None, :] - offsets[None]) <= half).all(axis=2)
        places = np.concatenate([places, spots[covers.argmax(axis=1) == tile]])
    return places[:count]


def _gap(
    e: float,
    n: float,
    reach: float,
    east: Float,
    north: Float,
    reaches: Float,
    cells: dict[tuple[int, int], list[int]],
    cell: float,
) -> float:
    """Distance in arcsec to the nearest placed neighbour beyond the sum of both reaches; negative if they overlap."""
    column, row = int(e // cell), int(n // cell)
    near = [k for i in (-1, 0, 1) for j in (-1, 0, 1) for k in cells.get((column + i, row + j), ())]
    if not near:
        return np.inf
    return float((np.hypot(east[near] - e, north[near] - n) - reaches[near]).min() - reach)
