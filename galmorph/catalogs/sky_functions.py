"""Regions of the sky in SQL, as functions; DuckDB folds cones and boxes to bounds by which it skips rows."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import PythonUDFType
from numpy.typing import NDArray

from galmorph.errors import CatalogError
from galmorph.sky import unit_vectors

#: Degrees that bounds are wider than the region, for rounding.
_MARGIN = "1e-9"

_MACROS = {
    "_haversine(ra1, dec1, ra2, dec2)": """
        pow(sin(radians(dec2 - dec1) / 2), 2)
        + cos(radians(dec1)) * cos(radians(dec2)) * pow(sin(radians(ra2 - ra1) / 2), 2)""",
    # Exact for small angles. Not by least(1, ...), which passes over what is empty.
    "separation(ra1, dec1, ra2, dec2)": """
        degrees(2 * atan2(
            sqrt(_haversine(ra1, dec1, ra2, dec2)), sqrt(abs(1 - _haversine(ra1, dec1, ra2, dec2)))
        ))""",
    # How far a circle reaches in right ascension; all around when a pole is inside.
    "_half_width(dec0, radius)": f"""
        CASE WHEN abs(dec0) + radius >= 89.999 THEN 360.0
        ELSE degrees(asin(least(1.0, sin(radians(radius)) / cos(radians(dec0))))) + {_MARGIN} END""",
    "in_cone(ra, dec, ra0, dec0, radius)": f"""
        dec BETWEEN dec0 - radius - {_MARGIN} AND dec0 + radius + {_MARGIN}
        AND CASE
            WHEN (ra0 % 360) - _half_width(dec0, radius) < 0 OR (ra0 % 360) + _half_width(dec0, radius) >= 360 THEN true
            ELSE ra BETWEEN (ra0 % 360) - _half_width(dec0, radius) AND (ra0 % 360) + _half_width(dec0, radius) END
        AND separation(ra, dec, ra0, dec0) <= radius""",
    "_turn(angle)": "CASE WHEN angle BETWEEN 0 AND 360 THEN angle ELSE angle - 360 * floor(angle / 360) END",
    # From ra_low eastwards to ra_high, through 0 if need be; a whole turn is all around.
    "in_box(ra, dec, ra_low, ra_high, dec_low, dec_high)": """
        dec BETWEEN dec_low AND dec_high
        AND CASE
            WHEN ra_high - ra_low >= 360 THEN true
            WHEN _turn(ra_low) <= _turn(ra_high) THEN ra BETWEEN _turn(ra_low) AND _turn(ra_high)
            ELSE ra >= _turn(ra_low) OR ra <= _turn(ra_high) END""",
    "in_polygon(ra, dec, vertices)": """
        in_cone(ra, dec, _circle(vertices)[1], _circle(vertices)[2], _circle(vertices)[3])
        AND CASE
            WHEN in_cone(ra, dec, _circle(vertices)[1], _circle(vertices)[2], _circle(vertices)[3])
            THEN _inside(ra, dec, vertices) ELSE false END""",
}

#: Corners that a polygon may have.
_MOST_CORNERS = 10_000
#: Different polygons among the rows that are looked at together: each takes as long as all the rows.
_MOST_POLYGONS = 50


def add_sky_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the functions of this module; angles are degrees.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Where they are made: `separation(ra1, dec1, ra2, dec2)`, `in_cone(ra, dec, ra0, dec0, radius)`,
        `in_box(ra, dec, ra_low, ra_high, dec_low, dec_high)` and `in_polygon(ra, dec, [ra1, dec1, ra2, dec2, ...])`,
        whose sides are great circles.
    """
    arrow = PythonUDFType.ARROW
    connection.create_function("_circle", _circle, ["DOUBLE[]"], "DOUBLE[]", type=arrow)
    connection.create_function("_inside", _inside, ["DOUBLE", "DOUBLE", "DOUBLE[]"], "BOOLEAN", type=arrow)
    connection.execute("; ".join(f"CREATE MACRO {signature} AS ({body})" for signature, body in _MACROS.items()))


def polygon_frame(vertices: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Middle of a polygon, and how far it reaches.

    Parameters
    ----------
    vertices : ndarray of float64, shape (k, 2)
        Right ascension and declination of the corners, degrees.

    Returns
    -------
    middle : ndarray of float64, shape (3,)
        Unit vector: the mean direction of the corners.
    reach : float
        Radius (degrees) of the circle around it that holds the polygon.

    Raises
    ------
    CatalogError
        If there are less than three corners or too many, one is not on the sphere, or they do not lie within a
        hemisphere.
    """
    if vertices.ndim != 2 or vertices.shape[1] != 2 or not 3 <= len(vertices) <= _MOST_CORNERS:
        raise CatalogError(
            "a polygon is a list [ra1, dec1, ra2, dec2, ra3, dec3 ...] of three corners or more, "
            f"{_MOST_CORNERS} at most; got {vertices.size} numbers"
        )
    if not np.isfinite(vertices).all() or (np.abs(vertices[:, 1]) > 90).any():
        raise CatalogError("the corners of a polygon are degrees, declinations from -90 to 90")
    points = unit_vectors(vertices[:, 0], vertices[:, 1])
    mean = points.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    middle = mean / norm if norm > 0 else mean
    # A circle of less than a hemisphere holds the great circles between the points that it holds.
    reach = float(np.degrees(np.arccos(np.clip((points @ middle).min(), -1, 1))))
    if norm < 1e-9 or reach > 89:
        raise CatalogError("a polygon must lie within a hemisphere")
    return middle, reach


def inside_polygon(
    ra: NDArray[np.float64], dec: NDArray[np.float64], vertices: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """If positions lie in a polygon whose sides are great circles.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    vertices : ndarray of float64, shape (k, 2)
        Right ascension and declination of the corners, degrees, one way round or the other; the polygon is what lies
        around their mean direction. It need not be convex.

    Returns
    -------
    ndarray of bool, shape (n,)
        True inside.

    Raises
    ------
    CatalogError
        As of `polygon_frame`.
    """
    middle, _ = polygon_frame(vertices)
    # The gnomonic projection around the middle shows great circles as straight lines.
    helper = np.array([0.0, 0.0, 1.0]) if abs(middle[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    east = np.cross(helper, middle)
    east /= np.linalg.norm(east)
    axes = np.stack([east, np.cross(middle, east), middle], axis=1)
    corners = unit_vectors(vertices[:, 0], vertices[:, 1]) @ axes
    points = unit_vectors(ra, dec) @ axes
    near = points[:, 2] > 1e-6
    x, y = (np.divide(points[:, i], points[:, 2], where=near, out=np.zeros(len(points))) for i in (0, 1))
    cx, cy = corners[:, 0] / corners[:, 2], corners[:, 1] / corners[:, 2]
    inside = np.zeros(len(points), dtype=bool)
    for x1, y1, x2, y2 in zip(cx, cy, np.roll(cx, -1), np.roll(cy, -1), strict=True):
        crosses = (y < y1) != (y < y2)
        if crosses.any():
            inside[crosses] ^= x[crosses] < x1 + (x2 - x1) * (y[crosses] - y1) / (y2 - y1)
    return np.asarray(inside & near)


def _circle(vertices: pa.ChunkedArray) -> pa.Array:
    """Circle around each polygon: right ascension, declination and radius in degrees."""
    circles = []
    for polygon in vertices.to_pylist():
        middle, reach = polygon_frame(_corners(np.asarray(polygon, dtype=np.float64)))
        ra, dec = np.degrees(np.arctan2(middle[1], middle[0])) % 360, np.degrees(np.arcsin(np.clip(middle[2], -1, 1)))
        circles.append([float(ra), float(dec), reach + 1e-6])
    return pa.array(circles, pa.list_(pa.float64()))


def _inside(ra: pa.ChunkedArray, dec: pa.ChunkedArray, vertices: pa.ChunkedArray) -> pa.Array:
    """If positions lie in polygons; usually all have the same."""
    longitude, latitude = (np.asarray(column.to_numpy(), dtype=np.float64) for column in (ra, dec))
    polygons = vertices.combine_chunks()
    flat, edges = polygons.flatten().to_numpy(zero_copy_only=False), np.append(0, np.cumsum(_lengths(polygons)))
    result = np.zeros(len(longitude), dtype=bool)
    start, different = 0, 0
    while start < len(longitude):
        polygon = flat[edges[start] : edges[start + 1]]
        stop = start + _repeats(flat[edges[start] :], polygon, np.diff(edges[start:]))
        mine = slice(start, stop)
        result[mine] = inside_polygon(longitude[mine], latitude[mine], _corners(polygon))
        start, different = stop, different + 1
        if different > _MOST_POLYGONS:
            raise CatalogError("a query can have a polygon or two, not one for each row")
    return pa.array(result)


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pc.list_value_length(lists).to_numpy(), dtype=np.int64)


def _repeats(flat: NDArray[np.float64], polygon: NDArray[np.float64], lengths: NDArray[np.int64]) -> int:
    """How many of the lists that follow one another, from the first on, are the same as the first."""
    length = len(polygon)
    even = int(np.argmin(lengths == length)) if (lengths != length).any() else len(lengths)
    same = (flat[: even * length].reshape(even, length) == polygon).all(axis=1)
    return max(1, int(np.argmin(same)) if not same.all() else even)


def _corners(flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """A list of right ascensions and declinations, two by two; as it is if one is missing."""
    return flat.reshape(-1, 2) if len(flat) % 2 == 0 else flat
