"""Run a sample of a survey's tiles and take the time, the memory and the disk of it."""

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import psutil

from galmorph.bundle import Bundle
from galmorph.inference.cluster import TILES_IN_PROGRESS, cores, local_workers
from galmorph.inference.config import RunConfig
from galmorph.inference.devices import settle_device
from galmorph.inference.plan import Done, Measurement, all_file_bytes, file_bytes
from galmorph.inference.run import RunReport, run_tiles
from galmorph.inference.task import TileReport
from galmorph.surveys import TileSource

#: Stages of a tile's report in which nothing was done for it.
WAITING = frozenset({"queue", "idle"})


def measure(
    sources: Sequence[TileSource],
    bundle: Bundle,
    config: RunConfig,
    folder: Path,
    *,
    positions: pd.DataFrame | None = None,
    workers: int | None = None,
    device: str = "auto",
) -> tuple[Measurement, RunReport]:
    """Run tiles on this machine, as a survey would.

    Parameters
    ----------
    sources : sequence of TileSource
        The sample.
    bundle, config, positions, workers, device
        As for `galmorph.inference.run.run_tiles`.
    folder : Path
        New run folder.

    Returns
    -------
    measurement : Measurement
        Without what the catalogue adds.
    report : RunReport
        Of the run.
    """
    sizes = {source.name: file_bytes(source) for source in sources}
    begin = time.perf_counter()
    done: list[Done] = []
    files = memory = 0.0

    def hashing(now: int, total: int) -> None:
        nonlocal files
        files = time.perf_counter() - begin

    def progress(count: int, total: int, report: TileReport) -> None:
        nonlocal memory
        work = sum(seconds for stage, seconds in report.seconds.items() if stage not in WAITING)
        done.append(Done(time.perf_counter() - begin, sizes[report.tile], work))
        memory = max(memory, *map(peak_memory, psutil.Process().children(recursive=True)), 0)

    device, workers = settle_device(device, workers)
    report = run_tiles(
        sources,
        [],
        bundle,
        config,
        folder,
        positions=positions,
        workers=workers,
        device=device,
        progress=progress,
        hashing=hashing,
    )
    count = local_workers(workers)
    measurement = Measurement(
        workers=count,
        threads=max(1, cores() // count),
        in_progress=count * TILES_IN_PROGRESS,
        files=files,
        file_bytes=all_file_bytes(sources),
        seconds=time.perf_counter() - begin,
        done=done,
        objects=report.detected,
        memory=int(memory),
    )
    return measurement, report


def peak_memory(process: psutil.Process) -> int:
    """Most bytes that a process held so far; what it holds now where the system does not tell."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
