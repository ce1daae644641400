import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from galmorph.errors import BundleError
from galmorph.training.graph import PARITY_BATCHES, add_facts, compare, export_graph
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch

SHAPE = (3, 24, 24)


def build(kind="asinh", **options):
    torch.manual_seed(0)
    stretch = Stretch(kind, [0.5, 1.0, 2.0], scale=3.0, limits=[[-1.0, 2.0]] * 3)
    return build_network(NetworkOptions(**options), stretch, bands=3, size=24, classes=4).eval()


@pytest.fixture(scope="module")
def network():
    return build(encoder="resnet18", encoder_options={"channels": [8, 8, 16, 16]})


@pytest.fixture(scope="module")
def model(network):
    return export_graph(network, SHAPE)


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32)


def test_parity_is_rounding(model, network, images):
    parity = compare(model, network, images)
    assert parity["batch_sizes"] == [1, 2, 7, 32] == list(PARITY_BATCHES)
    assert parity["logits"] < 1e-4 * max(1, parity["largest_logit"])


@pytest.mark.parametrize(
    ("kind", "encoder"), [("lupton", "deepmerge"), ("linear", "resnet10t"), ("percentile", "deepmerge")]
)
def test_other_networks_and_stretches(kind, encoder, images):
    network = build(kind, encoder=encoder)
    assert compare(export_graph(network, SHAPE), network, images)["logits"] < 1e-3


def test_parity_notices_another_network(model, images):
    other = build(encoder="resnet18", encoder_options={"channels": [8, 8, 16, 16]})
    with torch.no_grad():
        other.head.bias += 0.5
    with pytest.raises(BundleError, match=r"differs from the network by 0\.5 in logits"):
        compare(model, other, images)


def test_extreme_fluxes_stay_finite(model):
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    extremes = np.array([0, 1e6, -1e6, 1e30, -1e30, 3e38], dtype=np.float32)
    images = np.broadcast_to(extremes[:, None, None, None], (6, *SHAPE)).copy()
    images[3, :, ::2] *= -1
    logits, features = session.run(["logits", "features"], {"image": images})
    assert np.isfinite(logits).all()
    assert np.isfinite(features).all()


def test_graph_says_nothing_of_the_machine_it_was_made_on(model):
    assert b".py" not in model
    assert b"stack_trace" not in model


def test_facts_are_kept_with_the_graph(model, images):
    described = add_facts(model, {"galmorph.name": "x"})
    proto = onnx.load_model_from_string(described)
    assert {item.key: item.value for item in proto.metadata_props} == {"galmorph.name": "x"}
    sessions = [ort.InferenceSession(m, providers=["CPUExecutionProvider"]) for m in (model, described)]
    first, second = (session.run(None, {"image": images})[0] for session in sessions)
    np.testing.assert_array_equal(first, second)


def test_same_network_same_bytes(network, model):
    assert export_graph(network, SHAPE) == model
