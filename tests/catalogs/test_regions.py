import json

import astropy.units as u
import duckdb
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from mocpy import MOC

from galmorph.catalogs import query as query_module
from galmorph.catalogs.healpix import Ranges, around, around_span, healpix_index
from galmorph.catalogs.regions import box, cone, coverage, polygon
from galmorph.catalogs.sky_functions import add_sky_functions, inside_polygon
from galmorph.cli import main
from galmorph.errors import CatalogError

IDS = "SELECT object_id FROM catalog ORDER BY object_id"


def found(catalog, *within, sql=IDS):
    return catalog.query(sql, within=within)["object_id"].to_pylist()


def separations(frame, ra, dec):
    return SkyCoord(frame["ra"], frame["dec"], unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg


def ids(frame, inside):
    return sorted(frame["object_id"][inside])


#: Cones at an ordinary place, across RA 0, over and beside the poles, and one that holds nothing.
CONES = [
    (150.1, 2.2, 0.05), (0.0, -30.0, 0.06), (359.95, -30.02, 0.03), (10, 90, 0.05), (190, 89.97, 0.04),
    (200, -89.99, 0.1), (-160.0, -89.95, 0.08), (80.0, 40.0, 1.0), (150.0, 2.0, 120.0), (33, 12, 180.0),
]  # fmt: skip


@pytest.mark.parametrize(("ra", "dec", "radius"), CONES)
def test_a_cone_holds_what_astropy_says(ra, dec, radius, catalog):
    frame = catalog.to_pandas()
    expected = ids(frame, separations(frame, ra, dec) <= radius)
    assert found(catalog, cone(ra, dec, radius)) == expected
    assert cone(np.float64(ra), np.float64(dec), radius).condition == cone(ra, dec, radius).condition
    function = f"SELECT object_id FROM catalog WHERE IN_CONE(ra, dec, {ra}, {dec}, {radius}) ORDER BY object_id"
    assert found(catalog, sql=function) == expected


@pytest.mark.parametrize(
    ("west", "same"), [((-0.1, 0.02), (359.9, 0.02)), ((-60, -160), (300, 200)), ((-360, -359.98), (0, 0.02))]
)
def test_a_box_may_be_told_by_angles_to_the_west(west, same, catalog):
    one, other = (box(*sides, -40, 40) for sides in (west, same))
    assert found(catalog, one) == found(catalog, other)
    assert 0 < len(found(catalog, one)) < len(catalog.to_pandas())
    np.testing.assert_array_equal(one.cover.low, other.cover.low)


@pytest.mark.parametrize(
    ("low", "high", "bottom", "top"),
    [(150.05, 150.2, 2.15, 2.22), (359.9, 0.02, -31, -29.99), (0, 360, 89.98, 90), (0, 360, -90, 90), (300, 200, 0, 10),
     (10, 350, -31, 3)],
)  # fmt: skip
def test_a_box_holds_what_lies_between_its_edges(low, high, bottom, top, catalog):
    frame = catalog.to_pandas()
    east = (frame["ra"] >= low) & (frame["ra"] <= high) if low < high else (frame["ra"] >= low) | (frame["ra"] <= high)
    inside = east & frame["dec"].between(bottom, top)
    assert found(catalog, box(low, high, bottom, top)) == ids(frame, inside)
    assert inside.any()
    function = f"SELECT object_id FROM catalog WHERE in_box(ra, dec, {{}}, {{}}, {bottom}, {top}) ORDER BY object_id"
    for turned in ((low, high), (low - 360, high), (low - 360, high - 360), (low, high + 360)):
        once = turned[1] - turned[0] < 360
        expected = inside if once else frame["dec"].between(bottom, top)
        assert found(catalog, sql=function.format(*turned)) == ids(frame, expected)


#: Corners, and points that are inside and outside by sight.
POLYGONS = {
    "triangle": ([(0, 0), (10, 0), (5, 10)], [(5, 3), (5, 9.9)], [(-1, 0.1), (5, 10.1), (185, -3)]),
    "not convex": ([(0, 0), (10, 0), (10, 10), (5, 2), (0, 10)], [(1, 5), (9, 5), (5, 1)], [(5, 5), (5, 9)]),
    "across 0": ([(359, -1), (1, -1), (1, 1), (359, 1)], [(0, 0), (359.5, 0.5)], [(2, 0), (180, 0)]),
    "pole": ([(0, 80), (120, 80), (240, 80)], [(0, 90), (77, 89)], [(60, 80.1), (0, 79), (0, -90)]),
    # A side on a great circle: between two points of dec 60, 90 degrees apart, it runs up to dec 67.8.
    "great circle": ([(0, 60), (90, 60), (45, 30)], [(45, 67.5), (45, 40)], [(45, 68), (1, 60.5)]),
}


@pytest.mark.parametrize("name", POLYGONS)
@pytest.mark.parametrize("turned", [False, True])
def test_polygons_by_sight(name, turned):
    corners, inside, outside = POLYGONS[name]
    vertices = np.array(corners[::-1] if turned else corners, dtype=float)
    assert inside_polygon(*np.array(inside, dtype=float).T, vertices).all()
    assert not inside_polygon(*np.array(outside, dtype=float).T, vertices).any()


@pytest.mark.parametrize("middle", [(150.1, 2.2), (0.0, -30.0), (33.0, 89.99), (200.0, -89.99)])
def test_a_polygon_in_both_ways_of_asking(middle, catalog):
    """A square of great circles around a place, beside planar geometry in the tangent plane there."""
    frame = catalog.to_pandas()
    centre = SkyCoord(*middle, unit="deg")
    half = 0.04
    offsets = [
        centre.spherical_offsets_by(x * u.deg, y * u.deg) for x, y in ((-half, -half), (half, -half), (half, half))
    ]
    corners = [(c.ra.deg, c.dec.deg) for c in offsets]
    place = SkyCoord(frame["ra"], frame["dec"], unit="deg").transform_to(centre.skyoffset_frame())
    xi, eta = place.lon.wrap_at(180 * u.deg).deg, place.lat.deg
    clear = (np.abs(xi - eta) > 1e-4) & (np.abs(np.abs(xi) - half) > 1e-4) & (np.abs(np.abs(eta) - half) > 1e-4)
    inside = (xi < half) & (eta > -half) & (eta < xi) & (np.abs(xi) < 1) & (np.abs(eta) < 1)
    asked = set(found(catalog, polygon(corners)))
    assert {*ids(frame, inside & clear)} <= asked <= {*ids(frame, inside | ~clear)}
    numbers = [float(number) for corner in corners for number in corner]
    sql = f"SELECT object_id FROM catalog WHERE in_polygon(ra, dec, {numbers}) ORDER BY object_id"
    assert set(found(catalog, sql=sql)) == asked
    assert len(asked) > 5


def test_a_coverage_map_holds_its_pixels(catalog, tmp_path):
    frame = catalog.to_pandas()
    pixels = np.unique(healpix_index(frame["ra"].to_numpy(), frame["dec"].to_numpy(), 12))[::3]
    moc = MOC.from_healpix_cells(pixels.astype(np.uint64), np.uint8(12), max_depth=12)
    inside = np.isin(healpix_index(frame["ra"].to_numpy(), frame["dec"].to_numpy(), 12), pixels)
    expected = ids(frame, inside)
    assert 10 < len(expected) < len(frame) / 2
    assert found(catalog, coverage(moc)) == expected
    for name, format_ in (("m.fits", "fits"), ("m.json", "json"), ("m.txt", "ascii")):
        moc.save(tmp_path / name, format=format_)
        assert found(catalog, coverage(tmp_path / name)) == expected
    assert found(catalog, coverage(f"12/{' '.join(map(str, pixels))}")) == expected


def test_regions_are_joined_by_and(catalog):
    frame = catalog.to_pandas()
    first = separations(frame, 150.1, 2.2) <= 0.1
    second = separations(frame, 150.15, 2.2) <= 0.08
    pixels = healpix_index(frame["ra"].to_numpy(), frame["dec"].to_numpy(), 11)
    moc = MOC.from_healpix_cells(np.unique(pixels[first]).astype(np.uint64)[:5], np.uint8(11), max_depth=11)
    inside = first & second & np.isin(pixels, np.unique(pixels[first])[:5])
    assert found(catalog, cone(150.1, 2.2, 0.1), cone(150.15, 2.2, "0.08deg"), coverage(moc)) == ids(frame, inside)


def test_ranges_hold_their_first_pixel_and_not_the_one_behind_their_last():
    ranges = Ranges(np.array([10, 20, 40]), np.array([12, 25, 41]))
    inside = {10, 11, *range(20, 25), 40}
    assert ranges.contain(np.arange(50)).tolist() == [number in inside for number in range(50)]
    for low in range(50):
        for high in range(low + 1, 50):
            assert ranges.overlap(low, high) == (not inside.isdisjoint(range(low, high)))
    nothing = Ranges(np.empty(0, np.int64), np.empty(0, np.int64))
    assert not nothing.contain(np.arange(5)).any()
    assert not nothing.overlap(0, 5)


@pytest.mark.parametrize("radius", [0.0, 1e-6, 0.05, 0.4, 3.0, 20.0])
def test_surroundings_hold_all_within_the_radius(radius):
    rng = np.random.default_rng(0)
    centres = SkyCoord(rng.uniform(0, 360, 20), np.degrees(np.arcsin(rng.uniform(-1, 1, 20))), unit="deg")
    for centre in centres:
        around_it = centre.directional_offset_by(np.arange(0, 360, 30) * u.deg, radius * u.deg)
        rim = healpix_index(around_it.ra.deg, around_it.dec.deg)
        (pixel,) = healpix_index(np.array([centre.ra.deg]), np.array([centre.dec.deg]))
        for ranges in (around(np.array([pixel]), radius), around_span((int(pixel), int(pixel) + 1), radius)):
            assert ranges.contain(rim).all()
            # Nine pixels at most, of order 10 or less than four radii wide; a sphere has 203 degrees squared.
            share = int((ranges.high - ranges.low).sum()) / (12 * 4**29)
            assert share < 9.01 * max((4 * radius / 203) ** 2, 1 / (12 * 4**10))


def test_files_that_can_have_nothing_are_not_opened(catalog, monkeypatch):
    opened = []
    real = query_module._make_table

    def watch(connection, files, *rest):
        real(connection, files, *rest)
        text = connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'catalog'").fetchall()[0][0]
        opened.extend(file for file in files if str(file) in text)

    monkeypatch.setattr(query_module, "_make_table", watch)
    found(catalog, cone(150.1, 2.2, "1arcmin"))
    assert 0 < len(opened) < len(catalog.files) / 3


def test_bounds_are_pushed_into_the_scan(catalog):
    connection = duckdb.connect()
    add_sky_functions(connection)
    connection.read_parquet([str(file) for file in catalog.files], hive_partitioning=False).create_view("catalog")
    polygon_of_sql, box_of_sql = "in_polygon(ra, dec, [150, 2, 151, 2, 150, 3])", "in_box(ra, dec, 150, 151, 2, 3)"
    for condition in ("in_cone(ra, dec, 150.1, 2.2, 0.5)", polygon_of_sql, box_of_sql):
        sql = f"EXPLAIN (FORMAT json) SELECT ra FROM catalog WHERE {condition}"
        scan = json.loads(connection.execute(sql).fetchall()[0][1])[0]
        while scan["children"]:
            scan = scan["children"][0]
        assert "ra>=1" in str(scan["extra_info"]["Filters"]).replace(" ", "")
        assert "dec<=" in str(scan["extra_info"]["Filters"]).replace(" ", "")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cone(10, 91, 1), "declinations from -90 to 90"),
        (lambda: cone(10, 9, "1parsec"), "is no angle"),
        (lambda: cone(10, 9, 200), "180 degrees at most"),
        (lambda: cone(float("nan"), 9, 2), "right ascensions in degrees"),
        (lambda: box(10, 20, 5, 5), "dec_low below dec_high"),
        (lambda: polygon([(0, 0), (1, 1)]), "three corners or more"),
        (lambda: polygon([(0, 0), (120, 0), (240, 0)]), "within a hemisphere"),
        (lambda: coverage("nowhere.fits"), "there is no file nowhere.fits"),
        (lambda: coverage("5/123-x"), "5/123-x is no coverage map"),
        (lambda: coverage(__file__), "is no coverage map"),
        (lambda: coverage(MOC.new_empty(5)), "holds nothing"),
    ],
)
def test_what_is_no_region_is_told_in_words(make, words):
    with pytest.raises(CatalogError, match=words):
        make()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 FROM catalog WHERE in_polygon(ra, dec, [1, 2, 3])", "three corners or more"),
        ("SELECT 1 FROM catalog WHERE in_polygon(ra, dec, [1, 0, 120, 0, 240, 0])", "within a hemisphere"),
        ("SELECT 1 FROM catalog WHERE in_polygon(ra, dec, [ra, dec, ra + 1, dec, ra, 0])", "not one for each row"),
        ("SELECT * FROM _rows", "nothing else, not _rows"),
        ("SELECT * FROM _ranges_0", "nothing else, not _ranges_0"),
    ],
)
def test_what_cannot_be_asked_of_the_sky(sql, words, catalog):
    with pytest.raises(CatalogError, match=words):
        catalog.query(sql, within=[coverage("0/0-11")])


def test_empty_positions_are_nowhere(catalog):
    sql = (
        "SELECT in_polygon(NULL, dec, [1, 2, 3, 4, 5, 0]) AS a, in_cone(NULL, NULL, 1, 2, 3) AS b FROM catalog LIMIT 1"
    )
    row = catalog.query(sql).to_pylist()[0]
    assert not row["a"]
    assert not row["b"]


def test_separations_are_those_of_astropy(catalog):
    pairs = [(0, 0, 180, 0), (10, 20, 10, 20), (0, 90, 77, 90), (150.1, 2.2, 150.1, 2.2 + 1e-7), (1, -89.9, 181, -89.9)]
    for ra, dec, other_ra, other_dec in pairs:
        row = catalog.query(f"SELECT separation({ra}, {dec}, {other_ra}, {other_dec}) AS angle").to_pylist()[0]
        there = SkyCoord(other_ra, other_dec, unit="deg")
        assert row["angle"] == pytest.approx(SkyCoord(ra, dec, unit="deg").separation(there).deg, rel=1e-9, abs=1e-13)
    row = catalog.query("SELECT separation(NULL, 1, 2, 3) AS a, isnan(separation('nan'::DOUBLE, 1, 2, 3)) AS b")
    assert row.to_pylist() == [{"a": None, "b": True}]


def test_the_command_takes_regions(catalog, capsys, tmp_path):
    frame = catalog.to_pandas().query("primary")
    inside = separations(frame, 0.0, -30.0) <= 0.05
    main(["catalog", "query", str(catalog.path), "--cone", "0,-30,3arcmin", "--format", "csv"])
    assert len(capsys.readouterr().out.splitlines()) == inside.sum() + 1
    sql = "SELECT count(*) AS n FROM catalog"
    for options in (["--box", "-1,1,-31,-29"], ["--polygon", "-1,-31 1,-31 1,-29 -1,-29"], ["--moc", "0/0-11"]):
        main(["catalog", "query", str(catalog.path), sql, *options, "--format", "json"])
        assert json.loads(capsys.readouterr().out)[0]["n"] > 0
    for options, words in (
        (["--cone", "1,2"], "expected --cone RA,DEC,RADIUS"),
        (["--polygon", "1,2,3"], "expected --polygon"),
        (["--box", "a,2,3,4"], "expected a number of degrees, got 'a'"),
    ):
        with pytest.raises(SystemExit):
            main(["catalog", "query", str(catalog.path), sql, *options])
        assert words in capsys.readouterr().err
