"""Draw the physical parameters of the objects on the mock sky, class by class."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.mocks.colours import BANDS, mixed_colours, star_colours
from galmorph.mocks.config import MockConfig

Float = NDArray[np.float64]
Columns = dict[str, Float]

#: Faint unlabelled objects.
BACKGROUND = "background"

#: Parameters that only some classes have; NaN elsewhere. Radii in arcsec, angles in degrees.
CLASS_PARAMETERS = (
    "sersic_index",  # of the bulge, where there is one
    "bulge_fraction",  # of the light in r
    "inclination",  # 0 face-on, 90 edge-on
    "pitch_angle",
    "arm_count",
    "bar_length",  # semi-major axis of the bar in units of the half-light radius
    "companion_distance",  # between the two nuclei
    "companion_angle",  # position angle of the fainter nucleus seen from the brighter
    "companion_ratio",  # flux of the fainter over the brighter
    "einstein_radius",
    "source_offset",  # of the source from the deflector, in Einstein radii
    "arc_fraction",  # lensed light over deflector light, in r
)

#: Half-light radius of a galaxy of r = 17.5, arcsec. With the slope below, half-light surface brightness falls
#: slowly to the faint end, as it does for galaxies of one luminosity seen farther away.
TYPICAL_RADIUS = 2.7
RADIUS_SLOPE = -0.17

#: Scatter of ln(radius) at given brightness (Shen et al. 2003).
RADIUS_SCATTER = 0.3


def class_counts(mix: Mapping[str, float], total: int) -> dict[str, int]:
    """Numbers of objects per class that follow the mix as closely as whole numbers can (largest remainder)."""
    names = [name for name, share in mix.items() if share > 0]
    shares = np.array([mix[name] for name in names])
    exact = shares / shares.sum() * total
    counts = np.floor(exact).astype(int)
    for position in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[position] += 1
    return dict(zip(names, counts.tolist(), strict=True))


def draw_population(labelled: int, background: int, config: MockConfig, rng: np.random.Generator) -> pd.DataFrame:
    """Draw objects without positions.

    Parameters
    ----------
    labelled, background : int
        Numbers of labelled and of faint unlabelled objects.
    config : MockConfig
        Class mix and magnitudes.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pandas.DataFrame
        A row per object: `fine_class`, `mag_<band>` for ugrizy, `half_light_radius` (semi-major axis, arcsec),
        `axis_ratio`, `position_angle` (degrees east of north), `redshift`, `young_fraction` (of the r light),
        the columns of `CLASS_PARAMETERS`, and `reach` (arcsec: how far the object is seen).
    """
    tables = [
        _finish(name, _DRAW[name](count, config, rng), rng)
        for name, count in class_counts(config.class_mix, labelled).items()
        if count
    ]
    faint_stars = background // 3
    for count, draw in ((faint_stars, _faint_stars), (background - faint_stars, _faint_galaxies)):
        if count:
            tables.append(_finish(BACKGROUND, draw(count, rng), rng))
    return pd.concat(tables, ignore_index=True)


def _finish(name: str, columns: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """Add what every object has: colours, orientation, and NaN for parameters the class lacks."""
    n = len(columns["mag_r"])
    redshift, young = columns["redshift"], columns["young_fraction"]
    if "colours" in columns:
        colours = columns.pop("colours")
    else:
        colours = mixed_colours(young, redshift)
        # A slope in colour common to all bands: metallicity and internal dust.
        colours = colours * (1 + 0.06 * rng.standard_normal(n))[:, None]
    magnitudes = columns.pop("mag_r")[:, None] + colours
    table = pd.DataFrame({"fine_class": np.full(n, name, dtype=object)})
    for position, band in enumerate(BANDS):
        table[f"mag_{band}"] = magnitudes[:, position]
    columns.setdefault("position_angle", rng.uniform(0.0, 180.0, n))
    columns.setdefault("reach", 2.2 * columns["half_light_radius"] + 1.5)
    common = ("half_light_radius", "axis_ratio", "position_angle", "redshift", "young_fraction")
    for column in (*common, *CLASS_PARAMETERS, "reach"):
        table[column] = columns.get(column, np.full(n, np.nan))
    return table


def _magnitudes(n: int, bright: float, faint: float, slope: float, rng: np.random.Generator) -> Float:
    """Magnitudes with dN/dm ~ 10 ** (slope m) between two limits."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return np.asarray(np.log10(rng.uniform(low, high, n)) / slope)


def _galaxies(
    n: int, factor: float, young: tuple[float, float], config: MockConfig, rng: np.random.Generator
) -> Columns:
    """Magnitude, size, redshift and age of bright galaxies; `factor` scales the typical radius."""
    mag = _magnitudes(n, config.bright_limit, config.faint_limit, config.counts_slope, rng)
    scatter = np.exp(RADIUS_SCATTER * np.clip(rng.standard_normal(n), -2, 2))
    radius = factor * TYPICAL_RADIUS * 10 ** (RADIUS_SLOPE * (mag - 17.5)) * scatter
    # Distance grows with faintness; the scatter stands for the spread of luminosities.
    redshift = 0.075 * 10 ** (0.2 * (mag - 17.0)) * np.exp(0.35 * rng.standard_normal(n))
    return {
        "mag_r": mag,
        "half_light_radius": np.clip(radius, 1.5, 10.0),
        "redshift": np.clip(redshift, 0.005, 0.3),
        "young_fraction": rng.uniform(*young, n),
    }


def _smooth(n: int, ratio: tuple[float, float], factor: float, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _galaxies(n, factor, (0.0, 0.04), config, rng)
    columns["axis_ratio"] = rng.uniform(*ratio, n)
    columns["sersic_index"] = np.clip(rng.normal(4.0, 0.8, n), 2.5, 6.0)
    return columns


def _round_smooth(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    return _smooth(n, (0.80, 1.0), 0.95, config, rng)


def _cigar_smooth(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _smooth(n, (0.30, 0.48), 1.25, config, rng)
    columns["sersic_index"] = np.clip(rng.normal(3.2, 0.6, n), 2.0, 5.0)
    return columns


def _spiral(
    n: int, pitch: tuple[float, float], bulge: tuple[float, float], config: MockConfig, rng: np.random.Generator
) -> Columns:
    """Disc galaxies seen at moderate inclination: cos(i) is uniform for random orientations."""
    columns = _galaxies(n, 1.4, (0.3, 0.65), config, rng)
    cos_i = rng.uniform(0.55, 1.0, n)
    columns["inclination"] = np.degrees(np.arccos(cos_i))
    columns["axis_ratio"] = cos_i
    columns["pitch_angle"] = rng.uniform(*pitch, n)
    columns["bulge_fraction"] = rng.uniform(*bulge, n)
    columns["sersic_index"] = rng.uniform(1.2, 3.0, n)
    columns["arm_count"] = rng.choice([2.0, 3.0, 4.0], n, p=[0.7, 0.2, 0.1])
    return columns


def _tight_spiral(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _spiral(n, (9.0, 15.0), (0.1, 0.3), config, rng)
    columns["young_fraction"] *= 0.9
    # Arms that lie close need a large galaxy to be seen apart; those of a small one are not called arms.
    columns["half_light_radius"] *= 1.2
    columns["reach"] = 2.2 * columns["half_light_radius"] + 1.5
    return columns


def _loose_spiral(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    return _spiral(n, (20.0, 34.0), (0.03, 0.18), config, rng)


def _barred_spiral(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _spiral(n, (11.0, 26.0), (0.04, 0.15), config, rng)
    columns["arm_count"] = np.full(n, 2.0)
    columns["bar_length"] = rng.uniform(0.65, 1.05, n)
    return columns


def _edge_on(
    n: int, bulge: tuple[float, float], young: tuple[float, float], config: MockConfig, rng: np.random.Generator
) -> Columns:
    columns = _galaxies(n, 1.9, young, config, rng)
    columns["axis_ratio"] = rng.uniform(0.09, 0.19, n)
    columns["inclination"] = rng.uniform(85.0, 90.0, n)
    columns["bulge_fraction"] = rng.uniform(*bulge, n)
    columns["sersic_index"] = rng.uniform(1.5, 3.5, n)
    columns["reach"] = 1.8 * columns["half_light_radius"] + 1.5
    return columns


def _edge_on_no_bulge(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    return _edge_on(n, (0.0, 0.0), (0.2, 0.6), config, rng)


def _edge_on_bulge(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    return _edge_on(n, (0.2, 0.45), (0.03, 0.25), config, rng)


def _disturbed(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _galaxies(n, 1.15, (0.05, 0.5), config, rng)
    columns["axis_ratio"] = rng.uniform(0.5, 0.95, n)
    columns["sersic_index"] = rng.uniform(1.0, 3.5, n)
    columns["reach"] = 3.0 * columns["half_light_radius"] + 1.5
    return columns


def _merging(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    columns = _galaxies(n, 1.0, (0.05, 0.5), config, rng)
    radius = columns["half_light_radius"]
    columns["axis_ratio"] = rng.uniform(0.4, 0.95, n)
    columns["companion_ratio"] = 10 ** rng.uniform(-0.6, 0.0, n)
    columns["companion_distance"] = radius * rng.uniform(1.3, 2.5, n)
    columns["companion_angle"] = rng.uniform(0.0, 360.0, n)
    columns["reach"] = columns["companion_distance"] + 2.2 * radius + 1.5
    return columns


def _lens(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    """Massive ellipticals with a blue source behind.

    Einstein radii are log-uniform from 1.5 to 3.5 arcsec and the arcs carry 30 to 80 per cent of the deflector's
    light: the large and bright end of known galaxy lenses, since smaller ones drown in ground-based seeing.
    """
    theta = 10 ** rng.uniform(np.log10(1.5), np.log10(3.5), n)
    mag = np.clip(18.6 - 2.5 * np.log10(theta / 1.5) + 0.35 * rng.standard_normal(n), 16.5, 19.2)
    offset = np.where(rng.random(n) < 0.3, rng.uniform(0.0, 0.12, n), rng.uniform(0.12, 0.4, n))
    arcs = rng.uniform(0.3, 0.8, n)
    return {
        "mag_r": mag,
        "half_light_radius": theta * rng.uniform(0.3, 0.55, n),
        "redshift": np.clip(rng.normal(0.32, 0.08, n), 0.1, 0.6),
        "young_fraction": arcs / (1 + arcs),
        "axis_ratio": rng.uniform(0.65, 0.97, n),
        "sersic_index": np.clip(rng.normal(4.0, 0.6, n), 2.8, 5.5),
        "einstein_radius": theta,
        "source_offset": offset,
        "arc_fraction": arcs,
        "reach": 2.6 * theta + 1.5,
    }


def _point_sources(mag: Float, rng: np.random.Generator) -> Columns:
    n = len(mag)
    return {
        "mag_r": mag,
        "half_light_radius": np.zeros(n),
        "redshift": np.zeros(n),
        "young_fraction": np.zeros(n),
        "axis_ratio": np.ones(n),
        "position_angle": np.zeros(n),
        "colours": star_colours(np.where(rng.random(n) < 0.6, rng.uniform(0.25, 0.8, n), rng.uniform(0.8, 1.4, n))),
    }


def _star(n: int, config: MockConfig, rng: np.random.Generator) -> Columns:
    """Stars from so bright that they saturate to so faint that they are small."""
    columns = _point_sources(_magnitudes(n, 13.8, 19.5, 0.15, rng), rng)
    columns["reach"] = np.clip(4.0 + 1.5 * (17.0 - columns["mag_r"]), 3.0, 8.0)
    return columns


def _faint_stars(n: int, rng: np.random.Generator) -> Columns:
    return _point_sources(_magnitudes(n, 19.5, 23.5, 0.2, rng), rng)


def _faint_galaxies(n: int, rng: np.random.Generator) -> Columns:
    """Small galaxies: counts slope 0.35, radii falling from 0.9 arcsec at r = 20."""
    mag = _magnitudes(n, 19.3, 23.5, 0.35, rng)
    radius = 0.9 * 10 ** (-0.1 * (mag - 20.0)) * np.exp(0.35 * np.clip(rng.standard_normal(n), -2, 2))
    return {
        "mag_r": mag,
        "half_light_radius": np.clip(radius, 0.25, 2.0),
        "redshift": np.clip(rng.gamma(3.0, 0.15, n), 0.05, 1.5),
        "young_fraction": rng.beta(1.2, 1.2, n),
        "axis_ratio": rng.uniform(0.25, 1.0, n),
        "sersic_index": rng.choice([1.0, 1.0, 2.0, 4.0], n),
    }


_DRAW: Mapping[str, Callable[[int, MockConfig, np.random.Generator], Columns]] = {
    "disturbed": _disturbed,
    "merging": _merging,
    "round_smooth": _round_smooth,
    "cigar_smooth": _cigar_smooth,
    "barred_spiral": _barred_spiral,
    "tight_spiral": _tight_spiral,
    "loose_spiral": _loose_spiral,
    "edge_on_no_bulge": _edge_on_no_bulge,
    "edge_on_bulge": _edge_on_bulge,
    "lens": _lens,
    "star": _star,
}
