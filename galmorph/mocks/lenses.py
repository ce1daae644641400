"""Strong lenses: a red elliptical deflector and the lensed images of a blue galaxy behind it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.Util.param_util import phi_q2_ellipticity

from galmorph.mocks.profiles import Float, Grid, Light, fade, rotate, sersic, unit

Row = Mapping[str, Any]
Generator = np.random.Generator

_LENS = LensModel(lens_model_list=["SIE", "SHEAR"])

#: Half-side of the area in which lensed light is sought, in Einstein radii.
REACH = 2.1


def lens(grid: Grid, row: Row, rng: Generator) -> Light:
    """Sersic deflector with the lensed light of an exponential source behind it.

    The deflector's mass is a singular isothermal ellipsoid aligned with its light plus external shear, deflected
    by lenstronomy (Birrer & Amara 2018). The lensed light is scaled to the row's `arc_fraction` of the deflector's.
    It is `young`, the deflector `old`.

    Parameters
    ----------
    grid : Grid
        Where to draw.
    row : mapping
        Parameters from `galmorph.mocks.population`.
    rng : numpy.random.Generator
        Of this object.
    """
    theta, fraction = float(row["einstein_radius"]), float(row["arc_fraction"])
    ratio, position_angle = float(row["axis_ratio"]), float(row["position_angle"])
    radius = float(row["half_light_radius"])
    deflector = sersic(grid, radius, float(row["sersic_index"]), ratio, position_angle, 7 * radius)
    arcs = np.zeros_like(deflector)
    rows = np.flatnonzero(np.abs(grid.north[:, 0]) < REACH * theta)
    columns = np.flatnonzero(np.abs(grid.east[0]) < REACH * theta)
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    arcs[window] = lensed_source(grid.east[window], grid.north[window], row, rng)
    total = np.float32(1 + fraction)
    return Light(deflector / total, unit(arcs) * np.float32(fraction) / total)


def lensed_source(east: Float, north: Float, row: Row, rng: Generator) -> Float:
    """Brightness of the lensed images, in arbitrary units.

    Parameters
    ----------
    east, north : ndarray of float32
        Offsets from the deflector in arcsec, any shape.
    row : mapping
        Parameters of the lens.
    rng : numpy.random.Generator
        Of this object.
    """
    theta = float(row["einstein_radius"])
    # The mass is rounder than the light; position angles count from north, lenstronomy's from its x axis.
    mass_ratio = 1 - 0.6 * (1 - float(row["axis_ratio"]))
    e1, e2 = phi_q2_ellipticity(np.pi / 2 - np.radians(float(row["position_angle"])), mass_ratio)
    shear, shear_angle = abs(float(rng.normal(0.0, 0.04))), float(rng.uniform(0, np.pi))
    source_east, source_north = _LENS.ray_shooting(
        east.ravel().astype(np.float64),
        north.ravel().astype(np.float64),
        [
            {"theta_E": theta, "e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0},
            {"gamma1": shear * np.cos(2 * shear_angle), "gamma2": shear * np.sin(2 * shear_angle)},
        ],
    )
    angle, offset = float(rng.uniform(0, 2 * np.pi)), theta * float(row["source_offset"])
    x = source_east.astype(np.float32).reshape(east.shape) - np.float32(offset * np.sin(angle))
    y = source_north.astype(np.float32).reshape(east.shape) - np.float32(offset * np.cos(angle))
    size = float(rng.uniform(0.15, 0.4))
    along, across = rotate(x, y, float(rng.uniform(0, 180)))
    r = np.hypot(along, across / np.float32(rng.uniform(0.5, 1.0))) / np.float32(size)
    image = np.exp(-np.float32(1.678) * r) * fade(r, 4.5)
    for _ in range(int(rng.integers(0, 3))):
        # Knots of star formation in the source.
        dx, dy = rng.normal(0.0, size, 2)
        image += np.float32(rng.uniform(0.2, 0.6)) * np.exp(
            -((x - np.float32(dx)) ** 2 + (y - np.float32(dy)) ** 2) / np.float32(2 * 0.07**2)
        )
    return np.asarray(image, dtype=np.float32)
