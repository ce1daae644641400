import numpy as np
import pytest

from galmorph.mocks.config import MockConfig
from galmorph.mocks.exposure import object_generator
from galmorph.mocks.galaxies import draw
from galmorph.mocks.lenses import lensed_source
from galmorph.mocks.mergers import nuclei
from galmorph.mocks.population import draw_population
from galmorph.mocks.profiles import make_grid, sersic
from galmorph.taxonomy import MOCK_CLASSES

SCALE = 0.262
BANDS = ("g", "r", "z")


@pytest.fixture(scope="module")
def rows():
    """Five objects of each class."""
    config = MockConfig(class_mix=dict.fromkeys(MOCK_CLASSES, 1.0))
    population = draw_population(5 * len(MOCK_CLASSES), 20, config, np.random.default_rng(7))
    return population.assign(number=np.arange(len(population))).to_dict("records")


def picked(rows, *names):
    return [row for row in rows if row["fine_class"] in names]


def drawn(row, x=100.3, y=99.8, scale=SCALE):
    return draw(row, x, y, scale, BANDS, object_generator(1500, row["number"]))


def centroid(stamp, plane=1):
    image = stamp.planes[plane]
    columns, lines = np.arange(image.shape[1]) + stamp.x0, np.arange(image.shape[0]) + stamp.y0
    return (image.sum(axis=0) @ columns) / image.sum(), (image.sum(axis=1) @ lines) / image.sum()


def test_every_stamp_carries_the_catalogue_flux(rows):
    for row in rows:
        if row["half_light_radius"] == 0:
            continue
        stamp = drawn(row)
        expected = [10 ** (-0.4 * (row[f"mag_{band}"] - 22.5)) for band in BANDS]
        assert stamp.planes.sum(axis=(1, 2)) == pytest.approx(expected, rel=0.001)
        assert stamp.planes.dtype == np.float32
        assert (stamp.planes >= 0).all()


def test_stamps_fade_before_their_border(rows):
    for row in rows:
        if row["half_light_radius"] == 0:
            continue
        plane = drawn(row).planes[1]
        border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
        assert border.max() < 0.01 * plane.max(), row["fine_class"]


def test_smooth_galaxies_are_where_they_are_said_to_be(rows):
    for row in picked(rows, "round_smooth", "cigar_smooth", "background"):
        if row["half_light_radius"] == 0:
            continue
        assert centroid(drawn(row)) == pytest.approx((100.3, 99.8), abs=0.1)


def test_a_galaxy_is_the_same_at_another_place_and_pixel_scale(rows):
    (row, *_) = picked(rows, "loose_spiral")
    fine, coarse = drawn(row, 300.0, 300.0, 0.131), drawn(row, 150.0, 150.0, 0.262)

    def profile(stamp, scale, centre):
        y, x = np.indices(stamp.planes[1].shape)
        r = np.hypot(x + stamp.x0 - centre, y + stamp.y0 - centre) * scale
        return np.array([stamp.planes[1][r < radius].sum() for radius in (2.0, 4.0, 6.0)])

    assert profile(fine, 0.131, 300.0) == pytest.approx(profile(coarse, 0.262, 150.0), rel=0.03)
    assert np.array_equal(drawn(row).planes, drawn(row).planes)


@pytest.mark.parametrize("index", [0.7, 1.0, 4.0])
def test_half_of_the_light_lies_within_the_half_light_radius(index):
    grid = make_grid(200.2, 200.4, SCALE, 60.0, 60.0)
    image = sersic(grid, 4.0, index, 1.0, 0.0, 60.0)
    inside = image[np.hypot(grid.east, grid.north) < 4.0].sum()
    # Light beyond 60 arcsec, 15 half-light radii, is missing: 3 per cent of a de Vaucouleurs profile.
    assert inside == pytest.approx(0.5, abs=0.02 if index > 2 else 0.01)


def test_position_angle_runs_from_north_through_east():
    grid = make_grid(50.0, 50.0, SCALE, 12.0, 12.0)
    image = sersic(grid, 3.0, 1.0, 0.3, 45.0, 12.0)
    # North is up and east is left: the major axis runs from the upper left to the lower right.
    assert (image * grid.east * grid.north).sum() > 0
    assert grid.east[0, 0] > grid.east[0, -1]
    assert grid.north[0, 0] < grid.north[-1, 0]


def test_spirals_are_bluer_outside(rows):
    for row in picked(rows, "loose_spiral", "barred_spiral"):
        stamp = drawn(row)
        y, x = np.indices(stamp.planes[0].shape)
        r = np.hypot(x + stamp.x0 - 100.3, y + stamp.y0 - 99.8) * SCALE / row["half_light_radius"]
        inner, outer = (stamp.planes[0][where].sum() / stamp.planes[2][where].sum() for where in (r < 0.15, r > 0.8))
        assert outer > 1.2 * inner


def test_edge_on_galaxies_are_thin(rows):
    for row in picked(rows, "edge_on_no_bulge"):
        stamp = drawn(row)
        y, x = np.indices(stamp.planes[1].shape)
        weights = stamp.planes[1] / stamp.planes[1].sum()
        dx, dy = x + stamp.x0 - 100.3, y + stamp.y0 - 99.8
        dx, dy = dx - (weights * dx).sum(), dy - (weights * dy).sum()
        second = [[(weights * a * b).sum() for a in (dx, dy)] for b in (dx, dy)]
        small, large = np.linalg.eigvalsh(second)
        assert np.sqrt(small / large) < 0.3


def test_pairs_have_their_centroid_at_their_position(rows):
    for row in picked(rows, "merging"):
        first, second = np.array(nuclei(row))
        assert first + row["companion_ratio"] * second == pytest.approx(0, abs=1e-9)
        assert np.hypot(*(second - first)) == pytest.approx(row["companion_distance"])


def test_lens_arcs_lie_near_the_einstein_radius(rows):
    for row in picked(rows, "lens"):
        theta = row["einstein_radius"]
        grid = make_grid(100.0, 100.0, 0.05, 2.1 * theta, 2.1 * theta)
        light = lensed_source(grid.east, grid.north, row, np.random.default_rng(3))
        r = np.hypot(grid.east, grid.north)
        mean = (light * r).sum() / light.sum()
        assert mean == pytest.approx(theta, rel=0.25)
        # Nothing is imaged far inside or outside the critical curve.
        assert light[(r < 0.3 * theta) | (r > 1.9 * theta)].sum() < 0.02 * light.sum()


def test_a_lens_without_offset_is_a_ring(rows):
    row = {**picked(rows, "lens")[0], "source_offset": 0.0, "axis_ratio": 1.0}
    grid = make_grid(100.0, 100.0, 0.05, 2.1 * row["einstein_radius"], 2.1 * row["einstein_radius"])
    light = lensed_source(grid.east, grid.north, row, _NoShear())
    angle = np.degrees(np.arctan2(grid.north, grid.east)) // 45
    octants = [light[angle == k].sum() for k in range(-4, 4)]
    assert min(octants) == pytest.approx(max(octants), rel=0.05)


class _NoShear(np.random.Generator):
    """A generator that gives no shear, a round source and no knots."""

    def __init__(self):
        super().__init__(np.random.PCG64(1))

    def normal(self, *arguments, **settings):
        return 0.0

    def integers(self, *arguments, **settings):
        return 0

    def uniform(self, low=0.0, high=1.0, size=None):
        return high
