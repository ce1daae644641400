"""One onnxruntime session for a bundle on a device. Same input, same bytes: every batch has one size."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph.bundle import Bundle
from galmorph.errors import BundleError, MissingExtraError, RunError
from galmorph.inference.line import Line

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("Scoring", "onnxruntime", "cpu") from error
    return onnxruntime


def choose_providers(device: str, available: list[str]) -> list[Any]:
    """Execution providers for a device.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    available : list of str
        Providers of the installed onnxruntime.

    Returns
    -------
    list
        Providers in onnxruntime's form. For ``auto`` the GPU comes first where there is one, with the CPU behind it.

    Raises
    ------
    RunError
        If the device is not one of these, or is a GPU and onnxruntime has no provider for it.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdecimal())):
        raise RunError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if kind == "cuda" and CUDA not in available:
        raise RunError(
            f"device {device} was asked for, and the installed onnxruntime has no CUDA provider (it has "
            f"{', '.join(available)}). Install it with: pip install 'galmorph-survey[gpu]', or use --device cpu."
        )
    if kind == "cpu" or CUDA not in available:
        return [CPU]
    gpu = (CUDA, {"device_id": index or "0", "use_tf32": "0"})
    return [gpu] if kind == "cuda" else [gpu, CPU]


class ScoringSession:
    """A loaded network.

    Parameters
    ----------
    bundle : Bundle
        Checked bundle.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    threads : int
        Threads that one batch may use on a CPU.

    Raises
    ------
    BundleError
        If the graph does not load or does not have the inputs and outputs of a bundle.
    RunError
        If the device is not there. There is no silent fallback to the CPU.
    """

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 1) -> None:
        onnxruntime = _onnxruntime()
        providers = choose_providers(device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # From bytes, not from the path: a graph that points to files outside itself then fails to load.
        try:
            self._session = onnxruntime.InferenceSession(bundle.model_path.read_bytes(), options, providers=providers)
        except Exception as error:  # onnxruntime raises its own classes, which share no base but Exception
            raise BundleError(
                f"{bundle.model_path} does not load on {device}: {str(error).splitlines()[0]}. Export the model again, "
                "or upgrade onnxruntime."
            ) from error
        self.provider = str(self._session.get_providers()[0])
        if device.startswith("cuda") and self.provider != CUDA:
            raise RunError(
                f"device {device} was asked for and onnxruntime could not start it (it offers {self.provider}). "
                "Check the driver with nvidia-smi and the versions with `galmorph doctor`, or use --device cpu."
            )
        self.line = Line()
        self.batch = bundle.manifest.batch
        size = bundle.manifest.framing.size
        self._shape = (len(bundle.manifest.bands), size, size)
        self._check_graph(bundle)

    def _check_graph(self, bundle: Bundle) -> None:
        inputs = {node.name: list(node.shape[1:]) for node in self._session.get_inputs()}
        outputs = {node.name for node in self._session.get_outputs()}
        if inputs != {"image": list(self._shape)} or not {"logits", "features"} <= outputs:
            raise BundleError(
                f"{bundle.model_path} takes {inputs} and gives {sorted(outputs)}; a bundle's graph takes "
                f"'image' of shape (n, {', '.join(map(str, self._shape))}) and gives 'logits' and 'features'. "
                "Export the model again."
            )

    def predict(self, images: Float32) -> tuple[Float32, Float32]:
        """Logits and features of cutouts.

        Parameters
        ----------
        images : ndarray of float32
            Nanomaggies per square arcsec, shape ``(n, bands, N, N)``.

        Returns
        -------
        logits : ndarray of float32
            Shape ``(n, K)``.
        features : ndarray of float32
            Shape ``(n, d)``.

        Notes
        -----
        Batches always hold `batch` images, the last one padded with zeros, so that an object's scores do not
        depend on how many others it was scored with.
        """
        logits, features = [], []
        for start in range(0, len(images), self.batch):
            chunk = images[start : start + self.batch]
            padded = chunk
            if len(chunk) < self.batch:
                padded = np.zeros((self.batch, *self._shape), dtype=np.float32)
                padded[: len(chunk)] = chunk
            z, f = self._session.run(["logits", "features"], {"image": padded})
            logits.append(z[: len(chunk)])
            features.append(f[: len(chunk)])
        if not logits:
            z, f = self._session.run(
                ["logits", "features"], {"image": np.zeros((self.batch, *self._shape), np.float32)}
            )
            return z[:0], f[:0]
        return np.concatenate(logits), np.concatenate(features)
