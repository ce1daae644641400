"""What a machine can compute with: execution providers by device, GPUs, and the precision that suits them best."""

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from galmorph.bundle import Bundle, Precision
from galmorph.errors import MissingExtraError, RunError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

#: What a run can be told; ``auto`` is the best that the bundle holds for the device.
Asked = Literal["auto", "float32", "int8", "float16"]

#: Instructions by which a CPU multiplies 8-bit integers without overflow and faster than floats, as Linux names them.
INTEGER_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")

#: Where NVIDIA's driver has a folder for each GPU.
DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")

#: Largest batch that is tried on a GPU.
LARGEST_BATCH = 1024


@dataclass(frozen=True)
class Machine:
    """What scoring can use of a machine.

    Parameters
    ----------
    providers : tuple of str
        Execution providers of the installed onnxruntime, those for GPUs only where there is one.
    fast_integers : bool
        The CPU has instructions for which 8-bit integers are made.
    """

    providers: tuple[str, ...]
    fast_integers: bool


def this_machine() -> Machine:
    """What scoring can use here.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    """
    providers = tuple(load_onnxruntime().get_available_providers())
    # The package for GPUs names its providers on machines that have none, too.
    if CUDA in providers and not gpu_count():
        providers = tuple(name for name in providers if name not in (CUDA, TENSORRT))
    return Machine(providers, fast_integers())


def load_onnxruntime() -> Any:
    """The package, or an error that says how to get it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("Scoring", "onnxruntime", "cpu") from error
    return onnxruntime


def fast_integers(facts: Path = Path("/proc/cpuinfo")) -> bool:
    """If this CPU has instructions for 8-bit integers; where that cannot be known it is taken not to.

    Parameters
    ----------
    facts : Path
        Where Linux tells of the CPU.
    """
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        words = set(facts.read_text().split())
    except OSError:
        return False
    return not words.isdisjoint(INTEGER_INSTRUCTIONS)


def choose_precision(asked: str, bundle: Bundle, device: str, machines: Sequence[Machine]) -> Precision:
    """Precision of a run.

    Parameters
    ----------
    asked : {"auto", "float32", "int8", "float16"}
        ``auto``: float16 where all machines score on a GPU, int8 where all are CPUs with instructions for it, as far
        as the bundle holds them; else float32.
    bundle : Bundle
        The model.
    device : str
        See `choose_providers`.
    machines : sequence of Machine
        Those that score; of none, what any machine computes.

    Returns
    -------
    {"float32", "int8", "float16"}

    Raises
    ------
    RunError
        If there is no such precision.
    BundleError
        If the bundle does not hold it.
    """
    if asked not in get_args(Asked):
        raise RunError(f"precision must be one of {', '.join(get_args(Asked))}, got {asked!r}")
    if asked != "auto":
        precision: Precision = asked  # type: ignore[assignment]  # one of them, as just checked
        bundle.graph(precision)
        return precision
    gpus = [_on_gpu(device, machine) for machine in machines]
    if not machines:
        best: Precision = "float32"
    elif all(gpus):
        best = "float16"
    elif not any(gpus) and all(machine.fast_integers for machine in machines):
        best = "int8"
    else:
        best = "float32"
    return best if best in bundle.precisions else "float32"


def computes(precision: Precision, device: str, machine: Machine) -> bool:
    """Whether a machine computes in a precision as any other that does: int8 takes instructions not to overflow."""
    return precision != "int8" or machine.fast_integers or _on_gpu(device, machine)


def _on_gpu(device: str, machine: Machine) -> bool:
    kind = device.partition(":")[0]
    return kind in ("cuda", "tensorrt") or (kind == "auto" and CUDA in machine.providers)


def choose_providers(
    device: str, available: Sequence[str], cache: Path | None = None, precision: Precision = "float32"
) -> list[Any]:
    """Execution providers for a device.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``tensorrt:N``.
    available : sequence of str
        Providers of the installed onnxruntime.
    cache : Path or None
        Where TensorRT keeps the engines that it builds, which takes minutes.
    precision : {"float32", "int8", "float16"}
        Of the graph: TensorRT computes in float16 only what is of float16.

    Returns
    -------
    list
        Providers in onnxruntime's form. For ``auto`` the GPU comes first where there is one, with the CPU behind it;
        TensorRT, whose choice of kernels by their speed may differ from one engine to the next, has to be asked for.

    Raises
    ------
    RunError
        If the device is not one of these, or is a GPU and onnxruntime has no provider for it.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "tensorrt") or (
        index and (kind in ("auto", "cpu") or not index.isdecimal())
    ):
        raise RunError(f"device must be auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N, got {device!r}")
    needed = {"cuda": CUDA, "tensorrt": TENSORRT}.get(kind)
    if needed is not None and needed not in available:
        raise RunError(
            f"device {device} was asked for, and the installed onnxruntime has no "
            f"{needed.removesuffix('ExecutionProvider')} provider (it has {', '.join(available)}). Install it with: "
            "pip install 'galmorph-survey[gpu]', or use --device cpu."
        )
    if kind == "cpu" or CUDA not in available:
        return [CPU]
    gpu = (CUDA, {"device_id": index or "0", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"})
    if kind == "tensorrt":
        options = {"device_id": index or "0", "trt_fp16_enable": str(int(precision == "float16"))}
        if cache is not None:
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
        return [(TENSORRT, options), gpu]
    return [gpu] if kind == "cuda" else [gpu, CPU]


def gpu_count() -> int:
    """GPUs that this process may use; 0 where there is no driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607
    except FileNotFoundError:
        # Containers for computing alone have no nvidia-smi; the driver lists what they were given.
        return len(list(DRIVER_GPUS.glob("*")))
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def settle_device(device: str, workers: int | None) -> tuple[str, int | None]:
    """Device and number of workers of this machine: GPUs where there are any, a worker for each.

    Parameters
    ----------
    device : str
        As asked for.
    workers : int or None
        As asked for; more than there are GPUs share them, each with tiles of its own.

    Returns
    -------
    device : str
        ``cuda`` in place of ``auto`` where there is a GPU.
    workers : int or None
        None for one per core.
    """
    if device == "auto" and gpu_count() and CUDA in load_onnxruntime().get_available_providers():
        device = "cuda"
    kind, _, index = device.partition(":")
    if workers is None and kind in ("cuda", "tensorrt"):
        workers = 1 if index else max(1, gpu_count())
    return device, workers


def device_of_worker(device: str, worker: object) -> str:
    """Device of one of several workers of this machine: each takes a GPU of its own.

    Parameters
    ----------
    device : str
        As asked for; a GPU that is named by its number is taken by all.
    worker : object
        Name of the worker; those of a local cluster are numbers from 0 on.

    Returns
    -------
    str
    """
    if device not in ("cuda", "tensorrt") or not str(worker).isdecimal():
        return device
    return f"{device}:{int(str(worker)) % max(1, gpu_count())}"


def largest_batch(run: Callable[[int], object], least: int, most: int = LARGEST_BATCH) -> int:
    """Batch that fits into the memory of a GPU with as much to spare.

    Parameters
    ----------
    run : callable
        Scores a batch of the given size; raises when the memory does not suffice.
    least : int
        First batch tried, which has to go through.
    most : int
        Largest batch tried.

    Returns
    -------
    int
        `least` times a power of two: half of the largest that went through, since memory is not the run's alone; if
        none failed, the largest up to `most`.
    """
    run(least)
    fits = least
    while fits * 2 <= most:
        try:
            run(fits * 2)
        except Exception:  # onnxruntime's classes share no base; whatever it is, the batch is too large
            return max(least, fits // 2)
        fits *= 2
    return fits
