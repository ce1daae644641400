"""Bands of a target in another order than the source's."""

import logging
from pathlib import Path

import numpy as np
import pytest
from make_recipe import tiny_recipe

from galmorph.band_order import light_shares, likely_order
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.training.band_order import band_shares, tell_order
from galmorph.training.domains import read_domains
from galmorph.training.fit import train
from galmorph.training.pictures import list_pictures, read_pictures

RED = (1.0, 2.0, 4.0)


def objects(light, n=60, seed=0, sky=0.0, size=24):
    """Round objects that give each band its light, of which colour and brightness vary, on a sky."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    shape = np.exp(-(x**2 + y**2) / 18)
    colour = np.array(light) * random.normal(1, 0.1, (n, len(light)))
    images = (random.uniform(5, 50, n)[:, None] * colour)[..., None, None] * shape
    return (images + sky + random.normal(0, 0.1, images.shape)).astype(np.float32)


def shares(images):
    return band_shares(images, np.arange(len(images)))


def test_shares_are_of_the_light_above_the_sky():
    found = shares(objects(RED, sky=100.0))
    assert found.shape == (30, 3)  # the brighter half
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert found.mean(axis=0) == pytest.approx(np.array(RED) / 7, abs=0.02)


def test_what_is_not_finite_or_has_no_light_is_left_out():
    light = np.array([[1.0, 3.0], [np.nan, 1.0], [np.inf, 1.0], [-2.0, -2.0], [5.0, 5.0], [0.0, 0.0]])
    assert light_shares(light).tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert light_shares(light[1:3]).shape == (0, 2)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]])
def test_the_order_is_found_that_was_made(order):
    target = objects(RED, seed=1)[:, order]
    # Band `order[k]` of the source stands at place k of the target.
    expected = None if order == [0, 1, 2] else np.argsort(order).tolist()
    assert likely_order(shares(objects(RED)), shares(target)) == expected


def test_other_colours_in_the_same_order_are_no_other_order():
    source = shares(objects(RED))
    for light in ((1.0, 1.5, 2.0), (1.0, 4.0, 12.0), (1.0, 1.0, 1.0), (3.0, 3.2, 3.4), (1.0, 3.0, 2.8)):
        assert likely_order(source, shares(objects(light, seed=2))) is None


def test_a_paler_survey_shows_its_order_too():
    source, paler = shares(objects(RED)), shares(objects((3.0, 3.2, 3.4), seed=2)[:, ::-1])
    assert likely_order(source, paler) == [2, 1, 0]


def test_bands_that_look_alike_are_not_told_apart():
    source, exchanged = objects((1.0, 1.0, 1.02)), objects((1.0, 1.0, 1.02), seed=3)[:, ::-1]
    assert likely_order(shares(source), shares(exchanged)) is None


@pytest.mark.parametrize("images", [objects(RED, n=12), objects(RED)[:0], np.zeros((60, 3, 24, 24), np.float32)])
def test_few_objects_or_no_light_tell_nothing(images):
    assert likely_order(shares(objects(RED)), shares(images[:, ::-1])) is None


def test_one_band_has_one_order():
    assert likely_order(shares(objects((1.0,))), shares(objects((1.0,), seed=1))) is None


def test_the_warning_names_the_bands(caplog):
    with caplog.at_level(logging.WARNING):
        tell_order(Path("there"), ["g", "r", "z"], [2, 1, 0])
        tell_order(Path("elsewhere"), [], [1, 0, 2])
    first, second = caplog.messages
    assert first.startswith("there: ")
    assert "z like g, g like z of the source" in first
    assert "band 1 like band 0, band 0 like band 1" in second


@pytest.fixture(scope="session")
def targets(cutouts, tmp_path_factory):
    """The cutouts a pixel further on, as they are and with the outer bands exchanged."""
    given, places = read_cutout_set(cutouts), {}
    labels = given.labels.assign(object_id="other " + given.labels["object_id"].astype(str))
    moved = np.roll(np.asarray(given.images), 1, axis=-1)  # an image may not be in both domains
    for name, order in (("same", [0, 1, 2]), ("exchanged", [2, 1, 0])):
        places[name] = tmp_path_factory.mktemp(name) / "set"
        write_cutout_set(places[name], moved[:, order], labels, given.meta)
    return places


def recipe_for(cutouts, target):
    method = {"name": "mmd", "warmup_epochs": 0, "ramp_epochs": 0}
    return tiny_recipe(cutouts, method=method, target={"path": str(target)}, fit={"epochs": 1})


def test_the_order_of_a_target_is_known_before_a_training(cutouts, targets):
    assert read_domains(recipe_for(cutouts, targets["same"])).order is None
    assert read_domains(recipe_for(cutouts, targets["exchanged"])).order == [2, 1, 0]
    assert read_domains(tiny_recipe(cutouts)).order is None


def test_a_training_says_so_before_it_begins(cutouts, targets, tmp_path, caplog):
    for name, target in targets.items():
        caplog.clear()
        train(recipe_for(cutouts, target), tmp_path / name, device="cpu", progress=False)
        told = [message for message in caplog.messages if "z like g, g like z of the source" in message]
        assert len(told) == (name == "exchanged")


@pytest.mark.real
def test_pictures_of_two_surveys_have_the_same_order(real_data):
    sdss, decals = (pictures(real_data / name / "images") for name in ("sdss_gz1", "decals_rings"))
    assert likely_order(shares(sdss), shares(decals)) is None
    assert likely_order(shares(decals), shares(sdss)) is None
    assert likely_order(shares(sdss), shares(decals[:, ::-1])) == [2, 1, 0]


def pictures(folder, n=120):
    """A few pictures of a folder, small, as bands."""
    files = list_pictures(folder)
    images, *_ = read_pictures(files[:: len(files) // n], None, table="target", size=64, faults="skip")
    return images
