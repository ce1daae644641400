"""A network as an ONNX graph, and the proof that it computes what the network does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from galmorph.errors import BundleError

#: Batch sizes for which graph and network are compared.
PARITY_BATCHES = (1, 2, 7, 32)

#: Largest difference that is taken for rounding, relative to the largest value of an output (at least 1).
TOLERANCE = 1e-3

#: Version of the operator set that is written.
OPSET = 18


def export_graph(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    """ONNX model of a network.

    Parameters
    ----------
    network : Module
        What `galmorph.training.ensemble.as_served` gives, in evaluation mode, on the CPU.
    shape : tuple of int
        Bands, rows and columns of an image.

    Returns
    -------
    bytes
        A model with input `image` ``(n, bands, N, N)``, `n` free, and outputs `logits` and `features`.
    """
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, *shape),),
        dynamo=True,
        input_names=["image"],
        output_names=["logits", "features"],
        dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
        opset_version=OPSET,
        verbose=False,
    )
    if program is None:
        raise BundleError("torch gave no ONNX model; its version is not one that this galmorph can export with")
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def add_facts(model: bytes, facts: Mapping[str, str]) -> bytes:
    """A model with metadata, so that a stray file explains itself.

    Parameters
    ----------
    model : bytes
        From `export_graph`.
    facts : mapping of str to str
        Stored as its ``metadata_props``.

    Returns
    -------
    bytes
        The same graph.
    """
    proto = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(proto, dict(facts))
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _strip(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes, among them the paths of source files on the machine of the export."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    # Shapes of intermediate results are inferred again by whoever loads the model.
    graph.ClearField("value_info")


def compare(model: bytes, network: nn.Module, images: NDArray[np.float32]) -> dict[str, Any]:
    """Largest differences between graph and network, on random and real images, for several batch sizes.

    Parameters
    ----------
    model : bytes
        From `export_graph`.
    network : Module
        The network it was made from, in evaluation mode.
    images : ndarray of float32
        Real cutouts, at least one, shape ``(n, bands, N, N)``.

    Returns
    -------
    dict
        `logits` and `features`, the largest absolute differences; `largest_logit`; the batch sizes; the tolerance.

    Raises
    ------
    BundleError
        If a difference is more than rounding explains.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    # Random images that reach from below the noise to far beyond the brightest star.
    random = rng.normal(size=(max(PARITY_BATCHES), *images.shape[1:])) * np.exp(
        rng.uniform(-5, 8, size=(max(PARITY_BATCHES), 1, 1, 1))
    )
    worst, largest = np.zeros(2), np.zeros(2)
    for sample in (random.astype(np.float32), np.resize(images, random.shape)):
        for size in PARITY_BATCHES:
            batch = np.ascontiguousarray(sample[:size])
            with torch.inference_mode():
                expected = [output.numpy() for output in network(torch.from_numpy(batch))]
            for number, output in enumerate(session.run(["logits", "features"], {"image": batch})):
                worst[number] = max(worst[number], float(np.abs(output - expected[number]).max()))
                largest[number] = max(largest[number], float(np.abs(expected[number]).max()))
    # "Not at most": differences that are no numbers must not pass.
    if not np.all(worst <= TOLERANCE * np.maximum(1, largest)):
        raise BundleError(
            f"the exported graph differs from the network by {worst[0]:.3g} in logits and {worst[1]:.3g} in "
            f"features (largest values {largest[0]:.3g} and {largest[1]:.3g}). "
            "Report it, with the recipe: the bundle was not written"
        )
    return {
        "logits": float(worst[0]),
        "features": float(worst[1]),
        "largest_logit": float(largest[0]),
        "batch_sizes": list(PARITY_BATCHES),
        "tolerance": TOLERANCE,
    }
