"""Regions of the sky that a question is limited to: cones, boxes, polygons and coverage maps (MOC)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mocpy import MOC
from numpy.typing import ArrayLike

from galmorph.catalogs.angles import degrees_of
from galmorph.catalogs.covers import box_cover, cone_cover
from galmorph.catalogs.healpix import Ranges, ranges_of
from galmorph.catalogs.sky_functions import polygon_frame
from galmorph.errors import CatalogError

#: What a coverage map in text begins with: an order, and pixels of it.
MOC_TEXT = re.compile(r"\s*\d+/[\s\d]")

#: Formats of coverage maps, by the ends of their names.
_MOC_FORMATS = {".fits": "fits", ".fit": "fits", ".json": "json", ".txt": "ascii", ".moc": "ascii", ".ascii": "ascii"}


@dataclass(frozen=True)
class Region:
    """Part of the sky; made by `cone`, `box`, `polygon` and `coverage`.

    Parameters
    ----------
    condition : str
        What a row has to fulfil, in SQL with the functions of `galmorph.catalogs.sky_functions`; empty for a coverage
        map, which has nothing but its pixels.
    cover : Ranges
        HEALPix pixels that hold it, and perhaps a little more: what files are skipped by.
    """

    condition: str
    cover: Ranges = field(repr=False)


def cone(ra: float, dec: float, radius: float | str) -> Region:
    """Circle around a position.

    Parameters
    ----------
    ra, dec : float
        Its centre, degrees.
    radius : float or str
        Degrees, or with a unit, such as "30arcmin".

    Returns
    -------
    Region
        The circle.

    Raises
    ------
    CatalogError
        If the centre is not on the sphere or the radius no positive angle up to 180 degrees.
    """
    angle = degrees_of(radius, "deg")
    _check_sphere("a cone", [ra], [dec])
    if angle > 180:
        raise CatalogError(f"the radius of a cone is 180 degrees at most, got {angle:g}")
    return Region(f"in_cone(ra, dec, {float(ra % 360)!r}, {float(dec)!r}, {angle!r})", cone_cover(ra, dec, angle))


def box(ra_low: float, ra_high: float, dec_low: float, dec_high: float) -> Region:
    """Box between two meridians and two parallels.

    Parameters
    ----------
    ra_low, ra_high : float
        Right ascension (degrees), from the first eastwards to the second, through 0 if that is smaller.
    dec_low, dec_high : float
        Declination (degrees).

    Returns
    -------
    Region
        The box, its edges included.

    Raises
    ------
    CatalogError
        If an edge is not on the sphere, or the declinations are the wrong way round.
    """
    _check_sphere("a box", [ra_low, ra_high], [dec_low, dec_high])
    if dec_low >= dec_high or ra_low == ra_high:
        raise CatalogError(
            f"a box is ra_low,ra_high,dec_low,dec_high with dec_low below dec_high and ra_low other than ra_high; "
            f"got {ra_low:g}, {ra_high:g}, {dec_low:g}, {dec_high:g}"
        )
    whole = ra_high - ra_low >= 360
    low, high = (0.0, 360.0) if whole else (ra_low % 360, 360.0 if ra_high == 360 else ra_high % 360)
    condition = f"in_box(ra, dec, {float(low)!r}, {float(high)!r}, {float(dec_low)!r}, {float(dec_high)!r})"
    width = 360.0 if whole else (high - low) % 360
    return Region(condition, box_cover(low, width, dec_low, dec_high))


def polygon(vertices: Sequence[tuple[float, float]]) -> Region:
    """Polygon whose sides are great circles.

    Parameters
    ----------
    vertices : sequence of (float, float)
        Right ascension and declination (degrees) of at least three corners within a hemisphere.

    Returns
    -------
    Region
        What lies around the middle of the corners.

    Raises
    ------
    CatalogError
        If they make no polygon.
    """
    corners = np.array(vertices, dtype=np.float64).reshape(-1, 2)
    _check_sphere("a polygon", corners[:, 0], corners[:, 1])
    middle, reach = polygon_frame(corners)
    ra, dec = np.degrees(np.arctan2(middle[1], middle[0])) % 360, np.degrees(np.arcsin(np.clip(middle[2], -1, 1)))
    around = cone(float(ra), float(dec), min(reach + 1e-6, 180.0)).cover
    numbers = ", ".join(f"{longitude % 360!r}, {latitude!r}" for longitude, latitude in corners.tolist())
    return Region(f"in_polygon(ra, dec, [{numbers}])", around)


def coverage(moc: str | Path | MOC) -> Region:
    """Part of the sky that a coverage map (MOC) holds.

    Parameters
    ----------
    moc : str, Path or mocpy.MOC
        File (FITS, JSON or text), a map in one line of text, such as "5/123-130 7/4711", or the map itself.

    Returns
    -------
    Region
        Its pixels, exactly.

    Raises
    ------
    CatalogError
        If it cannot be read or holds nothing.
    """
    if not isinstance(moc, MOC):
        path = Path(moc)
        if not path.exists() and not MOC_TEXT.match(str(moc)):
            raise CatalogError(
                f"there is no file {path}; give a coverage map (MOC) in FITS, JSON or text, or text such as '5/123-130'"
            )
        try:
            if path.is_file():
                moc = MOC.load(path, format=_MOC_FORMATS.get(path.suffix.lower(), "fits"))
            else:
                moc = MOC.from_string(str(moc), format="ascii")
        except Exception as error:  # mocpy raises whatever its readers stumble over
            raise CatalogError(
                f"{path} is no coverage map (MOC); expected a file in FITS, JSON or text, or text such as '5/123-130': "
                f"{' '.join(str(error).split())[:200]}"
            ) from error
    if moc.empty():
        raise CatalogError("the coverage map holds nothing")
    return Region("", ranges_of(moc))


def _check_sphere(what: str, ra: ArrayLike, dec: ArrayLike) -> None:
    angles, heights = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
    if not (np.isfinite(angles) & (angles >= -360) & (angles <= 360)).all() or not (np.abs(heights) <= 90).all():
        raise CatalogError(
            f"{what} needs right ascensions in degrees and declinations from -90 to 90; got "
            f"{', '.join(f'{number:g}' for number in angles)} and {', '.join(f'{number:g}' for number in heights)}"
        )
