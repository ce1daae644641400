import json
import shutil
import string
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from make_recipe import CLASSES, tiny_recipe
from PIL import Image

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import BundleError, ConfigError, DataError
from galmorph.training.card import write_card
from galmorph.training.evaluate import evaluate, label_words, predict
from galmorph.training.export import export
from galmorph.training.fit import load_training, train


def test_bundle_says_what_it_is(bundle):
    manifest = load_bundle(bundle).manifest
    assert manifest.classes == CLASSES
    assert manifest.private_classes == ["lens"]
    assert manifest.bands == ["g", "r", "z"]
    assert manifest.pixel_scale_range == (0.0625, 1.0)
    assert manifest.framing.size == 24
    assert manifest.parity["logits"] < 1e-3
    assert manifest.unknown.false_unknown_rate <= 0.1
    assert manifest.rho == pytest.approx(np.log(3) / 2)
    assert manifest.training["seed"] == 0
    assert set(manifest.training["images_per_class"]) == set(CLASSES)
    assert str(Path.cwd()) not in (bundle / "manifest.json").read_text()


def test_bundle_computes_what_the_checkpoint_does(bundle, trained, cutouts):
    images = read_cutout_set(cutouts).images
    logits, features = predict(bundle / "model.onnx", images, np.arange(10), batch=3)
    module, _ = load_training(trained.checkpoint)
    with torch.inference_mode():
        expected = module(torch.tensor(images[:10]))
    np.testing.assert_allclose(logits, expected[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(features, expected[1].numpy(), atol=1e-4)


def test_stray_model_explains_itself(bundle):
    facts = {item.key: item.value for item in onnx.load(bundle / "model.onnx").metadata_props}
    assert json.loads(facts["galmorph.classes"]) == CLASSES
    assert json.loads(facts["galmorph.bands"]) == ["g", "r", "z"]
    assert json.loads(facts["galmorph.framing"])["size"] == 24


def test_statistics_are_of_the_validation_part(bundle, trained):
    table = pd.read_parquet(bundle / "reference.parquet")
    _, record = load_training(trained.checkpoint)
    assert (table["n"] == record["parts"]["validation"]).all()


def test_card_shows_the_measures(bundle):
    card = (bundle / "README.md").read_text()
    manifest = load_bundle(bundle).manifest
    test = manifest.metrics["test"]
    recall = test["per_class"]["merger"]["recall"]
    low, high = test["intervals"]["per_class"]["merger"]["recall"]
    assert low <= recall <= high
    auroc, (low_auroc, high_auroc) = (tree["unknown"]["auroc"]["all"]["entropy"] for tree in (test, test["intervals"]))
    assert f"| AUROC of unknown by entropy | {auroc:.3f} ({low_auroc:.3f} to {high_auroc:.3f}) |" in card
    assert f"| merger | {test['objects']['merger']} | {recall:.3f} ({low:.3f} to {high:.3f}) |" in card
    assert "Kept out of training" in card
    validation, other = card.split("### Source validation")[1].split("### Source test")
    assert "were chosen by these objects" in validation
    assert "were chosen by these objects" not in other
    assert "$" not in card


def test_own_card(bundle, tmp_path):
    manifest = load_bundle(bundle).manifest
    (tmp_path / "card.md").write_text("$name for $bands, not for resale: 5 $$")
    assert write_card(manifest, tmp_path / "card.md") == "blobs for g, r, z, not for resale: 5 $"
    (tmp_path / "card.md").write_text("$nonsense")
    with pytest.raises(ConfigError, match=r"card\.md is not valid \('nonsense'\); it can use \$name, "):
        write_card(manifest, tmp_path / "card.md")
    with pytest.raises(ConfigError, match=r"cannot read the template of the model card .*none\.md"):
        write_card(manifest, tmp_path / "none.md")


def test_built_in_card_is_a_template():
    import galmorph.training.card as module

    text = Path(module.__file__).with_name("card.md").read_text()
    assert string.Template(text).is_valid()


def test_nothing_of_private_or_test_images_decides(trained, bundle, cutouts, tmp_path):
    """Lens and test images are made unrecognisable: weights' reference, temperature and threshold stay."""
    from galmorph.training.data import read_source
    from galmorph.training.domains import part_rows

    recipe = tiny_recipe(cutouts, fit={"epochs": 2})
    dataset = read_source(recipe.source)
    rows = part_rows(dataset, recipe)
    changed = shutil.copytree(cutouts, tmp_path / "changed")
    images = np.load(changed / "images.npy")
    images[dataset.labels < 0] = 7.0
    images[rows["test"]] = 9.0
    np.save(changed / "images.npy", images)
    manifests = []
    for name, data in (("first", cutouts), ("second", changed)):
        result = train(recipe, tmp_path / name, data=data, device="cpu", progress=False)
        manifests.append(load_bundle(export(result.checkpoint, tmp_path / f"{name}-bundle")))
    first, second = manifests
    assert first.manifest.temperature == second.manifest.temperature
    assert first.manifest.unknown == second.manifest.unknown
    np.testing.assert_array_equal(first.reference.directions, second.reference.directions)
    assert first.manifest.metrics["test"] != second.manifest.metrics["test"]


def test_changed_data_are_refused(trained, cutouts, tmp_path):
    changed = shutil.copytree(cutouts, tmp_path / "changed")
    images = np.load(changed / "images.npy")
    images[0] += 1
    np.save(changed / "images.npy", images)
    with pytest.raises(DataError, match=r"changed is not the data of the training, .*: its digests differ"):
        export(trained.checkpoint, tmp_path / "bundle", data=changed)


def test_a_folder_of_something_else_is_told_before_any_work(trained, tmp_path):
    (tmp_path / "precious").mkdir()
    with pytest.raises(BundleError, match=r"precious is there, and no whole bundle that a new one could replace"):
        export(trained.checkpoint, tmp_path / "precious", data=tmp_path / "nothing")


def test_data_that_are_gone_are_asked_for(cutouts, tmp_path):
    moved = shutil.copytree(cutouts, tmp_path / "set")
    trained = train(tiny_recipe(moved), tmp_path / "out", device="cpu", progress=False)
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"set, where the images of the training were, does not exist\. .*--data"):
        export(trained.checkpoint, tmp_path / "bundle")


def test_moved_data_are_found(trained, bundle, cutouts, tmp_path):
    moved = shutil.copytree(cutouts, tmp_path / "moved")
    again = export(trained.checkpoint, tmp_path / "bundle", data=moved)
    assert (again / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def test_network_trained_on_pictures_gives_no_bundle(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    for n in range(40):
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{'ab'[n % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    recipe = tiny_recipe(
        tmp_path,
        source={"kind": "folder", "class_map": "", "classes": ["a", "b"], "private": []},
        stretch={"kind": "linear", "low": 0.0, "high": 255.0},
        split={"stratified": True},
        fit={"epochs": 1},
    )
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    with pytest.raises(BundleError, match="was not trained on a set of cutouts"):
        export(result.checkpoint, tmp_path / "bundle")


def test_evaluation_of_the_training_set_is_of_its_test_part(bundle, cutouts):
    result = evaluate(bundle, cutouts)
    assert result.part == "test"
    manifest = load_bundle(bundle).manifest
    assert result.known == pytest.approx(manifest.metrics["test"]["known"])
    assert result.confusion == manifest.metrics["test"]["confusion"]
    parts = [evaluate(bundle, cutouts, part=part).objects for part in ("train", "validation", "test")]
    whole = evaluate(bundle, cutouts, part="all").objects
    assert whole == {name: sum(part[name] for part in parts) for name in whole} == dict.fromkeys([*CLASSES, "lens"], 40)


def test_evaluation_of_another_set_is_of_all_of_it(bundle, tmp_path):
    from make_cutouts import make_cutouts

    result = evaluate(bundle, make_cutouts(tmp_path / "set", each=20, seed=9))
    assert result.part == "all"
    assert result.objects == dict.fromkeys([*CLASSES, "lens"], 20)
    assert result.known["mean_recall"] > 0.8


@pytest.mark.parametrize(
    ("fact", "value", "message"),
    [
        ("bands", ["r", "g", "z"], r"has the bands \['r', 'g', 'z'\]"),
        ("framing", {"size": 24, "factor": 9.0}, "was cut with the framing"),
    ],
)
def test_cutouts_that_do_not_fit_the_bundle(bundle, cutouts, tmp_path, fact, value, message):
    changed = shutil.copytree(cutouts, tmp_path / "set")
    meta = json.loads((changed / "dataset.json").read_text())
    (changed / "dataset.json").write_text(json.dumps(meta | {fact: value}))
    with pytest.raises(DataError, match=message):
        evaluate(bundle, changed)


def test_bundle_that_does_not_tell_its_split(cutouts, tmp_path):
    from make_bundle import make_bundle

    bundle = make_bundle(tmp_path / "model", ["g", "r", "z"], size=24)
    cut = shutil.copytree(cutouts, tmp_path / "set")
    meta = json.loads((cut / "dataset.json").read_text())
    framing = load_bundle(bundle.path).manifest.framing
    (cut / "dataset.json").write_text(json.dumps(meta | {"framing": vars(framing)}))
    assert evaluate(bundle.path, cut).part == "all"
    with pytest.raises(DataError, match="does not say how its data were divided"):
        evaluate(bundle.path, cut, part="test")


def test_images_of_the_training_are_known_by_whatever_labels_they_have(bundle, cutouts, tmp_path):
    corrected = shutil.copytree(cutouts, tmp_path / "set")
    labels = pd.read_parquet(corrected / "labels.parquet")
    labels.loc[0, "label"] = "lens"
    labels.to_parquet(corrected / "labels.parquet")
    assert evaluate(bundle, corrected, resamples=0).part == "test"


def test_labels_of_other_capitals_and_other_pixels_are_told(bundle, cutouts, tmp_path, caplog):
    changed = shutil.copytree(cutouts, tmp_path / "set")
    labels = pd.read_parquet(changed / "labels.parquet")
    labels["label"] = labels["label"].replace({"lens": " lens ", "merging": "Merger"})
    labels.to_parquet(changed / "labels.parquet")
    meta = json.loads((changed / "dataset.json").read_text())
    (changed / "dataset.json").write_text(json.dumps(meta | {"pixel_scale": 2.0}))
    result = evaluate(bundle, changed, part="all", resamples=0)
    assert result.objects == {"elliptical": 40, "edge_on": 40, "merger": 0, "Merger": 40, "lens": 40}
    assert "objects labelled Merger count as of unknown classes; the model writes merger" in caplog.text
    assert "is of a survey of 2 arcsec per pixel; model blobs takes 0.0625 to 1, and" in caplog.text


def test_images_that_are_not_finite_have_no_scores(bundle, cutouts, tmp_path):
    changed = shutil.copytree(cutouts, tmp_path / "set")
    images = np.load(changed / "images.npy")
    images[0, 1, 3, 4], images[1, 0, 0, 0] = np.nan, np.inf
    np.save(changed / "images.npy", images)
    assert evaluate(bundle, changed, resamples=0).without_scores == 2


def test_objects_without_a_label_are_counted(bundle, cutouts, tmp_path):
    changed = shutil.copytree(cutouts, tmp_path / "set")
    labels = pd.read_parquet(changed / "labels.parquet")
    labels.loc[[0, 50, 100], "label"] = ["", " ", None]
    labels.to_parquet(changed / "labels.parquet")
    result = evaluate(bundle, changed, part="all", resamples=0)
    assert (sum(result.objects.values()), result.without_label) == (157, 3)
    assert dict(result.to_table())["objects without label, not measured"] == "3"
    labels["label"] = ""
    labels.to_parquet(changed / "labels.parquet")
    with pytest.raises(DataError, match="no labelled object in part 'test', nor in any other"):
        evaluate(bundle, changed, part="test", resamples=0)


def test_labels_that_the_class_map_does_not_name_stay(bundle, cutouts, tmp_path, caplog):
    changed = shutil.copytree(cutouts, tmp_path / "set")
    labels = pd.read_parquet(changed / "labels.parquet")
    labels["label"] = labels["label"].replace({"lens": "ring", "merging": "merger"})
    labels.to_parquet(changed / "labels.parquet")
    result = evaluate(bundle, changed, part="all", resamples=0)
    assert result.objects == {"elliptical": 40, "edge_on": 40, "merger": 40, "ring": 40}
    assert "does not name merger, ring" in caplog.text


def test_each_domain_has_its_graph(cutouts, tmp_path):
    from make_bundle import files, manifest

    other = files(3, 24, 4) | {"model_source.onnx": files(3, 24, 4)["model.onnx"]}
    names = ["round_smooth", "edge_on_bulge", "merging", "lens"]
    facts = manifest(["g", "r", "z"], size=24, classes=names)
    graph = onnx.load_from_string(other["model.onnx"])
    weight = next(item for item in graph.graph.initializer if item.name == "weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), "weight"))
    other["model.onnx"] = graph.SerializeToString()
    from galmorph.bundle import write_bundle

    path = write_bundle(tmp_path / "model", facts, other).path
    cut = shutil.copytree(cutouts, tmp_path / "set")
    meta = json.loads((cut / "dataset.json").read_text())
    (cut / "dataset.json").write_text(json.dumps(meta | {"framing": vars(facts.framing)}))
    by_default, source, target = (
        evaluate(path, cut, domain=domain, resamples=0).confusion for domain in (None, "source", "target")
    )
    assert by_default == target != source


def test_the_unlabelled_set_of_the_training_is_measured_on_its_test_part(cutouts, tmp_path):
    from make_bundle import files, manifest

    from galmorph.bundle import write_bundle
    from galmorph.training.options import SplitOptions
    from galmorph.training.split import split_objects

    cut = shutil.copytree(cutouts, tmp_path / "set")
    meta = json.loads((cut / "dataset.json").read_text())
    facts = manifest(["g", "r", "z"], size=24, classes=["round_smooth", "merging"])
    (cut / "dataset.json").write_text(json.dumps(meta | {"framing": vars(facts.framing)}))
    target = read_cutout_set(cut)
    training = {"recipe": {"split": {"stratified": True}}, "target": {"digests": target.digests()}}
    path = write_bundle(tmp_path / "model", facts.model_copy(update={"training": training}), files(3, 24, 2)).path
    result = evaluate(path, cut, resamples=0)
    assert result.part == "test"
    ids = target.labels["object_id"].to_numpy(dtype=str)
    held_out = split_objects(ids, np.full(len(ids), ""), SplitOptions()) == "test"
    assert sum(result.objects.values()) == held_out.sum()
    # Its labels were given after the training.
    target.labels.assign(label="merging").to_parquet(cut / "labels.parquet")
    assert evaluate(path, cut, resamples=0).part == "test"


def test_what_a_newer_version_wrote_is_told(cutouts):
    with pytest.raises(BundleError, match="class map 'newer' is not known here"):
        label_words(read_cutout_set(cutouts), "newer")
