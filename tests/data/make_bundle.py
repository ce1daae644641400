"""A model bundle small enough for a test, made with onnx alone: no training, and numbers that can be checked by hand.

The features are the mean of ``asinh`` of each band over the whole cutout and over its centre; the logits are a fixed
linear map of them.
"""

import io
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

from galmorph.bundle import Bundle, write_bundle
from galmorph.cutouts import Framing
from galmorph.manifest import Manifest, UnknownRule

OPSET = 18


def weights(features: int, classes: int) -> np.ndarray:
    """Linear map from features to logits."""
    return np.random.default_rng(7).normal(size=(features, classes)).astype(np.float32)


def graph(bands: int, size: int, classes: int) -> bytes:
    """The ONNX graph."""
    features, quarter = 2 * bands, size // 4
    constants = {
        "axes": np.array([2, 3]),
        "starts": np.array([quarter, quarter]),
        "ends": np.array([size - quarter, size - quarter]),
        "weight": weights(features, classes),
    }
    nodes = [
        helper.make_node("Asinh", ["image"], ["stretched"]),
        helper.make_node("ReduceMean", ["stretched", "axes"], ["whole"], keepdims=0),
        helper.make_node("Slice", ["stretched", "starts", "ends", "axes"], ["centre"]),
        helper.make_node("ReduceMean", ["centre", "axes"], ["core"], keepdims=0),
        helper.make_node("Concat", ["whole", "core"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "weight"], ["logits"]),
    ]
    onnx_graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", bands, size, size])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def files(bands: int, size: int, classes: int) -> dict[str, bytes]:
    """Content of a bundle's files."""
    features = 2 * bands
    reference, statistics = io.BytesIO(), io.BytesIO()
    np.savez(reference, directions=np.eye(features), distance=0.5, entropy=0.1)
    pq.write_table(pa.table({"entropy": pa.array([0.1, 0.2], pa.float32())}), statistics)
    return {
        "model.onnx": graph(bands, size, classes),
        "reference.npz": reference.getvalue(),
        "reference.parquet": statistics.getvalue(),
        "README.md": b"# A model for tests\n",
    }


def manifest(bands: list[str], size: int = 16, classes: list[str] | None = None, **changes: object) -> Manifest:
    """Manifest of a bundle for tests."""
    facts: dict[str, object] = {
        "name": "tiny",
        "description": "for tests",
        "classes": classes or ["elliptical", "spiral", "merger", "star"],
        "survey": "tests",
        "bands": bands,
        "pixel_scale": 0.262,
        "pixel_scale_range": (0.02, 2.0),
        "framing": Framing(size=size),
        "stretch": {"kind": "asinh"},
        "features": 2 * len(bands),
        "temperature": 1.0,
        "rho": 0.7,
        "unknown": UnknownRule(score="entropy", threshold=1.2, false_unknown_rate=0.05),
        "batch": 8,
        "metrics": {},
        "parity": {},
        "training": {},
    }
    return Manifest(**(facts | changes))


def make_bundle(path: Path, bands: list[str], size: int = 16, classes: list[str] | None = None) -> Bundle:
    """Write a bundle for tests."""
    facts = manifest(bands, size, classes)
    return write_bundle(path, facts, files(len(bands), size, len(facts.classes)))
