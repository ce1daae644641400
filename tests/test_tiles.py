import gzip
import logging
import os
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip

from galmorph import fits_planes, flux_scale, grids
from galmorph.errors import TileError
from galmorph.fits_files import Notes
from galmorph.grids import difference
from galmorph.sky import local_axes, pixel_to_sky, position_angles, sky_to_pixel
from galmorph.surveys import Stripe, find_tiles, load_survey
from galmorph.tiles import Tile, _marked, read_tile

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "data" / "make_tiles.py")))
SHAPE = (40, 50)
WCS_DECALS = make.make_wcs(SHAPE, 0.262)
DECALS = load_survey("mock-decals")


def images(seed: int = 0) -> dict[str, np.ndarray]:
    return {band: make.scene(SHAPE, [], 1.0, seed + i) for i, band in enumerate("grz")}


def read(path, survey=DECALS):
    (source,), rejected = find_tiles([path], survey)
    assert rejected == []
    return read_tile(source, survey)


def generic(**options):
    return load_survey("generic", {"bands": "r", "image": "{tile}.fits"} | options)


def write(path: Path, data, header=None, **options) -> Path:
    fits.PrimaryHDU(data, header=header or WCS_DECALS.to_header(), **options).writeto(path, overwrite=True)
    return path


# --- what a tile is ---------------------------------------------------------------------------------------------------


def test_bands_weights_and_masks_of_a_tile(tmp_path):
    planes = images()
    mask = np.zeros(SHAPE, int)
    mask[3, 4], mask[5, 6], mask[7, 8] = 1, 2, 3
    make.write_bands(tmp_path, planes, WCS_DECALS, noise=2.0, mask=mask)
    tile = read(tmp_path)
    assert (tile.name, tile.bands, tile.warnings) == ("t1", ("g", "r", "z"), ())
    assert tile.image.shape == (3, *SHAPE)
    assert tile.image.dtype == tile.weight.dtype == np.float32
    assert tile.image.dtype.isnative
    np.testing.assert_array_equal(np.argwhere(~tile.valid.any(axis=0)), [[3, 4], [7, 8]])
    np.testing.assert_array_equal(np.argwhere(tile.saturated), [[5, 6], [7, 8]])
    good = tile.valid.all(axis=0)
    for i, band in enumerate("grz"):
        np.testing.assert_array_equal(tile.image[i][good], planes[band][good])
        np.testing.assert_array_equal(tile.weight[i][good], 0.25)
    assert not tile.image[:, ~good].any()
    assert not tile.weight[:, ~good].any()
    np.testing.assert_array_equal(tile.valid, np.broadcast_to(good, tile.valid.shape))
    assert tile.pixel_scale == pytest.approx(0.262, rel=1e-6)


def test_counts_become_nanomaggies_and_weights_with_them(tmp_path):
    survey = load_survey("mock-sdss")
    planes = {band: np.full(SHAPE, 10.0, np.float32) for band in "gri"}
    make.write_bands(tmp_path, planes, make.make_wcs(SHAPE, 0.396), noise=0.5)
    tile = read(tmp_path, survey)
    for i, band in enumerate("gri"):
        nanomaggies = 10 ** (0.4 * (22.5 - survey.zero_point[band]))
        np.testing.assert_allclose(tile.image[i], 10 * nanomaggies, rtol=1e-6)
        np.testing.assert_allclose(tile.weight[i] ** -0.5, 0.5 * nanomaggies, rtol=1e-6)


@pytest.mark.parametrize(("kind", "value"), [("invvar", 4.0), ("variance", 0.25), ("rms", 0.5)])
def test_kinds_of_weight(tmp_path, kind, value):
    weight = np.full(SHAPE, value)
    weight[0, :4] = 0, -1, np.nan, np.inf
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    fits.append(path, weight)
    tile = read(path, generic(weight_hdu="1", weight_kind=kind))
    np.testing.assert_array_equal(tile.weight[0, 0, :4], 0)
    np.testing.assert_array_equal(tile.valid[0, 0, :4], False)
    np.testing.assert_allclose(tile.weight[0, 1:], 4.0)


@pytest.mark.parametrize("stored", [np.uint64(1) << np.uint64(63), np.int64(-(2**63))])
def test_the_highest_bit_of_a_mask_can_spoil_a_pixel(tmp_path, stored):
    mask = np.zeros(SHAPE, stored.dtype)
    mask[1, 2], mask[2, 3] = stored, 1
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    fits.append(path, mask)
    tile = read(path, generic(mask_hdu="1", mask_bits="63"))
    np.testing.assert_array_equal(np.argwhere(~tile.valid.any(axis=0)), [[1, 2]])


@pytest.mark.parametrize("scale", [0.131, 0.262, 0.524])
def test_interpolated_cubes_count_per_native_pixel(tmp_path, scale):
    cube = np.ones((3, *SHAPE), np.float32)
    header = make.make_wcs(SHAPE, scale).to_header()
    header["BANDS"] = "grz"
    path = write(tmp_path / "a.fits", cube, header)
    tile = read(path, load_survey("legacysurvey"))
    # The brightness per area is that of the native pixel at any scale.
    np.testing.assert_allclose(tile.image / tile.pixel_scale**2, 1 / 0.262**2, rtol=1e-4)


def test_bad_values_are_zero_and_not_valid(tmp_path):
    image = np.ones(SHAPE, np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    image[1, 1] = -99
    tile = read(write(tmp_path / "a.fits", image), generic(no_data="-99"))
    assert np.count_nonzero(~tile.valid) == 4
    assert not tile.image[~tile.valid].any()
    assert tile.weight is None


@pytest.mark.parametrize("kind", ["invvar", "rms", "relative"])
def test_every_row_of_a_larger_tile_is_calibrated(tmp_path, kind):
    rng = np.random.default_rng(0)
    image, weight = rng.normal(0, 2, (150, 40)).astype(np.float32), rng.uniform(1, 2, (150, 40)).astype(np.float32)
    image[70, 3], weight[140, 4], weight[149, 5] = np.nan, -1, np.inf
    path = write(tmp_path / "a.fits", image)
    fits.append(path, weight)
    tile = read(path, generic(weight_hdu="1", weight_kind=kind))
    np.testing.assert_array_equal(np.argwhere(~tile.valid[0]), [[70, 3], [140, 4], [149, 5]])
    good = tile.valid[0]
    factor = tile.image[0][good] / image[good]
    np.testing.assert_allclose(factor, factor[0], rtol=1e-5)
    shape = tile.weight[0][good] / (weight[good] ** -2.0 if kind == "rms" else weight[good])
    np.testing.assert_allclose(shape, np.median(shape), rtol=1e-4)


@pytest.mark.parametrize("steps", [10_000, 1_000_000])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.6])
def test_relative_weights_tell_the_noise_of_every_depth(tmp_path, monkeypatch, share, steps):
    monkeypatch.setattr(flux_scale, "STEPS", steps)
    sigma = np.full((300, 300), 3.0)
    sigma[: round(share * 300)] *= 4
    image = sigma * np.random.default_rng(0).normal(size=sigma.shape)
    path = write(tmp_path / "a.fits", image.astype(np.float32))
    fits.append(path, (7 / sigma**2).astype(np.float32))
    weight = read(path, generic(weight_hdu="1", weight_kind="relative")).weight[0]
    np.testing.assert_allclose(weight**-0.5, sigma, rtol=0.03)


def test_relative_weights_of_few_pixels_count_them_all(tmp_path, monkeypatch):
    monkeypatch.setattr(flux_scale, "STEPS", 100)
    weight = np.zeros((300, 300), np.float32)
    weight[1::30, 1:] = 1
    path = write(tmp_path / "a.fits", np.random.default_rng(0).normal(0, 3, (300, 300)).astype(np.float32))
    fits.append(path, weight)
    tile = read(path, generic(weight_hdu="1", weight_kind="relative"))
    np.testing.assert_allclose(tile.weight[tile.valid] ** -0.5, 3, rtol=0.1)


@pytest.mark.parametrize(
    ("stored", "cards", "expected"),
    [
        (np.array([[0, 1], [2, 3]], ">i2"), {"BZERO": 10, "BSCALE": 2.0}, [[10, 12], [14, 16]]),
        (np.array([[0, 1], [2, 3]], ">i2"), {"BZERO": 32768}, [[32768, 32769], [32770, 32771]]),
        (np.array([[0, 1], [2, 3]], ">i4"), {"BLANK": 2}, [[0, 1], [0, 3]]),
        (np.array([[0, 1], [2, 3]], ">f8"), {}, [[0, 1], [2, 3]]),
        (np.array([[0, 1], [2, 3]], "u1"), {}, [[0, 1], [2, 3]]),
    ],
)
def test_scaled_integers_byte_orders_and_blanks(tmp_path, stored, cards, expected):
    header = make.make_wcs((2, 2), 0.262).to_header()
    hdu = fits.PrimaryHDU(stored, header=header)
    path = tmp_path / "a.fits"
    hdu.writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as opened:
        opened[0].header.update(cards)
    tile = read(path, generic())
    np.testing.assert_array_equal(tile.image[0], expected)
    assert tile.valid[0, 1, 0] == ("BLANK" not in cards)


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.bz2", ".fits.fz"])
def test_compressions_are_told_by_content_whatever_the_ending(tmp_path, ending):
    image = images()["g"]
    header = WCS_DECALS.to_header()
    plain = write(tmp_path / "plain.fits", image)
    packed = fits.CompImageHDU(image, header=header, compression_type="GZIP_1", quantize_level=0.0)
    packed.writeto(tmp_path / "packed.fits")
    for name, content in (
        ("a", plain.read_bytes()),
        ("b", gzip.compress(plain.read_bytes())),
        ("c", (tmp_path / "packed.fits").read_bytes()),
    ):
        path = tmp_path / f"{name}{ending}"
        path.write_bytes(content)
        np.testing.assert_array_equal(read(path, generic()).image[0], image)


def test_cubes_bind_planes_by_the_names_in_the_header(tmp_path):
    planes = images()
    path = make.write_cube(tmp_path / "c.fits", [planes[band] for band in "zgr"], WCS_DECALS, BANDS="zgr")
    tile = read(path, load_survey("legacysurvey"))
    for i, band in enumerate("grz"):
        np.testing.assert_array_equal(tile.image[i], planes[band])


@pytest.mark.parametrize(
    ("named", "bands"),
    [
        ("VIS", ["VIS"]),
        (" VIS, ", ["VIS"]),
        ("g", ["g"]),
        ("VIS, Y", ["VIS", "Y"]),
        ("VIS Y", ["VIS", "Y"]),
        ("gr", ["g", "r"]),
    ],
)
def test_names_of_planes_may_be_longer_than_a_letter(tmp_path, named, bands):
    planes = [make.scene(SHAPE, [], 1.0, i) for i in range(len(bands))]
    path = make.write_cube(tmp_path / "c.fits", planes, WCS_DECALS, BANDS=named)
    tile = read(path, load_survey("generic", {"bands": ",".join(bands), "layout": "cube"}))
    np.testing.assert_array_equal(tile.image, planes)


@pytest.mark.parametrize(
    ("keywords", "options", "message"),
    [
        ({"BANDS": "gr"}, {}, "has 3 planes; expected 2"),
        ({"BANDS": "gri"}, {}, "has the bands g, r, i; survey generic needs g, r, z, so that z is missing"),
        ({}, {}, "lacks the keyword BANDS"),
        ({}, {"planes": "g,r,i,z"}, "has 3 planes; expected 4"),
        ({"BANDS": "grz"}, {"layout": "extensions", "image_hdu": "{band}"}, "no HDU called g"),
        ({"BANDS": "grz"}, {"layout": "files", "bands": "g", "image": "{tile}.fits"}, "cube of 3 planes"),
    ],
)
def test_cubes_that_do_not_fit_are_refused(tmp_path, keywords, options, message):
    path = make.write_cube(tmp_path / "c.fits", list(images().values()), WCS_DECALS, **keywords)
    with pytest.raises(TileError) as caught:
        read(path, load_survey("generic", {"bands": "g,r,z", "layout": "cube"} | options))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_zero_points_from_the_header(tmp_path):
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    survey = generic(zero_point_keyword="MAGZERO")
    with pytest.raises(TileError, match="in MAGZERO, and has no such keyword"):
        read(path, survey)
    fits.setval(path, "MAGZERO", value="high")
    with pytest.raises(TileError, match="and has 'high'"):
        read(path, survey)
    fits.setval(path, "MAGZERO", value=25.0)
    np.testing.assert_allclose(read(path, survey).image, 0.1)


def test_missing_weight_files_are_a_warning(tmp_path):
    write(tmp_path / "a_r.fits", np.ones(SHAPE))
    survey = load_survey("generic", {"bands": "r", "weight": "{tile}_{band}.weight.fits"})
    tile = read(tmp_path / "a_r.fits", survey)
    assert tile.weight is None
    assert any("no weight files" in warning for warning in tile.warnings)


def test_each_file_is_opened_once_and_closed(tmp_path, monkeypatch):
    make.write_bands(tmp_path, images(), WCS_DECALS)
    opened, original = [], fits_planes.fits.open

    def spy(file, *args, **options):
        opened.append(file)
        return original(file, *args, **options)

    monkeypatch.setattr(fits_planes.fits, "open", spy)
    read(tmp_path)
    assert sorted(Path(file.name).name for file in opened) == [f"t1-{band}.fits.fz" for band in "grz"]
    assert all(file.closed for file in opened)


# --- grids and WCS ----------------------------------------------------------------------------------------------------


def test_bands_on_different_grids_are_refused(tmp_path):
    planes = images()
    shifted = make.make_wcs(SHAPE, 0.262, center=(150.0 + 0.5 * 0.262 / 3600, 2.0))
    make.write_bands(tmp_path, planes, {"g": WCS_DECALS, "r": WCS_DECALS, "z": shifted})
    with pytest.raises(TileError, match=r"bands g and z are on different grids.*t1-g.*t1-z.* corners 0\.50 pixels"):
        read(tmp_path)
    planes["r"] = planes["r"][:-1]
    make.write_bands(tmp_path, planes, WCS_DECALS)
    with pytest.raises(TileError, match=r"bands g and r are on different grids: .* have 50 x 40 and 50 x 39 pixels"):
        read(tmp_path)


ALIGNED = """
name = "two"
title = "two"
bands = ["a", "b"]
zero_point = 22.5
seeing = 1.0
[[layouts]]
name = "files"
align = true
image = { file = "{tile}_{band}.fits" }
weight = { hdu = 1 }
"""


@pytest.mark.parametrize("sides", [(360, 120), (120, 360)])
def test_the_noise_of_bands_of_other_pixels_is_that_of_the_grid(tmp_path, sides):
    (tmp_path / "two.toml").write_text(ALIGNED)
    for band, side in zip("ab", sides, strict=True):
        noise = np.random.default_rng(0).normal(0, 2, (side, side)).astype(np.float32)
        path = write(tmp_path / f"t_{band}.fits", noise, make.make_wcs(noise.shape, 36 / side).to_header())
        fits.append(path, np.full(noise.shape, 1 / 4, np.float32))
    tile = read(tmp_path, load_survey(str(tmp_path / "two.toml")))
    ratio = (sides[1] / sides[0]) ** 2
    for plane, weight, valid, sigma in zip(tile.image, tile.weight, tile.valid, (2, 2 * ratio), strict=True):
        np.testing.assert_allclose(weight[valid] ** -0.5, sigma, rtol=1e-5)
        # Between pixels interpolation takes some noise off.
        assert plane[valid].std() == pytest.approx(sigma, rel=0.15)


def test_shifted_bands_of_sdss_are_resampled_to_one_grid(tmp_path):
    galaxy = {"x": 25.0, "y": 20.0, "flux": 100.0, "sigma": 2.5}
    first = make.make_wcs(SHAPE, 0.396)
    for band, shift in (("g", 0.0), ("r", 3.4), ("i", -5.75)):
        shifted = first.deepcopy()
        shifted.wcs.crpix = first.wcs.crpix + np.array([shift, -shift / 2])
        image = make.scene(SHAPE, [galaxy | {"x": 25 + shift, "y": 20 - shift / 2}], 0)
        header = shifted.to_header()
        header["BUNIT"] = " "  # says no more than none
        write(tmp_path / f"frame-{band}-001-2-0003.fits", image, header)
    tile = read(tmp_path, load_survey("sdss"))
    # Shifts are rounded to 1/32 of a pixel: within one per cent of the peak.
    for i in (1, 2):
        np.testing.assert_allclose(
            tile.image[i][tile.valid[i]], tile.image[0][tile.valid[i]], atol=0.01 * tile.image.max()
        )
    # What lies beyond the edge of the other bands' frames has no data in them.
    np.testing.assert_array_equal(tile.valid[0], True)
    assert not tile.valid[1][:, -4:].any()
    assert not tile.valid[2][:, :5].any()
    assert tile.valid[1:, 4:-4, 6:-4].all()
    assert "resampled to the grid of band g: r, i" in tile.warnings


@pytest.mark.parametrize("fault", ["bent", "elsewhere"])
def test_bands_that_no_shift_and_turn_bring_together_are_refused(tmp_path, fault):
    for band in "gri":
        wcs = make.make_wcs(SHAPE, 0.396, center=(330.0, -2.0) if (band, fault) == ("r", "elsewhere") else (150.0, 2.0))
        if (band, fault) == ("r", "bent"):
            bend = np.zeros((3, 3))
            bend[2, 0] = 1e-3  # 0.6 pixels at the edges
            wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
            wcs.sip = Sip(bend, np.zeros((3, 3)), None, None, wcs.wcs.crpix)
        write(tmp_path / f"frame-{band}-001-2-0003.fits", make.scene(SHAPE, [], 1.0), wcs.to_header(relax=True))
    with pytest.raises(TileError, match=r"frame-r-.* cannot be aligned with .*frame-g-"):
        read(tmp_path, load_survey("sdss"))


def test_planes_wider_than_opencv_takes_are_resampled():
    plane = np.zeros((40, 40_000), np.float32)
    plane[:, 38_961:39_061] = make.galaxy((40, 100), 39.0, 20.0, 100.0, 3.0)
    moved = grids.resample(plane, np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 0.5]]), plane.shape)
    expected = make.galaxy((40, 100), 39.0 - 0.25, 19.5, 100.0, 3.0)
    np.testing.assert_allclose(moved[:, 38_961:39_061], expected, atol=0.01)
    assert moved.sum() == pytest.approx(100, rel=0.001)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.3, 1.0), (2.0, 3.0), (-1.0, 0.4)])
def test_pieces_are_resampled_as_the_whole(monkeypatch, smooth, angle, scale):
    plane = grids.cv2.GaussianBlur(np.random.default_rng(0).normal(size=(150, 230)).astype(np.float32), (0, 0), 3)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, 20.3], [sine, cosine, -9.6]])
    whole = grids.resample(plane, matrix, (170, 140), smooth=smooth)
    monkeypatch.setattr(grids, "LARGEST", 100)
    monkeypatch.setattr(grids, "PIECE", 64)
    pieces = grids.resample(plane, matrix, (170, 140), smooth=smooth)
    # Positions are rounded to 1/32 of a pixel, which may go the other way.
    np.testing.assert_allclose(pieces, whole, atol=0.05 * np.abs(whole).max())
    assert np.mean(np.abs(pieces - whole) > 1e-3 * np.abs(whole).max()) < 0.05


def test_grids_of_the_whole_sky_are_compared_where_there_is_sky():
    def whole_sky(projection="AIT", longitude=0.0):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
        wcs.wcs.cdelt, wcs.wcs.crpix, wcs.wcs.crval = [-1, 1], [180.5, 90.5], [longitude, 0]
        wcs.pixel_shape = (360, 180)
        return wcs

    assert difference(whole_sky(), whole_sky()) is None
    assert "60.0" in (difference(whole_sky(), whole_sky(longitude=60.0)) or "")
    assert difference(whole_sky(), whole_sky("CAR")) == "have corners on the sky and off it"


def test_bands_within_the_tolerance_are_taken(tmp_path):
    shifted = make.make_wcs(SHAPE, 0.262, center=(150.0 + 0.05 * 0.262 / 3600, 2.0))
    make.write_bands(tmp_path, images(), {"g": WCS_DECALS, "r": shifted, "z": WCS_DECALS})
    assert read(tmp_path).warnings == ()


@pytest.mark.parametrize("center", [(150.0, 2.0), (0.0, -89.0), (359.9999, 60.0)])
@pytest.mark.parametrize("options", [{}, {"angle": 33.0}, {"flip": True}, {"angle": 200.0, "flip": True}])
def test_scale_orientation_and_positions_for_any_orientation(center, options):
    wcs = make.make_wcs(SHAPE, 0.4, center=center, **options)
    wcs.pixel_shape = SHAPE[::-1]
    axes = local_axes(wcs, np.array([3.0]), np.array([7.0]))
    assert np.sqrt(abs(np.linalg.det(axes[0]))) == pytest.approx(0.4, rel=1e-6)
    # A step along a direction has to move on the sky by its position angle.
    for theta in (0.0, 0.7, -1.2):
        (ra, ra2), (dec, dec2) = pixel_to_sky(wcs, [3, 3 + np.cos(theta)], [7, 7 + np.sin(theta)])
        east = (np.mod(ra2 - ra + 180, 360) - 180) * np.cos(np.radians(dec))
        expected = np.degrees(np.arctan2(east, dec2 - dec)) % 180
        assert position_angles(axes, [theta])[0] == pytest.approx(expected, abs=0.1)
    x, y = sky_to_pixel(wcs, *pixel_to_sky(wcs, [0, 49.0], [0, 39.0]))
    np.testing.assert_allclose([x, y], [[0, 49], [0, 39]], atol=1e-6)


def test_galactic_axes_give_equatorial_positions():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = ["GLON-TAN", "GLAT-TAN"], [0, 0], [1, 1], [-1e-4, 1e-4]
    ra, dec = pixel_to_sky(wcs, 0.0, 0.0)
    assert (ra, dec) == (pytest.approx(266.405, abs=1e-3), pytest.approx(-28.936, abs=1e-3))


def test_a_tile_knows_its_edges_the_antipode_and_nan():
    wcs = WCS_DECALS.deepcopy()
    wcs.pixel_shape = SHAPE[::-1]
    nothing = np.zeros((1, *SHAPE), np.float32)
    clean = np.zeros(SHAPE, bool)
    tile = Tile("t", ("r",), nothing, None, clean, nothing == 0, wcs, 0.262, (), (1.2,), ("r",))
    ra, dec = pixel_to_sky(wcs, [-0.49, -0.51, 49.49, 25.0], [0.0, 0.0, 39.49, 39.51])
    np.testing.assert_array_equal(tile.covers(*sky_to_pixel(wcs, ra, dec)), [True, False, True, False])
    far = sky_to_pixel(wcs, [330.0, 150.0, 10.0], [-2.0, 2.0, 80.0])
    np.testing.assert_array_equal(tile.covers(*far), [False, True, False])
    # Rows 100 to 139 of a large tile.
    stripe = replace(tile, stripe=Stripe((110, 130), (100, 140), (400, 50)))
    np.testing.assert_array_equal(stripe.covers([0, 0, 0, 0], [99.4, 99.6, 139.4, 139.6]), [False, True, True, False])
    np.testing.assert_array_equal(stripe.keeps([107.4, 107.6, 131.4, 131.6, np.nan]), [False, True, True, False, False])
    assert stripe.edge_distance(25, 3) == pytest.approx(3.5 * 0.262)
    assert stripe.edge_distance(25, 120) == pytest.approx(24.5 * 0.262)


def test_unusual_scales_and_pixels_are_recorded_warnings(tmp_path, caplog):
    make.write_bands(tmp_path, images(), make.make_wcs(SHAPE, 0.3))
    with caplog.at_level(logging.WARNING):
        tile = read(tmp_path)
    assert tile.pixel_scale == pytest.approx(0.3)
    assert tile.warnings == ("the pixel scale is 0.3000 arcsec, the native one of survey mock-decals 0.262 arcsec",)
    assert "tile t1: the pixel scale" in caplog.text
    wcs = WCS_DECALS.deepcopy()
    wcs.wcs.cd[:, 0] *= 1.1
    assert "not square" in read(write(tmp_path / "a.fits", np.ones(SHAPE), wcs.to_header()), generic()).warnings[0]


@pytest.mark.parametrize("ctype", [("PIXEL", "PIXEL"), ("LAMBDA", "ANGLE"), ("", "")])
def test_a_tile_without_a_celestial_wcs_is_refused(tmp_path, ctype):
    header = fits.Header({"CTYPE1": ctype[0], "CTYPE2": ctype[1], "CRVAL1": 1.0, "CRVAL2": 1.0})
    with pytest.raises(TileError, match="has no celestial WCS"):
        read(write(tmp_path / "a.fits", np.ones(SHAPE), header), generic())


# --- damage -----------------------------------------------------------------------------------------------------------


def test_headers_that_claim_absurd_sizes_are_refused_before_allocation(tmp_path):
    path = write(tmp_path / "a.fits", np.ones((2, 2), np.float32))
    content = path.read_bytes().replace(b"NAXIS1  =                    2", b"NAXIS1  =            900000000")
    path.write_bytes(content)
    with pytest.raises(TileError, match=r"claims an image of 900000000 x 2 pixels.*get it again"):
        read(path, generic())


def test_truncated_files_are_refused(tmp_path):
    path = make.write_cube(tmp_path / "c.fits", list(images().values()), WCS_DECALS, BANDS="grz")
    content = path.read_bytes()
    for length in (0, 100, 2880, 5000, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(TileError, match=r"c\.fits is damaged, incomplete or not FITS"):
            read(path, load_survey("legacysurvey"))


def test_no_content_of_a_file_makes_it_raise_anything_but_tile_errors(tmp_path):
    random = np.random.default_rng(5)
    make.write_bands(tmp_path, images(), WCS_DECALS)
    good = (tmp_path / "t1-g.fits.fz").read_bytes()
    outcomes = []
    for _ in range(60):
        content = bytearray(good)
        # Damage falls on headers as often as on pixels.
        for place in random.integers(0, len(content) if random.random() < 0.5 else 9000, size=random.integers(1, 40)):
            content[place] = random.integers(0, 256)
        (tmp_path / "t1-g.fits.fz").write_bytes(content)
        try:
            read(tmp_path)
        except TileError as error:
            outcomes.append(str(error))
    assert len(outcomes) > 10
    assert all("t1-" in outcome for outcome in outcomes)


def test_files_that_cannot_be_opened_are_refused_in_words(tmp_path):
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    (source,), _ = find_tiles([path], generic())
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(TileError, match="may not be read"):
            read_tile(source, generic())
    path.unlink()
    with pytest.raises(TileError, match="is not there any more"):
        read_tile(source, generic())


def test_a_tile_without_any_valid_pixel_is_refused(tmp_path):
    with pytest.raises(TileError, match="no valid pixel"):
        read(write(tmp_path / "a.fits", np.full(SHAPE, np.nan)), generic())


def test_a_band_without_any_valid_pixel_is_told(tmp_path):
    make.write_bands(tmp_path, images() | {"z": np.full(SHAPE, np.nan, np.float32)}, WCS_DECALS)
    tile = read(tmp_path)
    assert tile.warnings == ("no valid pixel in z: all are masked, blank or of no weight",)
    assert list(tile.valid.any(axis=(1, 2))) == [True, True, False]


@pytest.mark.parametrize(
    ("shape", "wanted", "told"),
    [
        (None, None, r"holds no image; it has 0 PRIMARY: no data; 1 T: a table"),
        (None, 1, r"HDU 1 is no image; the file has 0 PRIMARY: no data; 1 T: a table"),
        (None, "t", r"HDU t is no image"),
        ((20, 20), 2, r"has no HDU 2; it has 0 PRIMARY: image 20 x 20; 1 T: a table"),
        ((20, 20), -1, r"HDU -1 is no image"),
        ((2, 3, 20, 30), 0, r"HDU 0 \(PRIMARY\) is an image of 4 axes, 30 x 20 x 3 x 2; expected 2, or 3 for a cube"),
        ((0, 20), 0, r"HDU 0 \(PRIMARY\) is an image without pixels, 20 x 0"),
    ],
)
def test_what_is_no_image_of_a_file_is_told(tmp_path, shape, wanted, told):
    image = fits.PrimaryHDU(None if shape is None else np.zeros(shape, np.float32))
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])], name="T")
    fits.HDUList([image, table]).writeto(tmp_path / "odd.fits")
    with pytest.raises(TileError, match=rf"odd\.fits.* {told}"):
        fits_planes.read_planes(tmp_path / "odd.fits", [wanted], Notes())


def test_planes_without_a_keyword_are_bands_in_the_order_that_is_told(tmp_path):
    survey = generic(bands="g,r", planes="r,g", zero_point="22.5")
    assert [layout.image.planes_keyword for layout in survey.layouts] == [None]
    make.write_cube(tmp_path / "a.fits", [np.full(SHAPE, 2.0, np.float32), np.full(SHAPE, 1.0, np.float32)], WCS_DECALS)
    tile = read(tmp_path, survey)
    assert [(band, float(plane.mean())) for band, plane in zip(tile.bands, tile.image, strict=True)] == [
        ("g", 1.0),
        ("r", 2.0),
    ]


@pytest.mark.parametrize(("shape", "expected"), [((1, 1, 20, 30), (1, 20, 30)), ((1, 3, 20, 30), (3, 20, 30))])
def test_axes_of_one_before_a_cube_are_none(tmp_path, shape, expected):
    write(tmp_path / "cube.fits", np.zeros(shape, np.float32))
    (plane,) = fits_planes.read_planes(tmp_path / "cube.fits", [0], Notes())
    assert plane.pixels.shape == expected


def test_masks_may_be_of_floats_and_of_several_planes():
    planes = np.array([[[0.0, 1.0, 2.0, np.nan]], [[4.0, 0.0, -np.inf, 0.0]]], dtype=np.float32)
    spoiled, full, anything = _marked(planes, [1, 6, None], Path("m.fits"))
    assert spoiled.tolist() == [[False, True, False, False]]
    assert full.tolist() == [[True, False, True, False]]
    assert anything.tolist() == [[True, True, True, True]]


def test_masks_of_another_size_are_refused(tmp_path):
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    fits.append(path, np.zeros((3, 3), np.int16))
    with pytest.raises(TileError, match=r"the mask of .* has 3 x 3 pixels"):
        read(path, generic(mask_hdu="1"))
    with pytest.raises(TileError, match="the weight has 3 x 3 pixels"):
        read(path, generic(weight_hdu="1"))


# --- real files -------------------------------------------------------------------------------------------------------

ODD = Path(os.environ.get("GALMORPH_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "odd_fits"
ODD_FILES = sorted(path.relative_to(ODD).as_posix() for path in ODD.rglob("*") if path.is_file()) or ["absent"]


@pytest.mark.real
@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_files_are_read_or_refused_in_words(real_data, name):
    path = real_data / "odd_fits" / name
    sources, rejected = find_tiles([path], generic())
    try:
        for source in sources:
            assert read_tile(source, generic()).valid.any()
        reasons = [entry.reason for entry in rejected]
    except TileError as error:
        reasons = [str(error).replace(str(path), "")]
    for reason in reasons:
        assert len(reason.split()) >= 5
        assert not any(trace in reason for trace in ("Error(", "Traceback", "NoneType", "<class", "object at 0x"))


@pytest.mark.real
def test_viewer_cubes_read_with_their_own_scale(real_data):
    survey = load_survey("legacysurvey")
    sources, rejected = find_tiles([real_data / "decals_grz_cubes"], survey)
    assert rejected == []
    tiles = {source.name: read_tile(source, survey) for source in sources}
    scales = {name: tile.pixel_scale for name, tile in tiles.items()}
    assert scales == pytest.approx(
        {
            "decals_a": 0.1,
            "decals_a_native_0.262": 0.262,
            "decals_bad_pix": 0.13025,
            "decals_c": 0.14323,
            "decals_example": 0.1,
        },
        rel=1e-3,
    )
    assert {name for name, tile in tiles.items() if tile.warnings} == set(tiles) - {"decals_a_native_0.262"}
    assert 0.45 < tiles["decals_bad_pix"].valid.mean() < 0.55


@pytest.mark.real
def test_single_band_tile_with_a_three_band_survey_is_refused_clearly(real_data):
    path = real_data / "legacy_tile_r" / "ESO479-G1_r_centre_1000.fits"
    with pytest.raises(TileError, match="has the bands r; survey legacysurvey needs g, r, z, so that g, z is missing"):
        read(path, load_survey("legacysurvey"))


@pytest.mark.real
def test_fpacked_tile_reads_in_its_own_band(real_data):
    tile = read(
        real_data / "legacy_tile_r" / "ESO479-G1_r_3000.fits.fz", generic(layout="cube", planes_keyword="BANDS")
    )
    assert tile.image.shape == (1, 3000, 3000)
    assert tile.pixel_scale == pytest.approx(0.262, rel=1e-3)


@pytest.mark.real
@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_decam_triples_read_through_generic(real_data, band):
    pattern = "{exposure}_oo?_{band}_{chip}.fits"
    options = {"bands": band, "pixel_scale": "0.263", "zero_point": "30.5"}
    survey = load_survey(
        "generic",
        options
        | {key: pattern.replace("?", letter) for key, letter in (("image", "i"), ("weight", "w"), ("mask", "d"))},
    )
    sources, rejected = find_tiles([real_data / "decam_ccd_triples" / "testcase6"], survey)
    assert (len(sources), rejected) == (2, [])
    for source in sources:
        tile = read_tile(source, survey)
        assert len(source.files) == 3
        assert 0.7 < tile.valid.mean() < 0.95
        assert (tile.weight[0][tile.valid[0]] > 0).all()
        assert tile.warnings == ()


@pytest.mark.real
def test_euclid_extensions_read_through_generic(real_data):
    survey = load_survey(
        "generic",
        {
            "bands": "VIS,NIR_Y,NIR_J,NIR_H",
            "layout": "extensions",
            "image_hdu": "{band}_FLUX",
            "weight_hdu": "{band}_RMS",
            "weight_kind": "rms",
            "zero_point_keyword": "MAGZERO",
            "pixel_scale": "0.1",
        },
    )
    folder = real_data / "euclid_q1_mef"
    tile = read(folder / "euclid_group_example_4band.fits", survey)
    assert tile.image.shape == (4, 300, 300)
    with fits.open(folder / "euclid_group_example_4band.fits") as opened:
        raw = opened["VIS_FLUX"].data * 10 ** (0.4 * (22.5 - 24.6))
        rms = opened["VIS_RMS"].data * 10 ** (0.4 * (22.5 - 24.6))
    np.testing.assert_allclose(tile.image[0], raw, rtol=1e-5)
    np.testing.assert_allclose(tile.weight[0], rms**-2.0, rtol=1e-4)
    (source,), _ = find_tiles([folder / "EUCLJ174517_mask.fits"], survey)
    with pytest.raises(TileError, match=r"has no HDU called VIS_FLUX; it has 0 MASK: image 100 x 100"):
        read_tile(source, survey)


# --- masks of one band, units, other grids ----------------------------------------------------------------------------


def test_what_the_mask_of_one_band_spoils_is_there_in_the_others(tmp_path):
    bits = {band: np.zeros(SHAPE, np.int16) for band in "grz"}
    bits["z"][:, :20] = 1
    for band, image in images().items():
        make.write_bands(tmp_path, {band: image}, WCS_DECALS, mask=bits[band])
    tile = read(tmp_path)
    assert not tile.valid[2, :, :20].any()
    assert tile.valid[:2].all()
    assert tile.valid[2, :, 20:].all()


def test_a_mask_of_fractions_spoils_what_is_not_0_and_has_no_bits(tmp_path):
    mask = np.zeros(SHAPE, np.float32)
    mask[1, 1], mask[2, 2] = 0.9, np.nan
    path = write(tmp_path / "a.fits", np.ones(SHAPE))
    fits.append(path, mask)
    spoiled = np.argwhere(~read(path, generic(mask_hdu="1")).valid[0])
    assert spoiled.tolist() == [[1, 1], [2, 2]]
    with pytest.raises(TileError, match=r"a\.fits: the mask holds fractions, such as 0\.9, which have no bits"):
        read(path, generic(mask_hdu="1", mask_bits="0"))


@pytest.mark.parametrize("kind", ["variance", "rms", "invvar", "relative"])
@pytest.mark.parametrize("zero_point", [22.5, -48.6, 80.0])
def test_fluxes_and_weights_do_not_depend_on_the_unit_of_counts(tmp_path, kind, zero_point):
    count = 10 ** (0.4 * (22.5 - zero_point))  # nanomaggies
    path = write(tmp_path / "a.fits", make.scene(SHAPE, [], 1.0) / count)
    power = {"variance": -2.0, "rms": -1.0}.get(kind, 2.0)
    fits.append(path, np.full(SHAPE, count**power if kind != "relative" else 0.5))
    tile = read(path, generic(zero_point=str(zero_point), weight_hdu="1", weight_kind=kind))
    assert tile.valid.all()
    assert np.median(tile.weight) == pytest.approx(1.0, rel=0.1 if kind == "relative" else 1e-5)
    assert tile.image.std() == pytest.approx(1.0, rel=0.05)


def moved(columns: float) -> WCS:
    wcs = make.make_wcs(SHAPE, 0.262)
    wcs.wcs.crpix = [wcs.wcs.crpix[0] + columns, wcs.wcs.crpix[1]]
    return wcs


def test_a_resampled_band_has_no_waves_along_its_edges_and_holes(tmp_path):
    rows, columns = np.indices(SHAPE)
    for band, by in (("a", 0.0), ("b", 2.5)):
        star = 200 + 5000 * np.exp(-0.5 * ((columns - 25 - by) ** 2 + (rows - 20) ** 2) / 4**2)
        star[np.hypot(columns - 25 - by, rows - 20) < 6] = np.nan
        fits.append(write(tmp_path / f"t_{band}.fits", star, moved(by).to_header()), np.ones(SHAPE))
    (tmp_path / "two.toml").write_text(ALIGNED)
    tile = read(tmp_path, load_survey(tmp_path / "two.toml"))
    assert tile.warnings == ("resampled to the grid of band a: b",)
    both = tile.valid.all(axis=0)
    # Along the edge and around the hole lines join the pixels, which cut the corners of a peak.
    assert both[:, 3:].sum() > 0.85 * both[:, 3:].size
    np.testing.assert_allclose(tile.image[1][both], tile.image[0][both], rtol=0.025)
