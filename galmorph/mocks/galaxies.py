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
FINEST_STRUCTURE = 0.15

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
    image = sersic(grid, radius, index, float(row["axis_ratio"]), float(row["position_angle"]), _smooth_end(index) * radius)
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
    name = str(row["fine_class"])
    painter, end = _PAINTERS[name]
    radius = float(row["half_light_radius"])
    if name in _SMOOTH:
        grid = make_grid(x, y, scale, _smooth_end(float(row["sersic_index"])) * radius)
    else:
        half_side = end * radius
        if name == "merging":
            half_side = 3.6 * radius + 0.8 * float(row["companion_distance"])
        elif name == "lens":
            half_side = max(half_side, 2.2 * float(row["einstein_radius"]))
        grid = make_grid(x, y, scale, half_side, int(np.ceil(scale / FINEST_STRUCTURE)))
    light = painter(grid, row, rng)
    return Stamp(_in_bands(light, grid, row, bands), grid.x0, grid.y0)


def _in_bands(light: Light, grid: Grid, row: Row, bands: tuple[str, ...]) -> Float:
    """Give each population its colour, dim it by dust and scale the sum to the catalogue's magnitudes."""
    indices = band_indices(bands)
    redshift = float(row["redshift"])
    young_redshift = SOURCE_REDSHIFT if row["fine_class"] == "lens" else redshift
    old_flux = relative_flux(old_colours(redshift))[indices]
    young_flux = relative_flux(young_colours(young_redshift))[indices]
    planes = []
    for band, old, young, dust in zip(bands, old_flux, young_flux, EXTINCTION[indices], strict=True):
        image = np.float32(old) * light.old + np.float32(young) * light.young
        if light.optical_depth is not None:
            image *= np.exp(np.float32(-dust) * light.optical_depth)
        plane = bin_samples(image, grid.oversample)
        flux = 10 ** (-0.4 * (float(row[f"mag_{band}"]) - 22.5))
        planes.append(plane * np.float32(flux / plane.sum(dtype=np.float64)))
    return np.stack(planes)


#: How each class is drawn, and how far out in half-light radii.
_PAINTERS: Mapping[str, tuple[Callable[[Grid, Row, np.random.Generator], Light], float]] = {
    "disturbed": (disturbed, 4.3),
    "merging": (merging, 0.0),
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
