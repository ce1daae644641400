import hashlib
import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from galmorph.cutout_set import read_cutout_set
from galmorph.cutouts import Framing
from galmorph.errors import ConfigError
from galmorph.mocks import MockConfig, make_mock
from galmorph.mocks.demo_survey import DEMO_SEED
from galmorph.mocks.gallery import GALLERY_SEED
from galmorph.mocks.sky import tile_grid
from galmorph.surveys import find_tiles, load_survey
from galmorph.taxonomy import map_labels
from galmorph.tiles import read_tile


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def labelled(truth):
    return truth[truth["label"] != ""]


def test_same_seed_same_bytes_for_any_number_of_workers(mock, tmp_path, decals, small_sky):
    # More than a second later than the first: no time may be written into a file.
    again = make_mock(tmp_path / "again", decals, 2, 1500, config=small_sky, workers=2)
    assert digests(again.path) == digests(mock.path)
    assert len(digests(mock.path)) == 2 * 3 + 1 + 3 + 1


def test_another_seed_is_another_sky(mock, tmp_path, decals, small_sky):
    other = make_mock(tmp_path, decals, 1, 1501, config=small_sky)
    assert not set(other.truth["mag_r"]) & set(mock.truth["mag_r"])
    assert not set(other.tiles) & set(mock.tiles)


def test_every_seed_has_a_place_of_its_own():
    seeds = [*range(3001), DEMO_SEED, GALLERY_SEED]
    places = {seed: tile_grid(1, seed, MockConfig())[0] for seed in seeds}
    assert len({tile.name for tile in places.values()}) == 3001
    dec = np.array([tile.dec for tile in places.values()])
    ra = np.array([tile.ra for tile in places.values()])
    assert (np.abs(dec) < 60).all()
    # Two degrees apart, whether in right ascension or in declination.
    for at in np.unique(dec):
        around = np.sort(ra[dec == at])
        assert np.diff(around).min() == pytest.approx(2.0)
    assert np.diff(np.unique(dec)).min() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("seed", "name"),
    [
        (1, "152000p02500"),
        (20, "190000p02500"),
        (179, "148000p02500"),
        (180, "150000p04500"),
        (200, "190000p04500"),
        (180 * 29, "150000m53500"),
    ],
)
def test_places_of_seeds(seed, name):
    assert tile_grid(1, seed, MockConfig())[0].name == name


def test_a_mock_may_lie_elsewhere():
    first, second = tile_grid(2, 1, MockConfig(centre=(361.0, -40.0)))
    assert (first.name, first.dec) == ("001000m40000", second.dec)
    with pytest.raises(ConfigError, match=r"within 80\.0 degrees, got 85"):
        MockConfig(centre=(0.0, 85.0))


def test_two_depths_see_the_same_objects_with_other_noise(tmp_path):
    config = MockConfig(tile_side=60.0)
    years = [
        make_mock(tmp_path / name, load_survey(name), 1, 1502, config=config)
        for name in ("mock-lsst-y1", "mock-lsst-y10")
    ]
    columns = ["object_id", "ra", "dec", "fine_class", "mag_g", "mag_r", "mag_i", "half_light_radius"]
    pd.testing.assert_frame_equal(years[0].truth[columns], years[1].truth[columns])
    one, ten = (fits.getdata(result.path / "tiles" / f"{result.tiles[0]}-r.fits.fz", "IMAGE") for result in years)
    assert np.std(one[:40, :40]) > 1.5 * np.std(ten[:40, :40])
    quiet = np.abs(ten) < 3 * np.median(np.abs(ten))
    assert abs(np.corrcoef(np.diff(one)[quiet[:, 1:]], np.diff(ten)[quiet[:, 1:]])[0, 1]) < 0.2


def test_tiles_read_with_the_profile(mock, decals):
    sources, rejected = find_tiles([mock.path / "tiles"], decals)
    assert [source.name for source in sources] == sorted(mock.tiles)
    assert rejected == []
    tile = read_tile(sources[0], decals)
    assert tile.warnings == ()
    assert tile.pixel_scale == pytest.approx(0.262)
    assert tile.image.shape == (3, 458, 458)


def test_an_object_in_the_overlap_is_one_row_that_names_both_tiles(mock):
    assert mock.truth["object_id"].is_unique
    both = mock.truth[mock.truth["tiles"] == ",".join(mock.tiles)]
    assert len(both) > 5
    first, second = (tile_of(mock, name) for name in mock.tiles)
    for wcs, shape in (first, second):
        x, y = wcs.world_to_pixel_values(both["ra"], both["dec"])
        assert (x > -0.5).all()
        assert (x < shape[1] - 0.5).all()
        assert (y > -0.5).all()


def tile_of(mock, name):
    header = fits.getheader(mock.path / "tiles" / f"{name}-r.fits.fz", "IMAGE")
    return WCS(header), (header["NAXIS2"], header["NAXIS1"])


def test_cutouts_are_those_of_the_truth(mock, decals):
    cutouts = read_cutout_set(mock.path / "cutouts")
    assert cutouts.images.shape == (len(cutouts.labels), 3, 64, 64)
    rows = cutouts.labels.merge(mock.truth, on="object_id", suffixes=("", "_truth"), validate="one_to_one")
    assert rows["label"].tolist() == rows["label_truth"].tolist()
    assert rows["label"].tolist() == map_labels(rows["fine_class"], "shape")
    assert (rows["tile"] == rows["tile_truth"]).all()
    assert "" not in set(rows["label"])
    assert sorted(rows["object_id"]) == sorted(labelled(mock.truth).query("detected")["object_id"])
    # Every object shines in the middle of its own cutout.
    middle = cutouts.images[:, 1, 24:40, 24:40].mean(axis=(1, 2))
    border = np.median(cutouts.images[:, 1, :4], axis=(1, 2))
    assert (middle > border).mean() > 0.97
    assert cutouts.meta["bands"] == list(decals.bands)
    assert sum(cutouts.meta["counts"].values()) == len(cutouts.labels)


def test_what_is_not_detected_is_recorded(mock, tmp_path):
    assert mock.truth["detected"].dtype == bool
    assert labelled(mock.truth)["detected"].mean() > 0.85
    # A survey too shallow to see anything: every object stays in the truth, none is cut out.
    survey = load_survey("mock-sdss")
    shallow = replace(survey, mock={**survey.mock, "sky": {"g": 8.0, "r": 8.0, "i": 8.0}})
    blind = make_mock(tmp_path, shallow, 1, 1503, config=MockConfig(tile_side=60.0))
    assert len(labelled(blind.truth)) > 0
    assert not blind.truth["detected"].any()
    assert read_cutout_set(tmp_path / "cutouts").images.shape == (0, 3, 64, 64)


def test_the_configuration_is_kept(mock, small_sky):
    settings = tomllib.loads((mock.path / "mock.toml").read_text())
    assert settings["seed"] == 1500
    assert MockConfig(**settings["sky"]) == small_sky
    assert settings["survey"]["name"] == "mock-decals"
    assert settings["detection"]["threshold"] > 0


def test_framing_decides_the_cutouts(tmp_path, decals):
    framing = Framing(size=20, mode="angle", angle=15.0)
    make_mock(tmp_path, decals, 1, 1504, config=MockConfig(tile_side=60.0), framing=framing)
    cutouts = read_cutout_set(tmp_path / "cutouts")
    assert cutouts.images.shape[1:] == (3, 20, 20)
    assert (cutouts.labels["side_arcsec"] == 15.0).all()


def test_tiles_of_two_mocks_do_not_mix(decals, tmp_path):
    config = MockConfig(tile_side=60.0)
    make_mock(tmp_path, decals, 1, 1505, config=config)
    first = sorted((tmp_path / "tiles").iterdir())
    with pytest.raises(ConfigError, match=f"3 files that are not of this mock, the first is {first[0].name}"):
        make_mock(tmp_path, decals, 1, 1506, config=config)
    assert sorted((tmp_path / "tiles").iterdir()) == first
    make_mock(tmp_path, decals, 1, 1505, config=config)


def test_the_summary_says_what_was_made(mock):
    text = str(mock)
    assert "2 tiles" in text
    assert f"{len(labelled(mock.truth))} labelled objects" in text


@pytest.mark.parametrize("name", ["sdss", "legacysurvey"])
def test_a_real_survey_cannot_be_mocked(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\[mock\].*mock-decals, mock-lsst-y1, mock-lsst-y10, mock-sdss"):
        make_mock(tmp_path / "out", load_survey(name), 1, 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"tiles": 0}, {"seed": -1}, {"workers": 0}, {"quantise": 0.1}])
def test_impossible_numbers_are_refused(tmp_path, decals, wrong):
    with pytest.raises(ConfigError, match="at least one tile"):
        make_mock(tmp_path, decals, **{"tiles": 1, "seed": 1, **wrong})
