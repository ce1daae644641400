"""The background of images that hold whole numbers, and the clipping of the sky."""

import numpy as np
import pytest

from galmorph import background
from galmorph.background import (
    CLIPPING_ROUNDS,
    SOURCE_THRESHOLD,
    _background,
    _estimate,
    _middle,
    _sky_pixels,
    _whole_blocks,
    every_other,
    smooth,
)


def sky(level, noise, side=200, seed=0):
    return (level + noise * np.random.default_rng(seed).normal(size=(side, side))).astype(np.float32)


@pytest.mark.parametrize("noise", [0.7, 1.0, 2.0, 5.0])
def test_whole_numbers_have_the_level_that_they_have_as_fractions(noise):
    image, clear = sky(20.3, noise), np.ones((200, 200), dtype=bool)
    expected = np.broadcast_to(_background(image, None, clear, 100, 3.5)[0].level, image.shape).mean()
    found = np.broadcast_to(_background(np.rint(image), None, clear, 100, 3.5)[0].level, image.shape).mean()
    # Of whole numbers as they are sep takes the level for up to a whole unit off.
    assert found == pytest.approx(expected, abs=0.15)
    assert expected == pytest.approx(20.3, abs=0.15 * noise)


def stars(shape, noise=1.0):
    """A sky of level 5 with stars, and where these are."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices(shape)
    light = np.zeros(shape)
    for y, x in rng.uniform(0, shape, (40, 2)):
        light += 200 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.0**2))
    return (5 + light + rng.normal(0, noise, shape)).astype(np.float32), light > noise


@pytest.mark.parametrize("shape", [(400, 400), (401, 433)])
def test_half_the_resolution_is_enough(shape, monkeypatch):
    image, bright = stars(shape)
    valid = np.ones(shape, dtype=bool)
    valid[100:110] = False
    weight = np.ones(shape, dtype=np.float32)
    found, sky, deviation = _background(image, weight, valid, 200, 4.7)
    monkeypatch.setattr(background, "LARGE", 10_000)
    whole, every, whole_deviation = _background(image, weight, valid, 200, 4.7)
    assert not np.array_equal(sky, every)
    assert sky.shape == every.shape == (shape[0] // 2, shape[1] // 2)
    assert not np.any(sky & ~every_other(valid))
    assert np.mean(sky[every_other(bright)]) <= np.mean(every[every_other(bright)]) + 0.001 < 0.01
    assert np.mean(sky) == pytest.approx(np.mean(every), abs=0.03)
    # By whole pixels a box of one row, as at the end of 401, is off by 0.12.
    assert np.abs(found.level - 5).max() < 0.06
    assert np.abs(whole.level - 5).max() < 0.15
    assert deviation == pytest.approx(whole_deviation, rel=0.02)
    assert found.rms().shape == shape
    np.testing.assert_allclose(found.rms(), whole.rms(), rtol=0.05)


def test_the_noise_at_half_the_resolution_is_that_of_pixels_though_neighbours_share_it():
    rng = np.random.default_rng(0)
    shared = smooth(rng.normal(0, 1, (512, 512)).astype(np.float32), 2.0)
    image = 100 + shared / shared.std()
    image[:, 256:] = 100 + 3 * (image[:, 256:] - 100)
    image, everywhere = image.astype(np.float32), np.ones(image.shape, dtype=bool)
    found, sky, deviation = _background(image, everywhere.astype(np.float32), everywhere, 128, 4.0)
    left, right = (found.rms()[:, part].mean() for part in (slice(0, 128), slice(384, 512)))
    assert (left, right) == (pytest.approx(1, rel=0.1), pytest.approx(3, rel=0.1))
    values = every_other(image)[sky]
    assert deviation == pytest.approx(1.4826 * np.median(np.abs(values - np.median(values))), rel=0.03)


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_whole_numbers_keep_level_and_noise_at_half_the_resolution(noise):
    image = np.rint(sky(20.3, noise, side=512))
    everywhere = np.ones(image.shape, dtype=bool)
    found, _, deviation = _background(image, everywhere.astype(np.float32), everywhere, 128, 4.0)
    assert np.abs(found.level - 20.3).max() < 0.15 * noise
    assert deviation == pytest.approx(np.hypot(noise, 1 / np.sqrt(12)), rel=0.05)


def test_single_bad_pixels_all_over_are_no_blocks_to_look_at():
    image, valid = stars((400, 400))[0], np.random.default_rng(0).uniform(size=(400, 400)) > 0.25
    assert _whole_blocks(image.shape, valid, 200, 4.7) is None
    assert _background(image, None, valid, 200, 4.7)[1].mean() > 0.5


def test_an_image_of_one_value_keeps_it():
    image = np.full((64, 64), 7.0, dtype=np.float32)
    found = _estimate(image, np.ones(image.shape, dtype=bool), 32)
    assert np.broadcast_to(found.level, image.shape).mean() == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("shape", [(40, 400), (400, 40)])
def test_a_slope_along_a_narrow_image_is_background(shape):
    slope = np.indices(shape).sum(axis=0).astype(np.float32)
    image = slope + np.random.default_rng(0).normal(size=shape).astype(np.float32)
    clear = np.ones(shape, dtype=bool)
    clear[20, 20] = False
    assert np.abs(_estimate(image, clear, 80).level - slope).mean() < 15


def clipped(image, valid, fwhm):
    """The clipping as its definition says it: medians of what is kept, round by round."""
    smoothed = smooth(image, fwhm)
    values, limit = smoothed[valid], np.inf
    for _ in range(CLIPPING_ROUNDS):
        kept = values[values <= limit]
        level = np.median(kept)
        new = level + SOURCE_THRESHOLD * 1.4826 * np.median(level - kept[kept <= level])
        if new == limit:
            break
        limit = new
    return valid & (smoothed <= limit)


@pytest.mark.parametrize("side", [5, 8, 31])
def test_sorted_clipping_keeps_what_the_definition_keeps(side):
    rng = np.random.default_rng(side)
    for whole in (False, True):
        image = rng.normal(size=(side, side)).astype(np.float32)
        image[side // 2, side // 2] = 40
        image = np.rint(2 * image) if whole else image
        valid = rng.random(image.shape) < 0.8
        kept, found = clipped(image, valid, 1.0), _sky_pixels(image, valid, 1.0)
        # Surroundings of objects are left out too, if enough is left then.
        assert not np.any(found & ~kept)
        assert np.array_equal(
            found, kept & (smooth((valid & ~kept).astype(np.float32), 2.0) <= 0.15)
        ) or np.array_equal(found, kept)


def test_the_middle_of_sorted_values():
    for number in (1, 2, 5, 6):
        values = np.sort(np.random.default_rng(number).normal(size=number))
        assert np.median(_middle(values)) == np.median(values)
