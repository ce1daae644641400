"""Dask: a cluster of this machine by default, any scheduler by address; one scoring session per worker process."""

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pandas as pd
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker
from distributed.comm import CommClosedError

import galmorph
from galmorph.bundle import Bundle, load_bundle
from galmorph.errors import BundleError, GalmorphError, RunError
from galmorph.inference.config import RunConfig, digest
from galmorph.inference.devices import Machine, computes, device_of_worker, this_machine
from galmorph.inference.journal import Journal
from galmorph.inference.session import ScoringSession
from galmorph.inference.spawned import GUARD, refuse_import, starts_when_imported
from galmorph.inference.task import TileReport, process_tile
from galmorph.surveys import TileSource

logger = logging.getLogger(__name__)

#: Told in words where the cluster can be watched and what it waits for.
Announce = Callable[[str], None]


SCHEDULER_GONE = "the Dask scheduler is gone; start one and give the same command again: it goes on"

#: Tiles that a worker process of a local cluster has in progress at once: one is prepared while another is scored.
TILES_IN_PROGRESS = 2


class ScoringPlugin(WorkerPlugin):  # type: ignore[misc]
    """Loads the model once in each worker process and keeps what every tile of a run needs.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle, readable by the workers.
    sha256 : str
        Identity that the bundle must have there.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    config : RunConfig
        Settings of the run.
    folder : Path
        The run folder, writable by the workers.
    positions : pandas.DataFrame or None
        Given positions.
    threads : int or None
        Threads that scoring may use in a worker process; by default as many as Dask gave the worker.
    local : bool
        The workers are of this run's own cluster, which ends with it: they leave Ctrl-C, which a terminal sends to
        all processes, to the client.
    """

    def __init__(
        self,
        bundle: Path,
        sha256: str,
        device: str,
        config: RunConfig,
        folder: Path,
        positions: pd.DataFrame | None,
        threads: int | None,
        local: bool,
    ) -> None:
        # Runs that share a scheduler keep apart; a call that goes on with a run takes its own plugin's place.
        facts = {"config": config.digest(), "folder": str(folder), "bundle": str(bundle), "device": device}
        self.name = f"galmorph-{digest(facts)[:16]}"
        self._version = galmorph.__version__
        self._bundle_path = bundle
        self._sha256 = sha256
        self._device = device
        self._config = config
        self._folder = folder
        self._positions = positions
        self._threads = threads
        self._local = local
        self._loaded: tuple[Bundle, ScoringSession] | None = None

    def setup(self, worker: Worker) -> None:
        """Load the model; called by Dask when a worker joins."""
        if self._local:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            # What the process has by now stays to its end; to look through it for garbage again and again takes time.
            gc.freeze()
        self._lock = threading.Lock()
        self._load(worker)

    def process(self, worker: Worker, source: TileSource, key: str, record: dict[str, Any]) -> TileReport:
        """Take one tile from disk to its part.

        A worker that cannot load the model leaves the cluster: it would fail all tiles while the others do one.
        """
        try:
            bundle, session = self._load(worker)
        except GalmorphError:
            worker.loop.add_callback(worker.close_gracefully, restart=False, reason="the model cannot be loaded")
            raise
        return process_tile(source, key, record, self._config, bundle, session, Journal(self._folder), self._positions)

    def _load(self, worker: Worker) -> tuple[Bundle, ScoringSession]:
        """The model, loaded at the first call that succeeds."""
        with self._lock:
            if self._loaded is None:
                try:
                    bundle = self._checked_bundle()
                    threads = even_threads(self._threads or worker.state.nthreads, bundle.manifest.batch)
                    self._loaded = (bundle, self._session(bundle, worker, threads))
                except (BundleError, RunError) as error:
                    raise type(error)(f"worker {worker.address} on {socket.gethostname()}: {error}") from error
            return self._loaded

    def _session(self, bundle: Bundle, worker: Worker, threads: int) -> ScoringSession:
        device = device_of_worker(self._device, worker.name) if self._local else self._device
        return ScoringSession(bundle, device, threads, self._config.precision)

    def _checked_bundle(self) -> Bundle:
        if galmorph.__version__ != self._version:
            raise RunError(
                f"galmorph is {galmorph.__version__} there and {self._version} where the run was started; use one "
                "environment or image for the client and all workers"
            )
        bundle = load_bundle(self._bundle_path)
        if bundle.sha256 != self._sha256:
            raise RunError(f"{self._bundle_path} is another model there than where the run was started")
        # Of a cluster that is its own, a run knew the machine when it was told the precision, or chose it.
        if not self._local and not computes(self._config.precision, self._device, this_machine()):
            raise RunError(
                f"the run scores in {self._config.precision}, and the CPU there has no instructions that add it up "
                "without overflow (such as VNNI). Use workers that have them, or a run of --precision float32 in a new "
                "folder"
            )
        return bundle


def even_threads(available: int, batch: int) -> int:
    """Most threads that share a batch evenly, so that scores do not depend on how many there are.

    onnxruntime gives each thread a part of a batch. Where a part ends within an image, the last rows of it go through
    other code, which rounds otherwise: the same object would get other bytes on a machine with five cores than on one
    with four.
    """
    return max(count for count in range(1, max(1, available) + 1) if batch % count == 0)


def process_on_worker(plugin: str, source: TileSource, key: str, record: dict[str, Any]) -> TileReport:
    """Task that Dask runs: hand a tile to the plugin of the run."""
    worker = get_worker()
    scoring: ScoringPlugin = worker.plugins[plugin]
    return scoring.process(worker, source, key, record)


#: A worker has no more tiles than it works on where that is possible, and its death counts once: the run itself tries
#: again. One that starts anew may take long, on a busy machine or a slow disk; the cluster must not give it up.
_LOCAL = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,
    "distributed.deploy.lost-worker-timeout": "1 hour",
    # A hundred looks a second at what a worker does, and fifty ticks, are a twentieth of a core that scores. Memory
    # need not be looked at ten times and plotted twice a second either, and disks not at all.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.system-monitor.disk": False,
    # Planes of a tile may lie where those of the last one were, in place of pages that are new each time, which the
    # system has to clear; so they are small pages, of one heap for all threads. What is larger goes back.
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 128 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
    "distributed.nanny.pre-spawn-environ.NUMPY_MADVISE_HUGEPAGE": 0,
}


class _ClosedUnlessConnected(Client):  # type: ignore[misc]
    """A client that closes itself where it does not come about.

    Dask does so where nobody answers, not where an address makes no sense. Such a client stays what the process
    computes with, until garbage is collected; and if that happens while another one starts, both wait for ever.
    """

    def start(self, **options: Any) -> None:
        try:
            super().start(**options)
        except (ValueError, TypeError):
            self.close()
            raise


@contextmanager
def connect(workers: int | None, scheduler: str | None, announce: Announce = logger.info) -> Iterator[Client]:
    """A Dask client, closed at the end; a local cluster is started when no scheduler is given.

    Parameters
    ----------
    workers : int or None
        Processes of the local cluster; by default one per core.
    scheduler : str or None
        Address of a running scheduler, as ``tcp://host:8786``, or the file that it wrote with ``--scheduler-file``.
    announce : callable
        Told where the dashboard is, and that no worker is there yet.

    Raises
    ------
    RunError
        If both are given, the number is not positive, the scheduler does not answer, or worker processes do not start.
    """
    if scheduler is not None:
        if workers is not None:
            raise RunError("give either a number of workers for this machine or a scheduler, not both")
        address = scheduler_address(scheduler)
        try:
            client = _ClosedUnlessConnected(address, timeout="10s")
        except (OSError, ValueError, TypeError) as error:  # the last of TLS without certificates
            raise RunError(
                f"no Dask scheduler answers at {address} ({error}). Start one with: dask scheduler"
            ) from error
        with _quiet(), client:
            try:
                _announce(client, announce)
                yield client
            except CommClosedError as error:
                raise RunError(SCHEDULER_GONE) from error
        return
    refuse_import()
    with (
        dask.config.set(_LOCAL),
        _quiet(),
        _local_cluster(local_workers(workers)) as cluster,
        Client(cluster) as client,
    ):
        _announce(client, announce)
        yield client


@contextmanager
def scoring(client: Client, plugin: ScoringPlugin) -> Iterator[str]:
    """The model on all workers, those that join later included; yields the plugin's name.

    After a run that came to its end, a cluster that goes on without it need not keep the model. One that was broken off
    leaves it to its next call, which takes its place.
    """
    try:
        client.register_plugin(plugin, name=plugin.name)
    except GalmorphError:
        _forget(client, plugin)
        raise
    yield plugin.name
    _forget(client, plugin)


def _forget(client: Client, plugin: ScoringPlugin) -> None:
    with contextlib.suppress(OSError, ValueError):  # a scheduler that is gone has no plugin
        client.unregister_worker_plugin(plugin.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tracebacks of Dask's from the screen: what goes wrong is in the run's own words and report."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Processes(LocalCluster):  # type: ignore[misc]
    """Worker processes of this machine, which may be closed before they have begun."""

    async def _close(self) -> None:
        # Dask closes at exit what was stopped while it began, and takes it for a fault that workers had not begun.
        with contextlib.suppress(AssertionError):
            await super()._close()


def _local_cluster(workers: int) -> LocalCluster:
    """Worker processes of this machine."""
    try:
        return _Processes(
            n_workers=workers,
            threads_per_worker=TILES_IN_PROGRESS,
            host="127.0.0.1",
            # Any free port, and only for this machine.
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except RuntimeError as error:  # of Dask, when a process ends before it is ready
        why = (
            f"The script starts workers whenever it is imported, and each of its workers imports it: {GUARD}"
            if starts_when_imported()
            else "Most likely one was killed, for want of memory: use fewer with --workers, or give the same command "
            "again"
        )
        raise RunError(f"{workers} worker processes could not be started ({error}). {why}") from error


def scheduler_address(scheduler: str) -> str:
    """Address of a scheduler, from itself or from the file that the scheduler wrote.

    Raises
    ------
    RunError
        If the file is not there or is not of a scheduler.
    """
    path = Path(scheduler)
    if "://" in scheduler or not (path.suffix == ".json" or path.is_file()):
        return scheduler
    try:
        return str(json.loads(path.read_text())["address"])
    except FileNotFoundError as error:
        raise RunError(
            f"scheduler file {path} does not exist. A scheduler writes it where all machines can read it, with: "
            f"dask scheduler --scheduler-file {path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is not the file of a Dask scheduler ({type(error).__name__}: {error}). It is written by: "
            f"dask scheduler --scheduler-file {path}"
        ) from error


def _announce(client: Client, announce: Announce) -> None:
    """Tell where the dashboard is, and that there is nobody to do the work yet."""
    try:
        link = client.dashboard_link
    except KeyError:  # a scheduler without one
        link = None
    if link:
        announce(f"dashboard: {link}")
    if not client.nthreads():
        announce("the scheduler has no workers yet; the run begins when one joins")


def machines_of(scheduler: str | None) -> list[Machine]:
    """What the machines that score can compute with: a scheduler's workers, of which there may be none, or this one.

    A worker that joins later and cannot compute in the precision that suits the others is refused.
    """
    if scheduler is None:
        return [this_machine()]
    with connect(None, scheduler, logger.debug) as client:
        return list(client.run(this_machine).values())


def local_workers(workers: int | None) -> int:
    """Number of worker processes on this machine: as told, or one per core.

    Raises
    ------
    RunError
        If the number is not positive.
    """
    count = cores() if workers is None else workers
    if count < 1:
        raise RunError(f"the number of workers must be at least 1, got {count}")
    return count


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
