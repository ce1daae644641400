"""A run scores with the graph of its precision, says so, and does not go on with another one."""

import json

import onnx
import pytest
from distributed import LocalCluster
from make_bundle import files, manifest
from make_sky import BANDS, make_tile

import galmorph
from galmorph.bundle import write_bundle
from galmorph.errors import RunError
from galmorph.inference import devices
from galmorph.inference.cluster import machines_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Its int8 graph is that of float32 with the opposite sign, so that it shows which one scored."""
    content = files(3, 16, 4)
    model = onnx.load_from_string(content["model.onnx"])
    weight = next(one for one in model.graph.initializer if one.name == "weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), "weight"))
    content["model.int8.onnx"] = model.SerializeToString()
    told = {"int8": {"threshold": -1.0}}
    return write_bundle(tmp_path_factory.mktemp("bundle") / "model", manifest(list(BANDS), precisions=told), content)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    make_tile(folder, "tile", seed=1)
    return folder


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False,
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as local:  # fmt: skip
        yield local.scheduler_address


def test_the_precision_of_a_run(tile, bundle, scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    runs = {
        asked: galmorph.classify(tile, "mock-decals", bundle, tmp_path / asked, scheduler=scheduler, precision=asked)
        for asked in ("float32", "auto")
    }
    rows = {asked: run.catalog.to_pandas().set_index("object_id") for asked, run in runs.items()}
    first, second = rows["float32"], rows["auto"].loc[rows["float32"].index]
    assert (first["label"] != second["label"]).all()
    # Its own threshold lies below any entropy.
    assert second["unknown"].all()
    assert not first["unknown"].all()
    for asked, used in (("float32", "float32"), ("auto", "int8")):
        assert json.loads((tmp_path / asked / "run.json").read_text())["config"]["precision"] == used
        assert runs[asked].catalog.provenance["precision"] == used
    with pytest.raises(RunError, match="precision was int8 and is float32"):
        galmorph.classify(tile, "mock-decals", bundle, tmp_path / "auto", scheduler=scheduler, precision="float32")
    told = json.loads((tmp_path / "auto" / "report.json").read_text())
    assert set(told["seconds"]) == {"read", "detect", "cut", "score", "assemble", "write", "queue", "idle"}
    # With one tile nothing is overlapped but perhaps cutting.
    assert told["seconds"]["read"] + told["seconds"]["detect"] <= told["seconds"]["idle"] < told["elapsed"]


def test_the_same_command_goes_on_where_another_precision_would_be_faster(
    tile, bundle, scheduler, tmp_path, monkeypatch
):
    def call():
        return galmorph.classify(tile, "mock-decals", bundle, tmp_path / "run", scheduler=scheduler)

    monkeypatch.setattr(devices, "fast_integers", lambda: False)
    assert call().catalog.provenance["precision"] == "float32"
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    again = call()
    assert again.catalog.provenance["precision"] == "float32"
    assert again.report.resumed == 1


def test_int8_does_not_go_on_where_it_would_overflow(tile, bundle, scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    galmorph.classify(tile, "mock-decals", bundle, tmp_path / "run", scheduler=scheduler)
    monkeypatch.setattr(devices, "fast_integers", lambda: False)
    with pytest.raises(RunError, match="precision was int8 and is float32"):
        galmorph.classify(tile, "mock-decals", bundle, tmp_path / "run", scheduler=scheduler)


@pytest.fixture
def empty():
    """A cluster without workers."""
    with LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False,
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as local:  # fmt: skip
        yield local


def test_the_machine_that_starts_a_run_does_not_answer_for_workers_that_are_not_there(
    tile, bundle, empty, tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    assert machines_of(empty.scheduler_address) == []
    said = []

    def announce(words):
        said.append(words)
        if "the run begins when one joins" in words:
            empty.scale(1)

    run = galmorph.classify(
        tile, "mock-decals", bundle, tmp_path / "run", scheduler=empty.scheduler_address, announce=announce
    )
    assert run.catalog.provenance["precision"] == "float32"
    assert [words for words in said if "float32, which all can. The model has int8 too" in words]


def test_a_worker_that_would_overflow_is_refused(tile, bundle, scheduler, empty, tmp_path, monkeypatch):
    arguments = {"scheduler": scheduler, "precision": "int8"}
    monkeypatch.setattr(devices, "fast_integers", lambda: True)
    before = galmorph.classify(tile, "mock-decals", bundle, tmp_path / "run", **arguments)
    monkeypatch.setattr(devices, "fast_integers", lambda: False)
    with pytest.raises(
        RunError, match=r"worker .* on .*: the run scores in int8, and the CPU there has no instructions"
    ):
        galmorph.classify(tile, "mock-decals", bundle, tmp_path / "other", **arguments)
    # Without workers the run that goes on keeps its precision.
    again = galmorph.classify(tile, "mock-decals", bundle, tmp_path / "run", scheduler=empty.scheduler_address)
    assert (again.report.resumed, again.catalog.provenance["precision"]) == (1, "int8")
    assert again.report.scored == before.report.scored
