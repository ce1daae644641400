import math

import pytest
import torch

from galmorph.training.options import ViewOptions
from galmorph.training.views import blur, fade, flip, place, random_view, turn


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_turn_and_flip_are_exact(images):
    quarters = torch.arange(8)
    turned = turn(images, quarters)
    for image, result, number in zip(images, turned, quarters, strict=True):
        assert torch.equal(result, torch.rot90(image, int(number), dims=(1, 2)))
    assert torch.equal(turn(turned, 4 - quarters), images)
    chosen = quarters % 2 == 0
    flipped = flip(images, chosen)
    assert torch.equal(flipped[0], images[0].flip(2))
    assert torch.equal(flipped[1], images[1])


def test_no_zoom_and_no_shift_change_nothing(images):
    torch.testing.assert_close(place(images, torch.ones(8), torch.zeros(8, 2)), images)


def test_whole_pixel_shift_moves_the_content(images):
    shift = torch.tensor([[2.0, -1.0]]).expand(8, 2)
    moved = place(images, torch.ones(8), shift)
    torch.testing.assert_close(moved[:, :, 3:8, 4:8], images[:, :, 4:9, 2:6])


def test_zoom_is_resize_and_centre_crop():
    # The paper's 256 -> 300 pixels and crop, on a smooth image, where interpolations agree.
    y, x = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij")
    image = torch.exp(-(x**2 + 2 * y**2) * 4)[None, None]
    resized = torch.nn.functional.interpolate(image, size=300, mode="bilinear", align_corners=False)
    expected = resized[:, :, 22:278, 22:278]
    torch.testing.assert_close(place(image, torch.tensor([300 / 256]), torch.zeros(1, 2)), expected, atol=1e-4, rtol=0)


def test_zoom_keeps_surface_brightness():
    flat = torch.full((2, 3, 10, 10), 7.0)
    torch.testing.assert_close(place(flat, torch.tensor([1.0, 1.5]), torch.ones(2, 2)), flat)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_right_angle_is_a_quarter_turn(images, number):
    angle = torch.full((8,), number * math.pi / 2)
    placed = place(images, torch.ones(8), torch.zeros(8, 2), angle)
    torch.testing.assert_close(placed, turn(images, torch.full((8,), number)), atol=1e-4, rtol=0)


def test_content_is_displaced_after_it_is_rotated_and_enlarged():
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 20, 24] = 1  # four pixels to the right of the centre
    angle, factor = torch.tensor([math.pi / 2]), torch.tensor([2.0])
    placed = place(image, factor, torch.tensor([[3.0, -1.0]]), angle)[0, 0]
    # A quarter turn counter-clockwise puts it above the centre, eight pixels away; then three right, one up.
    assert divmod(int(placed.argmax()), 41) == (20 - 8 - 1, 20 + 3)


def test_tilted_images_keep_their_light_and_have_no_empty_corners():
    y, x = torch.meshgrid(torch.arange(48.0) - 23.5, torch.arange(48.0) - 23.5, indexing="ij")
    image = (1 + torch.exp(-(x**2 / 8 + y**2 / 32)))[None, None].expand(50, 1, 48, 48)
    still = {"turn": False, "flip": False, "zoom": 1.0}
    views = random_view(image, ViewOptions(**still, tilt=45.0), torch.Generator().manual_seed(1))
    torch.testing.assert_close(views.sum((1, 2, 3)), image.sum((1, 2, 3)), atol=0, rtol=1e-3)
    assert views.min() > 0.999
    light = views[:, 0] - 1
    angles = 0.5 * torch.atan2(2 * (light * x * y).sum((1, 2)), (light * (y**2 - x**2)).sum((1, 2)))
    assert angles.abs().max() <= math.radians(45.5)
    assert angles.abs().max() > math.radians(40)


def test_random_view_is_reproducible_and_varies(images):
    options = ViewOptions(shift=1.0)
    first = random_view(images, options, torch.Generator().manual_seed(1))
    assert torch.equal(first, random_view(images, options, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, random_view(images, options, torch.Generator().manual_seed(2)))


def test_random_view_can_do_nothing(images):
    options = ViewOptions(turn=False, flip=False, zoom=1.0)
    assert torch.equal(random_view(images, options, torch.Generator().manual_seed(1)), images)


def test_all_eight_orientations_occur():
    image = torch.arange(9.0).reshape(1, 1, 3, 3).expand(200, 1, 3, 3)
    views = random_view(image, ViewOptions(zoom=1.0), torch.Generator().manual_seed(0))
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8


def test_fading_keeps_the_mean_of_bands_and_ends_in_grey(images):
    half = fade(images, torch.full((8,), 0.5))
    torch.testing.assert_close(half.mean(dim=1), images.mean(dim=1))
    torch.testing.assert_close(half, (images + images.mean(dim=1, keepdim=True)) / 2)
    assert torch.equal(fade(images, torch.zeros(8)), images)
    torch.testing.assert_close(fade(images, torch.ones(8)).var(dim=1), torch.zeros(8, 12, 12))


def test_blur_spreads_a_point_as_its_gaussian_and_keeps_flux():
    point = torch.zeros(2, 1, 31, 31)
    point[:, :, 15, 15] = 1
    whole, none = blur(point, 2.0, torch.tensor([1.0, 0.0]))
    assert torch.equal(none, point[1])
    assert float(whole.sum()) == pytest.approx(1, rel=1e-5)
    offset = torch.arange(31.0) - 15
    assert float((whole[0].sum(dim=0) * offset**2).sum()) == pytest.approx(4, rel=0.03)


def test_a_blur_wider_than_the_images():
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., 0, 0] = 1
    wide = blur(corner, 10.0, torch.ones(1))
    assert 0 < wide.min() < wide.max() < 0.05


def test_changes_of_colour_and_brightness_are_within_their_limits_and_draw_nothing_when_off(images):
    still = {"turn": False, "flip": False, "zoom": 1.0}
    assert torch.equal(random_view(images, ViewOptions(**still), torch.Generator().manual_seed(1)), images)
    bright = random_view(images, ViewOptions(**still, brightness=0.3), torch.Generator().manual_seed(1))
    factors = (bright / images).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert factors.log().abs().max() <= 0.3 + 1e-6
    assert factors[:, 0].std() > 0.01
    pale = random_view(images, ViewOptions(**still, colour=1.0), torch.Generator().manual_seed(1))
    assert (pale.var(dim=1) <= images.var(dim=1) + 1e-6).all()


def test_views_are_the_same_where_the_network_is_in_half_precision(images):
    """Fluxes are large numbers: a GPU's half precision would lose or overflow them."""
    options = ViewOptions(shift=1.0, colour=0.5, brightness=0.3, blur=1.5)
    plain = random_view(1e5 * images, options, torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = random_view(1e5 * images, options, torch.Generator().manual_seed(1))
    assert torch.equal(mixed, plain)
