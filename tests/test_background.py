"""The background of images that hold whole numbers, and the clipping of the sky."""

import numpy as np
import pytest

from galmorph.background import CLIPPING_ROUNDS, SOURCE_THRESHOLD, _background, _estimate, _middle, _sky_pixels, smooth


def sky(level, noise, side=200, seed=0):
    return (level + noise * np.random.default_rng(seed).normal(size=(side, side))).astype(np.float32)


@pytest.mark.parametrize("noise", [0.7, 1.0, 2.0, 5.0])
def test_whole_numbers_have_the_level_that_they_have_as_fractions(noise):
    image, clear = sky(20.3, noise), np.ones((200, 200), dtype=bool)
    expected = np.broadcast_to(_background(image, clear, 100, 3.5)[0].level, image.shape).mean()
    found = np.broadcast_to(_background(np.rint(image), clear, 100, 3.5)[0].level, image.shape).mean()
    # Of whole numbers as they are sep takes the level for up to a whole unit off.
    assert found == pytest.approx(expected, abs=0.15)
    assert expected == pytest.approx(20.3, abs=0.15 * noise)


def test_an_image_of_one_value_keeps_it():
    image = np.full((64, 64), 7.0, dtype=np.float32)
    found = _estimate(image, np.ones(image.shape, dtype=bool), 32)
    assert np.broadcast_to(found.level, image.shape).mean() == pytest.approx(7.0, abs=0.1)


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
