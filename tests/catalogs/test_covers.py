import functools
import time

import numpy as np
import pytest
from cdshealpix.nested import healpix_to_lonlat, vertices

from galmorph.catalogs.covers import box_cover, circle_of_pixel, cone_cover
from galmorph.catalogs.regions import box, cone
from galmorph.sky import unit_vectors

#: West edge and width, south and north edge: long in declination, broad, to the poles, through RA 0, thin, all of it.
BOXES = [
    (90, 2, 0, 80), (45, 5, -80, 80), (350, 30, -89, 89), (359.9, 0.2, -60, 60), (0, 360, -90, -60), (10, 200, 60, 90),
    (0, 360, -90, 90), (180, 1, -30, 30), (200, 359, -5, 40), (0, 360, 10, 10.01), (30, 1e-3, -90, 90),
    *((float(west), float(width), *sorted(edges)) for west, width, edges in zip(
        np.random.default_rng(0).uniform(0, 360, 20), 10 ** np.random.default_rng(1).uniform(-2, 2.55, 20),
        np.degrees(np.arcsin(np.random.default_rng(2).uniform(-1, 1, (20, 2)))).tolist(), strict=True,
    )),
]  # fmt: skip


@functools.cache
def pixels(order):
    """The pixels of order 29 in the middle of all pixels of an order, and where these lie (degrees)."""
    every = np.arange(12 * 4**order)
    lon, lat = healpix_to_lonlat(every.astype(np.uint64), order)
    return (4 * every + 3) << 2 * (28 - order), lon.deg, lat.deg


@pytest.mark.parametrize("order", [5, 8])
@pytest.mark.parametrize(("west", "width", "south", "north"), BOXES)
def test_a_cover_has_every_pixel_whose_centre_is_in_the_box(west, width, south, north, order):
    healpix, ra, dec = pixels(order)
    inside = ((ra - west) % 360 <= width) & (dec >= south) & (dec <= north)
    east = 360 if width == 360 else (west + width) % 360
    cover = box(west, east, south, north).cover
    assert cover.contain(healpix[inside]).all()
    assert (cover.low[1:] > cover.high[:-1]).all()
    share = int((cover.high - cover.low).sum()) / (12 * 4**29)
    true = width / 360 * (np.sin(np.radians(north)) - np.sin(np.radians(south))) / 2
    edge = 2 * (north - south) + 2 * width
    assert share <= true + 2 * edge * 0.06 / 41253  # a few pixels of order 10 along the edges


@pytest.mark.parametrize("radius", [0.001, 0.3, 20.0, 90.0, 139.5, 150.0, 175.0, 179.99, 180.0])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (33.0, 12.0), (200.0, -89.99), (10.0, 90.0), (315.0, 41.8)])
def test_a_cover_has_every_pixel_whose_centre_is_in_the_cone(ra, dec, radius):
    cover = cone(ra, dec, radius).cover
    for order in (5, 8):
        healpix, lon, lat = pixels(order)
        cosine = unit_vectors(lon, lat) @ unit_vectors(np.array([ra]), np.array([dec]))[0]
        inside = cosine >= np.cos(np.radians(radius))
        assert cover.contain(healpix[inside]).all()
    share, true = int((cover.high - cover.low).sum()) / (12 * 4**29), (1 - np.cos(np.radians(radius))) / 2
    assert share <= true + 2 * np.pi * (radius + 0.3) * 0.25 / 41253


@pytest.mark.parametrize("order", range(6))
def test_the_circle_of_a_pixel_holds_its_corners_and_is_no_larger(order):
    every = np.arange(12 * 4**order, dtype=np.uint64)
    lon, lat = healpix_to_lonlat(every, order)
    corner_lon, corner_lat = vertices(every, order)
    centre = unit_vectors(lon.deg, lat.deg)[:, None]
    corner = unit_vectors(corner_lon.deg.ravel(), corner_lat.deg.ravel()).reshape(len(every), 4, 3)
    angles = np.degrees(2 * np.arcsin(np.linalg.norm(corner - centre, axis=2) / 2))
    assert angles.max() == pytest.approx(circle_of_pixel(order), rel=1e-9)


def test_covers_are_found_at_once():
    start = time.process_time()
    box_cover(90, 2, 0, 80)
    box_cover(10, 300, -50, 70)
    cone_cover(30, 20, 100)
    assert time.process_time() - start < 1
