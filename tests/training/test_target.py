import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from PIL import Image

from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.errors import ConfigError, DataError
from galmorph.training.data import UNLABELLED, read_source
from galmorph.training.domains import read_domains
from galmorph.training.options import SplitOptions, Target
from galmorph.training.split import split_objects
from galmorph.training.target import FEWEST, read_target
from galmorph.training.watch import target_criteria


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return make_cutouts(tmp_path_factory.mktemp("target") / "set", each=12, seed=7)


def recipe_for(cutouts, target, **tables):
    return tiny_recipe(cutouts, target={"path": str(target)}, method={"name": "mmd"}, **tables)


def test_labels_are_not_read(cutouts, target):
    domains = read_domains(recipe_for(cutouts, target))
    assert set(domains.target.labels.tolist()) == {UNLABELLED}
    assert set(domains.target.names.tolist()) == {""}
    # A class that the recipe does not know is none of its business.
    assert len(domains.target.images) == 48


def test_parts_are_disjoint_and_without_the_test(cutouts, target):
    domains = read_domains(recipe_for(cutouts, target))
    assert set(domains.target_rows) == {"train", "validation"}
    assert not set(domains.target_rows["train"]) & set(domains.target_rows["validation"])


@pytest.mark.parametrize("stratified", [True, False])
def test_an_object_of_both_domains_is_in_the_same_part(cutouts, stratified):
    """The same galaxies through another camera."""
    domains = read_domains(recipe_for(cutouts, cutouts, split={"stratified": stratified}))
    for part in ("train", "validation"):
        ids = set(domains.source.object_ids[domains.rows[part]].tolist())
        assert ids <= set(domains.target.object_ids[domains.target_rows[part]].tolist())


@pytest.mark.parametrize("part", ["known", "private", "target"])
def test_what_is_measured_is_not_adapted_to_by_another_name(cutouts, target, tmp_path, part):
    domains = read_domains(recipe_for(cutouts, target))
    source, seen = domains.source, domains.target_rows["train"][0]
    parts = split_objects(source.object_ids, source.names, SplitOptions())
    private = np.flatnonzero((source.names == "lens") & (parts == "test"))[0]
    left = np.setdiff1d(np.arange(len(domains.target.images)), np.concatenate(list(domains.target_rows.values())))[0]
    images = np.array(domains.target.images)
    images[seen] = {
        "known": source.images[domains.rows["test"][0]],
        "private": source.images[private],
        "target": images[left],
    }[part]
    copied = read_cutout_set(target)
    write_cutout_set(tmp_path / "copied", images, copied.labels, copied.meta)
    name = domains.target.object_ids[seen]
    with pytest.raises(DataError, match=f"object {name} in the train part and object .* in the test part have"):
        read_domains(recipe_for(cutouts, tmp_path / "copied"))


def test_method_without_target(cutouts):
    with pytest.raises(ConfigError, match=r"'mmd' adapts to unlabelled images: give the recipe a table \[target\]"):
        read_domains(tiny_recipe(cutouts, method={"name": "mmd"}))


def test_source_only_does_not_read_the_target(cutouts, tmp_path):
    domains = read_domains(tiny_recipe(cutouts, target={"path": str(tmp_path / "none")}))
    assert domains.target is None


@pytest.mark.parametrize(("key", "value"), [("bands", ["r", "g", "z"]), ("framing", {"size": 24, "factor": 9.0})])
def test_images_made_otherwise_are_refused(cutouts, target, tmp_path, key, value):
    other = shutil.copytree(target, tmp_path / "other")
    facts = json.loads((other / "dataset.json").read_text())
    facts[key] = {**facts[key], **value} if isinstance(value, dict) else value
    (other / "dataset.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=f"have {key} .*Cut both alike"):
        read_domains(recipe_for(cutouts, other))


def test_images_of_another_size_are_refused(cutouts, tmp_path):
    other = make_cutouts(tmp_path / "other", each=12, size=16)
    with pytest.raises(DataError, match=r"\(3, 16, 16\), the source's \(3, 24, 24\)"):
        read_domains(recipe_for(cutouts, other))


def test_too_few(cutouts, tmp_path):
    other = make_cutouts(tmp_path / "other", each=1, seed=4)
    with pytest.raises(DataError, match="at least 3 are needed"):
        read_domains(recipe_for(cutouts, other, split={"train": 0.8, "validation": 0.1, "test": 0.1}))


def test_as_few_as_are_taken_give_every_criterion(cutouts):
    logits = torch.randn(FEWEST, 3, generator=torch.Generator().manual_seed(0))
    assert np.isfinite(list(target_criteria(logits, 0.5).values())).all()


def test_pictures_and_arrays(cutouts, tmp_path):
    source = read_source(tiny_recipe(cutouts).source)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"galaxy{number}.png")
    (tmp_path / "labels.csv").write_text("file,label\ngalaxy0.png,lens\n")
    folder = read_target(Target(path=tmp_path, kind="folder"), source)
    np.testing.assert_array_equal(folder.images, np.moveaxis(pixels, -1, 1))
    assert folder.object_ids.tolist() == ["galaxy0", "galaxy1", "galaxy2"]
    np.save(tmp_path / "images.npy", np.moveaxis(pixels, -1, 1))
    arrays = read_target(Target(path=tmp_path / "images.npy", kind="arrays"), source)
    np.testing.assert_array_equal(arrays.images, folder.images)
    assert arrays.images.dtype == np.float32


def test_faulty_pictures(cutouts, tmp_path, caplog):
    source = read_source(tiny_recipe(cutouts).source)
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"cannot read the image .*1\.png.*target\.faults = 'skip'"):
        read_target(Target(path=tmp_path, kind="folder"), source)
    target = read_target(Target(path=tmp_path, kind="folder", faults="skip"), source)
    assert target.object_ids.tolist() == ["0", "2"]
    assert [path.rpartition("/")[2] for path in target.rejects] == ["1.png"]
    assert "target: 1 of 3 images are left out" in caplog.text


def test_empty_folder(cutouts, tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        read_target(Target(path=tmp_path, kind="folder"), read_source(tiny_recipe(cutouts).source))


def test_changed_labels_change_nothing(cutouts, target, tmp_path):
    other = shutil.copytree(target, tmp_path / "other")
    table = pd.read_parquet(other / "labels.parquet")
    table["label"] = "nonsense"
    table.to_parquet(other / "labels.parquet", index=False)
    first, second = (read_domains(recipe_for(cutouts, path)) for path in (target, other))
    np.testing.assert_array_equal(first.target.images, second.target.images)
    np.testing.assert_array_equal(first.target_rows["train"], second.target_rows["train"])
