import math

import numpy as np
import pytest
import torch

from galmorph.training import strangers
from galmorph.training.strangers import DRAWN, bend, draw_strangers, join, lay_over, make_strangers

SIZE = 48


def disc(x: float, y: float, radius: float, level: float = 1.0) -> torch.Tensor:
    """A disc about a place in pixels from the centre, shape (1, 2, N, N)."""
    at = torch.arange(SIZE) - (SIZE - 1) / 2
    inside = torch.hypot(at[None, :] - x, at[:, None] - y) <= radius
    return (level * inside.float()).expand(1, 2, SIZE, SIZE).clone()


def centre(image: torch.Tensor) -> tuple[float, float]:
    """Where the light is, in pixels from the centre."""
    at = torch.arange(SIZE) - (SIZE - 1) / 2
    light = image.sum(0)
    return float((light.sum(0) * at).sum() / light.sum()), float((light.sum(1) * at).sum() / light.sum())


def test_each_pixel_is_of_one_of_both_and_the_brighter_is_above():
    left, right = disc(-6, 0, 8, level=1.0), disc(6, 0, 8, level=2.0)
    both, strange = lay_over(left, right)
    assert strange.all()
    assert ((both == left) | (both == right)).all()
    assert (both[right > 0] == 2).float().mean() > 0.9  # but for its edge, seen through the Gaussian
    assert both[0, 0, SIZE // 2, SIZE // 2 - 12] == 1


@pytest.mark.parametrize(("below", "above"), [(0, 7), (7, 0)])
def test_the_level_of_the_sky_does_not_matter(below, above):
    made, strange = lay_over(disc(-6, 0, 8, level=1.0) + below, disc(6, 0, 8, level=2.0) + above)
    assert strange.all()
    assert made[0, 0, 0, 0] == below
    assert made[0, 0, SIZE // 2, SIZE // 2 - 12] == 1 + below
    assert made[0, 0, SIZE // 2, SIZE // 2 + 6] == 2 + above


def test_sky_is_not_laid_over_sky():
    generator = torch.Generator().manual_seed(0)
    sky = torch.randn(20, 2, SIZE, SIZE, generator=generator)
    other = torch.randn(20, 2, SIZE, SIZE, generator=generator) + 40 * disc(8, 8, 6)
    made, _ = lay_over(sky, other)
    far = disc(8, 8, 12)[0, 0] == 0
    assert torch.equal(made[:, :, far], sky[:, :, far])
    assert made[:, :, disc(8, 8, 4)[0, 0] > 0].mean() > 30


def test_an_arc_is_where_it_was_asked_for():
    angle, half, two = torch.tensor([0.0, math.pi / 2, math.pi]), torch.full((3,), 0.5), torch.full((3,), 2.0)
    arcs = bend(disc(0, 0, 8).repeat(3, 1, 1, 1), half, angle, two, two)
    distance = torch.hypot(*torch.meshgrid(*[torch.arange(SIZE) - (SIZE - 1) / 2] * 2, indexing="ij"))
    for arc in arcs:
        reach = distance[arc[0] > 0.5]
        assert reach.min() > 24 * 0.5 - 5.5  # a disc of 8 pixels, half as wide
        assert reach.max() < 24 * 0.5 + 5.5
    (x, y), (u, v), opposite = (centre(arc) for arc in arcs)
    assert x > 5 and abs(y) < 1  # noqa: PT018
    assert v > 5 and abs(u) < 1  # noqa: PT018
    assert opposite == pytest.approx((-x, y), abs=0.1)


def test_where_the_bent_image_does_not_reach_there_is_nothing():
    """An image of sky alone ends two radians to both sides of its middle, at the centre, and at a half side from it."""
    values = (torch.tensor([value]) for value in (0.5, 0.0, 1.0, 2.0))
    made = bend(torch.ones(1, 1, SIZE, SIZE), *values)[0, 0]
    middle, right, left = SIZE // 2, int(0.75 * SIZE), int(0.25 * SIZE)
    assert made[middle, right] == 1
    assert made[middle, left] == made[0, 0] == made[-1, -1] == 0


def test_longer_arcs_have_more_light_and_thinner_ones_less():
    def light(longer: float, thinner: float) -> float:
        values = (torch.tensor([value]) for value in (0.5, 0.3, longer, thinner))
        return float(bend(disc(0, 0, 6), *values).sum())

    assert light(2.0, 1.0) == pytest.approx(2 * light(1.0, 1.0), rel=0.1)
    assert light(1.0, 2.0) == pytest.approx(light(1.0, 1.0) / 2, rel=0.1)


def test_a_cut_has_one_image_on_each_side():
    one, other = torch.zeros(2, 1, SIZE, SIZE), torch.ones(2, 1, SIZE, SIZE)
    made, _ = join(one, other, torch.tensor([0.0, math.pi / 2]), torch.tensor([0.0, 0.5]))
    assert torch.equal(made[0, 0, 0], (torch.arange(SIZE) >= SIZE / 2).float())
    assert torch.equal(made[1, 0, :, 0], (torch.arange(SIZE) >= 0.75 * SIZE).float())


def test_what_shows_one_object_alone_is_no_stranger():
    small, large, aside = disc(0, 0, 4), disc(0, 0, 9, level=2.0), disc(14, 0, 4)
    assert not lay_over(small, large)[1].any()  # hidden
    assert lay_over(small, aside)[1].all()
    assert not lay_over(small, disc(14, 0, 4, level=0.1))[1].any()  # too faint to count
    angle, centre_cut, far_cut = torch.zeros(1), torch.zeros(1), torch.full((1,), 0.5)
    assert join(small, small, angle, centre_cut)[1].all()
    assert not join(small, small, angle, far_cut)[1].any()  # beyond the cut is sky


def test_strangers_are_drawn_again_by_the_same_seed_and_differ_from_what_they_are_made_of():
    images = torch.cat([disc(0, 0, 3 + i / 2, level=1 + i / 4) for i in range(9)])
    made = make_strangers(images, torch.Generator().manual_seed(1))
    assert 0 < len(made) <= len(images)
    assert torch.equal(made, make_strangers(images, torch.Generator().manual_seed(1)))
    other = make_strangers(images, torch.Generator().manual_seed(2))
    assert made.shape != other.shape or not torch.equal(made, other)
    for image in made:
        assert (image != images).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("n", [2, 6])
def test_both_objects_of_a_stranger_are_two_of_the_batch(n):
    """Discs of a level of their own: two levels are to be seen in every stranger, and never one object twice."""
    images = torch.cat([disc(0, 0, 4, level=1 + i) for i in range(n)])
    for seed in range(20):
        for image in make_strangers(images, torch.Generator().manual_seed(seed)):
            whole = image[0][(image[0] - image[0].round()).abs() < 1e-4].round()
            assert len(set(whole.int().tolist()) - {0}) >= 2


def test_strangers_are_of_all_kinds(monkeypatch):
    """What is drawn fills its ranges: arcs and neighbours lie all around, cuts on both sides of the centre."""
    drawn = {}

    def watched(name, names):
        function = getattr(strangers, name)

        def call(*given, **options):
            drawn.update(zip(names, given[-len(names) :], strict=True))
            return function(*given, **options)

        monkeypatch.setattr(strangers, name, call)

    watched("bend", ["radius", "angle", "longer", "thinner"])
    watched("join", ["direction", "offset"])
    watched("place", ["shift"])
    make_strangers(torch.rand(900, 1, 12, 12), torch.Generator().manual_seed(0))
    x, y = drawn.pop("shift").T
    drawn |= {"apart": torch.hypot(x, y) / 12, "towards": torch.atan2(y, x)}
    ranges = {
        "radius": (0.20, 0.55),
        "angle": (0.0, 2 * math.pi),
        "longer": (1.0, 3.0),
        "thinner": (1.0, 2.5),
        "direction": (0.0, 2 * math.pi),
        "offset": (-0.30, 0.30),
        "apart": (0.12, 0.30),
        "towards": (-math.pi, math.pi),
    }
    assert drawn.keys() == ranges.keys()
    for name, (low, high) in ranges.items():
        share = (drawn[name] - low) / (high - low)
        assert len(share) == 300
        assert (float(share.min()), float(share.max())) == pytest.approx((0, 1), abs=0.03), name
        assert -1e-5 < share.min() < share.max() < 1 + 1e-5


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_batches(n):
    images = torch.randn(n, 3, 20, 20)
    made = make_strangers(images, torch.Generator().manual_seed(0))
    assert made.shape[1:] == images.shape[1:]
    assert len(made) <= n


def test_nothing_comes_of_empty_sky():
    assert len(make_strangers(torch.zeros(6, 2, SIZE, SIZE), torch.Generator().manual_seed(0))) == 0


def test_strangers_are_the_same_where_the_network_is_in_half_precision():
    discs = 1e5 * torch.cat([disc(0, 0, 3 + i / 2, level=1 + i / 4) for i in range(9)])
    # Which of two noisy images is the brighter, rounding would decide otherwise here and there.
    noisy = discs + 1e5 * torch.rand(discs.shape, generator=torch.Generator().manual_seed(0))
    for images in (discs, noisy):
        plain = make_strangers(images, torch.Generator().manual_seed(1))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = make_strangers(images, torch.Generator().manual_seed(1))
        assert torch.equal(mixed, plain)


def test_strangers_for_a_threshold_are_of_the_images_that_may_be_used_and_always_the_same():
    images = torch.cat([disc(0, 0, 4, level=1 + i) for i in range(8)]).numpy()
    rows = np.array([1, 2, 5, 6])
    made = draw_strangers(images, rows)
    assert 0 < len(made) <= len(rows)
    assert np.array_equal(made, draw_strangers(images, rows))
    levels = {round(float(value)) for value in np.unique(made) if abs(value - round(value)) < 1e-4}
    assert levels <= {0} | set((1 + rows).tolist())


def test_each_image_is_used_once_for_a_threshold(monkeypatch):
    monkeypatch.setattr(strangers, "make_strangers", lambda images, generator: images)
    for count, used in ((130, 130), (DRAWN + 40, DRAWN)):
        images = np.arange(count + 5, dtype=np.float32)[:, None, None, None]
        drawn = draw_strangers(images, np.arange(count)).flatten().tolist()
        assert len(drawn) == len(set(drawn)) == used
        assert set(drawn) <= set(range(count))


def test_no_more_images_are_drawn_for_a_threshold_than_it_needs():
    sky = np.random.default_rng(0).normal(0, 0.01, (DRAWN + 40, 1, 16, 16)).astype(np.float32)
    made = draw_strangers(sky + disc(0, 0, 4).numpy()[:, :1, 16:32, 16:32], np.arange(DRAWN + 40))
    assert DRAWN / 4 < len(made) <= DRAWN


@pytest.mark.parametrize("count", [0, 1])
def test_of_fewer_than_two_images_no_stranger_can_be_made(count):
    assert draw_strangers(np.ones((3, 2, 20, 20), dtype=np.float32), np.arange(count)).shape == (0, 2, 20, 20)
