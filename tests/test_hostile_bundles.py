"""Bundles that were made to harm: what is too large is refused in words, before it is read."""

import hashlib
import io
import json
import os
import zipfile

import numpy as np
import onnx
import pytest
from make_bundle import make_bundle
from onnx import numpy_helper

from galmorph import bundle as bundles
from galmorph.bundle import load_bundle
from galmorph.errors import BundleError
from galmorph.training.evaluate import predict


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "model", ["g"])


def declare(bundle, name: str, digest: str) -> None:
    """Let the manifest say that a file is as it is."""
    path = bundle.path / "manifest.json"
    facts = json.loads(path.read_text())
    facts["files"][name] = {"sha256": digest, "size": (bundle.path / name).stat().st_size}
    path.write_text(json.dumps(facts))


def test_a_file_of_terabytes_is_refused_before_it_is_read(bundle):
    os.truncate(bundle.model_path, 2**40)
    declare(bundle, "model.onnx", "0" * 64)
    with pytest.raises(BundleError, match=r"model\.onnx has 1099511627776 bytes; at most 2147483648 are read"):
        load_bundle(bundle.path)


def test_a_graph_whose_weights_lie_elsewhere_is_not_measured(bundle):
    model = onnx.load(bundle.model_path)
    for tensor in model.graph.initializer:
        tensor.raw_data = numpy_helper.to_array(tensor).tobytes()
    onnx.save_model(model, bundle.model_path, save_as_external_data=True, location="other.bin", size_threshold=0)
    declare(bundle, "model.onnx", hashlib.sha256(bundle.model_path.read_bytes()).hexdigest())
    # No digest covers the file that it points to.
    images = np.zeros((2, 1, 16, 16), np.float32)
    with pytest.raises(Exception, match=r"external|other\.bin"):
        predict(load_bundle(bundle.path).model_path, images, np.arange(2))


def test_a_manifest_of_gigabytes_is_refused_before_it_is_read(bundle):
    os.truncate(bundle.path / "manifest.json", 2**32)
    with pytest.raises(BundleError, match=r"manifest\.json has 4294967296 bytes; at most 4194304"):
        load_bundle(bundle.path)


def test_an_archive_that_unpacks_to_too_much_is_refused(bundle, monkeypatch):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("means.npy", b"\0" * 10**7)
    assert len(content.getvalue()) < 10**5
    (bundle.path / "reference.npz").write_bytes(content.getvalue())
    declare(bundle, "reference.npz", hashlib.sha256(content.getvalue()).hexdigest())
    monkeypatch.setattr(bundles, "LARGEST_FILE", 10**6)
    with pytest.raises(BundleError, match=r"reference\.npz unpacks to 10000000 bytes, which no model needs"):
        load_bundle(bundle.path)


def test_an_array_that_claims_more_than_is_there_is_refused(bundle):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**10)})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in np.load(bundle.path / "reference.npz").files:
            archive.writestr(f"{name}.npy", header.getvalue())
    (bundle.path / "reference.npz").write_bytes(content.getvalue())
    declare(bundle, "reference.npz", hashlib.sha256(content.getvalue()).hexdigest())
    with pytest.raises(BundleError, match=r"reference\.npz cannot be read"):
        load_bundle(bundle.path)
