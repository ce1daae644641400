import cv2
import numpy as np
import pytest
from astropy.nddata import Cutout2D
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.cutouts import Cutter, Framing, side_angles
from galmorph.errors import ConfigError


def gaussian(shape, x, y, sigma=6.0, bands=1):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    plane = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)
    return np.repeat(plane[None], bands, axis=0)


def fixed(pixels, size, scale=1.0):
    """Framing whose cutouts are `pixels` tile pixels wide."""
    return Framing(size=size, mode="angle", angle=pixels * scale)


def centroid(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return (columns * image).sum() / image.sum(), (rows * image).sum() / image.sum()


def cut_one(planes, x, y, framing, valid=None, scale=1.0):
    valid = np.ones_like(planes, dtype=bool) if valid is None else valid
    return Cutter(planes, valid, scale, framing).cut([x], [y], [1.0])


def test_without_resampling_it_is_the_slice():
    planes = np.random.default_rng(0).normal(size=(2, 40, 50)).astype(np.float32)
    image = cut_one(planes, 20, 15, fixed(9, 9)).images[0]
    for plane, got in zip(planes, image, strict=True):
        np.testing.assert_allclose(got, Cutout2D(plane, (20, 15), 9).data, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(40, 59), y=st.floats(40, 59), pixels=st.floats(50, 75), size=st.integers(24, 90))
def test_the_object_is_at_the_exact_centre(x, y, pixels, size):
    image = cut_one(gaussian((100, 100), x, y, 4.0), x, y, fixed(pixels, size)).images[0, 0]
    assert centroid(image) == pytest.approx(((size - 1) / 2,) * 2, abs=0.06 * size / pixels + 0.02)


@pytest.mark.parametrize("x", [5.0, 94.0])
def test_an_object_at_the_edge_stays_centred_and_is_counted(x):
    planes = gaussian((100, 100), x, 50, 1.0)
    cutouts = cut_one(planes, x, 50, fixed(64, 64))
    peak = np.unravel_index(cutouts.images[0, 0].argmax(), (64, 64))
    assert np.abs(np.array(peak) - 31.5).max() <= 0.5
    assert cutouts.off_edge_fraction[0] == pytest.approx((32 - 5.5) / 64)
    assert cutouts.bad_fraction[0] == pytest.approx(0.0, abs=1 / 64)


def test_off_the_tile_is_filled_with_sky():
    planes = np.ones((1, 20, 20), dtype=np.float32)
    image = cut_one(planes, 0, 10, fixed(10, 10)).images[0, 0]
    assert (image[:, :4] == 0).all()
    assert (image[:, 5:] == 1).all()


@pytest.mark.parametrize(("x", "y"), [(-50.0, 10.0), (70.0, 10.0), (10.0, -50.0), (10.0, 70.0)])
def test_a_place_off_the_tile_shows_nothing(x, y):
    planes = np.ones((2, 20, 20), dtype=np.float32)
    cutouts = cut_one(planes, x, y, fixed(10, 10))
    assert not cutouts.images.any()
    assert cutouts.off_edge_fraction.tolist() == [1.0]
    assert cutouts.bad_fraction.tolist() == [0.0]
    assert cutouts.empty.all()
    assert cutouts.missing_band.all()


@pytest.mark.parametrize("shape", [(100, 100), (101, 100), (100, 101), (101, 101)])
def test_wide_steps_reach_the_last_row_and_column(shape):
    planes = np.ones((1, *shape), dtype=np.float32)
    rows, columns = shape
    cutouts = cut_one(planes, (columns - 1) / 2, (rows - 1) / 2, fixed(max(shape), 20))
    np.testing.assert_allclose(cutouts.images, 1, rtol=1e-6)
    assert cutouts.bad_fraction.tolist() == [0.0]


@pytest.mark.parametrize("pixels", [20, 64, 150, 400, 900])
def test_surface_brightness_does_not_depend_on_the_step(pixels):
    planes = np.full((1, 1000, 1000), 0.5, dtype=np.float32)
    cutouts = cut_one(planes, 500, 500, fixed(pixels, 64, scale=0.25), scale=0.25)
    np.testing.assert_allclose(cutouts.images, 0.5 / 0.25**2, rtol=1e-5)
    assert cutouts.bad_fraction[0] == 0


@pytest.mark.parametrize("pixels", [200, 500])
def test_wide_steps_average_the_noise_and_keep_the_place(pixels):
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(1, 600, 600)).astype(np.float32)
    cutouts = cut_one(noise, 300, 300, fixed(pixels, 50))
    # Binning to a level whose step is between 1 and 2 pixels leaves at most this much noise.
    assert cutouts.images.std() < 1.05 / (pixels / 50 / 2)
    blob = cut_one(gaussian((600, 600), 310.4, 291.7, 15.0), 310.4, 291.7, fixed(pixels, 50)).images[0, 0]
    assert centroid(blob) == pytest.approx((24.5, 24.5), abs=0.1)


def test_masked_pixels_keep_the_brightness_of_their_neighbours():
    planes = np.full((2, 60, 60), 3.0, dtype=np.float32)
    valid = np.ones_like(planes, dtype=bool)
    valid[:, 28, :] = False
    planes[~valid] = 0.0
    cutouts = cut_one(planes, 30, 30, fixed(40, 27), valid)
    filled = cutouts.images[0]
    assert set(np.unique(filled.round(4))) <= {0.0, 3.0}
    assert (filled == 0).mean() < 0.08


def test_masked_pixels_are_counted():
    planes = np.ones((1, 50, 50), dtype=np.float32)
    valid = np.ones_like(planes, dtype=bool)
    valid[:, :, 20:30] = False
    cutouts = cut_one(planes * valid, 25, 25, fixed(40, 40), valid)
    assert cutouts.bad_fraction[0] == pytest.approx(10 / 40, abs=0.03)


def test_pixels_that_any_band_lacks_are_bad():
    planes = np.ones((2, 40, 40), dtype=np.float32)
    valid = np.ones_like(planes, dtype=bool)
    valid[0, :, :20] = valid[1, :, 20:30] = False
    cutouts = cut_one(planes * valid, 19.5, 19.5, fixed(20, 20), valid)
    assert cutouts.bad_fraction[0] == pytest.approx(1.0)


def test_a_band_without_data_is_reported():
    planes = np.ones((2, 50, 50), dtype=np.float32)
    valid = np.ones_like(planes, dtype=bool)
    valid[1] = False
    cutouts = cut_one(planes * valid, 25, 25, fixed(20, 20), valid)
    assert cutouts.missing_band.tolist() == [True]
    assert cutouts.empty.tolist() == [False]
    assert (cutouts.images[0, 0] == 1).all()
    valid[0] = False
    assert cut_one(planes * valid, 25, 25, fixed(20, 20), valid).empty.tolist() == [True]


def test_a_cutout_does_not_depend_on_its_company():
    planes = np.random.default_rng(4).normal(size=(1, 80, 80)).astype(np.float32)
    cutter = Cutter(planes, np.ones_like(planes, dtype=bool), 1.0, Framing(size=16, min_angle=4, max_angle=90))
    x, y, radius = np.array([20.2, 40.7, 70.0]), np.array([30.1, 40.0, 5.0]), np.array([5.0, 24.0, 9.0])
    together = cutter.cut(x, y, radius)
    for i in range(3):
        alone = cutter.cut(x[i : i + 1], y[i : i + 1], radius[i : i + 1])
        np.testing.assert_array_equal(alone.images[0], together.images[i])


def test_no_objects_give_no_cutouts():
    planes = np.ones((3, 20, 20), dtype=np.float32)
    assert Cutter(planes, planes > 0, 1.0, Framing(size=8)).cut([], [], []).images.shape == (0, 3, 8, 8)


def test_sides_follow_the_radius_within_limits():
    side, limited = side_angles([1.0, 5.0, 100.0, np.nan], Framing(size=8, factor=2.0, min_angle=8, max_angle=60))
    assert side.tolist() == [8.0, 20.0, 60.0, 8.0]
    assert limited.tolist() == [True, False, True, True]


def test_the_largest_side_is_the_limit_or_the_angle():
    assert Framing(size=8, max_angle=60).largest == 60
    assert Framing(size=8, mode="angle", angle=200).largest == 200


def test_a_fixed_angle_is_never_limited():
    side, limited = side_angles([1.0, 500.0], Framing(size=8, mode="angle", angle=30.0))
    assert side.tolist() == [30.0, 30.0]
    assert not limited.any()


@pytest.mark.parametrize(
    "settings_",
    [{"mode": "pixels"}, {"size": 0}, {"factor": 0.0}, {"angle": -1.0}, {"min_angle": 9.0, "max_angle": 8.0}],
)
def test_impossible_framings_are_refused(settings_):
    with pytest.raises(ConfigError):
        Framing(**({"size": 8} | settings_))


def test_planes_and_validity_must_agree():
    with pytest.raises(ValueError, match=r"\(bands, H, W\)"):
        Cutter(np.ones((1, 4, 4), np.float32), np.ones((4, 4), bool), 1.0, Framing(size=4))


def test_one_plane_is_one_bare_warp():
    planes = np.random.default_rng(5).normal(size=(1, 90, 90)).astype(np.float32)
    matrix = np.array([[1.5, 0, 44.3 - 1.5 * 15.5], [0, 1.5, 41.8 - 1.5 * 15.5]])
    bare = cv2.warpAffine(planes[0], matrix, (32, 32), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    np.testing.assert_array_equal(cut_one(planes, 44.3, 41.8, fixed(48, 32)).images[0, 0], bare)


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("scale", [1.0, 0.262])
def test_pixels_of_the_tile_s_size_are_a_shift_and_the_same_as_a_warp(size, scale, monkeypatch):
    planes = np.random.default_rng(6).normal(size=(2, 90, 90)).astype(np.float32)
    x, y = 44.3, 41.85
    centre = (size - 1) / 2
    matrix = np.array([[1.0, 0, x - centre], [0, 1.0, y - centre]])
    warps = [
        cv2.warpAffine(plane, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) for plane in planes
    ]
    monkeypatch.setattr("galmorph.cutouts._warp", lambda *_: pytest.fail("warped what needs no warp"))
    image = cut_one(planes, x, y, fixed(size, size, scale), scale=scale).images[0] * scale**2
    np.testing.assert_allclose(image, warps, atol=1e-4)
