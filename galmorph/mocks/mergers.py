"""Disturbed galaxies and merging pairs: lopsided bodies, shells, tails, bridges."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from galmorph.mocks.arms import Arms, DiscPlane
from galmorph.mocks.profiles import Float, Grid, Light, add_blobs, fade, rotate, sersic_b, sigmoid, unit

Row = Mapping[str, Any]
Generator = np.random.Generator

#: Blobs that make up a tail or a bridge.
TAIL_BLOBS = 34


def disturbed(grid: Grid, row: Row, rng: Generator) -> Light:
    """One galaxy whose body is lopsided, with one to three of: shells, a tail, a plume, a loop, a second nucleus.

    Parameters
    ----------
    grid : Grid
        Where to draw.
    row : mapping
        Parameters from `galmorph.mocks.population`.
    rng : numpy.random.Generator
        Of this object.
    """
    radius, share = float(row["half_light_radius"]), float(row["young_fraction"])
    disc = float(row["sersic_index"]) < 2.2
    body = _Body(0.0, 0.0, radius, float(row["sersic_index"]), float(row["axis_ratio"]), float(row["position_angle"]))
    old = body.draw(grid, lopsided=float(rng.uniform(0.3, 0.6)), direction=float(rng.uniform(0, 360)))
    young = _patchy_disc(grid, body, rng) if disc else old.copy()
    features = rng.choice(
        ["shells", "tail", "plume", "loop", "nucleus"], int(rng.integers(2, 4)), replace=False, p=_ODDS
    )
    debris = np.zeros_like(old)
    for feature in features:
        debris += _FEATURES[str(feature)](grid, radius, rng)
    amount = np.float32(rng.uniform(0.2, 0.4))
    debris = unit(debris)
    old = (1 - amount) * old + amount * debris
    young = (1 - amount) * young + amount * debris
    return Light(np.float32(1 - share) * old, np.float32(share) * unit(young))


def merging(grid: Grid, row: Row, rng: Generator) -> Light:
    """Two galaxies in contact: bodies pulled towards each other, a bridge, tails, a common envelope.

    The position of the object is the centroid of the two bodies' light.

    Parameters
    ----------
    grid : Grid
        Where to draw.
    row : mapping
        Parameters from `galmorph.mocks.population`.
    rng : numpy.random.Generator
        Of this object.
    """
    radius, share = float(row["half_light_radius"]), float(row["young_fraction"])
    ratio, angle = float(row["companion_ratio"]), float(row["companion_angle"])
    first, second = nuclei(row)
    bodies: list[_Body] = []
    for (east, north), size in ((first, 0.85 * radius), (second, 0.85 * radius * ratio**0.35)):
        index = float(rng.choice([1.0, 1.3, 2.5, 4.0]))
        flattening = float(row["axis_ratio"]) if not bodies else float(rng.uniform(0.35, 0.95))
        bodies.append(_Body(east, north, size, index, flattening, float(rng.uniform(0, 180))))
    pull = float(rng.uniform(0.1, 0.3))
    old = np.zeros_like(grid.east)
    young = np.zeros_like(grid.east)
    for body, weight, towards in ((bodies[0], 1.0, angle), (bodies[1], ratio, angle + 180)):
        image = body.draw(grid, lopsided=pull, direction=towards)
        old += np.float32(weight) * image
        patches = _patchy_disc(grid, body, rng) if body.index < 2 else image
        young += np.float32(weight) * patches
    debris = _encounter(grid, bodies, radius, angle, rng)
    amount = np.float32(rng.uniform(0.15, 0.32))
    old = (1 - amount) * unit(old) + amount * debris
    young = (1 - amount) * unit(young) + amount * debris
    return Light(np.float32(1 - share) * old, np.float32(share) * young)


def nuclei(row: Row) -> tuple[tuple[float, float], tuple[float, float]]:
    """Offsets (east, north) in arcsec of the brighter and the fainter nucleus of a pair from its centroid."""
    distance, ratio = float(row["companion_distance"]), float(row["companion_ratio"])
    angle = np.radians(float(row["companion_angle"]))
    direction = np.array([np.sin(angle), np.cos(angle)])
    first = -direction * distance * ratio / (1 + ratio)
    second = direction * distance / (1 + ratio)
    return (float(first[0]), float(first[1])), (float(second[0]), float(second[1]))


class _Body:
    """A Sersic body that may be lopsided: isophotes slide to one side as they grow."""

    def __init__(
        self, east: float, north: float, radius: float, index: float, axis_ratio: float, position_angle: float
    ) -> None:
        self.east, self.north, self.radius, self.index = east, north, radius, index
        self.axis_ratio, self.position_angle = axis_ratio, position_angle

    def draw(self, grid: Grid, lopsided: float, direction: float) -> Float:
        """Image of unit sum; `direction` in degrees east of north is where the outer isophotes are displaced to."""
        east, north = grid.east - np.float32(self.east), grid.north - np.float32(self.north)
        along, across = rotate(east, north, self.position_angle)
        r = np.hypot(along, across / np.float32(self.axis_ratio)) / np.float32(self.radius)
        towards, _ = rotate(east, north, direction)
        cosine = towards / (np.hypot(east, north) + np.float32(1e-3 * self.radius))
        r = r / (1 + np.float32(lopsided) * cosine * r / (1 + r))
        # The floor stands for the integral over the central samples, which no feature needs better.
        r = np.maximum(r, np.float32(0.4 * grid.scale / grid.oversample / self.radius))
        b = np.float32(sersic_b(self.index))
        return unit(np.exp(-b * (r ** np.float32(1 / self.index) - 1)) * fade(r, 4.0))


def _patchy_disc(grid: Grid, body: _Body, rng: Generator) -> Float:
    """Young stars of a disturbed disc: ragged arms and knots on one side, of unit sum."""
    plane = DiscPlane(body.position_angle, body.axis_ratio, float(rng.choice([-1.0, 1.0])))
    x, y = plane.from_sky(grid.east - np.float32(body.east), grid.north - np.float32(body.north))
    r = np.hypot(x, y) / np.float32(body.radius)
    arms = Arms({"arm_count": 1, "pitch_angle": rng.uniform(25, 50)}, 0.3, float(rng.uniform(0, 7)), rng)
    ridge = arms.ridge(arms.phase(r, np.arctan2(y, x)), 0.0, 1.5)
    image = unit(np.exp(-np.float32(1.5) * r) * fade(r, 3.5) * (ridge + np.float32(0.3)))
    count = int(rng.integers(8, 25))
    radii, azimuth = 0.25 + rng.gamma(2.0, 0.35, count), rng.normal(rng.uniform(0, 7), 1.2, count)
    east, north = plane.to_sky(body.radius * radii * np.cos(azimuth), body.radius * radii * np.sin(azimuth))
    flux = rng.lognormal(0.0, 0.8, count) * (radii < 2.4)
    image *= np.float32(0.65)
    add_blobs(
        image,
        grid,
        east + body.east,
        north + body.north,
        body.radius * rng.uniform(0.04, 0.12, count),
        0.35 * flux / max(flux.sum(), 1e-9),
    )
    return image


def _curve(
    grid: Grid,
    start: tuple[float, float],
    direction: float,
    length: float,
    bend: float,
    width: tuple[float, float],
    rng: Generator,
) -> Float:
    """A tail: blobs along a path that leaves `start` towards `direction` (radians east of north) and bends.

    `length` and `width` (at the root and the tip) are in arcsec, `bend` is the turn in radians over the length.
    """
    t = np.linspace(0.0, 1.0, TAIL_BLOBS)
    heading = direction + bend * t
    step = length / TAIL_BLOBS
    east = start[0] + np.cumsum(np.sin(heading)) * step
    north = start[1] + np.cumsum(np.cos(heading)) * step
    flux = (1.0 - 0.75 * t) * np.exp(rng.normal(0.0, 0.12, TAIL_BLOBS))
    if rng.random() < 0.4:
        # A clump at the tip: a tidal dwarf.
        flux[-5:] *= 2.2
    image = np.zeros_like(grid.east)
    add_blobs(image, grid, east, north, width[0] + (width[1] - width[0]) * t, flux / flux.sum())
    return image


def _tail(grid: Grid, radius: float, rng: Generator) -> Float:
    angle = float(rng.uniform(0, 2 * np.pi))
    start = (0.5 * radius * np.sin(angle), 0.5 * radius * np.cos(angle))
    bend = float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.8))
    return _curve(grid, start, angle, radius * float(rng.uniform(2.2, 3.6)), bend, (0.16 * radius, 0.3 * radius), rng)


def _loop(grid: Grid, radius: float, rng: Generator) -> Float:
    """A stellar stream that wraps around the galaxy."""
    angle = float(rng.uniform(0, 2 * np.pi))
    distance = radius * float(rng.uniform(1.6, 2.3))
    start = (distance * np.sin(angle), distance * np.cos(angle))
    turn = float(rng.choice([-1, 1]))
    arc = float(rng.uniform(1.2, 2.4))
    return _curve(
        grid, start, angle + turn * np.pi / 2, distance * arc, turn * arc, (0.13 * radius, 0.16 * radius), rng
    )


def _plume(grid: Grid, radius: float, rng: Generator) -> Float:
    """A broad fan of stars to one side."""
    angle = float(rng.uniform(0, 360))
    along, across = rotate(grid.east, grid.north, angle)
    middle, spread = radius * float(rng.uniform(1.2, 1.8)), radius * float(rng.uniform(0.45, 0.7))
    return unit(
        np.exp(
            -0.5 * (((along - np.float32(middle)) / np.float32(spread)) ** 2 + (across / np.float32(0.7 * spread)) ** 2)
        )
    )


def _nucleus(grid: Grid, radius: float, rng: Generator) -> Float:
    """The core of a swallowed companion."""
    angle, distance = float(rng.uniform(0, 2 * np.pi)), radius * float(rng.uniform(0.5, 1.1))
    image = np.zeros_like(grid.east)
    east, north = np.array([distance * np.sin(angle)]), np.array([distance * np.cos(angle)])
    add_blobs(image, grid, east, north, np.array([0.16 * radius]), np.array([0.5]))
    return image


def _shells(grid: Grid, radius: float, rng: Generator) -> Float:
    """Arcs with sharp outer edges on the two sides of an axis (Quinn 1984)."""
    axis = float(rng.uniform(0, 360))
    along, across = rotate(grid.east, grid.north, axis)
    r = np.hypot(along, across) / np.float32(radius)
    cosine = along / (np.hypot(along, across) + np.float32(1e-3))
    image = np.zeros_like(r)
    for edge in np.linspace(rng.uniform(1.1, 1.4), rng.uniform(2.3, 3.1), int(rng.integers(2, 4))):
        side, depth = float(rng.choice([-1.0, 1.0])), r - np.float32(edge)
        profile = np.where(depth < 0, np.exp(depth / np.float32(0.22)), np.exp(-((depth / np.float32(0.05)) ** 2)))
        opening = sigmoid((np.float32(side) * cosine - np.float32(rng.uniform(0.3, 0.75))) / np.float32(0.08))
        image += unit(profile * opening)
    return image


_FEATURES = {"shells": _shells, "tail": _tail, "plume": _plume, "loop": _loop, "nucleus": _nucleus}
_ODDS = (0.2, 0.35, 0.18, 0.12, 0.15)


def _encounter(grid: Grid, bodies: list[_Body], radius: float, angle: float, rng: Generator) -> Float:
    """Bridge between two bodies, tails on their far sides and a diffuse envelope, of unit sum."""
    first, second = bodies
    start, towards = (first.east, first.north), np.radians(angle)
    distance = float(np.hypot(second.east - first.east, second.north - first.north))
    bow = float(rng.uniform(-0.7, 0.7))
    debris = np.float32(rng.uniform(0.3, 0.7)) * _curve(
        grid, start, towards - bow / 2, distance, bow, (0.2 * radius, 0.18 * radius), rng
    )
    turn = float(rng.choice([-1.0, 1.0]))
    # At least one tail; prograde encounters raise two that curve the same way (Toomre & Toomre 1972).
    tails = rng.permutation([True, bool(rng.random() < 0.6)])
    for body, outward, present in ((first, towards + np.pi, tails[0]), (second, towards, tails[1])):
        if present:
            heading = outward - turn * float(rng.uniform(0.2, 0.9))
            root = (body.east + 0.5 * body.radius * np.sin(heading), body.north + 0.5 * body.radius * np.cos(heading))
            length = radius * float(rng.uniform(1.8, 3.2))
            debris += _curve(
                grid, root, heading, length, turn * float(rng.uniform(0.6, 1.9)), (0.15 * radius, 0.26 * radius), rng
            )
    r = np.hypot(grid.east, grid.north) / np.float32(radius)
    debris += np.float32(rng.uniform(0.3, 0.6)) * unit(np.exp(-r / np.float32(0.9)) * fade(r, 4.0))
    return unit(debris)
