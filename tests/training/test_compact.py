"""Graphs in fewer bits: what they are made of, how far they decide alike, and when they are refused."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from make_recipe import tiny_recipe

from galmorph.bundle import load_bundle
from galmorph.errors import BundleError
from galmorph.inference.session import ScoringSession
from galmorph.training import compact
from galmorph.training.compact import (
    CALIBRATION_IMAGES,
    Decisions,
    Judges,
    compact_graphs,
    compare_decisions,
    halve,
    lowered_threshold,
    quantise,
)
from galmorph.training.ensemble import as_served
from galmorph.training.export import export
from galmorph.training.fit import train
from galmorph.training.graph import export_graph
from galmorph.training.networks import build_network
from galmorph.training.options import ExportOptions, NetworkOptions
from galmorph.training.stretch import Stretch

#: Takes what a graph gives for labels and entropies.
ENTROPY = SimpleNamespace(
    threshold=1.0,
    unknown_score="entropy",
    score=lambda labels, scores: SimpleNamespace(label=np.array(labels), entropy=np.array(scores)),
)

SMALL = {"encoder": "resnet18", "encoder_options": {"channels": [8, 8, 16, 16]}}


def make_graph(orientations=1, **network):
    torch.manual_seed(0)
    stretch = Stretch("asinh", [0.05] * 3, scale=5.0)
    made = build_network(NetworkOptions(**network), stretch, bands=3, size=32, classes=4)
    return export_graph(as_served([made.eval()], orientations), (3, 32, 32))


@pytest.fixture(scope="module")
def graph():
    return make_graph(**SMALL)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    # From noise to a star that float16 could not square.
    return (rng.normal(size=(24, 3, 32, 32)) * np.logspace(-2, 3, 24)[:, None, None, None]).astype(np.float32)


def run(graph, images):
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["logits", "features"], {"image": images})


@pytest.mark.parametrize(("make", "tolerance"), [("int8", 0.1), ("float16", 0.01)])
def test_smaller_graphs_compute_nearly_the_same(graph, images, make, tolerance):
    smaller = quantise(graph, images) if make == "int8" else halve(graph)
    expected, found = run(graph, images), run(smaller, images)
    for before, after in zip(expected, found, strict=True):
        assert after.dtype == np.float32
        assert np.abs(after - before).max() < tolerance * np.abs(before).max()
        assert not np.array_equal(after, before)
    assert len(smaller) < 0.7 * len(graph)


@pytest.mark.parametrize(
    "network",
    [
        {"encoder": "deepmerge", "head": "cosine"},
        {"encoder": "convnext_atto", "encoder_options": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}},
        {"encoder": "test_efficientnet", "orientations": 4},
        {
            "encoder": "vit_tiny_patch16_224",
            "encoder_options": {"img_size": 32, "patch_size": 16, "depth": 1, "embed_dim": 32, "num_heads": 2},
        },
    ],
    ids=lambda network: network["encoder"],
)
def test_float16_is_made_of_networks_that_look_at_shapes_or_share_constants_with_the_stretch(network, images):
    whole = make_graph(**network)
    for before, after in zip(run(whole, images), run(halve(whole), images), strict=True):
        assert after.dtype == np.float32
        assert np.abs(after - before).max() < 0.005 * np.abs(before).max()
        assert not np.array_equal(after, before)


def test_int8_has_a_scale_for_each_channel_and_leaves_the_stretch_alone(graph, images):
    model = onnx.load_model_from_string(quantise(graph, images))
    makers = {name: node for node in model.graph.node for name in node.output}
    values = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 21
    for node in convolutions:
        image, weight = (makers[name] for name in node.input[:2])
        assert (image.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        stored = values[weight.input[0]]
        assert stored.dtype == np.int8
        assert values[weight.input[1]].shape == (stored.shape[0],)
        assert values[image.input[2]].dtype == np.uint8
    # Only what comes from the stretch is quantised, not what it is made of.
    for node in model.graph.node:
        if node.op_type in ("Div", "Clip", "Log", "Sqrt", "Abs", "Sign", "Gemm"):
            inputs = {makers[name].op_type for name in node.input if name in makers}
            assert "DequantizeLinear" not in inputs or node.op_type == "Gemm"


def test_float16_leaves_the_stretch_in_float32(graph):
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(halve(graph)))
    types = {one.name: one.type.tensor_type.elem_type for one in model.graph.value_info}
    by_operation = Counter(
        (node.op_type, types.get(node.output[0]))
        for node in model.graph.node
        if node.op_type in ("Conv", "Log", "Sqrt")
    )
    assert by_operation == {
        ("Conv", onnx.TensorProto.FLOAT16): 21,
        ("Log", onnx.TensorProto.FLOAT): 1,
        ("Sqrt", onnx.TensorProto.FLOAT): 1,
    }


def test_the_same_images_give_the_same_bytes(graph, images):
    assert quantise(graph, images) == quantise(graph, images)


def test_decisions_are_compared():
    before = Decisions(np.array([0, 1, 2, 0, 1, 1]), np.array([0.1, 0.2, 0.9, 0.8, 0.7, np.nan]))
    after = Decisions(np.array([0, 1, 1, 0, 1, 2]), np.array([0.1, 0.55, 0.9, 0.4, 0.7, np.nan]))
    labels = np.array([0, 1, 2, 1, -1, -1])
    assert compare_decisions(before, after, labels, (0.5, 0.5)) == {
        "images": 6, "accuracy": 0.5, "accuracy_float32": 0.75, "accuracy_drop": 0.25,
        "same_label": pytest.approx(2 / 3), "flags": 4, "flags_kept": 0.75, "flags_added": 0.5,
    }  # fmt: skip
    nobody = compare_decisions(before, after, np.full(6, -1), (9.0, 9.0))
    assert (nobody["accuracy_drop"], nobody["flags"], nobody["flags_kept"]) == (0.0, 1, 1.0)


def test_the_threshold_is_lowered_by_what_unknown_objects_lose():
    before = np.r_[np.linspace(1.01, 2, 100), np.zeros(50)]
    after = before - np.r_[np.linspace(0, 0.2, 100), np.full(50, 5.0)]
    assert lowered_threshold(1.0, before, after) == pytest.approx(1 - 0.2 * 98.01 / 99)
    assert lowered_threshold(1.0, before, before + 0.3) == 1.0
    assert lowered_threshold(3.0, before, after) == 3.0


def test_a_score_that_is_no_number_lowers_no_threshold_and_hides_no_loss():
    """Such an object is called unknown whatever the threshold."""
    before, after = np.full(4, 2.0), np.array([1.5, 1.5, np.nan, 1.5])
    assert lowered_threshold(1.0, before, after) == pytest.approx(0.5)
    before[3] = np.inf
    assert lowered_threshold(1.0, before, after) == pytest.approx(0.5)
    assert lowered_threshold(1.0, before[2:], after[2:]) == 1.0


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"flags_kept": 0.5, "accuracy_drop": 0.5}, []),
        ({"flags_kept": 0.6, "accuracy_drop": 0.5}, ["of 2 unknown objects 50.0 % are still called so"]),
        ({"flags_kept": 0.5, "accuracy_drop": 0.4}, ["accuracy falls from 1.0000 to 0.5000"]),
        ({"flags_kept": 0.6, "accuracy_drop": 0.4}, ["accuracy falls from", "are still called so"]),
    ],
)
def test_a_threshold_is_fitted_to_every_other_image_and_judged_on_those_between(monkeypatch, options, faults):
    """Two sets of four images; unknown objects lose 0.5 where it is fitted, and one of two more where it is judged."""
    scores = {b"whole": [[2.0, 2, 0, 0], [2, 2, 0, 0]], b"less": [[1.5, 0.6, 0, 0], [1.5, 0.3, 0, 0]]}
    labels = {b"whole": [[0, 0, 0, 0], [0, 1, 0, 1]], b"less": [[1, 0, 1, 0], [1, 0, 1, 0]]}
    monkeypatch.setattr(compact, "quantise", lambda graph, examples: b"less")
    monkeypatch.setattr(compact, "predict", lambda graph, images, rows: (labels[graph][images], scores[graph][images]))
    judges = [Judges(0, np.arange(4), np.zeros(4, int)), Judges(1, np.arange(4), np.array([0, 1, 0, 1]))]
    given = ExportOptions(precisions=("int8",), **options)
    graphs, results = compact_graphs(b"whole", given, ENTROPY, np.zeros(0), judges)
    told = results["int8"]
    assert told["threshold"] == pytest.approx(0.5)
    assert (told["images"], told["accuracy_float32"], told["accuracy"]) == (4, 1.0, 0.5)
    assert (told["flags"], told["flags_kept"], told["flags_added"]) == (2, 0.5, 0.0)
    assert graphs == ({} if faults else {"model.int8.onnx": b"less"})
    assert ("refused" in told) == bool(faults)
    for fault in faults:
        assert fault in told["refused"]


def test_ranges_are_taken_from_all_examples_up_to_a_number(graph, images, monkeypatch):
    seen = []

    def watched(prepared, quantised, examples, **options):
        while (batch := examples.get_next()) is not None:
            seen.append(batch["image"])
        raise StopIteration

    monkeypatch.setattr(compact, "quantize_static", watched)
    for count in (20, CALIBRATION_IMAGES + 20):
        seen.clear()
        given = np.resize(images, (count, *images.shape[1:]))
        with pytest.raises(StopIteration):
            quantise(graph, given)
        np.testing.assert_array_equal(np.concatenate(seen), given[:CALIBRATION_IMAGES])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from make_cutouts import make_cutouts

    folder = tmp_path_factory.mktemp("data")
    cutouts = make_cutouts(folder / "set", each=40)
    recipe = tiny_recipe(cutouts, fit={"epochs": 8}, export={"precisions": ["int8", "float16"], "accuracy_drop": 0.2})
    return train(recipe, folder / "out", device="cpu", progress=False).checkpoint


def test_the_bundle_holds_what_the_recipe_asks_for(trained, tmp_path):
    bundle = load_bundle(export(trained, tmp_path / "bundle"))
    told = bundle.manifest.precisions
    assert set(told) == {"int8", "float16"}
    for name, result in told.items():
        assert ("refused" in result) == (name not in bundle.precisions)
    assert "float16" in bundle.precisions
    assert bundle.threshold("float16") == told["float16"]["threshold"] <= bundle.manifest.unknown.threshold
    assert bundle.threshold("float32") == bundle.manifest.unknown.threshold
    facts = {entry.key for entry in onnx.load(bundle.graph("float16")).metadata_props}
    assert "galmorph.classes" in facts
    size = bundle.manifest.framing.size
    images = np.random.default_rng(0).normal(size=(5, 3, size, size)).astype(np.float32)
    first, second = (
        ScoringSession(bundle, "cpu", precision=name).predict(images)[0] for name in ("float32", "float16")
    )
    np.testing.assert_allclose(first, second, atol=0.02 * np.abs(first).max())


def test_a_graph_that_decides_otherwise_is_refused(trained, tmp_path, monkeypatch, caplog):
    def broken(graph, examples):
        model = onnx.load_model_from_string(graph)
        head = next(node for node in model.graph.node if "logits" in node.output)
        weight = next(one for one in model.graph.initializer if one.name == head.input[1])
        weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
        return model.SerializeToString()

    monkeypatch.setattr(compact, "quantise", broken)
    bundle = load_bundle(export(trained, tmp_path / "bundle", precisions=("int8",)))
    assert bundle.precisions == ("float32",)
    assert "export.accuracy_drop" in json.dumps(bundle.manifest.precisions["int8"]["refused"])
    assert "goes without int8: accuracy falls from" in caplog.text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Graph is\n not a DAG"), "it cannot be made or run (RuntimeError: Graph is not a DAG)"),
        (BundleError("the network has no convolution"), "the network has no convolution"),
    ],
)
def test_a_graph_that_cannot_be_made_leaves_the_others(monkeypatch, caplog, error, reason):
    def stumble(graph):
        raise error

    monkeypatch.setattr(compact, "halve", stumble)
    monkeypatch.setattr(compact, "quantise", lambda graph, examples: b"less")
    monkeypatch.setattr(compact, "predict", lambda graph, images, rows: (np.zeros(4, int), np.zeros(4)))
    judges = [Judges(np.zeros(0), np.arange(4), np.zeros(4, int))]
    options = ExportOptions(precisions=("float16", "int8"))
    graphs, results = compact_graphs(b"whole", options, ENTROPY, np.zeros(0), judges)
    assert graphs == {"model.int8.onnx": b"less"}
    assert set(results["float16"]) == {"refused"}
    assert results["float16"]["refused"].startswith(reason)
    assert f"goes without float16: {reason}" in caplog.text


def test_a_bundle_goes_without_a_graph_that_does_not_load(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(compact, "halve", lambda graph: b"no graph")
    bundle = load_bundle(export(trained, tmp_path / "bundle", precisions=("float16",)))
    assert bundle.precisions == ("float32",)
    assert bundle.manifest.precisions["float16"]["refused"].startswith("it cannot be made or run (")
