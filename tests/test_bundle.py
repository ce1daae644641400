import io
import json
import math

import numpy as np
import pytest
from make_bundle import files, make_bundle, manifest
from pydantic import ValidationError

from galmorph.bundle import Bundle, load_bundle, write_bundle
from galmorph.errors import BundleError
from galmorph.manifest import FORMAT_VERSION


@pytest.fixture
def bundle(tmp_path) -> Bundle:
    return make_bundle(tmp_path / "model", ["g", "r", "z"])


def edit_manifest(bundle, **changes):
    path = bundle.path / "manifest.json"
    facts = json.loads(path.read_text())
    facts.update(changes)
    path.write_text(json.dumps(facts))


def test_what_is_written_is_read(bundle):
    again = load_bundle(bundle.path)
    assert again.manifest == bundle.manifest
    assert again.sha256 == bundle.sha256
    assert set(again.manifest.files) == {"model.onnx", "reference.npz", "reference.parquet", "README.md"}
    assert again.reference.directions.shape == (6, 6)


def test_identity_follows_every_file(tmp_path, bundle):
    content = files(3, 16, 4)
    content["README.md"] += b"changed"
    other = write_bundle(tmp_path / "other", manifest(["g", "r", "z"]), content)
    assert other.sha256 != bundle.sha256


def test_a_changed_file_is_refused(bundle):
    data = bytearray(bundle.model_path.read_bytes())
    data[100] ^= 1
    bundle.model_path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx was changed after the export"):
        load_bundle(bundle.path)


def test_a_shortened_file_is_refused(bundle):
    bundle.model_path.write_bytes(bundle.model_path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"model\.onnx has \d+ bytes instead of"):
        load_bundle(bundle.path)


def test_a_missing_file_is_refused(bundle):
    (bundle.path / "reference.npz").unlink()
    with pytest.raises(BundleError, match=r"reference\.npz is missing"):
        load_bundle(bundle.path)


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"not a model bundle.*galmorph export"):
        load_bundle(tmp_path)


def test_a_newer_version_says_upgrade(bundle):
    edit_manifest(bundle, format_version=FORMAT_VERSION + 1, something_new=1)
    with pytest.raises(BundleError, match="Upgrade"):
        load_bundle(bundle.path)


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"classes": []},
        {"classes": ["a", "a"]},
        {"temperature": 0},
        {"unit": "counts"},
        {"bands": "grz"},
        {"pixel_scale": -0.262, "pixel_scale_range": [-1.0, 1.0]},
        {"features": 0},
        {"unknown": {"score": "entropy", "threshold": 1.2, "false_unknown_rate": -0.1}},
        {"unknown": {"score": "entropy", "threshold": 1.2, "false_unknown_rate": 1.1}},
        {"files": {"model.onnx": {"sha256": "ab", "size": 1}}},
        {"precisions": {"float32": {"threshold": 1e9}}},
        {"precisions": {"int8": 3}},
        {"precisions": {"int8": {"threshold": "x"}}},
        {"precisions": {"float16": {"threshold": float("nan")}}},
    ],
)
def test_an_invalid_manifest_is_refused(bundle, changes):
    edit_manifest(bundle, **changes)
    with pytest.raises(BundleError, match="not a valid manifest"):
        load_bundle(bundle.path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": "1"}', "[" * 10**5])
def test_a_manifest_that_is_none_is_refused(bundle, text):
    (bundle.path / "manifest.json").write_text(text)
    with pytest.raises(BundleError):
        load_bundle(bundle.path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b"])
def test_files_outside_the_folder_are_refused(bundle, name):
    entry = {"sha256": "0" * 64, "size": 0}
    edit_manifest(bundle, files={**{n: e.model_dump() for n, e in bundle.manifest.files.items()}, name: entry})
    with pytest.raises(BundleError, match="not a plain file name"):
        load_bundle(bundle.path)


def test_an_unpickled_reference_is_refused(tmp_path):
    content = files(3, 16, 4)
    stream = io.BytesIO()
    np.savez(stream, directions=np.array([{"a": 1}], dtype=object), distance=1.0, entropy=1.0)
    content["reference.npz"] = stream.getvalue()
    with pytest.raises(BundleError, match=r"reference\.npz cannot be read"):
        write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)
    assert not (tmp_path / "model").exists()


def test_a_reference_of_another_network_is_refused(tmp_path):
    content = files(2, 16, 4) | {"model.onnx": files(3, 16, 4)["model.onnx"]}
    with pytest.raises(BundleError, match="expected 6 features of each"):
        write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)


@pytest.mark.parametrize(
    "changes",
    [{"distance": 0.0}, {"distance": math.inf}, {"entropy": -0.1}, {"entropy": math.nan}, {"entropy": math.inf},
     {"directions": np.full((6, 6), math.nan)}],
)  # fmt: skip
def test_a_reference_that_measures_nothing_is_refused(tmp_path, changes):
    content, stream = files(3, 16, 4), io.BytesIO()
    np.savez(stream, **({"directions": np.eye(6), "distance": 0.5, "entropy": 0.1} | changes))
    content["reference.npz"] = stream.getvalue()
    with pytest.raises(BundleError, match="holds numbers that are not finite and positive"):
        write_bundle(tmp_path / "model", manifest(["g", "r", "z"]), content)


def test_writing_needs_every_file(tmp_path):
    with pytest.raises(BundleError, match=r"reference\.npz"):
        write_bundle(tmp_path / "model", manifest(["g"]), {"model.onnx": b""})


def test_writing_replaces_a_bundle_and_nothing_else(tmp_path, bundle):
    again = make_bundle(bundle.path, ["g", "r"])
    assert again.manifest.bands == ["g", "r"]
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match=r"precious is there, and no whole bundle .*not a model bundle"):
        make_bundle(tmp_path / "precious", ["g"])
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_bands_are_bound_by_name(bundle):
    assert bundle.check_survey("s", ["z", "i", "r", "g"], 0.262) == [3, 2, 0]


def test_a_model_of_pictures_sees_no_tile(tmp_path):
    bundle = write_bundle(tmp_path / "model", manifest(["g", "r", "z"], unit="pixel values"), files(3, 16, 4))
    with pytest.raises(BundleError, match=r"survey x: model tiny was trained on pixel values.*galmorph cutouts"):
        bundle.check_survey("survey x", ["g", "r", "z"], 0.262)


def test_a_missing_band_is_refused_with_its_name(bundle):
    with pytest.raises(BundleError, match=r"needs the bands g, r, z.*and z is not among"):
        bundle.check_survey("tile", ["g", "r", "i"], 0.262)


@pytest.mark.parametrize("scale", [0.001, 10.0, float("nan")])
def test_a_pixel_scale_out_of_range_is_refused(bundle, scale):
    with pytest.raises(BundleError, match="arcsec per pixel"):
        bundle.check_survey("tile", ["g", "r", "z"], scale)


@pytest.mark.parametrize(
    "changes",
    [{"pixel_scale_range": (0.3, 0.5)}, {"temperature": float("inf")}, {"name": "../x"}, {"classes": ["a", "A"]}],
)
def test_impossible_manifests_cannot_be_made(changes):
    with pytest.raises(ValidationError):
        manifest(["g"], **changes)
