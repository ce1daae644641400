import json
import math
import pickle
from pathlib import Path

import pytest
import tomli_w

from galmorph.errors import SurveyError
from galmorph.surveys import load_survey, survey_names
from galmorph.surveys.layout import name_expression

GENERIC = {"bands": "g,r,z"}
PROFILE = """
name = "mine"
title = "My survey"
bands = ["u", "g"]
zero_point = { u = 25.0, g = 26.0 }
seeing = 0.9
[[layouts]]
name = "files"
[layouts.image]
file = "{field}_{band}.fits"
"""


def load(name):
    return load_survey(name, GENERIC if name == "generic" else None)


@pytest.fixture
def profile(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_built_in_surveys_are_those_promised():
    assert survey_names() == [
        "des", "euclid", "generic", "hsc", "kids", "legacysurvey", "mock-decals", "mock-lsst-y1", "mock-lsst-y10",
        "mock-sdss", "panstarrs", "rubin", "sdss", "sdss-stripe82",
    ]  # fmt: skip


@pytest.mark.parametrize("name", survey_names())
def test_every_built_in_profile_loads_and_becomes_plain_data(name):
    survey = load(name)
    assert survey.name == name
    assert set(survey.seeing) == set(survey.bands)
    assert set(survey.zero_point) == (set() if survey.zero_point_keyword else set(survey.bands))
    plain = survey.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert tomli_w.dumps(plain)
    assert pickle.loads(pickle.dumps(survey)) == survey  # noqa: S301 - workers get surveys in this way


@pytest.mark.parametrize("name", [name for name in survey_names() if name.startswith("mock-")])
def test_depth_seeing_sky_and_gain_of_a_mock_agree(name):
    survey = load_survey(name)
    for band in survey.bands:
        zero_point, mock = survey.zero_point[band], survey.mock
        sigma = survey.seeing[band] / math.sqrt(8 * math.log(2)) / survey.pixel_scale
        noise = math.sqrt(10 ** (-0.4 * (mock["sky"][band] - zero_point)) * survey.pixel_scale**2 / mock["gain"][band])
        # Variance of an optimally weighted Gaussian point source: 4 pi sigma^2 pixels of noise.
        limit = 5 * noise * math.sqrt(4 * math.pi) * sigma
        assert zero_point - 2.5 * math.log10(limit) == pytest.approx(mock["depth"][band], abs=0.01)


def test_ten_years_are_deeper_than_one_by_the_square_root_of_ten():
    one, ten = load_survey("mock-lsst-y1"), load_survey("mock-lsst-y10")
    for band in one.bands:
        assert 10 ** (0.4 * (ten.mock["depth"][band] - one.mock["depth"][band])) == pytest.approx(
            math.sqrt(10), rel=1e-3
        )
        assert ten.mock["exposure"][band] == 10 * one.mock["exposure"][band]


def test_own_profile_is_loaded_by_path(profile):
    survey = load_survey(profile(PROFILE))
    assert survey.zero_point == {"u": 25.0, "g": 26.0}
    assert survey.seeing == {"u": 0.9, "g": 0.9}
    assert survey.detection_bands == ("u", "g")
    assert survey.pixel_scale is None
    assert survey.layouts[0].tile == "{field}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "My survey"', "", "lacks the key 'title'"),
        ("seeing = 0.9", "seing = 0.9", "lacks the key 'seeing'"),
        ("seeing = 0.9", "seeing = 0.9\npixelscale = 0.2", "unknown key 'pixelscale'; did you mean 'pixel_scale'"),
        ("seeing = 0.9", "seeing = -1", "seeing has to be a positive number"),
        ("seeing = 0.9", "seeing = 0.9\npixel_scale = 0", "pixel_scale has to be a positive number"),
        ("seeing = 0.9", 'seeing = 0.9\ndetection_bands = ["r"]', "the survey's own bands, u, g"),
        ('["u", "g"]', "[]", "bands has to be a list"),
        ('["u", "g"]', '["g", "G"]', "differ in more than capitals"),
        ('["u", "g"]', '["u", "u"]', "without repetitions"),
        ('["u", "g"]', '["u/", "g"]', "letters, digits and underscores"),
        ("{ u = 25.0, g = 26.0 }", "{ u = 25.0 }", "one for each of the bands u, g"),
        ("zero_point = { u = 25.0, g = 26.0 }", "", "has to give zero_point"),
        ("{field}_{band}.fits", "{field}.fits", "nothing tells the bands apart"),
        ('"{field}_{band}.fits"', '"{field}_{band}.fits"\nhdu = -1', "the name of an HDU or its index"),
        ('"{field}_{band}.fits"', '"{field}_{band}.fits"\nhdu = true', "the name of an HDU or its index"),
        ('"{field}_{band}.fits"', '"{field}_{band}.fits"\nnative_pixels = true', "native_pixels needs pixel_scale"),
        ("{field}_{band}.fits", "{field_{band}.fits", "braces that pair"),
        ("{field}_{band}.fits", "{0}_{band}.fits", "single words in braces"),
        ('name = "files"', 'name = "files"\ntile = "{tile}"', "unknown field 'tile'"),
        ('name = "files"', 'name = "files"\nmask = { }', "would be the image itself"),
        ('name = "files"', 'name = "files"\nmask = { hdu = 1, bad = [64] }', "bit numbers from 0 to 63"),
        ('name = "files"', 'name = "files"\nweight = { hdu = 1, kind = "ivar" }', "did you mean 'invvar'"),
        ('name = "files"', 'name = "files"\nweight = { file = "{other}.fits" }', "unknown field 'other'"),
        ('name = "files"', 'name = "files"\nalign = 1', "align has to be true or false"),
        (
            'name = "files"',
            'name = "files"\nalign = true\nmask = { file = "{field}.fits" }',
            "align goes without a mask for all",
        ),
        ('name = "files"', 'name = "files"\nmask = { hdu = 1, bad = { alll = [0] } }', "each of the bands u, g"),
        ('name = "files"', 'name = "files"\nmask = { hdu = 1, bad = [] }', "bits that spoil a pixel, at least one"),
        ('name = "files"', 'name = "files"\nmask = { hdu = 1, bad = { } }', "bits that spoil a pixel, at least one"),
        ('name = "files"', 'name = "files"\nband_names = 3', "band_names has to be a table"),
        ('name = "files"', 'name = "files"\nband_names = { U = "x" }', "names of the bands u, g"),
        ('name = "files"', 'name = "files"\nband_names = { u = "g" }', "another name for each band"),
        ('name = "files"', 'name = "files"\nfolders = ["../{night}"]', "unknown field 'night'"),
        (
            'name = "files"',
            'name = "files"\nmask = { hdu = 1, bad = ["no data"] }',
            "bit numbers from 0 to 63 or of names",
        ),
        ("seeing = 0.9", 'seeing = 0.9\nall_bands = ["u", "r"]', "the survey has no band 'g'; known: u, r"),
        ("seeing = 0.9", 'seeing = 0.9\ncounts_keyword = "A"\nzero_point_keyword = "B"', "counts_keyword goes with"),
        ('name = "files"', "name = 3", "name has to be a text"),
        ('[[layouts]]\nname = "files"\n', "[layouts]\n", "each headed by [[layouts]]"),
        (
            'name = "files"',
            'name = "files"\nweight = { file = "weight_{band}.fits" }',
            "'weight_{band}.fits' has to have the fields of '{field}_{band}.fits'",
        ),
        (
            '[[layouts]]\nname = "files"',
            '[[layouts]]\nname = "files"\nimage = { file = "{field}_{band}.fz" }\n[[layouts]]\nname = "files"',
            "two layouts have one name (files, files)",
        ),
        ('name = "files"', 'name = "files"\nweight = 3', "has to be a table"),
        ('title = "My survey"', "title = ", "not valid TOML"),
    ],
)
def test_wrong_profiles_are_refused_with_the_key_and_what_it_should_be(profile, old, new, message):
    assert old in PROFILE
    with pytest.raises(SurveyError) as caught:
        load_survey(profile(PROFILE.replace(old, new)))
    assert message in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_unknown_names_get_the_closest_known_one(tmp_path):
    with pytest.raises(SurveyError, match="did you mean 'legacysurvey'"):
        load_survey("legacy-survey")
    with pytest.raises(SurveyError, match="does not exist"):
        load_survey(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SurveyError, match=r"folder\.toml cannot be read: Is a directory"):
        load_survey(tmp_path / "folder.toml")


def test_options_come_as_text_and_set_the_chosen_layout_only():
    survey = load_survey(
        "generic",
        {
            "bands": "VIS, NIR_Y",
            "layout": "extensions",
            "image_hdu": "{band}_FLUX",
            "weight_hdu": "{band}_RMS",
            "weight_kind": "rms",
            "mask": "{tile}_mask.fits",
            "mask_bits": "0,3",
            "zero_point": "VIS=24.6,NIR_Y=29.8",
            "seeing": "0.2",
            "no_data": "0",
        },
    )
    (layout,) = survey.layouts
    assert survey.bands == ("VIS", "NIR_Y")
    assert survey.zero_point == {"VIS": 24.6, "NIR_Y": 29.8}
    assert survey.seeing == {"VIS": 0.2, "NIR_Y": 0.2}
    assert (layout.image.hdu, layout.image.no_data) == ("{band}_FLUX", 0.0)
    assert (layout.weight.hdu, layout.weight.kind) == ("{band}_RMS", "rms")
    assert (layout.mask.file, layout.mask.bad) == ("{tile}_mask.fits", dict.fromkeys(layout.mask.bad, (0, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs the option 'bands'"),
        (GENERIC | {"maks": "x"}, "no option 'maks'; did you mean 'mask'"),
        (GENERIC | {"layout": "cubes"}, "did you mean 'cube'"),
        (GENERIC | {"image_hdu": "{bond}"}, "did you mean 'band'"),
        (GENERIC | {"image_hdu": "-1"}, "hdu has to be"),
        (GENERIC | {"seeing": "good"}, "seeing has to be a positive number"),
        (GENERIC | {"zero_point": "g=1,r=2"}, "one for each of the bands g, r, z"),
        (GENERIC | {"zero_point": "inf"}, "zero_point has to be a number"),
        (GENERIC | {"mask": "{tile}.fits", "mask_bits": "64"}, "bit numbers"),
        (GENERIC | {"layout": "cube", "planes": "g,r"}, "z is not in it"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(SurveyError) as caught:
        load_survey("generic", options)
    assert message in str(caught.value)


def test_a_profile_can_be_looked_at_without_its_required_options():
    assert "bands" in {option.name for option in load_survey("generic", complete=False).options}


def test_surveys_without_options_take_none():
    with pytest.raises(SurveyError, match="has no option 'bands'"):
        load_survey("mock-sdss", GENERIC)


@pytest.mark.parametrize("name", [name for name in survey_names() if "mock" not in name and name != "generic"])
def test_bands_of_a_public_survey_can_be_chosen_and_reordered(name):
    bands = load_survey(name).bands
    chosen = load_survey(name, {"bands": ",".join(bands[::-1])})
    assert chosen.bands == chosen.detection_bands == bands[::-1]
    assert chosen.seeing == load_survey(name).seeing
    with pytest.raises(SurveyError, match="the survey has no band 'q'; known: "):
        load_survey(name, {"bands": "q"})


def test_bits_of_the_bands_in_use_count():
    three, four = load_survey("legacysurvey"), load_survey("legacysurvey", {"bands": "g,r,i,z"})
    assert three.layouts[0].mask.bad == {"g": (1, 5), "r": (1, 6), "z": (1, 7)}
    assert four.layouts[0].mask.bad == {"g": (1, 5), "r": (1, 6), "i": (1, 15), "z": (1, 7)}
    assert four.layouts[0].mask.saturated == {"g": (2,), "r": (3,), "i": (14,), "z": (4,)}


def test_every_generic_option_changes_the_survey():
    plain = load("generic").to_dict()
    examples = {
        "detection_bands": "r", "layout": "cube", "image": "{night}_{band}.fits", "image_hdu": "2", "planes": "z,r,g",
        "planes_keyword": "FILTERS", "no_data": "0", "weight": "{tile}_{band}_w.fits", "weight_hdu": "1",
        "weight_kind": "rms", "mask": "{tile}_m.fits", "mask_hdu": "1", "mask_bits": "1", "saturated_bits": "2",
        "pixel_scale": "0.2", "zero_point": "30", "zero_point_keyword": "MAGZERO", "seeing": "0.7",
    }  # fmt: skip
    assert set(examples) | {"bands"} == {option["name"] for option in plain["options"]}
    needs = {"weight_kind": {"weight_hdu": "1"}, "mask_bits": {"mask_hdu": "1"}, "saturated_bits": {"mask_hdu": "1"}}
    for name, value in examples.items():
        before = load_survey("generic", GENERIC | needs.get(name, {})).to_dict()
        assert load_survey("generic", GENERIC | needs.get(name, {}) | {name: value}).to_dict() != before, name


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("{field}_{field}_{band}.fits", "a_a_g.fits", {"field": "a", "band": "g"}),
        ("{field}_{field}_{band}.fits", "a_b_g.fits", None),
        ("{night:d}-{band}.fits", "0042-r.fits", {"night": "0042", "band": "r"}),
        ("{night:d}-{band}.fits", "today-r.fits", None),
        ("{field}-{band}.fits", "a-z.fits", None),
        ("{field}-{band}.fits", "a-gxfits", None),
        ("{field}-*-{band}.fits", "a-any-thing-g.fits", {"field": "a-any", "band": "g"}),
    ],
)
def test_names_match_patterns_field_by_field(pattern, name, fields):
    found = name_expression(pattern, ("g", "r")).fullmatch(name)
    assert (found and found.groupdict()) == fields
