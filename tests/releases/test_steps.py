"""What steps of a release depend on: a change that concerns a step is seen by it, and another one is not."""

import dataclasses

import numpy as np
import pytest
from make_bundle import files, manifest
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.bundle import write_bundle
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.releases.description import parse_release
from galmorph.releases.journal import Entry, Journal
from galmorph.releases.steps.gather import GATHER
from galmorph.releases.steps.work import Work


def make_source(folder, seed):
    """A set that tells where its objects are."""
    made = read_cutout_set(make_cutouts(folder, each=2, seed=seed))
    labels = made.labels.assign(ra=np.arange(8.0), dec=0.0)
    write_cutout_set(folder, np.array(made.images), labels, made.meta)
    return read_cutout_set(folder)


@pytest.fixture
def place(tmp_path):
    """A model of a set, recipes, another set, and a table of labels."""
    source = make_source(tmp_path / "source", 0)
    make_source(tmp_path / "other", 1)
    write_bundle(tmp_path / "model", manifest(["g", "r", "z"], training={"data": source.digests()}), files(3, 16, 4))
    for name, path, epochs in (("recipe", "source", 2), ("longer", "source", 3), ("elsewhere", "other", 2)):
        (tmp_path / f"{name}.toml").write_text(tiny_recipe(tmp_path / path, fit={"epochs": epochs}).to_toml())
    (tmp_path / "labels.csv").write_text("object_id,ra,dec,label,who,when\n")
    return tmp_path


def release_of(place, **changes):
    values = {
        "name": "two",
        "model": "model",
        "tiles": {"inputs": ["tiles"], "survey": "mock-decals"},
        "gather": {"labels": ["labels.csv"]},
        "adapt": {"recipe": "recipe.toml", "start": "scratch"},
        "register": {"name": "blobs"},
    }
    return parse_release(values | changes, folder=place)


def key_of_gather(place, release, *, notice="n", verdict="retrain"):
    work = Work(release, Journal(place / "out"))
    for step, key, facts in (
        ("begin", "b", {"folder": str(place / "model"), "sha256": "b"}),
        ("notice", notice, {"verdict": verdict, "folder": "drift"}),
    ):
        work.done[step] = Entry(step, key, facts, "", 0.0)
    return Journal.key("gather", GATHER.depends(work))


def test_gathering_is_done_anew_with_what_it_builds_on(place):
    release = release_of(place)
    keys = [
        key_of_gather(place, release),
        key_of_gather(place, release, notice="of other tiles"),
        key_of_gather(place, release_of(place, old_catalog="old")),
        key_of_gather(place, release_of(place, adapt={"recipe": "elsewhere.toml", "start": "scratch"})),
        key_of_gather(place, release_of(place, gather={"labels": ["labels.csv"], "images": 3})),
    ]
    (place / "labels.csv").write_text("object_id,ra,dec,label,who,when\n1,2,3,spiral,ann,2026-01-01\n")
    keys.append(key_of_gather(place, release))
    assert len(set(keys)) == len(keys)


def test_gathering_does_not_depend_on_how_the_training_goes(place):
    longer = release_of(place, adapt={"recipe": "longer.toml", "start": "scratch", "minutes": 5.0})
    assert key_of_gather(place, longer) == key_of_gather(place, release_of(place))


def test_cutouts_that_are_there_are_known_by_what_they_hold(place):
    release = release_of(place, gather={"cutouts": "other"})
    before = key_of_gather(place, release)
    assert key_of_gather(place, dataclasses.replace(release, old_catalog=place / "old"), notice="other") == before
    make_source(place / "other", 2)
    assert key_of_gather(place, release) != before


def test_where_nothing_is_gathered_nothing_is_read(place):
    release = release_of(place, gather={"cutouts": "not there"})
    keys = {key_of_gather(place, release, notice=notice, verdict="as before") for notice in "ab"}
    assert len(keys) == 2
