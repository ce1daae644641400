import logging
import shutil

import pytest
import timm
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from safetensors.torch import save_file

from galmorph.bundle import load_bundle
from galmorph.errors import ConfigError, DataError
from galmorph.training.checkpoint import write_checkpoint
from galmorph.training.domain_norm import domain_norms
from galmorph.training.domains import read_domains
from galmorph.training.export import export
from galmorph.training.fit import build, load_training, train

SLIM = {"encoder": "resnet18", "encoder_options": {"channels": [4, 8, 8, 8]}}


def made(recipe):
    """The network as a training would start with it, and what is recorded of that."""
    torch.manual_seed(0)
    module = build(recipe, read_domains(recipe))
    return module.network.state_dict(), module.record["initial"]


def same(first, second, prefix):
    names = [name for name in first if name.startswith(prefix)]
    assert names
    return all(torch.equal(first[name], second[name]) for name in names)


@pytest.mark.parametrize("folder", [True, False])
def test_everything_is_taken_over(trained, cutouts, tmp_path, folder):
    other = make_cutouts(tmp_path / "set", seed=3)
    path = trained.last.parents[1] if folder else trained.checkpoint
    state, record = made(tiny_recipe(other, network={"initial": str(path)}))
    theirs = load_training(trained.checkpoint)[0].network.state_dict()
    for part in ("encoder", "neck", "head"):
        assert same(state, theirs, part)
    assert record["file"] == "best.safetensors"
    assert record["name"] == "blobs"
    assert record["taken"] == ["encoder", "neck", "head"]
    assert record["left"] == {}
    assert record["unknown"] == record["missing"] == []


def test_last_layer_of_other_classes_is_left(trained, cutouts, tmp_path, caplog):
    initial = {"initial": str(trained.checkpoint)}
    classes = {"classes": ["merger", "edge_on"], "private": ["lens", "elliptical"]}
    state, record = made(tiny_recipe(cutouts, source=classes, network=initial))
    theirs = load_training(trained.checkpoint)[0].network.state_dict()
    assert same(state, theirs, "neck")
    assert state["head.weight"].shape == (2, 32)
    assert record["left"]["head"] == "classes were elliptical, edge_on, merger and are merger, edge_on"
    assert "head is not taken over from best.safetensors: classes were" in caplog.text
    # The same classes in another order are other outputs.
    order = {"classes": ["merger", "edge_on", "elliptical"]}
    state, record = made(tiny_recipe(cutouts, source=order, network=initial))
    assert "head" in record["left"]
    _, record = made(tiny_recipe(cutouts, network={**initial, "head": "cosine"}))
    assert record["left"]["head"] == "it was linear and is cosine"


def test_weights_that_may_have_learned_from_the_test_part_are_told(trained, cutouts, tmp_path, caplog):
    network = {"initial": str(trained.checkpoint)}
    other = make_cutouts(tmp_path / "set", seed=3)
    # An object's part is that of its identifier, in any set.
    for path in (cutouts, other):
        made(tiny_recipe(path, network=network))
    assert "divided its objects otherwise" not in caplog.text
    made(tiny_recipe(other, network=network, split={"salt": "another"}))
    assert "best.safetensors divided its objects otherwise ([split] is another)" in caplog.text
    assert "Give both trainings the same [split]" in caplog.text


def test_exact_shares_of_classes_divide_another_set_otherwise(cutouts, tmp_path, caplog):
    recipe = tiny_recipe(cutouts, split={"stratified": True}, fit={"epochs": 1})
    first = train(recipe, tmp_path / "out", device="cpu", progress=False)
    network = {"initial": str(first.checkpoint)}
    made(tiny_recipe(cutouts, network=network, split={"stratified": True}))
    assert "divided its objects otherwise" not in caplog.text
    made(tiny_recipe(make_cutouts(tmp_path / "set", seed=3), network=network, split={"stratified": True}))
    assert "(split.stratified, on other images)" in caplog.text


def test_it_starts_where_the_other_ended_and_learns_in_all_layers(trained, cutouts, tmp_path):
    recipe = tiny_recipe(cutouts, network={"initial": str(trained.checkpoint)}, fit={"epochs": 1})
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    fresh = train(tiny_recipe(cutouts, fit={"epochs": 1}), tmp_path / "fresh", device="cpu", progress=False)
    assert result.metrics["train_loss"] < 0.3 * fresh.metrics["train_loss"]
    module, record = load_training(result.checkpoint)
    theirs = load_training(trained.checkpoint)[0].network.state_dict()
    moved = [name for name, _ in module.network.named_parameters()]
    assert not any(torch.equal(module.network.state_dict()[name], theirs[name]) for name in moved)
    manifest = load_bundle(export(result.checkpoint, tmp_path / "bundle")).manifest
    assert manifest.training["initial"] == record["initial"]
    assert manifest.training["recipe"]["network"]["initial"] == "best.safetensors"


def test_other_weights_are_another_training(trained, cutouts, tmp_path):
    for name in ("first", "moved"):
        shutil.copytree(trained.last.parent, tmp_path / name)
    first, moved, other = (
        tiny_recipe(cutouts, network={"initial": str(path)}, fit={"epochs": 1})
        for path in (*(tmp_path / name / "best.safetensors" for name in ("first", "moved")), trained.last)
    )
    result = train(first, tmp_path / "out", device="cpu", progress=False)
    assert train(moved, tmp_path / "out", device="cpu", progress=False) == result
    for recipe in (other, tiny_recipe(cutouts, fit={"epochs": 1})):
        with pytest.raises(ConfigError, match="on other data or from other weights"):
            train(recipe, tmp_path / "out", device="cpu", progress=False)


def test_normalisation_by_domain_on_one_side_and_on_both(cutouts, tmp_path):
    target = {"path": str(make_cutouts(tmp_path / "target", each=10, seed=7))}
    split, shared = ({"encoder": "deepmerge", "batch_norm": kind} for kind in ("domain", "shared"))
    method = {"name": "coral", "warmup_epochs": 0, "ramp_epochs": 1}
    fit = {"epochs": 2, "batch_size": 24}
    results = {}
    for name, network in (("split", split), ("shared", shared)):
        recipe = tiny_recipe(cutouts, target=target, network=network, method=method, fit=fit)
        results[name] = train(recipe, tmp_path / name, device="cpu", progress=False).checkpoint
    theirs = {name: load_training(path)[0].network for name, path in results.items()}
    norm = theirs["split"].encoder[2]
    assert domain_norms(theirs["split"])
    assert not torch.equal(norm.source.running_mean, norm.target.running_mean)

    def start(network, name):
        network = {**network, "initial": str(results[name])}
        return made(tiny_recipe(cutouts, target=target, network=network, method=method))

    state, record = start(split, "split")
    assert same(state, theirs["split"].state_dict(), "encoder")
    assert record["missing"] == record["unknown"] == []
    state, record = start(shared, "split")
    assert torch.equal(state["encoder.2.running_mean"], norm.target.running_mean)
    assert record["missing"] == []
    # That the source's branch is left out is no news.
    assert record["unknown"] == []
    state, record = start(split, "shared")
    for domain in ("source", "target"):
        assert torch.equal(state[f"encoder.2.{domain}.weight"], theirs["shared"].encoder[2].weight)
    assert record["missing"] == record["unknown"] == []


@pytest.fixture
def published(tmp_path):
    """Weights of an encoder as timm publishes them, with its classifier."""
    torch.manual_seed(3)
    weights = timm.create_model("resnet18", channels=(4, 8, 8, 8), num_classes=5).state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors", weights


@pytest.mark.parametrize("bottleneck", [0, 6])
def test_weights_of_timm(published, cutouts, caplog, bottleneck):
    path, weights = published
    with caplog.at_level(logging.INFO):
        state, record = made(tiny_recipe(cutouts, network={**SLIM, "initial": str(path), "bottleneck": bottleneck}))
    prefix = "encoder.0." if bottleneck else "encoder."
    assert torch.equal(state[f"{prefix}layer4.1.conv2.weight"], weights["layer4.1.conv2.weight"])
    assert record["name"] is None
    assert record["taken"] == ["encoder"]
    assert record["unknown"] == [f"{prefix}fc.bias", f"{prefix}fc.weight"]
    assert record["missing"] == (["encoder.1.bias", "encoder.1.weight"] if bottleneck else [])
    assert record["left"]["head"] == "the file holds weights of an encoder"
    assert "2 weights have no place in this network" in caplog.text
    assert "encoder are taken over" in caplog.text


def test_files_that_do_not_fit(published, trained, cutouts, tmp_path):
    path, _ = published
    smaller = make_cutouts(tmp_path / "set", size=16)

    def fails(initial, cutouts=cutouts, **network):
        made(tiny_recipe(cutouts, network={**network, "initial": str(initial)}))

    with pytest.raises(ConfigError, match=r"conv1.weight is .* there and .* here.*Bands and size"):
        fails(path, encoder="resnet18")
    with pytest.raises(ConfigError, match=r"has a name of this network's; it holds bn1.bias, .* and 123 more"):
        fails(path, encoder="deepmerge")
    with pytest.raises(ConfigError, match=r"has network.encoder = 'deepmerge', this recipe 'resnet18'"):
        fails(trained.checkpoint, **SLIM)
    with pytest.raises(ConfigError, match=r"neck.0.weight is \(64, 288\) there and \(64, 128\) here"):
        fails(trained.checkpoint, smaller)
    with pytest.raises(ConfigError, match="does not exist; give a checkpoint"):
        fails(tmp_path / "none")
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match=r"cannot read .* as safetensors"):
        fails(tmp_path / "pickle.pt")
    write_checkpoint(tmp_path / "other.safetensors", {"state_dict": {}})
    with pytest.raises(DataError, match="is not a checkpoint of a galmorph training"):
        fails(tmp_path / "other.safetensors")
