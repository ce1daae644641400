"""From the parameters of an object to its noiseless stamp in every band."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from galmorph.mocks.colours import EXTINCTION, band_indices, old_colours, relative_flux, young_colours
from galmorph.mocks.discs import DISC_END, edge_on, spiral
from galmorph.mocks.lenses import lens
from galmorph.mocks.mergers import disturbed, merging
from galmorph.mocks.population import BACKGROUND
from galmorph.mocks.profiles import Float, Grid, Light, bin_samples, make_grid, sersic

Row = Mapping[str, Any]

#: Coarsest sampling in arcsec at which structure (arms, knots, arcs) is drawn before it is binned to pixels.
FINEST_STRUCTURE = 0.2

#: Redshift of lensed sources, for their colours.
SOURCE_REDSHIFT = 0.4


@dataclass(frozen=True)
class Stamp:
    """A noiseless object before the atmosphere.

    Parameters
    ----------
    planes : ndarray of float32
        Nanomaggies per pixel, shape ``(bands, h, w)``.
    x0, y0 : int
        Tile pixel of the first pixel.
    """

    planes: Float
    x0: int
    y0: int


def smooth(grid: Grid, row: Row, rng: np.random.Generator) -> Light:
    """Sersic galaxy; the stars of an old and a young population lie alike."""
    radius, index = float(row["half_light_radius"]), float(row["sersic_index"])
    image = sersic(
        grid, radius, index, float(row["axis_ratio"]), float(row["position_angle"]), _smooth_end(index) * radius
    )
    share = np.float32(row["young_fraction"])
    return Light((1 - share) * image, share * image)


def _smooth_end(index: float) -> float:
    """Where a Sersic profile may end, in half-light radii: farther for the wings of high indices."""
    return 4.0 if index < 1.5 else 7.0


def draw(row: Row, x: float, y: float, scale: float, bands: tuple[str, ...], rng: np.random.Generator) -> Stamp:
    """Draw an extended object.

    Parameters
    ----------
    row : mapping
        Parameters from `galmorph.mocks.population`, of any class but stars.
    x, y : float
        Pixel position on the tile.
    scale : float
        Arcsec per pixel.
    bands : tuple of str
        Bands to draw.
    rng : numpy.random.Generator
        Of this object: the same generator gives the same galaxy on every tile.

    Returns
    -------
    Stamp
        The sum of each plane is the flux of the catalogue magnitude.
    """
    painter, end = _PAINTERS[str(row["fine_class"])]
    half_east, half_north, structured = _extent(row, end)
    oversample = int(np.ceil(scale / FINEST_STRUCTURE)) if structured else 1
    grid = make_grid(x, y, scale, half_east, half_north, oversample)
    light = painter(grid, row, rng)
    return Stamp(_in_bands(light, grid, row, bands), grid.x0, grid.y0)


def _extent(row: Row, end: float) -> tuple[float, float, bool]:
    """Half-sides of the stamp in arcsec, and whether the object has structure that needs a finer grid."""
    name, radius = str(row["fine_class"]), float(row["half_light_radius"])
    if name in _SMOOTH or name.startswith("edge_on"):
        # The box around an ellipse; the ellipse of an edge-on galaxy leaves room for its bulge and warp.
        length = (end or _smooth_end(float(row["sersic_index"]))) * radius
        ratio = float(row["axis_ratio"]) if name in _SMOOTH else 0.4
        sin, cos = (f(np.radians(float(row["position_angle"]))) for f in (np.sin, np.cos))
        return length * float(np.hypot(sin, ratio * cos)), length * float(np.hypot(cos, ratio * sin)), end > 0
    half = end * radius
    if name == "merging":
        half += 0.8 * float(row["companion_distance"])
    elif name == "lens":
        half = max(half, 2.2 * float(row["einstein_radius"]))
    return half, half, True


def _in_bands(light: Light, grid: Grid, row: Row, bands: tuple[str, ...]) -> Float:
    """Give each population its colour, dim it by dust and scale the sum to the catalogue's magnitudes."""
    indices = band_indices(bands)
    redshift = float(row["redshift"])
    young_redshift = SOURCE_REDSHIFT if row["fine_class"] == "lens" else redshift
    old_flux = relative_flux(old_colours(redshift))[indices]
    young_flux = relative_flux(young_colours(young_redshift))[indices]
    old_light, young_light = bin_samples(light.old, grid.oversample), bin_samples(light.young, grid.oversample)
    depth = None if light.optical_depth is None else bin_samples(light.optical_depth, grid.oversample)
    planes = []
    for band, old, young, dust in zip(bands, old_flux, young_flux, EXTINCTION[indices], strict=True):
        plane = np.float32(old) * old_light + np.float32(young) * young_light
        if depth is not None:
            plane *= np.exp(np.float32(-dust / grid.oversample**2) * depth)
        flux = 10 ** (-0.4 * (float(row[f"mag_{band}"]) - 22.5))
        planes.append(plane * np.float32(flux / plane.sum(dtype=np.float64)))
    return np.stack(planes)


#: How each class is drawn, and how far out in half-light radii.
_PAINTERS: Mapping[str, tuple[Callable[[Grid, Row, np.random.Generator], Light], float]] = {
    "disturbed": (disturbed, 4.0),
    "merging": (merging, 3.4),
    "round_smooth": (smooth, 0.0),
    "cigar_smooth": (smooth, 0.0),
    BACKGROUND: (smooth, 0.0),
    "barred_spiral": (spiral, DISC_END),
    "tight_spiral": (spiral, DISC_END),
    "loose_spiral": (spiral, DISC_END),
    "edge_on_no_bulge": (edge_on, DISC_END),
    "edge_on_bulge": (edge_on, DISC_END),
    "lens": (lens, 7.0),
}
_SMOOTH = ("round_smooth", "cigar_smooth", BACKGROUND)
