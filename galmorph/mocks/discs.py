"""Disc galaxies: spirals with arms, bars, knots and dust, and discs seen edge-on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from galmorph.mocks.arms import Arms, DiscPlane
from galmorph.mocks.profiles import Float, Grid, Light, add_blobs, edge_on_disc, fade, rotate, sersic, sigmoid, unit

Row = Mapping[str, Any]
Generator = np.random.Generator

#: Half-light radius of an exponential disc in scale lengths.
HALF_LIGHT_SCALE_LENGTHS = 1.678

#: Radius beyond which stars do not form, in half-light radii.
KNOTS_END = 2.4

#: Radius at which a disc has faded away, in half-light radii.
DISC_END = 3.0


def spiral(grid: Grid, row: Row, rng: Generator) -> Light:
    """Bulge, exponential disc and arms; a bar if the row has a bar length.

    Old stars follow the arms weakly, young stars and knots of star formation strongly; dust lies along the inner
    edges of the arms.

    Parameters
    ----------
    grid : Grid
        Where to draw.
    row : mapping
        Parameters from `galmorph.mocks.population`.
    rng : numpy.random.Generator
        Of this object.
    """
    radius, bulge_share = float(row["half_light_radius"]), float(row["bulge_fraction"])
    plane = DiscPlane(float(row["position_angle"]), float(row["axis_ratio"]), float(rng.choice([-1.0, 1.0])))
    x, y = plane.from_sky(grid.east, grid.north)
    r = np.hypot(x, y) / np.float32(radius)
    barred = bool(np.isfinite(row["bar_length"]))
    start = 0.95 * float(row["bar_length"]) if barred else float(rng.uniform(0.2, 0.35))
    arms = Arms(row, start, float(rng.uniform(0, 2 * np.pi)), rng)
    phase = arms.phase(r, np.arctan2(y, x))
    ridge = arms.ridge(phase, 0.0, float(rng.uniform(1.6, 3.0)))
    edge = fade(r, DISC_END)
    outside = sigmoid((r - np.float32(start)) / np.float32(0.06))

    old = np.exp(-np.float32(HALF_LIGHT_SCALE_LENGTHS) * r) * edge
    old *= 1 + np.float32(rng.uniform(0.8, 1.8)) * ridge * outside
    bar_share = 0.0
    if barred:
        # Stars within the circle of the bar have been swept up by it.
        old *= 1 - np.float32(0.5) * (1 - outside)
        bar_share = float(rng.uniform(0.16, 0.28))
    light = np.float32(1 - bulge_share - bar_share) * unit(old)
    if barred:
        light += np.float32(bar_share) * _bar(x, y, float(row["bar_length"]) * radius, arms.angle, rng)
    size = radius * float(np.clip(0.1 + 0.5 * bulge_share, 0.12, 0.26))
    light += np.float32(bulge_share) * sersic(
        grid, size, float(row["sersic_index"]), plane.cos_i**0.4, plane.position_angle, DISC_END * radius
    )

    young = unit(np.exp(-np.float32(1.25) * r) * edge * outside * (ridge**1.5 + np.float32(0.06)))
    _add_knots(young, grid, plane, arms, radius, rng)
    dust = arms.ridge(phase, float(rng.uniform(0.5, 0.9)), 5.0) * outside * np.exp(-r / np.float32(1.4))
    share = np.float32(row["young_fraction"])
    return Light((1 - share) * light, share * young, np.float32(rng.uniform(0.2, 0.8) / plane.cos_i) * dust)


def _add_knots(young: Float, grid: Grid, plane: DiscPlane, arms: Arms, radius: float, rng: Generator) -> None:
    """Regions of star formation strung along the arms, with 15 to 40 per cent of the young light."""
    count = int(rng.integers(18, 55))
    r = arms.start + rng.gamma(2.0, 0.36, count)
    azimuth = arms.azimuth(r) + 2 * np.pi * rng.integers(arms.count, size=count) / arms.count
    azimuth += rng.normal(0.0, 0.3 / arms.count, count)
    flux = rng.lognormal(0.0, 0.9, count) * np.exp(-r) * (r < KNOTS_END)
    share = float(rng.uniform(0.15, 0.4))
    east, north = plane.to_sky(radius * r * np.cos(azimuth), radius * r * np.sin(azimuth))
    young *= np.float32(1 - share)
    add_blobs(young, grid, east, north, radius * rng.uniform(0.035, 0.09, count), share * flux / max(flux.sum(), 1e-9))


def _bar(x: Float, y: Float, length: float, angle: float, rng: Generator) -> Float:
    """Flat bar with boxy isophotes, of unit sum; coordinates in the plane of the disc."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    ratio, power = float(rng.uniform(0.2, 0.34)), np.float32(rng.uniform(2.2, 3.0))
    along = np.abs(x * cos + y * sin) / np.float32(length)
    across = np.abs(y * cos - x * sin) / np.float32(length * ratio)
    radius = (along**power + across**power) ** (1 / power)
    return unit(np.exp(-np.float32(0.9) * radius) * sigmoid((np.float32(0.92) - radius) / np.float32(0.07)))


def edge_on(grid: Grid, row: Row, rng: Generator) -> Light:
    """Disc seen from the side, with a dust lane, some warped; a bulge if the row's `bulge_fraction` is not 0.

    Parameters
    ----------
    grid : Grid
        Where to draw.
    row : mapping
        Parameters from `galmorph.mocks.population`.
    rng : numpy.random.Generator
        Of this object.
    """
    radius, bulge_share = float(row["half_light_radius"]), float(row["bulge_fraction"])
    position_angle = float(row["position_angle"])
    along, across = rotate(grid.east, grid.north, position_angle)
    # Half of the light of an edge-on exponential disc lies within 1.2 scale lengths along the disc.
    length = radius / 1.2
    height = 0.9 * float(row["axis_ratio"]) * radius
    warp = float(rng.normal(0.0, 0.12)) if rng.random() < 0.35 else 0.0
    beyond = np.clip(np.abs(along) / np.float32(length) - np.float32(1.2), 0, None)
    bent = across - np.float32(warp * length) * np.sign(along) * beyond**1.5
    end = fade(np.abs(along), DISC_END * radius)
    disc = unit(edge_on_disc(along, bent, length, height) * end)
    thin = unit(edge_on_disc(along, bent, 1.1 * length, 0.5 * height) * end)
    light = np.float32(1 - bulge_share) * disc
    if bulge_share > 0:
        size, ratio = radius * float(rng.uniform(0.2, 0.32)), float(rng.uniform(0.6, 0.9))
        light += np.float32(bulge_share) * sersic(
            grid, size, float(row["sersic_index"]), ratio, position_angle, DISC_END * radius
        )
    _add_clumps(thin, grid, position_angle, length, height, rng)
    # The lane is displaced from the middle because the disc is not seen exactly edge-on.
    offset = np.float32(0.35 * height * rng.choice([-1.0, 1.0]))
    lane = np.exp(-0.5 * ((bent - offset) / np.float32(0.3 * height)) ** 2 - np.abs(along) / np.float32(1.3 * length))
    share = np.float32(row["young_fraction"])
    depth = np.float32(rng.uniform(0.5, 2.2) if bulge_share > 0 else rng.uniform(0.2, 1.3))
    return Light((1 - share) * light, share * thin, depth * lane)


def _add_clumps(thin: Float, grid: Grid, position_angle: float, length: float, height: float, rng: Generator) -> None:
    """Clumps of star formation along the disc, with 10 to 30 per cent of the young light."""
    count = int(rng.integers(6, 18))
    plane = DiscPlane(position_angle, 1.0, 1.0)
    along = rng.normal(0.0, 1.2 * length, count)
    east, north = plane.to_sky(along, rng.normal(0.0, 0.25 * height, count))
    flux, share = rng.lognormal(0.0, 0.8, count) * (np.abs(along) < KNOTS_END * length), float(rng.uniform(0.1, 0.3))
    thin *= np.float32(1 - share)
    add_blobs(thin, grid, east, north, length * rng.uniform(0.05, 0.1, count), share * flux / max(flux.sum(), 1e-9))
