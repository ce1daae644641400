import numpy as np
import pytest

from galmorph.render import mosaic, rgb


def galaxy(bands=3, size=32, colours=(1.0, 2.0, 4.0)):
    y, x = np.indices((size, size)) - (size - 1) / 2
    light = np.exp(-np.hypot(x, y) / 4)
    return np.stack([colour * light for colour in colours[:bands]]).astype(np.float32)


def test_one_and_many_images_give_the_same_pictures():
    images = np.stack([galaxy(), 3 * galaxy(colours=(4.0, 2.0, 1.0))])
    pictures = rgb(images)
    assert pictures.shape == (2, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures[1], rgb(images[1]))


def test_red_light_is_red_and_blue_light_blue_even_where_it_is_bright():
    red, blue = (rgb(galaxy(colours=colours))[16, 16].astype(int) for colours in ((1, 2, 6), (6, 2, 1)))
    assert red[0] > red[1] > red[2]
    assert blue[2] > blue[1] > blue[0]
    assert red.max() == blue.max() == 255


def test_colour_does_not_depend_on_brightness():
    """The point of the method: a pixel ten times brighter has the same ratio of red to blue."""
    image = np.ones((3, 1, 2), dtype=np.float32) * np.array([1.0, 2.0, 3.0], dtype=np.float32)[:, None, None]
    image[:, :, 1] *= 4
    faint, bright = rgb(np.repeat(image, 2, axis=1)[..., :2], stretch=40.0)[0].astype(float)
    assert bright.sum() > faint.sum()
    assert bright[0] / bright[2] == pytest.approx(faint[0] / faint[2], rel=0.1)


def test_noise_alone_stays_dark():
    noise = np.random.default_rng(1).normal(0, 1, (3, 64, 64)).astype(np.float32)
    assert rgb(noise).mean() < 40


def test_one_band_is_grey_and_nothing_is_black():
    grey = rgb(galaxy(1))
    assert (grey[..., 0] == grey[..., 2]).all()
    assert rgb(np.full((3, 8, 8), np.nan, dtype=np.float32)).max() == 0


def test_bands_by_name_have_their_weights():
    flat = np.ones((3, 4, 4), dtype=np.float32)
    by_name = rgb(flat, 3.0, ("g", "r", "z"))[0, 0].astype(int)
    assert by_name[2] > by_name[0]
    assert not np.array_equal(by_name, rgb(flat, 3.0, ("g", "r", "i"))[0, 0])


def test_mosaic_has_room_for_every_picture_and_caption():
    pictures = [np.full((16, 16, 3), value, dtype=np.uint8) for value in (50, 120, 250)]
    image = mosaic(pictures, ["a", "b\nc", ""], columns=2, side=40)
    assert image.size == (2 * 44 + 4, 2 * (40 + 30 + 4) + 4)
    assert image.getpixel((24, 24)) == (50, 50, 50)
    assert image.getpixel((68, 24)) == (120, 120, 120)
    assert image.getpixel((24, 98)) == (250, 250, 250)


def test_mosaic_shows_the_first_row_at_the_bottom():
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[0] = 255
    image = mosaic([picture], [""], columns=1, side=16)
    assert image.getpixel((10, 19))[0] > 200
    assert image.getpixel((10, 4))[0] < 50


@pytest.mark.parametrize(("number", "captions", "columns"), [(0, [], 1), (2, ["a"], 1), (1, ["a"], 0)])
def test_mosaic_refuses_what_does_not_fit(number, captions, columns):
    with pytest.raises(ValueError, match="as many captions"):
        mosaic([np.zeros((4, 4, 3), dtype=np.uint8)] * number, captions, columns)
