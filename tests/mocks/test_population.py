import numpy as np
import pytest

from galmorph.errors import ConfigError
from galmorph.mocks.colours import BANDS, mixed_colours, old_colours, star_colours
from galmorph.mocks.config import DEFAULT_MIX, MockConfig
from galmorph.mocks.population import BACKGROUND, class_counts, draw_population
from galmorph.taxonomy import MOCK_CLASSES


@pytest.fixture(scope="module")
def population():
    return draw_population(4000, 1000, MockConfig(), np.random.default_rng(1))


def test_default_mix_has_every_class_and_sums_to_one():
    assert set(DEFAULT_MIX) == set(MOCK_CLASSES)
    assert sum(DEFAULT_MIX.values()) == pytest.approx(1)


def test_numbers_follow_the_mix(population):
    counts = population["fine_class"].value_counts()
    assert counts[BACKGROUND] == 1000
    for name, share in DEFAULT_MIX.items():
        assert abs(counts[name] - 4000 * share) <= 1


def test_class_counts_by_hand():
    assert class_counts({"star": 1, "lens": 1, "merging": 2}, 5) == {"star": 1, "lens": 1, "merging": 3}
    assert class_counts({"star": 2, "lens": 0}, 3) == {"star": 3}


def test_bright_galaxies_have_euclidean_counts(population):
    mag = population.loc[population["fine_class"].str.contains("spiral|smooth|edge"), "mag_r"]
    assert mag.between(14.5, 17.77).all()
    # N(< m) grows as 10 ** (0.6 m): a magnitude above the limit, 1 in 4 remain.
    expected = (10 ** (0.6 * 16.77) - 10 ** (0.6 * 14.5)) / (10 ** (0.6 * 17.77) - 10 ** (0.6 * 14.5))
    assert (mag < 16.77).mean() == pytest.approx(expected, abs=0.03)


def test_brighter_galaxies_are_larger(population):
    rows = population[population["fine_class"] == "round_smooth"]
    slope, _ = np.polyfit(rows["mag_r"], np.log10(rows["half_light_radius"]), 1)
    assert slope == pytest.approx(-0.17, abs=0.04)


def test_ellipticals_are_redder_than_spirals_and_deflectors_redder_still(population):
    colour = (population["mag_g"] - population["mag_r"]).groupby(population["fine_class"]).median()
    assert colour["loose_spiral"] < 0.65 < 0.8 < colour["round_smooth"]
    redshift = population.loc[population["fine_class"] == "lens", "redshift"].to_numpy()
    deflector = old_colours(redshift)[:, BANDS.index("g")]
    assert np.median(deflector) > 1.3
    # The light of the arcs makes the whole bluer than the deflector.
    assert colour["lens"] < np.median(deflector)


@pytest.mark.parametrize(
    ("name", "column", "low", "high"),
    [
        ("tight_spiral", "pitch_angle", 9, 15),
        ("loose_spiral", "pitch_angle", 20, 34),
        ("round_smooth", "axis_ratio", 0.8, 1.0),
        ("cigar_smooth", "axis_ratio", 0.3, 0.5),
        ("edge_on_no_bulge", "bulge_fraction", 0, 0),
        ("edge_on_bulge", "bulge_fraction", 0.2, 0.45),
        ("lens", "einstein_radius", 1.5, 3.5),
    ],
)
def test_parameters_make_the_class(population, name, column, low, high):
    values = population.loc[population["fine_class"] == name, column]
    assert values.between(low, high).all()
    assert np.ptp(values) >= 0.7 * (high - low)


def test_only_barred_spirals_have_bars(population):
    assert set(population.loc[population["bar_length"].notna(), "fine_class"]) == {"barred_spiral"}


def test_mixture_of_colours_lies_between_its_parts():
    colours = mixed_colours(np.array([0.0, 0.5, 1.0]), np.zeros(3))
    green = BANDS.index("g")
    assert colours[2, green] < colours[1, green] < colours[0, green]
    # Half of the r light each: the g fluxes add.
    flux = 10 ** (-0.4 * colours[:, green])
    assert flux[1] == pytest.approx((flux[0] + flux[2]) / 2)


def test_star_colours_in_r_are_zero():
    assert star_colours(np.array([0.3, 1.3]))[:, BANDS.index("r")].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tile_side": 10.0}, "tile_side"),
        ({"overlap": 0.6}, "overlap"),
        ({"density": 0.0}, "densities"),
        ({"bright_limit": 19.0}, "bright_limit"),
        ({"class_mix": {"quasar": 1.0}}, "quasar"),
        ({"class_mix": {"star": 0.0}}, "class_mix"),
        ({"saturation": 40.0}, "saturation"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        MockConfig(**settings)
