"""One onnxruntime session for a bundle on a device. Same input, same bytes: every batch has one size."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph.bundle import Bundle, Precision
from galmorph.errors import BundleError, RunError
from galmorph.inference.devices import CPU, choose_providers, largest_batch, load_onnxruntime
from galmorph.inference.line import Line

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]

OUTPUTS = ("logits", "features")


class ScoringSession:
    """A loaded network.

    Parameters
    ----------
    bundle : Bundle
        Checked bundle.
    device : str
        See `galmorph.inference.devices.choose_providers`.
    threads : int
        Threads that one batch may use on a CPU.
    precision : {"float32", "int8", "float16"}
        Which of the bundle's graphs.

    Attributes
    ----------
    batch : int
        Images in a batch: the bundle's on a CPU, what its memory takes on a GPU.
    line : Line
        Turns of the tiles that are scored with it.
    provider : str
        What executes.

    Raises
    ------
    BundleError
        If the graph does not load or does not have the inputs and outputs of a bundle.
    RunError
        If the device is not there. There is no silent fallback to the CPU.

    Notes
    -----
    On a GPU a batch goes to memory there that is taken once, and only logits and features come back.
    """

    def __init__(
        self, bundle: Bundle, device: str = "auto", threads: int = 1, precision: Precision = "float32"
    ) -> None:
        onnxruntime = load_onnxruntime()
        cache = None
        if device.startswith("tensorrt"):
            cache = Path.home() / ".cache" / "galmorph" / "tensorrt" / bundle.sha256[:16]
            cache.mkdir(parents=True, exist_ok=True)
        providers = choose_providers(device, onnxruntime.get_available_providers(), cache, precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = bundle.graph(precision)
        # From bytes, not from the path: a graph that points to files outside itself then fails to load.
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=providers)
        except Exception as error:  # onnxruntime raises its own classes, which share no base but Exception
            raise BundleError(
                f"{path} does not load on {device}: {str(error).splitlines()[0]}. Export the model again, "
                "or upgrade onnxruntime."
            ) from error
        self.provider = str(self._session.get_providers()[0])
        if device.partition(":")[0] in ("cuda", "tensorrt") and self.provider != providers[0][0]:
            raise RunError(
                f"device {device} was asked for and onnxruntime could not start it (it offers {self.provider}). "
                "Check the driver with nvidia-smi and the versions with `galmorph doctor`, or use --device cpu."
            )
        self.line = Line()
        self.batch = bundle.manifest.batch
        size = bundle.manifest.framing.size
        self._shape = (len(bundle.manifest.bands), size, size)
        self._check_graph(path)
        self._gpu: _OnDevice | None = None
        if self.provider != CPU:
            self._gpu = _OnDevice(onnxruntime, self._session, "cuda", int(providers[0][1]["device_id"]))
            self.batch = largest_batch(lambda batch: self._gpu and self._gpu.run(self._empty(batch)), self.batch)

    def _check_graph(self, path: Path) -> None:
        inputs = {node.name: list(node.shape[1:]) for node in self._session.get_inputs()}
        outputs = {node.name for node in self._session.get_outputs()}
        if inputs != {"image": list(self._shape)} or not set(OUTPUTS) <= outputs:
            raise BundleError(
                f"{path} takes {inputs} and gives {sorted(outputs)}; a bundle's graph takes "
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
                padded = self._empty(self.batch)
                padded[: len(chunk)] = chunk
            z, f = self._run(padded)
            logits.append(z[: len(chunk)])
            features.append(f[: len(chunk)])
        if not logits:
            z, f = self._run(self._empty(self.batch))
            return z[:0], f[:0]
        return np.concatenate(logits), np.concatenate(features)

    def _empty(self, batch: int) -> Float32:
        return np.zeros((batch, *self._shape), dtype=np.float32)

    def _run(self, batch: Float32) -> tuple[Float32, Float32]:
        if self._gpu is not None:
            return self._gpu.run(batch)
        logits, features = self._session.run(list(OUTPUTS), {"image": batch})
        return logits, features


class _OnDevice:
    """Input and output of a session bound to memory of a device, where they stay from batch to batch.

    Parameters
    ----------
    onnxruntime : module
        The package.
    session : onnxruntime.InferenceSession
        A bundle's graph.
    kind : str
        Of the device, as onnxruntime names it.
    number : int
        Of the device.
    """

    def __init__(self, onnxruntime: Any, session: Any, kind: str, number: int) -> None:
        self._onnxruntime, self._session, self._kind, self._number = onnxruntime, session, kind, number
        self._binding = session.io_binding()
        self._input: Any = None

    def run(self, batch: Float32) -> tuple[Float32, Float32]:
        """Logits and features of a batch."""
        if self._input is None or tuple(self._input.shape()) != batch.shape:
            self._input = self._onnxruntime.OrtValue.ortvalue_from_numpy(batch, self._kind, self._number)
            self._binding.bind_ortvalue_input("image", self._input)
            for name in OUTPUTS:
                # Made by the session at the first run, in the memory of the host, where they are read.
                self._binding.bind_output(name)
        else:
            self._input.update_inplace(batch)
        self._session.run_with_iobinding(self._binding)
        logits, features = self._binding.copy_outputs_to_cpu()
        return logits, features
