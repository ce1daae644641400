from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from make_bundle import files, make_bundle, manifest, weights

from galmorph.bundle import write_bundle
from galmorph.errors import BundleError, RunError
from galmorph.inference import session
from galmorph.inference.devices import CPU, CUDA, TENSORRT, choose_providers
from galmorph.inference.session import ScoringSession


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model", ["g", "r", "z"])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(21, 3, 16, 16)).astype(np.float32)


def test_scores_are_the_graphs(bundle, images):
    logits, features = ScoringSession(bundle, "cpu").predict(images)
    stretched = np.arcsinh(images)
    expected = np.concatenate([stretched.mean(axis=(2, 3)), stretched[:, :, 4:12, 4:12].mean(axis=(2, 3))], axis=1)
    np.testing.assert_allclose(features, expected, atol=1e-6)
    np.testing.assert_allclose(logits, expected @ weights(6, 4), atol=1e-5)


def test_same_bytes_in_any_company_and_with_any_threads(bundle, images):
    whole = ScoringSession(bundle, "cpu").predict(images)[0]
    pieces = ScoringSession(bundle, "cpu", threads=2)
    split = np.concatenate([pieces.predict(images[:3])[0], pieces.predict(images[3:])[0]])
    np.testing.assert_array_equal(whole, split)


def test_every_batch_has_one_size_and_is_filled_with_zeros(bundle, images, monkeypatch):
    scoring, seen = ScoringSession(bundle, "cpu"), []
    run = scoring._run
    monkeypatch.setattr(scoring, "_run", lambda batch: seen.append(batch.copy()) or run(batch))
    for count, batches in ((21, 3), (8, 1), (0, 1)):
        seen.clear()
        scoring.predict(images[:count])
        assert [batch.shape for batch in seen] == [(8, 3, 16, 16)] * batches
        whole = np.concatenate(seen)
        np.testing.assert_array_equal(whole[:count], images[:count])
        assert not whole[count:].any()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_has_the_threads_that_it_was_given(bundle, threads):
    options = ScoringSession(bundle, "cpu", threads=threads)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


def test_on_a_gpu_batches_are_as_large_as_leaves_half_of_its_memory(bundle, images, monkeypatch):
    """A graph that runs here and says that it runs there, in memory for 40 images."""
    made = []

    class Elsewhere(onnxruntime.InferenceSession):
        def get_providers(self):
            return [CUDA, CPU]

    class Bound:
        def __init__(self, runtime, session, kind, number):
            self.session = session
            made.append((kind, number))

        def run(self, batch):
            if len(batch) > 40:
                raise RuntimeError("out of memory")
            return self.session.run(["logits", "features"], {"image": batch})

    runtime = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=lambda graph, options, providers: Elsewhere(graph, options, providers=[CPU]),
    )
    monkeypatch.setattr(session, "_OnDevice", Bound)
    expected = ScoringSession(bundle, "cpu").predict(images)
    monkeypatch.setattr(session, "load_onnxruntime", lambda: runtime)
    scoring = ScoringSession(bundle, "cuda:1")
    assert made == [("cuda", 1)]
    assert (scoring.provider, scoring.batch) == (CUDA, 16)
    for one, other in zip(scoring.predict(images), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_no_images_give_no_scores(bundle, images):
    logits, features = ScoringSession(bundle, "cpu").predict(images[:0])
    assert logits.shape == (0, 4)
    assert features.shape == (0, 6)


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(RunError, match=r"no CUDA provider.*galmorph-survey\[gpu\]"):
        choose_providers("cuda:0", [CPU])


@pytest.fixture
def broken_driver(monkeypatch, tmp_path):
    """The package for GPUs where none starts: onnxruntime goes on with the CPU, without an error."""
    runtime = SimpleNamespace(
        get_available_providers=lambda: [TENSORRT, CUDA, CPU],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=lambda graph, options, providers: onnxruntime.InferenceSession(graph, options, [CPU]),
    )
    monkeypatch.setattr(session, "load_onnxruntime", lambda: runtime)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_a_gpu_that_does_not_start_is_an_error(bundle, broken_driver, device):
    with pytest.raises(RunError, match=f"device {device} was asked for and onnxruntime could not start it"):
        ScoringSession(bundle, device)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_where_no_gpu_was_asked_for_the_cpu_scores(bundle, broken_driver, images, device):
    scoring = ScoringSession(bundle, device)
    assert (scoring.provider, scoring.batch) == (CPU, 8)
    assert scoring.predict(images)[0].shape == (21, 4)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", "", "auto:0"])
def test_devices_have_names(device):
    with pytest.raises(RunError, match="device must be"):
        choose_providers(device, [CPU, CUDA])


def test_the_gpu_comes_first_where_there_is_one():
    assert choose_providers("auto", [CPU]) == [CPU]
    gpu, cpu = choose_providers("auto", [CUDA, CPU])
    assert (gpu[0], cpu) == (CUDA, CPU)
    (only,) = choose_providers("cuda:3", [CUDA, CPU])
    assert only[1]["device_id"] == "3"
    assert choose_providers("cpu", [CUDA, CPU]) == [CPU]


def test_a_graph_that_does_not_fit_its_manifest_is_refused(tmp_path):
    content = files(3, 16, 4) | {"model.onnx": files(3, 32, 4)["model.onnx"]}
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    with pytest.raises(BundleError, match=r"takes 'image' of shape|'image' of shape \(n, 3, 16, 16\)"):
        ScoringSession(bundle, "cpu")


def test_a_graph_without_features_is_refused(tmp_path):
    model = onnx.load_from_string(files(3, 16, 4)["model.onnx"])
    del model.graph.output[1]
    content = files(3, 16, 4) | {"model.onnx": model.SerializeToString()}
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    with pytest.raises(BundleError, match=r"gives \['logits'\]"):
        ScoringSession(bundle, "cpu")


@pytest.mark.parametrize("location", ["../../etc/passwd", "reference.npz"])
def test_a_graph_that_points_outside_itself_is_refused(tmp_path, location):
    """Also to a file of its own bundle."""
    model = onnx.load_from_string(files(3, 16, 4)["model.onnx"])
    onnx.external_data_helper.set_external_data(model.graph.initializer[-1], location=location, offset=0, length=96)
    model.graph.initializer[-1].ClearField("raw_data")
    content = files(3, 16, 4) | {"model.onnx": model.SerializeToString()}
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    with pytest.raises(BundleError, match="does not load"):
        ScoringSession(bundle, "cpu")


def test_what_is_no_graph_is_refused(tmp_path):
    content = files(3, 16, 4) | {"model.onnx": b"not a graph"}
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    with pytest.raises(BundleError, match="does not load"):
        ScoringSession(bundle, "cpu")
