"""The same network in fewer bits, for faster survey runs, and the proof that it decides alike.

``int8`` for CPUs: static quantisation of convolutions and what stands between them, weights per channel, ranges of
activations calibrated on real cutouts. ``float16`` for GPUs. The stretch stays in float32 in both, since calibrated
fluxes span more than either can hold, and so does what follows the features.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.compose import add_prefix_graph, merge_graphs
from onnx.utils import Extractor
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from galmorph.bundle import GRAPHS
from galmorph.errors import BundleError, GalmorphError
from galmorph.manifest import FewerBits
from galmorph.training.calibrate import Calibration
from galmorph.training.evaluate import predict
from galmorph.training.options import ExportOptions

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]

#: Operations that are quantised: those of convolutional encoders that a CPU has integer kernels for.
QUANTISED = ("Conv", "Add", "Relu", "MaxPool")

#: Images that ranges of activations are taken from; they are held in memory, a batch at a time.
CALIBRATION_IMAGES, CALIBRATION_BATCH = 256, 16


#: Share of unknown objects that the threshold of a graph in fewer bits is lowered for.
TAKEN_ALONG = 0.99


@dataclass(frozen=True)
class Judges:
    """Images by which a smaller graph is judged.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``.
    rows : ndarray of int
        Which of them.
    labels : ndarray of int
        Class of each of `rows`, -1 where it has none of the known ones.
    """

    images: Float32
    rows: NDArray[np.intp]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class Decisions:
    """What a graph says of images.

    Parameters
    ----------
    label : ndarray of int
        Most probable class.
    score : ndarray of float
        By which an object is called unknown.
    """

    label: NDArray[np.integer]
    score: NDArray[np.floating]


def compact_graphs(
    graph: bytes,
    options: ExportOptions,
    calibration: Calibration,
    examples: Float32,
    judges: Sequence[Judges],
) -> tuple[dict[str, bytes], dict[FewerBits, dict[str, Any]]]:
    """Graphs of the precisions that a recipe asks for, as far as they decide like the one in float32.

    Parameters
    ----------
    graph : bytes
        In float32, from `galmorph.training.graph.export_graph`.
    options : ExportOptions
        Which precisions, and how much worse they may be.
    calibration : Calibration
        Turns what a graph gives into scores.
    examples : ndarray of float32
        Real cutouts of the training part.
    judges : sequence of Judges
        Sets of images that were not trained on.

    Returns
    -------
    graphs : dict of str to bytes
        By file name; those that are worse than the recipe allows, or cannot be made or run, are left out.
    results : dict of str to dict
        What was measured of each precision, see `compare_decisions`, its threshold, and why it was refused if it was.
        Of one that cannot be made or run there is only the last.
    """
    graphs: dict[str, bytes] = {}
    results: dict[FewerBits, dict[str, Any]] = {}
    if not options.precisions:
        return graphs, results
    labels = np.concatenate([one.labels for one in judges])
    before = _decisions(graph, calibration, judges)
    makers: dict[FewerBits, Callable[[], bytes]] = {
        "int8": lambda: quantise(graph, examples),
        "float16": lambda: halve(graph),
    }
    for precision in options.precisions:
        try:
            smaller = makers[precision]()
            after = _decisions(smaller, calibration, judges)
        except Exception as error:  # whatever a converter or onnxruntime stumbles over, float32 is not lost
            result = {"refused": _why_not_made(error)}
        else:
            result = _judge(before, after, labels, calibration.threshold, options)
        results[precision] = result
        if "refused" in result:
            logger.warning("the bundle goes without %s: %s", precision, result["refused"])
        else:
            graphs[GRAPHS[precision]] = smaller
    return graphs, results


def _judge(
    before: Decisions, after: Decisions, labels: NDArray[np.integer], limit: float, options: ExportOptions
) -> dict[str, Any]:
    """What is told of a graph in fewer bits, where `limit` is the threshold of the one in float32."""
    # The threshold is fitted to every other image and judged on those between.
    threshold = lowered_threshold(limit, before.score[::2], after.score[::2])
    halves = [Decisions(one.label[1::2], one.score[1::2]) for one in (before, after)]
    result = compare_decisions(halves[0], halves[1], labels[1::2], (limit, threshold))
    fault = _fault(result, options)
    return {"threshold": threshold} | result | ({"refused": fault} if fault else {})


def _decisions(graph: bytes, calibration: Calibration, judges: Sequence[Judges]) -> Decisions:
    scores = [calibration.score(*predict(graph, one.images, one.rows)) for one in judges]
    return Decisions(
        np.concatenate([one.label for one in scores]),
        np.concatenate([getattr(one, calibration.unknown_score) for one in scores]),
    )


def lowered_threshold(threshold: float, before: NDArray[np.floating], after: NDArray[np.floating]) -> float:
    """Threshold above which a graph in fewer bits calls unknown what the one in float32 did.

    Parameters
    ----------
    threshold : float
        Of the graph in float32.
    before, after : ndarray of float
        Scores of the same images by both graphs.

    Returns
    -------
    float
        Lower by what unknown objects lose in score, 99 of 100 of them; never higher. Scores that are no numbers, or
        infinite, do not count.
    """
    # A score that is no number is above any threshold; how far to lower it neither that nor an infinite one can tell.
    unknown = (before > threshold) & np.isfinite(before) & np.isfinite(after)
    if not unknown.any():
        return threshold
    return threshold - max(0.0, float(np.quantile((before - after)[unknown], TAKEN_ALONG)))


def compare_decisions(
    before: Decisions, after: Decisions, labels: NDArray[np.integer], thresholds: tuple[float, float]
) -> dict[str, Any]:
    """How far two graphs decide alike of the same images.

    Parameters
    ----------
    before, after : Decisions
        Of the graph in float32 and of the other.
    labels : ndarray of int
        Class of each image, -1 where it has none of the known ones.
    thresholds : tuple of float
        Scores above which both call an object unknown.

    Returns
    -------
    dict
        ``images``; ``accuracy`` and ``accuracy_float32`` over images of known class, and ``accuracy_drop``, their
        difference; ``same_label``, a share of all; ``flags``, images called unknown before; ``flags_kept``, the share
        of them that still is; ``flags_added``, those that newly are, as a share of the others.
    """
    known = labels >= 0
    right = [float(np.mean(one.label[known] == labels[known])) if known.any() else 1.0 for one in (before, after)]
    # As in scoring: a score that is no number must not pass for a known object.
    old, new = (~(one.score <= limit) for one, limit in zip((before, after), thresholds, strict=True))
    return {
        "images": len(labels),
        "accuracy": right[1],
        "accuracy_float32": right[0],
        "accuracy_drop": right[0] - right[1],
        "same_label": float(np.mean(before.label == after.label)),
        "flags": int(old.sum()),
        "flags_kept": float(np.mean(new[old])) if old.any() else 1.0,
        "flags_added": float(np.mean(new[~old])) if not old.all() else 0.0,
    }


def _fault(result: Mapping[str, Any], options: ExportOptions) -> str:
    """Why a graph is refused, in words; empty if it is not."""
    faults = []
    if result["accuracy_drop"] > options.accuracy_drop:
        faults.append(
            f"accuracy falls from {result['accuracy_float32']:.4f} to {result['accuracy']:.4f}, by more than "
            f"{options.accuracy_drop:g} (export.accuracy_drop)"
        )
    if result["flags_kept"] < options.flags_kept:
        faults.append(
            f"of {result['flags']} unknown objects {100 * result['flags_kept']:.1f} % are still called so, less than "
            f"{100 * options.flags_kept:g} % (export.flags_kept)"
        )
    return " and ".join(faults)


def _why_not_made(error: Exception) -> str:
    """Why there is no graph to judge, in words."""
    if isinstance(error, GalmorphError):
        return str(error)
    what = " ".join(str(error).split())[:200]
    return f"it cannot be made or run ({type(error).__name__}: {what}); report this with the recipe"


def quantise(graph: bytes, examples: Float32) -> bytes:
    """A graph whose convolutions compute in 8-bit integers.

    Parameters
    ----------
    graph : bytes
        In float32.
    examples : ndarray of float32
        Real cutouts, shape ``(n, bands, N, N)``; at most `CALIBRATION_IMAGES` of them are looked at.

    Returns
    -------
    bytes
        In the form of QuantizeLinear and DequantizeLinear pairs, which onnxruntime fuses: activations in unsigned
        integers and weights in signed ones, the combination that CPUs with VNNI multiply without overflow.

    Raises
    ------
    BundleError
        If the graph has no convolution.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plain, prepared, quantised = (Path(scratch) / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
        plain.write_bytes(graph)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Examples(examples[:CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_stretch_nodes(onnx.load(prepared)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return _checked(onnx.load(quantised))


def halve(graph: bytes) -> bytes:
    """A graph that computes in 16-bit floating point numbers, but for the stretch; it takes and gives float32.

    Parameters
    ----------
    graph : bytes
        In float32.

    Returns
    -------
    bytes

    Raises
    ------
    BundleError
        If the graph has no convolution.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph))
    crossing, parts = _crossing(model), Extractor(model)
    kept = parts.extract_model([one.name for one in model.graph.input], crossing).graph
    # The converter lets the input through float16, where bright stars would overflow: it gets what is stretched.
    rest = parts.extract_model(crossing, [one.name for one in model.graph.output])
    for part in (kept, rest.graph):
        part.ClearField("value_info")
    halved = OnnxModel(convert_float_to_float16(rest, keep_io_types=True))
    halved.topological_sort()
    # A constant of both parts is there in both precisions, which need names of their own.
    kept = add_prefix_graph(kept, "float32.", rename_inputs=False, rename_outputs=False)
    joined = [(name, name) for name in crossing]
    model.graph.CopyFrom(merge_graphs(kept, halved.model.graph, joined, name=model.graph.name, doc_string=""))
    return _checked(model)


def _crossing(model: onnx.ModelProto) -> list[str]:
    """Names of what the part after the stretch takes: the stretched image, and what is made of the image's shape."""
    stretched = _stretched(model)
    after, taken = {stretched}, set[str]()
    for node in model.graph.node:
        if not after.isdisjoint(node.input):
            after.update(filter(None, node.output))
            taken.update(filter(None, node.input))
    constants = {one.name for one in model.graph.initializer}
    return sorted((taken - after - constants) | {stretched})


def _checked(model: onnx.ModelProto) -> bytes:
    model.graph.ClearField("value_info")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _stretched(model: onnx.ModelProto) -> str:
    """Name of the stretched image, which the first convolution takes."""
    first = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    if first is None:
        raise BundleError(
            "the network has no convolution, and smaller precisions are made of convolutional networks; "
            "leave out export.precisions in the recipe"
        )
    name: str = first.input[0]
    return name


def _stretch_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes before the first convolution."""
    makers = {output: node for node in model.graph.node for output in node.output}
    names, waiting = set(), [_stretched(model)]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in names:
            names.add(node.name)
            waiting += node.input
    return sorted(names)


class _Examples(CalibrationDataReader):  # type: ignore[misc]
    """Cutouts in batches, as onnxruntime's calibration takes them."""

    def __init__(self, images: Float32) -> None:
        self._batches = (
            {"image": images[start : start + CALIBRATION_BATCH]} for start in range(0, len(images), CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Float32] | None:
        return next(self._batches, None)
