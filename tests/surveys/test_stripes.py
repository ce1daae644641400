"""Large tiles in stripes: what is found on them is what is found on the whole tile."""

import gzip
import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.io import fits
from distributed import LocalCluster
from make_bundle import make_bundle
from make_sky import BANDS, SCALE, make_tile
from scipy.spatial import KDTree

import galmorph
from galmorph import flags
from galmorph.bundle import load_bundle
from galmorph.catalogs import check_catalog
from galmorph.cutouts import Framing, field_cutouts, field_cutter
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import RunError, TileError
from galmorph.fits_files import Notes
from galmorph.fits_planes import largest_plane, read_planes
from galmorph.inference import records
from galmorph.inference.config import run_config
from galmorph.inference.journal import Journal
from galmorph.inference.plan import file_bytes
from galmorph.inference.run import _Ledger
from galmorph.labelling import make_labelled_cutouts
from galmorph.run_folder import features_of_image, open_run
from galmorph.sky import pixel_to_sky
from galmorph.survey_check import check_files
from galmorph.surveys import find_tiles, load_survey, stripes
from galmorph.tiles import read_tile

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "data" / "make_tiles.py")))
SURVEY = load_survey("mock-decals")
CONFIG = DetectionConfig()
FRAMING = Framing(size=32)
#: Three stripes: 120 rows of their own and 58 beside them.
SIDE = 360


@pytest.fixture
def small(monkeypatch):
    """Tiles of 360 x 360 pixels are large."""
    monkeypatch.setattr(stripes, "MARGIN", 15.0)
    monkeypatch.setattr(stripes, "MOST_PIXELS", SIDE * 236)
    monkeypatch.setattr(stripes, "PIXELS_PER_BYTE", 10_000)


def crowd() -> list[dict[str, float]]:
    """Galaxies on a grid that has some on the borders between stripes, and some on the tile's edges."""
    rng = np.random.default_rng(3)
    y, x = (grid.ravel() for grid in np.meshgrid(np.arange(0, SIDE + 1, 40.0), np.arange(20, SIDE, 40.0)))
    return [
        {"x": a, "y": b, "flux": rng.uniform(3, 30), "sigma": rng.uniform(2, 4), "ratio": rng.uniform(0.5, 1)}
        for a, b in zip(x + rng.uniform(-4, 4, x.size), y + rng.uniform(-4, 4, y.size), strict=True)
    ]


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    """Folder of a fpacked tile."""
    folder = tmp_path_factory.mktemp("tile")
    mask = np.zeros((SIDE, SIDE), np.int16)
    mask[200:210, 100:140] = 1
    make.write_bands(folder, images(), make.make_wcs((SIDE, SIDE), SCALE), noise=0.01, mask=mask)
    return folder


def images() -> dict[str, np.ndarray]:
    """Bands of a tile, each with the same galaxies."""
    signal = make.scene((SIDE, SIDE), crowd(), 0)
    rng = np.random.default_rng(1)
    return {band: signal + rng.normal(0, 0.01, signal.shape).astype(np.float32) for band in BANDS}


def whole(folder):
    """The tile, not in stripes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stripes, "MOST_PIXELS", 10**9)
        (source,), _ = find_tiles([folder], SURVEY)
    return source


def measured(source, positions=None):
    """Objects of a tile or a stripe with what their cutouts tell, and what cuts them."""
    tile = read_tile(source, SURVEY)
    field = extract(tile, CONFIG, positions, in_place=True)
    cutouts = field_cutouts(field, tile, slice(None), FRAMING)
    edge = tile.edge_distance(field.objects["x"], field.objects["y"])
    told = {"off_edge": cutouts.off_edge_fraction, "edge": edge, "bad": cutouts.bad_fraction}
    return field.objects.assign(tile=source.name, **told), field_cutter(field, tile, FRAMING)


def test_stripes_share_the_rows_of_a_tile_and_read_a_margin(small, tile):
    sources, rejected = find_tiles([tile], SURVEY)
    assert [source.name for source in sources] == ["t1@1", "t1@2", "t1@3"]
    assert [source.stripe.own for source in sources] == [(0, 120), (120, 240), (240, 360)]
    # 15 arcsec of 0.262 are 57.3 pixels.
    assert [source.stripe.read for source in sources] == [(0, 178), (62, 298), (182, 360)]
    assert not rejected
    assert all(source.files == sources[0].files for source in sources)
    assert sum(source.stripe.share for source in sources) == pytest.approx(1)
    assert read_tile(sources[1], SURVEY).image.shape == (3, 236, SIDE)


def test_ten_stripes_are_sorted_as_they_lie(small, tile, monkeypatch):
    monkeypatch.setattr(stripes, "MARGIN", 3.0)
    monkeypatch.setattr(stripes, "MOST_PIXELS", SIDE * 60)
    sources, _ = find_tiles([tile], SURVEY)
    assert len(sources) > 9
    assert sources[0].name == "t1@01"
    assert [source.stripe.own[0] for source in sources] == sorted(source.stripe.own[0] for source in sources)


def test_stripes_give_the_objects_of_the_whole_tile(small, tile):
    expected, cutter = measured(whole(tile))
    sources, _ = find_tiles([tile], SURVEY)
    parts = [measured(source) for source in sources]
    found = pd.concat([table for table, _ in parts], ignore_index=True)
    assert len(expected) > 70
    distance, place = KDTree(found[["x", "y"]]).query(expected[["x", "y"]])
    assert distance.max() < 0.1
    again, _ = KDTree(expected[["x", "y"]]).query(found[["x", "y"]])
    assert again.max() < 0.1
    # What is there twice lies at a border, once in each stripe.
    pairs = KDTree(found[["x", "y"]]).query_pairs(1.0)
    assert len(found) == len(expected) + len(pairs)
    assert pairs
    for first, second in pairs:
        assert found["tile"][first] != found["tile"][second]
        assert min(abs(found["y"][first] - border) for border in (119.5, 239.5)) <= stripes.OVERLAP
    found = found.iloc[place].reset_index(drop=True)
    for name, tolerance in (("ra", 1e-5), ("dec", 1e-5), ("edge", 0.03), ("off_edge", 1e-2), ("bad", 1e-2)):
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance)
    # Fluxes differ by what the background of a small stripe differs.
    ratio = found["flux_r"] / expected["flux_r"]
    assert abs(ratio - 1).max() < 0.15
    assert abs(ratio - 1).median() < 0.01
    np.testing.assert_array_equal(found["flags"] & flags.TRUNCATED, expected["flags"] & flags.TRUNCATED)
    assert 5 < np.count_nonzero(expected["flags"] & flags.TRUNCATED) < 40
    for source, (_, other) in zip(sources, parts, strict=True):
        here = expected[source.stripe.keeps(expected["y"])]
        one, two = (each.cut(here["x"], here["y"], here["radius"]) for each in (cutter, other))
        # But for the background, they are the same: by less than the noise of a pixel.
        np.testing.assert_allclose(one.images, two.images, atol=0.01 / SCALE**2)
        np.testing.assert_array_equal(one.off_edge_fraction, two.off_edge_fraction)
        np.testing.assert_allclose(one.bad_fraction, two.bad_fraction, atol=1e-3)


def test_each_stripe_numbers_its_own_objects_first(small, tile):
    source = find_tiles([tile], SURVEY)[0][1]
    read = read_tile(source, SURVEY)
    field = extract(read, CONFIG)
    own = field.objects
    assert own["number"].tolist() == list(range(1, len(own) + 1))
    assert field.segments.max() > len(own)
    for row in own.itertuples():
        assert 117.5 <= row.y < 241.5
        if row.snr > 50:
            assert field.segments[round(row.y) - 62, round(row.x)] == row.number


def test_given_positions_are_measured_once_or_at_borders_twice(small, tile):
    source = whole(tile)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, SIDE - 1, 60), np.append(rng.uniform(0, SIDE - 1, 57), [119.5, 119.4, 500])
    ra, dec = pixel_to_sky(read_tile(source, SURVEY).wcs, x, y)
    positions = pd.DataFrame({"source_id": [f"s{i}" for i in range(60)], "ra": ra, "dec": dec})
    expected, _ = measured(source, positions)
    assert len(expected) == 59
    found = pd.concat([measured(piece, positions)[0] for piece in find_tiles([tile], SURVEY)[0]])
    assert set(found["source_id"]) == set(expected["source_id"])
    counts = found["source_id"].value_counts()
    assert counts["s57"] == counts["s58"] == 2
    near = np.min(np.abs(y[:, None] - [119.5, 239.5]), axis=1) <= stripes.OVERLAP
    assert len(found) == 59 + np.count_nonzero(near)
    found = found.drop_duplicates("source_id").set_index("source_id").loc[expected["source_id"]]
    np.testing.assert_allclose(found["y"], expected["y"], atol=1e-6)


def test_a_stripe_without_data_has_no_objects_and_is_no_fault(small, tmp_path):
    mask = np.zeros((SIDE, SIDE), np.int16)
    mask[:180] = 1
    make.write_bands(tmp_path, images(), make.make_wcs((SIDE, SIDE), SCALE), noise=0.01, mask=mask)
    empty = read_tile(find_tiles([tmp_path], SURVEY)[0][0], SURVEY)
    assert any("no valid pixel" in line for line in empty.warnings)
    assert not len(extract(empty, CONFIG).objects)


def hdus_of(kind: str) -> list[fits.hdu.base.ExtensionHDU]:
    rng = np.random.default_rng(0)
    noise = rng.normal(10, 3, (40, 30)).astype(np.float32)
    counts = rng.integers(0, 60000, (40, 30)).astype(np.uint16)
    if kind == "scaled":
        hdu = fits.ImageHDU((noise * 100).astype(np.int16))
        hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.01, 5.0, int(hdu.data[12, 3])
        return [hdu]
    kinds = {
        "plain": lambda: fits.ImageHDU(noise),
        "unsigned": lambda: fits.ImageHDU(counts),
        "cube": lambda: fits.ImageHDU(np.stack([noise, noise + 1, noise + 2])),
        "deep": lambda: fits.ImageHDU(np.stack([noise, noise + 1])[None]),
        "rice": lambda: fits.CompImageHDU(noise, compression_type="RICE_1", quantize_level=16.0),
        "dither": lambda: fits.CompImageHDU(
            np.where(noise > 14, np.nan, np.where(noise < 5, 0, noise)).astype(np.float32),
            compression_type="RICE_1", quantize_level=4.0, quantize_method=2, dither_seed=7,
        ),
        "lossless": lambda: fits.CompImageHDU(noise, compression_type="GZIP_2", quantize_level=0.0),
        "blocks": lambda: fits.CompImageHDU(noise, compression_type="HCOMPRESS_1", tile_shape=(8, 30)),
        "packed": lambda: fits.CompImageHDU(counts, compression_type="RICE_1"),
        "packed cube": lambda: fits.CompImageHDU(np.stack([noise, noise + 1]), compression_type="RICE_1"),
    }  # fmt: skip
    return [kinds[kind]()]


KINDS = ("plain", "unsigned", "scaled", "cube", "deep", "rice", "dither", "lossless", "blocks", "packed", "packed cube")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_read_are_those_of_the_whole_image(kind, tmp_path):
    path = tmp_path / "image.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus_of(kind)]).writeto(path)
    if kind == "scaled":
        # The keywords as they are, not as astropy would apply them to the pixels that it writes.
        with fits.open(path, mode="update", do_not_scale_image_data=True) as opened:
            opened[1].header["BSCALE"], opened[1].header["BZERO"] = 0.01, 5.0
    (all_of_it,) = read_planes(path, [1], Notes())
    for rows in ((0, 7), (11, 29), (39, 40)):
        (part,) = read_planes(path, [1], Notes(), rows)
        assert part.pixels.dtype == all_of_it.pixels.dtype
        np.testing.assert_array_equal(part.pixels, all_of_it.pixels[..., slice(*rows), :])
    if kind in ("scaled", "dither"):
        assert np.isnan(all_of_it.pixels).any()


def test_what_cannot_be_read_in_parts_is_taken_whole(small, tile, tmp_path):
    for path in sorted(tile.glob("*.fz")):
        # One with a name that says so, one with a name that does not.
        for folder, name in (("zipped", f"{path.name.removesuffix('.fz')}.gz"), ("disguised", path.name)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(gzip.compress(path.read_bytes(), 1))
    for folder in ("zipped", "disguised"):
        sources, _ = find_tiles([tmp_path / folder], SURVEY)
        assert [(source.name, source.stripe) for source in sources] == [("t1", None)]
    assert read_tile(sources[0], SURVEY).shape == (SIDE, SIDE)


def test_planes_of_several_shapes_or_grids_are_taken_whole(small, tmp_path):
    image = make.scene((SIDE, SIDE), [], 0.01)
    for name, center, shape in (
        ("shifted", (150.0, 2.001), (SIDE, SIDE)),
        ("smaller", (150.0, 2.0), (SIDE - 20, SIDE)),
    ):
        grids = {band: make.make_wcs((SIDE, SIDE), SCALE) for band in BANDS}
        grids["z"] = make.make_wcs(shape, SCALE, center=center)
        make.write_bands(
            tmp_path, {band: image[: shape[0] if band == "z" else SIDE] for band in BANDS}, grids, name=name
        )
    sources, _ = find_tiles([tmp_path], SURVEY)
    assert [(source.name, source.stripe) for source in sources] == [("shifted", None), ("smaller", None)]
    for source in sources:
        with pytest.raises(TileError, match="on different grids"):
            read_tile(source, SURVEY)


@pytest.mark.parametrize(("block", "count"), [(40, 3), (100, 1)])
def test_planes_compressed_in_blocks_higher_than_a_margin_are_taken_whole(small, tile, tmp_path, block, count):
    """A stripe would read most of the blocks beside its own; the margin is of 58 rows."""
    for path in tile.glob("*.fz"):
        with fits.open(path) as hdus:
            for number in (1, 2, 3):
                data, header = hdus[number].data, hdus[number].header
                hdus[number] = fits.CompImageHDU(data, header, tile_shape=(block, SIDE), compression_type="GZIP_2")
            hdus.writeto(tmp_path / path.name)
    assert len(find_tiles([tmp_path], SURVEY)[0]) == count


@pytest.mark.parametrize(
    ("own", "inside", "outside"),
    [
        ((0, 120), [-0.5, 60.0, 121.4], [-0.6, 121.5]),
        ((120, 240), [117.5, 241.4], [117.4, 241.5]),
        ((240, 360), [237.5, 359.4], [237.4, 359.5]),
    ],
)
def test_a_stripe_keeps_its_rows_and_two_beyond_a_border(own, inside, outside):
    stripe = stripes.Stripe(own, (0, 360), (360, 50))
    assert stripe.keeps(inside).all()
    assert not stripe.keeps([*outside, np.nan]).any()


@pytest.mark.parametrize("damage", ["empty", "words", "cut", "no image", "no WCS"])
def test_what_is_wrong_with_a_file_is_for_reading_to_say(damage, small, tile, tmp_path):
    for path in tile.glob("*.fz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "t1-g.fits.fz"
    content = path.read_bytes()
    if damage in ("no image", "no WCS"):
        hdus = [fits.PrimaryHDU()]
        hdus += [fits.ImageHDU(np.ones((SIDE, SIDE), np.float32), name="IMAGE")] if damage == "no WCS" else []
        fits.HDUList(hdus).writeto(path, overwrite=True)
    else:
        path.write_bytes({"empty": b"", "words": b"SIMPLE" + 9000 * b"?", "cut": content[:6000]}[damage])
    sources, rejected = find_tiles([tmp_path], SURVEY)
    assert not rejected
    assert [source.stripe for source in sources] == [None]
    with pytest.raises(TileError, match=r"t1-g\.fits"):
        read_tile(sources[0], SURVEY)


def test_what_a_library_stumbles_over_is_for_reading_to_say(small, tile, monkeypatch):
    def stumble(*given):
        raise ArithmeticError("odd")

    monkeypatch.setattr(stripes, "local_axes", stumble)
    assert [source.stripe for source in find_tiles([tile], SURVEY)[0]] == [None]


def test_a_file_cut_off_in_its_pixels_is_told_in_words(small, tmp_path):
    planes = {band: make.scene((SIDE, SIDE), [], 0.01, i) for i, band in enumerate(BANDS)}
    for path in make.write_bands(tmp_path, planes, make.make_wcs((SIDE, SIDE), SCALE), noise=0.01, compress=False)[:1]:
        path.write_bytes(path.read_bytes()[: 3 * 2880 + 4 * SIDE * 300])
    last = find_tiles([tmp_path], SURVEY)[0][-1]
    with pytest.raises(TileError, match=r"t1-g\.fits.* damaged, incomplete or not FITS|has no HDU"):
        read_tile(last, SURVEY)


def test_small_tiles_cost_no_more_than_a_look_at_one_file(tile, monkeypatch):
    monkeypatch.setattr(stripes, "read_outlines", lambda *given: pytest.fail("its planes were compared"))
    monkeypatch.setattr(stripes, "PIXELS_PER_BYTE", 10_000)
    assert largest_plane(tile / "t1-g.fits.fz") == SIDE**2
    assert [source.stripe for source in find_tiles([tile], SURVEY)[0]] == [None]
    monkeypatch.setattr(stripes, "PIXELS_PER_BYTE", 10)
    monkeypatch.setattr(stripes, "largest_plane", lambda *given: pytest.fail("opened"))
    assert [source.stripe for source in find_tiles([tile], SURVEY)[0]] == [None]


def test_files_of_stripes_are_read_once_to_know_them(small, tile, monkeypatch):
    digests, told = [], []
    original = records.file_sha256
    monkeypatch.setattr(records, "file_sha256", lambda path: digests.append(path) or original(path))
    sources, _ = find_tiles([tile], SURVEY)
    found = records.tile_records(sources, {}, lambda done, total: told.append((done, total)))
    assert sorted(digests) == sorted(tile.glob("*.fz"))
    size = sum(path.stat().st_size for path in digests)
    assert told == [(size, size)] * 3
    assert found["t1@2"] == {"files": found["t1@1"]["files"], "own": [120, 240], "read": [62, 298]}
    assert records.tile_records(sources, found) == found
    assert len(digests) == 3
    assert sum(map(file_bytes, sources)) == pytest.approx(size, abs=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model", list(BANDS))


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def test_a_run_over_stripes_is_a_run_over_the_tile(small, tile, model, scheduler, tmp_path, monkeypatch):
    run = galmorph.classify(tile, "mock-decals", model, tmp_path / "run", scheduler=scheduler)
    assert (run.report.tiles, run.report.rejected_tiles) == (3, {})
    record = json.loads((tmp_path / "run" / "run.json").read_text())["tiles"]
    assert record["t1@3"]["own"] == [240, 360]
    rows = run.catalog.to_pandas()
    rows = rows[rows["primary"]]
    assert set(rows["tile"]) == set(record)
    framing = Framing(size=32)
    drawn = open_run(tmp_path / "run").pictures(pa.Table.from_pandas(rows), framing.size)
    monkeypatch.setattr(stripes, "MOST_PIXELS", 10**9)
    one = galmorph.classify(tile, "mock-decals", model, tmp_path / "one", scheduler=scheduler)
    expected = one.catalog.to_pandas()
    assert len(rows) == len(expected) == one.report.scored
    distance, place = KDTree(expected[["x", "y"]]).query(rows[["x", "y"]])
    assert distance.max() < 0.1
    assert sorted(place) == list(range(len(expected)))
    expected = expected.iloc[place]
    for name, tolerance in (("edge_distance", 0.03), ("off_edge_fraction", 1e-2), ("ra", 1e-5)):
        np.testing.assert_allclose(rows[name], expected[name], atol=tolerance)
    edge = flags.EDGE | flags.TRUNCATED
    np.testing.assert_array_equal(rows["flags"] & edge, expected["flags"] & edge)
    by_tile = open_run(tmp_path / "one").pictures(pa.Table.from_pandas(expected), framing.size)
    assert np.abs(drawn.astype(int) - by_tile).mean() < 2


def test_given_positions_that_are_close_across_a_border_all_have_their_row(small, tile, model, scheduler, tmp_path):
    # The border lies at 119.5; the first of each pair is of both stripes, the second of one alone.
    y = np.array([120.0, 122.5, 119.0, 116.5, 200.0, 202.5])
    ra, dec = pixel_to_sky(make.make_wcs((SIDE, SIDE), SCALE), np.full(len(y), 180.0), y)
    names = [f"p{number}" for number in range(len(y))]
    pd.DataFrame({"id": names, "ra": ra, "dec": dec}).to_csv(tmp_path / "positions.csv", index=False)
    given = {"scheduler": scheduler, "positions": tmp_path / "positions.csv"}
    rows = galmorph.classify(tile, SURVEY, model, tmp_path / "run", **given).catalog.to_pandas()
    assert len(rows) == len(y) + 2
    assert sorted(rows["source_id"][rows["primary"]]) == names
    assert not check_catalog(tmp_path / "run" / "catalog")


def test_a_galaxy_beyond_the_margins_of_two_stripes_has_one_primary_row(small, model, scheduler, tmp_path):
    galaxy = {"x": 180.0, "y": 121.0, "flux": 50_000.0, "sigma": 45.0, "ratio": 1.0}
    planes = {band: make.scene((SIDE, SIDE), [galaxy], 0.01, i) for i, band in enumerate(BANDS)}
    make.write_bands(tmp_path / "tiles", planes, make.make_wcs((SIDE, SIDE), SCALE), noise=0.01)
    run = galmorph.classify(tmp_path / "tiles", SURVEY, model, tmp_path / "run", scheduler=scheduler)
    rows = run.catalog.to_pandas()
    large = rows[rows["flux_r"] > 10_000]
    assert len(large) == 2
    assert np.hypot(*(large[["ra", "dec"]].diff().iloc[1])) * 3600 > 2
    assert large["primary"].sum() == 1
    assert not check_catalog(tmp_path / "run" / "catalog")


def test_a_large_tile_that_was_damaged_goes_on_in_stripes(small, tile, model, scheduler, tmp_path):
    def run():
        return galmorph.classify(folder, "mock-decals", model, tmp_path / "run", scheduler=scheduler).report

    folder = shutil.copytree(tile, tmp_path / "tiles")
    make_tile(folder, "other", ra=150.2, seed=5)
    good = {path: path.read_bytes() for path in folder.glob("t1-*")}
    for path, content in good.items():
        path.write_bytes(content[:20_000])
    before = run()
    assert (before.tiles, set(before.rejected_tiles)) == (2, {"t1"})
    for path, content in good.items():
        path.write_bytes(content)
    after = run()
    assert (after.tiles, after.resumed, after.rejected_tiles) == (4, 1, {})
    assert after.scored > before.scored
    # Once there are stripes with scores, they are not given up for a file that has become unreadable.
    next(iter(good)).write_bytes(b"")
    with pytest.raises(RunError, match="is not among the tiles given now"):
        run()


def test_a_run_does_not_go_on_with_other_stripes(small, tile, model, tmp_path, monkeypatch):
    config = run_config(load_bundle(model.path), SURVEY, CONFIG, None, False)

    def keys() -> dict[str, str]:
        sources, _ = find_tiles([tile], SURVEY)
        return _Ledger(Journal(tmp_path), config.to_dict(), records.tile_records(sources, {})).keys()

    before = keys()
    assert len(set(before.values())) == 3
    assert keys() == before
    monkeypatch.setattr(stripes, "MARGIN", 16.0)
    assert not set(keys().values()) & set(before.values())


def test_labelled_cutouts_of_stripes_are_those_of_the_tile(small, tile, tmp_path, monkeypatch):
    expected, _ = measured(whole(tile))
    # A position to one side of a border may have its detection on the other one.
    table = expected[["ra", "dec"]].assign(objid=range(len(expected)), label="spiral")
    table["dec"] += np.where(np.arange(len(table)) % 2, 1, -1) / 3600
    blank = pd.DataFrame(
        {"ra": [150.0, 10.0], "dec": [2.0 + 0.5 * 20 * SCALE / 3600, 2.0], "objid": [990, 991], "label": "x"}
    )
    pd.concat([table, blank]).to_csv(tmp_path / "labels.csv", index=False)
    in_stripes = make_labelled_cutouts([tile], SURVEY, tmp_path / "labels.csv", tmp_path / "a", framing=FRAMING)
    monkeypatch.setattr(stripes, "MOST_PIXELS", 10**9)
    on_tile = make_labelled_cutouts([tile], SURVEY, tmp_path / "labels.csv", tmp_path / "b", framing=FRAMING)
    assert in_stripes.counts == on_tile.counts
    assert in_stripes.rejected["object_id"].tolist() == on_tile.rejected["object_id"].tolist()
    assert in_stripes.rejected["reason"].iloc[-1] == "lies on no tile"


def test_the_middle_of_a_large_image_is_an_example(small, tile, model, monkeypatch):
    bundle = load_bundle(model.path)
    found = features_of_image(tile / "t1-r.fits.fz", bundle, SURVEY, CONFIG)
    monkeypatch.setattr(stripes, "MOST_PIXELS", 10**9)
    expected = features_of_image(tile / "t1-r.fits.fz", bundle, SURVEY, CONFIG)
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)


def test_the_middle_of_an_image_is_whichever_stripe_keeps_it(small, tmp_path, model, monkeypatch, caplog):
    """Two stripes part at the middle row; the object is a little below it, or a little above."""
    bundle = load_bundle(model.path)
    monkeypatch.setattr(stripes, "MOST_PIXELS", SIDE * SIDE // 2)
    for name, row in (("below", 174.5), ("above", 184.5)):
        galaxies = [
            {"x": 179.5, "y": row, "flux": 30.0, "sigma": 3.0},
            {"x": 60.0, "y": 300.0, "flux": 90.0, "sigma": 5.0},
        ]
        planes = {band: make.scene((SIDE, SIDE), galaxies, 0.01, seed) for seed, band in enumerate(BANDS)}
        make.write_bands(tmp_path / name, planes, make.make_wcs((SIDE, SIDE), SCALE), noise=0.01)
        found = features_of_image(tmp_path / name / "t1-r.fits.fz", bundle, SURVEY, CONFIG)
        with monkeypatch.context() as patch:
            patch.setattr(stripes, "MOST_PIXELS", 10**9)
            expected = features_of_image(tmp_path / name / "t1-r.fits.fz", bundle, SURVEY, CONFIG)
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05)
    assert "lies" not in caplog.text
    planes = {band: make.scene((SIDE, SIDE), galaxies[1:], 0.01) for band in BANDS}
    make.write_bands(tmp_path / "far", planes, make.make_wcs((SIDE, SIDE), SCALE), noise=0.01)
    monkeypatch.setattr(stripes, "MOST_PIXELS", 10**9)
    features_of_image(tmp_path / "far" / "t1-r.fits.fz", bundle, SURVEY, CONFIG)
    assert "the object nearest to its centre lies 4" in caplog.text


def test_a_check_tells_which_rows_it_speaks_of(small, tile):
    fits_found, misfits = check_files([tile], [SURVEY])
    assert not misfits
    assert [fit.tile for fit in fits_found] == ["t1@1", "t1@2", "t1@3"]
    assert "360 x 360 pixels of 0.262 arcsec, rows 63 to 298 of them" in fits_found[1].facts


def test_no_tile_is_called_as_a_stripe(small, tmp_path):
    for name in ("t1", "t1@2"):
        make_tile(tmp_path, name, size=SIDE)
    names = [source.name for source in find_tiles([tmp_path], SURVEY)[0]]
    assert len(set(names)) == len(names) == 6
    assert sum(name.startswith("t1@") for name in names) == 3


@pytest.mark.real
def test_a_real_tile_in_stripes_loses_nothing_but_the_faintest(real_data, monkeypatch):
    survey = load_survey("generic", {"bands": "r", "layout": "cube", "seeing": "1.2"})
    path = real_data / "legacy_tile_r" / "ESO479-G1_r_3000.fits.fz"
    (source,), _ = find_tiles([path], survey)
    expected = extract(read_tile(source, survey), CONFIG).objects
    monkeypatch.setattr(stripes, "MOST_PIXELS", 6_000_000)
    sources, _ = find_tiles([path], survey)
    # The border goes through the large spiral in the middle.
    assert [piece.stripe.own for piece in sources] == [(0, 1500), (1500, 3000)]
    found = pd.concat([extract(read_tile(piece, survey), CONFIG).objects for piece in sources])
    distance, place = KDTree(found[["x", "y"]]).query(expected[["x", "y"]])
    clear, bright = expected["snr"] > 10, expected["snr"] > 20
    print("lost", [int((distance > 1)[rows].sum()) for rows in (bright, clear & ~bright, ~clear)])
    assert distance[bright].max() < 1
    assert (distance[clear] < 1).mean() > 0.99
    assert (distance < 1).mean() > 0.95
    ratio = found["flux_r"].to_numpy()[place] / expected["flux_r"]
    assert abs(ratio[bright] - 1).median() < 0.005
