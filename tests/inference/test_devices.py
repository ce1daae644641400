"""What scores and in what precision, on machines that are not here."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from make_bundle import files, make_bundle, manifest

from galmorph.bundle import write_bundle
from galmorph.errors import BundleError, RunError
from galmorph.inference import devices
from galmorph.inference.devices import (
    CPU,
    CUDA,
    TENSORRT,
    Machine,
    choose_precision,
    choose_providers,
    computes,
    device_of_worker,
    fast_integers,
    gpu_count,
    largest_batch,
    settle_device,
    this_machine,
)
from galmorph.inference.session import ScoringSession, _OnDevice

PLAIN, FAST, GPU = Machine((CPU,), False), Machine((CPU,), True), Machine((CUDA, CPU), True)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """One in float32 alone, and one in all precisions, whose graphs are the same here."""
    folder = tmp_path_factory.mktemp("bundles")
    content = files(3, 16, 4)
    content |= dict.fromkeys(("model.int8.onnx", "model.float16.onnx"), content["model.onnx"])
    told = {"int8": {"threshold": 1.1}, "float16": {"threshold": 1.19}}
    every = write_bundle(folder / "every", manifest(["g", "r", "z"], precisions=told), content)
    return SimpleNamespace(one=make_bundle(folder / "one", ["g", "r", "z"]), every=every)


@pytest.mark.parametrize(
    ("machines", "device", "expected"),
    [
        ([FAST], "auto", "int8"),
        ([PLAIN], "auto", "float32"),
        ([FAST, PLAIN], "auto", "float32"),
        ([GPU], "auto", "float16"),
        ([GPU], "cuda:1", "float16"),
        ([GPU], "tensorrt", "float16"),
        ([GPU], "cpu", "int8"),
        ([FAST], "cuda", "float16"),
        ([GPU, FAST], "auto", "float32"),
        ([], "auto", "float32"),
        ([], "cpu", "float32"),
    ],
)
def test_the_best_precision_for_the_machines(bundles, machines, device, expected):
    assert choose_precision("auto", bundles.every, device, machines) == expected
    assert choose_precision("auto", bundles.one, device, machines) == "float32"


@pytest.mark.parametrize(
    ("precision", "device", "machine", "right"),
    [
        ("int8", "auto", PLAIN, False),
        ("int8", "cpu", Machine((CUDA, CPU), False), False),
        ("int8", "auto", Machine((CUDA, CPU), False), True),
        ("int8", "cuda:0", PLAIN, True),
        ("int8", "auto", FAST, True),
        ("float32", "auto", PLAIN, True),
        ("float16", "cpu", PLAIN, True),
    ],
)
def test_which_machines_compute_in_a_precision(precision, device, machine, right):
    assert computes(precision, device, machine) is right


def test_a_precision_that_is_asked_for_has_to_be_there(bundles):
    assert choose_precision("float16", bundles.every, "cpu", []) == "float16"
    with pytest.raises(BundleError, match=r"in float32 and not in int8.*export\.precisions"):
        choose_precision("int8", bundles.one, "cpu", [])
    with pytest.raises(RunError, match="precision must be one of auto, float32, int8, float16, got 'int4'"):
        choose_precision("int4", bundles.one, "cpu", [])


def test_each_precision_has_its_threshold(bundles):
    assert [bundles.every.threshold(name) for name in bundles.every.precisions] == [1.2, 1.1, 1.19]
    assert bundles.one.threshold("float32") == 1.2


def test_a_session_scores_with_the_graph_of_its_precision(bundles, tmp_path):
    content = files(3, 16, 4)
    content["model.int8.onnx"] = b"no graph"
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    ScoringSession(bundle, "cpu")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx does not load"):
        ScoringSession(bundle, "cpu", precision="int8")


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx2 avx512_vnni", True), ("fpu avx_vnni", True), ("fpu avx2 avx512f", False), ("", False)],
)
def test_instructions_for_integers_are_looked_up(tmp_path, monkeypatch, flags, fast):
    monkeypatch.setattr(devices.platform, "system", lambda: "Linux")
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert fast_integers(tmp_path / "cpuinfo") is fast
    assert fast_integers(tmp_path / "nothing") is False


@pytest.mark.parametrize(("processor", "fast"), [("arm64", True), ("x86_64", False)])
def test_of_macs_those_with_processors_of_apple_have_instructions_for_integers(monkeypatch, processor, fast):
    monkeypatch.setattr(devices.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: processor)
    assert fast_integers() is fast


@pytest.mark.parametrize("device", ["auto", "cuda", "tensorrt"])
def test_gpus_compute_floats_whole_and_the_first_is_taken(device):
    """TF32 would round what is multiplied to ten bits."""
    providers = [one for one in choose_providers(device, [TENSORRT, CUDA, CPU]) if one != CPU]
    assert [options["device_id"] for _, options in providers] == ["0"] * len(providers)
    assert dict(providers)[CUDA]["use_tf32"] == "0"
    # Engines are kept where a folder for them is given.
    assert not any("trt_engine_cache_enable" in options for _, options in providers)


def test_tensorrt_keeps_its_engines_and_has_cuda_behind_it(tmp_path):
    (name, options), behind = choose_providers("tensorrt:2", [TENSORRT, CUDA, CPU], tmp_path)
    assert (name, options["device_id"], options["trt_engine_cache_path"]) == (TENSORRT, "2", str(tmp_path))
    assert (behind[0], behind[1]["device_id"]) == (CUDA, "2")
    with pytest.raises(RunError, match="no Tensorrt provider"):
        choose_providers("tensorrt", [CUDA, CPU])
    assert [choose_providers(device, [TENSORRT, CUDA, CPU])[0][0] for device in ("auto", "cuda")] == [CUDA, CUDA]


def test_tensorrt_computes_in_the_precision_of_the_graph():
    for precision, enabled in (("float32", "0"), ("float16", "1")):
        (_, options), _ = choose_providers("tensorrt", [TENSORRT, CUDA, CPU], precision=precision)
        assert options["trt_fp16_enable"] == enabled


@pytest.mark.parametrize(("gpus", "precision"), [(0, "int8"), (1, "float16")])
def test_the_package_for_gpus_is_no_gpu(bundles, monkeypatch, gpus, precision):
    runtime = SimpleNamespace(get_available_providers=lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(devices, "load_onnxruntime", lambda: runtime)
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    assert choose_precision("auto", bundles.every, "auto", [this_machine()]) == precision
    assert this_machine().providers == ((TENSORRT, CUDA, CPU) if gpus else (CPU,))


def test_gpus_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert gpu_count() == 2
    listed = "GPU 0: A (UUID: x)\nGPU 1: A (UUID: y)\nGPU 2: A (UUID: z)\n"
    monkeypatch.setattr(devices.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=listed))
    # Those that are there may all be hidden.
    for none in ("", "-1", " "):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert gpu_count() == 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu_count() == 3

    def missing(*arguments, **options):
        raise FileNotFoundError

    monkeypatch.setattr(devices.subprocess, "run", missing)
    monkeypatch.setattr(devices, "DRIVER_GPUS", tmp_path / "gpus")
    assert gpu_count() == 0
    assert subprocess.run is missing
    # What the driver lists, where a container has its files and not the command.
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / address).mkdir(parents=True)
    assert gpu_count() == 2

    def fails(*arguments, **options):
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(devices.subprocess, "run", fails)
    assert gpu_count() == 0


def test_each_gpu_has_a_worker(monkeypatch):
    monkeypatch.setattr(devices, "gpu_count", lambda: 2)
    runtime = SimpleNamespace(get_available_providers=lambda: [CUDA, CPU])
    monkeypatch.setattr(devices, "load_onnxruntime", lambda: runtime)
    assert settle_device("auto", None) == ("cuda", 2)
    assert settle_device("cuda:1", None) == ("cuda:1", 1)
    assert settle_device("tensorrt", None) == ("tensorrt", 2)
    assert settle_device("tensorrt", 6) == ("tensorrt", 6)
    assert settle_device("cpu", None) == ("cpu", None)
    assert [device_of_worker("cuda", name) for name in (0, 1, 2, "3")] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert device_of_worker("cuda:1", 0) == "cuda:1"
    assert device_of_worker("cpu", 1) == "cpu"
    assert device_of_worker("cuda", "tcp://host:1") == "cuda"
    runtime.get_available_providers = lambda: [CPU]
    assert settle_device("auto", None) == ("auto", None)
    runtime.get_available_providers = lambda: [CUDA, CPU]
    monkeypatch.setattr(devices, "gpu_count", lambda: 0)
    assert settle_device("auto", None) == ("auto", None)
    # Where they cannot be counted there is one for who asks for it.
    assert settle_device("cuda", None) == ("cuda", 1)
    assert device_of_worker("cuda", 3) == "cuda:0"


def test_the_batch_leaves_half_of_the_memory():
    def memory_for(limit):
        def run(batch):
            tried.append(batch)
            if batch > limit:
                raise RuntimeError("out of memory")

        return run

    for limit, expected in ((16, 16), (31, 16), (70, 32), (128, 64), (10**6, 1024)):
        tried: list[int] = []
        assert largest_batch(memory_for(limit), 16) == expected
    with pytest.raises(RuntimeError, match="out of memory"):
        largest_batch(memory_for(8), 16)


def test_memory_of_a_device_is_taken_once_and_gives_the_same_scores(bundles):
    import onnxruntime

    session = onnxruntime.InferenceSession(bundles.one.model_path.read_bytes(), providers=[CPU])
    bound = _OnDevice(onnxruntime, session, "cpu", 0)
    rng = np.random.default_rng(0)
    taken = []
    for size in (8, 8, 4, 8):
        images = rng.normal(size=(size, 3, 16, 16)).astype(np.float32)
        expected = session.run(["logits", "features"], {"image": images})
        for found, wanted in zip(bound.run(images), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        taken.append(id(bound._input))
    assert taken[0] == taken[1] != taken[2]
