"""``galmorph doctor``."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess

import psutil
from rich.console import Console
from rich.table import Table

import galmorph
from galmorph.inference.cluster import cores

#: Extras of the distribution, what they are for, and the distribution that shows that one is there.
EXTRAS = {
    "cpu": ("scoring on a CPU", "onnxruntime"),
    "gpu": ("scoring on a GPU", "onnxruntime-gpu"),
    "training": ("training, export and evaluation", "torch"),
    "mocks": ("mock surveys", "galsim"),
    "lsdb": ("catalogues in LSDB", "lsdb"),
    "likeness": ("objects like a given one, found in large catalogues", "usearch"),
    "cluster": ("Dask's dashboard, jobs on SLURM", "dask-jobqueue"),
    "drift": ("new tiles beside what a model was made for", "scikit-learn"),
    "tracking": ("trainings recorded with MLflow", "mlflow-skinny"),
    "search": ("searches over settings of a training", "optuna"),
}

BASE = ("numpy", "astropy", "sep", "opencv-python-headless", "dask", "pyarrow", "pandas", "duckdb", "hats")


def doctor() -> None:
    """Show versions, cores, memory, scoring providers, GPUs and optional parts, and how to get what is missing."""
    console = Console(highlight=False)
    memory = psutil.virtual_memory()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row("galmorph", galmorph.__version__)
    facts.add_row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    facts.add_row("cores", str(cores()))
    facts.add_row("memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB")
    facts.add_row("providers", ", ".join(_providers()) or "none: install an extra, cpu or gpu")
    facts.add_row("GPU", "; ".join(_gpus()) or "none found")
    for name in BASE:
        facts.add_row(name, _version(name) or "missing: reinstall galmorph-survey")
    console.print(facts)
    extras = Table("extra", "for", "state", box=None, pad_edge=False)
    for extra, (purpose, distribution) in EXTRAS.items():
        version = _version(distribution)
        state = f"{distribution} {version}" if version else f"missing: pip install 'galmorph-survey\\[{extra}]'"
        extras.add_row(extra, purpose, state)
    console.print()
    console.print(extras)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _providers() -> list[str]:
    """Execution providers of the installed onnxruntime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def _gpus() -> list[str]:
    """Names and memories of the GPUs that the driver sees."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    return [line.strip() for line in result.stdout.splitlines() if line.strip()] if result.returncode == 0 else []
