import math
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from galmorph import detection, flags, segmentation
from galmorph.background import smooth, subtract
from galmorph.detection import DetectionConfig, _grown, extract
from galmorph.errors import ConfigError, TileError
from galmorph.photometry import Shapes, half_light_radius, kron_radius
from galmorph.sky import pixel_to_sky
from galmorph.surveys import find_tiles, load_survey
from galmorph.tiles import Tile, read_tile

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "data" / "make_tiles.py")))
CONFIG = DetectionConfig()
SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))


def make_tile(images, scale=0.262, noise=None, mask=None, seeing=1.2, saturated=None, valid=None, **wcs) -> Tile:
    """Tile of planes in nanomaggies; weights of `noise` for each band, or none."""
    image = np.stack(images).astype(np.float32)
    shape = image.shape[1:]
    header = make.make_wcs(shape, scale, **wcs)
    header.pixel_shape = shape[::-1]
    mask = np.zeros(shape, bool) if mask is None else mask
    valid = np.broadcast_to(~mask, image.shape).copy() if valid is None else valid & ~mask
    weight = None
    if noise is not None:
        weight = np.broadcast_to(np.array(noise, np.float32)[:, None, None] ** -2, image.shape).copy()
        weight[~valid] = 0
    bands = tuple("grz"[: len(image)])
    return Tile(
        name="t",
        bands=bands,
        image=np.where(valid, image, 0).astype(np.float32),
        weight=weight,
        saturated=np.zeros(shape, bool) if saturated is None else saturated,
        valid=valid,
        wcs=header,
        pixel_scale=scale,
        warnings=(),
        seeing=(seeing,) * len(bands),
        detection_bands=bands,
    )


def one(objects: pd.DataFrame, x: float, y: float) -> pd.Series:
    """The object at a pixel."""
    near = objects[np.hypot(objects["x"] - x, objects["y"] - y) < 3]
    assert len(near) == 1
    return near.iloc[0]


# --- what is measured -------------------------------------------------------------------------------------------------

ENTRY = {"x": 100.3, "y": 80.7, "flux": 100.0, "sigma": 8.0, "ratio": 0.5, "theta": 0.6}


def test_a_gaussian_galaxy_is_measured_right():
    shape, noise = (200, 220), (0.002, 0.004)
    images = [
        make.scene(shape, [ENTRY | {"flux": flux}], n, i, sky=0.3)
        for i, (flux, n) in enumerate(zip((50, 100), noise, strict=True))
    ]
    field = extract(make_tile(images, noise=noise), CONFIG)
    found = one(field.objects, 100.3, 80.7)
    assert (found["x"], found["y"]) == (pytest.approx(100.3, abs=0.05), pytest.approx(80.7, abs=0.05))
    # The filter adds the variance of its Gaussian; the isophote takes off some of the wings.
    extra = (1.2 / 0.262 * SIGMA_PER_FWHM) ** 2
    assert found["a"] == pytest.approx(0.262 * math.sqrt(64 + extra), rel=0.05)
    assert found["b"] == pytest.approx(0.262 * math.sqrt(16 + extra), rel=0.05)
    assert found["theta"] == pytest.approx(0.6, abs=0.01)
    assert found["ellipticity"] == pytest.approx(1 - found["b"] / found["a"])
    # North is up and east to the left, so that an angle of 0.6 from the x axis is 90 degrees less, from north to east.
    assert found["position_angle"] == pytest.approx((math.degrees(0.6) - 90) % 180, abs=0.6)
    assert found["flux_g"] == pytest.approx(50, rel=0.02)
    assert found["flux_r"] == pytest.approx(100, rel=0.02)
    assert found["radius"] / found["a"] == pytest.approx(3.5, rel=0.15)
    # Half of the light of an elliptical Gaussian of axis ratio 1/2 is within 0.832 of the major axis' sigma.
    assert found["half_light_radius"] == pytest.approx(0.832 * 8 * 0.262, rel=0.05)
    assert found["flags"] == 0
    assert found["source_id"] == ""
    assert field.background == pytest.approx([0.3, 0.3], abs=0.001)
    assert field.noise == pytest.approx(noise, rel=0.1)


def test_half_of_the_light_is_found_near_the_centre_and_at_the_rim():
    y, x = np.mgrid[:101, :101]
    distance = np.hypot(x - 50, y - 50)
    point, ring, nothing = (distance < 2), (distance > 28) & (distance < 32), distance < 0
    centre, side = np.array([50.0]), np.array([10.0])
    shapes = Shapes(centre, centre, side, side, np.zeros(1), np.ones(1, np.int32))
    point_radius, ring_radius = math.sqrt(point.sum() / 2 / math.pi), math.sqrt((28**2 + 32**2) / 2)
    for light, expected in ((point, point_radius), (ring, ring_radius), (nothing, math.nan)):
        image = light.astype(np.float32)
        found = half_light_radius(
            image,
            np.zeros(image.shape, dtype=bool),
            np.ones(image.shape, dtype=np.int32),
            shapes,
            np.array([40.0]),
            np.array([float(image.sum())]),
        )
        assert found == pytest.approx(np.array([expected]), rel=0.02, nan_ok=True)


def test_half_of_the_light_does_not_count_what_is_masked_nor_what_the_unit_is():
    y, x = np.mgrid[:101, :101]
    disc = (np.hypot(x - 50, y - 50) < 10).astype(np.float32)
    bad = np.zeros(disc.shape, dtype=bool)
    bad[50, 50] = True
    centre, side = np.array([50.0]), np.array([10.0])
    shapes = Shapes(centre, centre, side, side, np.zeros(1), np.ones(1, np.int32))
    segments, stop, flux = np.ones(disc.shape, dtype=np.int32), np.array([40.0]), np.array([float(disc.sum())])
    for unit in (1.0, 1e-4):
        image = np.where(bad, 1e6, disc).astype(np.float32) * np.float32(unit)
        found = half_light_radius(image, bad, segments, shapes, stop, flux * unit)
        assert found == pytest.approx(10 / math.sqrt(2), rel=0.02)


@pytest.mark.parametrize(
    ("inner", "outer", "expected"), [(0.0, 0.0, 3.5), (0.5, 1.0, 3.5), (2.9, 3.1, 7.5), (5.0, 6.0, 10.0)]
)
def test_the_kron_radius_has_limits(inner, outer, expected):
    """Rings between two radii, in units of the ellipse: 2.5 times the mean distance."""
    y, x = np.mgrid[:201, :201]
    distance = np.hypot(x - 100, y - 100) / 10
    image = ((distance >= inner) & (distance < outer)).astype(np.float32)
    centre, side = np.array([100.0]), np.array([10.0])
    shapes = Shapes(centre, centre, side, side, np.zeros(1), np.ones(1, np.int32))
    nowhere, segments = np.zeros(image.shape, dtype=bool), np.ones(image.shape, dtype=np.int32)
    radius, reliable = kron_radius(image, nowhere, segments, shapes)
    assert radius == pytest.approx([10 * expected], rel=0.01)
    assert reliable.tolist() == [outer > 0]


def test_errors_are_those_of_repeated_measurements():
    shape, noise = (120, 120), 0.02
    entry = {"x": 60, "y": 60, "flux": 20.0, "sigma": 4.0}
    rows = [
        one(extract(make_tile([make.scene(shape, [entry], noise, seed)], noise=[noise]), CONFIG).objects, 60, 60)
        for seed in range(40)
    ]
    fluxes, errors = np.array([row["flux_g"] for row in rows]), np.array([row["flux_err_g"] for row in rows])
    assert np.mean(fluxes) == pytest.approx(20, rel=0.02)
    assert 0.6 < np.mean(errors) / np.std(fluxes, ddof=1) < 1.5
    assert np.mean([row["snr"] for row in rows]) == pytest.approx(20 / np.mean(errors), rel=0.1)


@pytest.mark.parametrize("options", [{}, {"angle": 70.0}, {"flip": True}, {"angle": 120.0, "flip": True}])
def test_position_angles_are_those_on_the_sky(options):
    tile = make_tile([make.scene((160, 160), [ENTRY | {"x": 80, "y": 80}], 0.002)], noise=[0.002], **options)
    found = one(extract(tile, CONFIG).objects, 80, 80)
    (ra, ra2), (dec, dec2) = pixel_to_sky(tile.wcs, [80, 80 + 9 * math.cos(0.6)], [80, 80 + 9 * math.sin(0.6)])
    expected = math.degrees(math.atan2((ra2 - ra) * math.cos(math.radians(dec)), dec2 - dec)) % 180
    difference = abs(found["position_angle"] - expected)
    assert min(difference, 180 - difference) < 1
    assert (found["ra"], found["dec"]) == (pytest.approx(ra, abs=2e-6), pytest.approx(dec, abs=2e-6))


def test_a_change_of_pixel_scale_changes_neither_objects_nor_sizes():
    """The viewer's cubes are interpolated: their noise is smooth, which must not make it objects."""
    coarse = make.scene((150, 150), [ENTRY | {"x": 70, "y": 80, "flux": 10.0, "sigma": 5.0}], 0.005, 3)
    fine = np.kron(coarse, np.ones((3, 3))) / 9
    fine = smooth(fine.astype(np.float32), 3.0)
    fields = [extract(make_tile([image], scale), CONFIG) for image, scale in ((coarse, 0.262), (fine, 0.262 / 3))]
    assert fields[1].correlation > 2 * fields[0].correlation
    assert [len(field.objects) for field in fields] == [1, 1]
    first, second = (field.objects.iloc[0] for field in fields)
    for name in ("ra", "dec"):
        assert first[name] == pytest.approx(second[name], abs=0.1 / 3600)
    for name, tolerance in (("a", 0.1), ("radius", 0.15), ("flux_g", 0.05), ("half_light_radius", 0.1), ("snr", 0.4)):
        assert first[name] == pytest.approx(second[name], rel=tolerance), name


def test_false_detections_are_rare_with_and_without_weights():
    images = [make.scene((500, 500), [], 0.01, seed) for seed in range(3)]
    for noise in (None, (0.01,) * 3):
        assert len(extract(make_tile(images, noise=noise), CONFIG).objects) <= 2


def test_weights_that_promise_too_little_noise_are_not_believed():
    image = make.scene((300, 300), [], 0.01, 1)
    field = extract(make_tile([image], noise=[0.001]), CONFIG)
    assert field.noise[0] == pytest.approx(0.01, rel=0.05)
    assert len(field.objects) <= 1


@pytest.mark.parametrize("coverage", ["all", "one empty", "side by side"])
def test_correlated_noise_makes_no_objects_where_bands_lack_data(coverage):
    valid = np.ones((3, 600, 600), bool)
    if coverage == "one empty":
        valid[2] = False
    elif coverage == "side by side":
        valid[1, :, 300:] = valid[2, :, :300] = False
    images = [smooth(make.scene((600, 600), [], 1.0, seed), 2.4) for seed in range(3)]
    noise = float(images[0].std())
    field = extract(make_tile(images, noise=[noise] * 3, valid=valid), CONFIG)
    assert field.correlation == pytest.approx(2.9, rel=0.05)
    assert len(field.objects) <= 3
    assert field.warnings == ()


def test_noise_that_cannot_be_looked_at_is_told():
    # Data in the second column of each block of two by two alone, of which the first one is looked at.
    valid = np.zeros((1, 60, 60), bool)
    valid[:, ::2, 1::2] = True
    field = extract(make_tile([make.scene((60, 60), [], 0.01)], noise=[0.01], valid=valid), CONFIG)
    assert field.correlation == 1
    assert len(field.warnings) == 1
    assert "taken for independent" in field.warnings[0]


@pytest.mark.parametrize("side", [200, 600])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_exact_weights_are_believed_where_depths_differ(side, share):
    sigma = np.full((side, side), 0.01)
    sigma[: round(share * side)] *= 2
    image = sigma * np.random.default_rng(0).normal(size=sigma.shape)
    tile = make_tile([image], noise=[1.0])
    tile = replace(tile, weight=(sigma**-2).astype(np.float32)[None])
    sky = subtract(tile, 60.0, 1.2)
    assert sky.excess[0] == pytest.approx(1, abs=0.03)
    # Those that promise half of the noise are lowered by one number.
    sky = subtract(replace(tile, weight=4 * tile.weight), 60.0, 1.2)
    assert sky.excess[0] == pytest.approx(4, rel=0.06)
    np.testing.assert_allclose(sky.weight(0), sigma**-2, rtol=0.06)


@pytest.mark.parametrize("side", [200, 600])
@pytest.mark.parametrize("level", [0.0, -0.5])
def test_the_sky_of_shallow_parts_is_as_good_as_that_of_deep_ones(side, level):
    sigma = np.full((side, side), 0.01)
    sigma[: round(0.4 * side)] *= 4
    image = level + sigma * np.random.default_rng(0).normal(size=sigma.shape)
    tile = replace(make_tile([image], noise=[1.0]), weight=(sigma**-2).astype(np.float32)[None])
    sky = subtract(tile, 60.0, 1.2)
    shallow, deep = sky.sky[0, : round(0.18 * side)], sky.sky[0, round(0.22 * side) :]
    assert shallow.mean() == pytest.approx(deep.mean(), abs=0.05)
    assert shallow.mean() > 0.85


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_big_galaxies_with_knots_stay_whole(ratio):
    rng = np.random.default_rng(2)
    disc = {"x": 200, "y": 200, "flux": 2000.0, "sigma": 40.0, "ratio": ratio, "theta": 0.4}
    knots = [
        {"x": 200 + r * math.cos(t), "y": 200 + ratio * r * math.sin(t), "flux": 3.0, "sigma": 2.5}
        for r, t in zip(rng.uniform(15, 80, 25), rng.uniform(0, 2 * np.pi, 25), strict=True)
    ]
    field = extract(make_tile([make.scene((400, 400), [disc, *knots], 0.004, 2)], noise=[0.004]), CONFIG)
    brightest = field.objects.loc[field.objects["flux_g"].idxmax()]
    assert brightest["flux_g"] == pytest.approx(2075, rel=0.06)
    assert len(field.objects) <= 4


def test_neighbours_are_told_apart_and_do_not_add_to_each_other():
    pair = [{"x": 60, "y": 60, "flux": 40.0, "sigma": 3.0}, {"x": 80, "y": 60, "flux": 40.0, "sigma": 3.0}]
    objects = extract(make_tile([make.scene((120, 140), pair, 0.005)], noise=[0.005]), CONFIG).objects
    for x in (60, 80):
        found = one(objects, x, 60)
        assert found["flux_g"] == pytest.approx(40, rel=0.1)
        assert found["flags"] & flags.BLENDED


def spiral(x: float, y: float, flux: float) -> list[dict[str, float]]:
    """A disc some 60 arcsec across with knots along two arms."""
    disc = {"x": x, "y": y, "flux": flux, "sigma": 35.0}
    turns = np.linspace(0.5, 3.5, 16)
    return [disc] + [
        {"x": x + sign * 22 * t * math.cos(t), "y": y + sign * 22 * t * math.sin(t), "flux": flux / 400, "sigma": 3.0}
        for t in turns
        for sign in (-1, 1)
    ]


def without_parting(monkeypatch, tile):
    """What sep alone finds."""
    with monkeypatch.context() as patch:
        patch.setattr(detection, "SPRAWLING_RADIUS", math.inf)
        return extract(tile, CONFIG)


CHAIN = (330, 390, 450, 510, 570)


def crowd() -> Tile:
    """A bright galaxy and a chain of others that touches it, each with a hundredth of the light of all."""
    chain = [{"x": x, "y": 200, "flux": 300.0, "sigma": 12.0} for x in CHAIN]
    giant = {"x": 170, "y": 200, "flux": 30_000.0, "sigma": 30.0}
    return make_tile([make.scene((400, 900), [giant, *chain], 0.004)], noise=[0.004])


def near(objects: pd.DataFrame, x: float, y: float) -> pd.DataFrame:
    """Objects within two arcsec of a pixel."""
    return objects[np.hypot(objects["x"] - x, objects["y"] - y) * 0.262 < 2]


def test_what_is_lost_in_a_group_is_found(monkeypatch):
    tile = crowd()
    before, after = without_parting(monkeypatch, tile), extract(tile, CONFIG)
    assert sum(len(near(before.objects, x, 200)) for x in CHAIN) <= 1
    for x in CHAIN:
        (found,) = near(after.objects, x, 200).to_dict("records")
        assert found["flux_g"] == pytest.approx(300, rel=0.25)
        # It was merged, and it is not at the border of the tile, though it was at that of what was looked at.
        assert found["flags"] == flags.BLENDED
        assert after.segments[200, x] == found["number"]
    assert len(after.objects) <= len(CHAIN) + 2
    np.testing.assert_array_equal(np.unique(after.segments), np.arange(len(after.objects) + 1))
    # What belonged to some object still does.
    assert np.count_nonzero(after.segments) == np.count_nonzero(before.segments)
    again = extract(tile, CONFIG)
    pd.testing.assert_frame_equal(again.objects, after.objects)
    np.testing.assert_array_equal(again.segments, after.segments)


def test_parts_at_the_border_of_the_tile_are_truncated():
    tile = crowd()
    rows = slice(0, 225)
    cut = replace(
        tile, image=tile.image[:, rows], weight=tile.weight[:, rows], valid=tile.valid[:, rows],
        saturated=tile.saturated[rows],
    )  # fmt: skip
    objects = extract(cut, CONFIG).objects
    for x in CHAIN:
        (found,) = near(objects, x, 200).to_dict("records")
        assert found["flags"] == flags.BLENDED | flags.TRUNCATED


def test_a_hole_in_a_group_belongs_to_nobody():
    tile = crowd()
    valid = tile.valid.copy()
    valid[:, 190:210, 415:425] = False
    field = extract(replace(tile, valid=valid, weight=np.where(valid, tile.weight, 0).astype(np.float32)), CONFIG)
    assert not field.segments[190:210, 415:425].any()
    assert all(len(near(field.objects, x, 200)) == 1 for x in CHAIN)


def test_a_large_spiral_alone_is_not_parted(monkeypatch):
    tile = make_tile([make.scene((500, 500), spiral(250, 250, 3000.0), 0.004)], noise=[0.004])
    field = extract(tile, CONFIG)
    before = without_parting(monkeypatch, tile)
    assert np.bincount(field.segments.ravel())[1:].max() * 0.262**2 > math.pi * detection.SPRAWLING_RADIUS**2
    pd.testing.assert_frame_equal(field.objects, before.objects)
    np.testing.assert_array_equal(field.segments, before.segments)
    assert len(near(field.objects, 250, 250)) == 1
    assert len(field.objects) <= 2


def test_an_ordinary_tile_is_searched_once(monkeypatch):
    rng = np.random.default_rng(4)
    galaxies = [
        {"x": x, "y": y, "flux": flux, "sigma": 2.5}
        for x, y, flux in zip(*rng.uniform(10, 390, (2, 80)), rng.uniform(2, 50, 80), strict=True)
    ]
    search, calls = segmentation._by_sep, []
    monkeypatch.setattr(segmentation, "_by_sep", lambda *arguments: calls.append(1) or search(*arguments))
    assert len(extract(make_tile([make.scene((400, 400), galaxies, 0.01)]), CONFIG).objects) > 50
    assert len(calls) == 1


# --- odd tiles --------------------------------------------------------------------------------------------------------


def test_no_objects_is_a_typed_empty_table():
    full = extract(make_tile([make.scene((200, 220), [ENTRY], 0.002)], noise=[0.002]), CONFIG).objects
    for image in (np.zeros((50, 60)), np.full((50, 60), 7.0), make.scene((50, 60), [], 0.01)):
        objects = extract(make_tile([image]), CONFIG).objects
        assert len(objects) == 0
        pd.testing.assert_series_equal(objects.dtypes, full.dtypes)


def test_flags_of_saturated_faint_and_truncated_objects():
    entries = [
        {"x": 40, "y": 40, "flux": 30.0, "sigma": 3.0},
        {"x": 100, "y": 40, "flux": 0.85, "sigma": 2.5},
        {"x": 1, "y": 100, "flux": 30.0, "sigma": 3.0},
    ]
    saturated = np.zeros((140, 140), bool)
    saturated[40, 40] = True
    tile = make_tile([make.scene((140, 140), entries, 0.01)], noise=[0.01], saturated=saturated)
    objects = extract(tile, CONFIG).objects
    assert one(objects, 40, 40)["flags"] == flags.SATURATED
    assert one(objects, 100, 40)["flags"] == flags.LOW_SN
    assert one(objects, 2, 100)["flags"] & flags.TRUNCATED


@pytest.mark.parametrize("lacking", ["masked", "no data", "neither"])
def test_stars_whose_saturated_core_is_a_hole_are_flagged(lacking):
    shape = (160, 160)
    rows, columns = np.indices(shape)
    saturated = np.hypot(rows - 60, columns - 60) < 6
    gap = (np.abs(columns - 70) < 2) & (rows > 50)  # between chips, touched by the star and by a galaxy far from it
    entries = [
        {"x": 60, "y": 60, "flux": 3000.0, "sigma": 6.0},
        {"x": 76, "y": 130, "flux": 30.0, "sigma": 3.0},
        {"x": 120, "y": 60, "flux": 30.0, "sigma": 3.0},
    ]
    mask = gap | saturated if lacking == "masked" else gap
    valid = np.broadcast_to(~saturated if lacking == "no data" else ~gap, (2, *shape)).copy()
    images = [make.scene(shape, entries, 0.01, seed) for seed in range(2)]
    tile = make_tile(images, noise=[0.01] * 2, mask=mask, valid=valid, saturated=saturated)
    field = extract(tile, CONFIG)
    bordering = np.unique(field.segments[52:69, 52:69])
    star = field.objects[field.objects["number"].isin(bordering[bordering > 0])]
    assert len(star)
    assert (star["flags"] & flags.SATURATED).all()
    others = field.objects.drop(index=star.index)
    assert {field.segments[130, 73], field.segments[60, 120]} <= set(others["number"])
    assert not (others["flags"] & flags.SATURATED).any()


def test_masked_pixels_and_missing_bands_do_not_spoil_fluxes():
    mask = np.zeros((160, 160), bool)
    mask[78:82] = True
    valid = np.ones((2, 160, 160), bool)
    valid[1, :, 90:] = False
    entry = {"x": 80, "y": 80, "flux": 50.0, "sigma": 6.0}
    dead = {"x": 130, "y": 40, "flux": 50.0, "sigma": 3.0}
    images = [make.scene((160, 160), [entry, dead], 0.003, seed) for seed in range(2)]
    tile = make_tile(images, noise=(0.003, 0.003), mask=mask, valid=valid)
    field = extract(tile, CONFIG)
    assert not field.planes[:, mask].any()
    assert not field.planes[~valid].any()
    whole = field.objects.loc[field.objects["flux_g"].idxmax()]
    assert whole["flux_g"] == pytest.approx(50, rel=0.15)
    lost = one(field.objects, 130, 40)
    assert lost["flux_g"] == pytest.approx(50, rel=0.05)
    assert math.isnan(lost["flux_r"])
    assert math.isnan(lost["flux_err_r"])


def test_memory_that_sep_lacks_is_no_fault_of_the_tile(monkeypatch):
    monkeypatch.setattr("galmorph.detection.sep.extract", Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        extract(make_tile([make.scene((40, 40), [], 0.01)]), CONFIG)


def test_more_pixels_than_sep_has_room_for_are_no_failure(monkeypatch):
    monkeypatch.setattr("galmorph.segmentation.PIXEL_STACK", 200)
    tile = make_tile([make.scene((200, 220), [ENTRY], 0.002)], noise=[0.002])
    assert len(extract(tile, CONFIG).objects) == 1


@pytest.mark.parametrize("fault", ["internal pixel buffer full", "object deblending overflow"])
def test_what_sep_cannot_tell_apart_is_told(monkeypatch, fault):
    monkeypatch.setattr("galmorph.detection.sep.extract", Mock(side_effect=Exception(fault)))
    with pytest.raises(
        TileError, match=rf"tile t: objects cannot be told apart \({fault}\): too many pixels are above 3"
    ):
        extract(make_tile([make.scene((40, 40), [], 0.01)]), CONFIG)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 3), (9, 200)])
def test_tiny_tiles_are_searched_without_failure(shape):
    extract(make_tile([make.scene(shape, [], 0.01)]), CONFIG)
    extract(make_tile([make.scene(shape, [], 0.01)], noise=[0.01]), CONFIG)


def test_the_same_tile_gives_the_same_field():
    tile = make_tile([make.scene((200, 220), [ENTRY], 0.002)], noise=[0.002])
    first, second = extract(tile, CONFIG), extract(tile, CONFIG)
    pd.testing.assert_frame_equal(first.objects, second.objects)
    np.testing.assert_array_equal(first.planes, second.planes)


@pytest.mark.parametrize(
    "values",
    [{"threshold": 0}, {"significance": math.nan}, {"min_area": -1}, {"deblend_contrast": 1.5}, {"deblend_levels": 0},
     {"deblend_levels": 2.5}, {"deblend_levels": math.inf}],
)  # fmt: skip
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        DetectionConfig(**values)


# --- given positions --------------------------------------------------------------------------------------------------


def test_given_positions_take_the_shape_of_what_is_there():
    tile = make_tile([make.scene((200, 220), [ENTRY], 0.002)], noise=[0.002])
    found = extract(tile, CONFIG).objects.iloc[0]
    x, y = np.array([100.3, 104.0, 30.0, 400.0]), np.array([80.7, 83.0, 30.0, 30.0])
    ra, dec = pixel_to_sky(tile.wcs, x, y)
    positions = pd.DataFrame({"source_id": ["centre", "aside", "nothing", "outside"], "ra": ra, "dec": dec})
    objects = extract(tile, CONFIG, positions).objects
    assert list(objects["source_id"]) == ["centre", "aside", "nothing"]
    assert list(objects["number"]) == [1, 2, 3]
    np.testing.assert_allclose(objects["x"], x[:3], atol=1e-6)
    np.testing.assert_allclose(objects["ra"], ra[:3], atol=1e-9)
    centre, aside, nothing = (objects.iloc[i] for i in range(3))
    for name in ("a", "b", "theta"):
        assert centre[name] == aside[name] == found[name]
    assert centre["flux_g"] == pytest.approx(found["flux_g"], rel=0.01)
    assert centre["flags"] == 0
    assert nothing["flags"] & flags.NOT_DETECTED
    assert nothing["radius"] == CONFIG.default_radius
    assert nothing["a"] == pytest.approx(CONFIG.default_radius / 3.5)
    assert nothing["ellipticity"] == 0
    assert abs(nothing["flux_g"]) < 5 * nothing["flux_err_g"]


def test_a_position_beside_a_detection_has_its_shape_within_the_seeing():
    star = {"x": 60.0, "y": 60.0, "flux": 0.6, "sigma": 1.2 / 0.262 * SIGMA_PER_FWHM}
    tile = make_tile([make.scene((120, 120), [star], 0.01)], noise=[0.01])
    # Of a faint star the segment ends nearer than the seeing, 4.6 pixels.
    field = extract(tile, CONFIG)
    edge = 60 + int(np.flatnonzero(field.segments[60, 60:] == 0)[0])
    assert edge - 60 < 1.2 / 0.262 - 0.2
    ra, dec = pixel_to_sky(tile.wcs, [float(edge), 60 + 1.1 * 1.2 / 0.262], [60.0, 60.0])
    objects = extract(tile, CONFIG, pd.DataFrame({"source_id": ["in", "out"], "ra": ra, "dec": dec})).objects
    assert (objects["flags"] & flags.NOT_DETECTED > 0).tolist() == [False, True]
    assert objects["a"].iloc[0] == field.objects["a"].iloc[0]


def test_a_position_on_a_detection_has_its_shape_though_another_is_nearer():
    entries = [
        {"x": 60.0, "y": 60.0, "flux": 300.0, "sigma": 14.0, "ratio": 0.3, "theta": 0.0},
        {"x": 95.0, "y": 85.0, "flux": 20.0, "sigma": 2.0},
    ]
    tile = make_tile([make.scene((140, 160), entries, 0.01)], noise=[0.01])
    field = extract(tile, CONFIG)
    galaxy, star = one(field.objects, 60, 60), one(field.objects, 95, 85)
    assert field.segments[66, 86] == galaxy["number"] != star["number"]
    ra, dec = pixel_to_sky(tile.wcs, [86.0], [66.0])
    objects = extract(tile, CONFIG, pd.DataFrame({"source_id": ["arm"], "ra": ra, "dec": dec})).objects
    assert objects["a"].tolist() == [galaxy["a"]]


def test_a_radius_that_is_given_counts():
    tile = make_tile([make.scene((200, 220), [ENTRY], 0.002)], noise=[0.002])
    ra, dec = pixel_to_sky(tile.wcs, [100.3, 30.0], [80.7, 30.0])
    positions = pd.DataFrame({"source_id": ["a", "b"], "ra": ra, "dec": dec, "radius": [2.5, np.nan]})
    assert list(extract(tile, CONFIG, positions).objects["radius"]) == pytest.approx([2.5, CONFIG.default_radius])


def test_positions_on_a_tile_without_objects_and_no_positions_at_all():
    tile = make_tile([make.scene((60, 60), [], 0.01)])
    ra, dec = pixel_to_sky(tile.wcs, [30.0], [30.0])
    positions = pd.DataFrame({"source_id": ["a"], "ra": ra, "dec": dec})
    assert extract(tile, CONFIG, positions).objects["flags"].iloc[0] & flags.NOT_DETECTED
    assert len(extract(tile, CONFIG, positions.iloc[:0]).objects) == 0


def test_a_position_without_data_has_bad_photometry():
    mask = np.zeros((100, 100), bool)
    mask[:, 50:] = True
    tile = make_tile([make.scene((100, 100), [], 0.01)], mask=mask)
    ra, dec = pixel_to_sky(tile.wcs, [80.0], [50.0])
    found = extract(tile, CONFIG, pd.DataFrame({"source_id": ["a"], "ra": ra, "dec": dec})).objects.iloc[0]
    assert found["flags"] & flags.BAD_PHOTOMETRY
    assert math.isnan(found["flux_g"])
    assert found["snr"] == 0


# --- parts ------------------------------------------------------------------------------------------------------------


def test_what_is_near_is_so_many_rows_and_columns_away():
    chosen = np.zeros((7, 8), dtype=bool)
    chosen[3, 4] = True
    rows, columns = np.nonzero(_grown(chosen, 2))
    assert (rows.min(), rows.max(), columns.min(), columns.max(), len(rows)) == (1, 5, 2, 6, 25)


def test_smoothing_keeps_the_sum_and_adds_up_variances():
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    smoothed = smooth(image, 5.0)
    assert smoothed.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(smooth(image, 5.0, power=2), smoothed**2, atol=1e-9)


def test_the_background_is_that_of_the_sky_and_not_of_a_galaxy_that_fills_half_of_the_cutout():
    galaxy = {"x": 60, "y": 60, "flux": 800.0, "sigma": 18.0}
    sky = subtract(make_tile([make.scene((120, 120), [galaxy], 0.01, 1, sky=0.05)]), 90.0, 1.2)
    assert sky.level[0] == pytest.approx(0.05, abs=0.005)
    assert sky.noise[0] == pytest.approx(0.01, rel=0.2)


# --- real tiles -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def viewer_fields(real_data):
    survey = load_survey("legacysurvey")
    sources, _ = find_tiles([real_data / "decals_grz_cubes"], survey)
    tiles = {source.name: read_tile(source, survey) for source in sources}
    return {name: (tile, extract(tile, CONFIG)) for name, tile in tiles.items()}


@pytest.mark.real
@pytest.mark.parametrize("name", ["decals_a", "decals_a_native_0.262", "decals_bad_pix", "decals_c", "decals_example"])
def test_the_galaxy_in_the_middle_of_a_viewer_cube_is_found_whole(viewer_fields, name):
    tile, field = viewer_fields[name]
    brightest = field.objects.loc[field.objects["flux_z"].idxmax()]
    rows, columns = tile.image.shape[1:]
    distance = math.hypot(brightest["x"] - (columns - 1) / 2, brightest["y"] - (rows - 1) / 2) * tile.pixel_scale
    assert distance < 2
    assert brightest["snr"] > 100
    assert 3 < brightest["radius"] < 45
    assert 1 <= len(field.objects) <= 25
    assert field.correlation >= 1


@pytest.mark.real
def test_one_galaxy_at_two_pixel_scales_is_measured_alike(viewer_fields):
    fine, native = (
        field.objects.loc[field.objects["flux_z"].idxmax()]
        for field in (viewer_fields["decals_a"][1], viewer_fields["decals_a_native_0.262"][1])
    )
    # The fine cube is smaller than the galaxy, the native one is not.
    assert fine["a"] == pytest.approx(native["a"], rel=0.15)
    assert fine["radius"] == pytest.approx(native["radius"], rel=0.2)
    assert fine["ellipticity"] == pytest.approx(native["ellipticity"], abs=0.05)
    assert fine["position_angle"] == pytest.approx(native["position_angle"], abs=3)
    assert (fine["ra"], fine["dec"]) == (pytest.approx(native["ra"], abs=1e-4), pytest.approx(native["dec"], abs=1e-4))


@pytest.mark.real
def test_a_large_spiral_is_one_object_among_hundreds(real_data):
    survey = load_survey("generic", {"bands": "r", "layout": "cube", "seeing": "1.2"})
    (source,), _ = find_tiles([real_data / "legacy_tile_r" / "ESO479-G1_r_centre_1000.fits"], survey)
    objects = extract(read_tile(source, survey), CONFIG).objects
    assert 200 < len(objects) < 600
    spiral = objects.loc[objects["flux_r"].idxmax()]
    assert math.hypot(spiral["x"] - 499.5, spiral["y"] - 499.5) < 10
    # It is some 100 arcsec across: no other object on the tile is a tenth of that in light.
    assert 35 < spiral["radius"] < 80
    others = objects.drop(index=spiral.name)
    within = np.hypot(others["x"] - spiral["x"], others["y"] - spiral["y"]) * 0.262 < 0.5 * spiral["radius"]
    assert not (within & (others["flux_r"] > 0.02 * spiral["flux_r"])).any()


def test_one_object_among_many_that_sprawls_is_told():
    rng = np.random.default_rng(5)
    small = [
        {"x": x + rng.uniform(-2, 2), "y": y + rng.uniform(-2, 2), "flux": 2.0, "sigma": 2.0}
        for x in range(20, 400, 45)
        for y in range(20, 400, 45)
    ]
    wide = {"x": 200.0, "y": 200.0, "flux": 2000.0, "sigma": 22.0}
    for galaxies, told in ((small, False), ([*small, wide], True)):
        field = extract(make_tile([make.scene((400, 400), galaxies, 0.01, seed) for seed in range(2)]), CONFIG)
        assert len(field.objects) >= 50
        assert any("others may be lost in it" in line for line in field.warnings) == told
    alone = extract(make_tile([make.scene((120, 120), [wide | {"x": 60.0, "y": 60.0}], 0.01)]), CONFIG)
    assert not any("lost" in line for line in alone.warnings)
