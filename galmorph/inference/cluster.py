"""Dask: a cluster of this machine by default, any scheduler by address; one scoring session per worker process."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pandas as pd
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

from galmorph.bundle import Bundle, load_bundle
from galmorph.errors import RunError
from galmorph.inference.config import RunConfig
from galmorph.inference.journal import Journal
from galmorph.inference.session import ScoringSession
from galmorph.inference.task import TileReport, process_tile
from galmorph.surveys import TileSource

logger = logging.getLogger(__name__)


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
        self.name = f"galmorph-{config.digest()[:16]}"
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
        bundle = load_bundle(self._bundle_path)
        if bundle.sha256 != self._sha256:
            raise RunError(f"worker {worker.address} finds another model at {self._bundle_path} than the client does")
        self._loaded = (bundle, ScoringSession(bundle, self._device, self._threads or worker.state.nthreads))

    def process(self, source: TileSource, key: str, record: dict[str, Any]) -> TileReport:
        """Take one tile from disk to its part."""
        if self._loaded is None:
            raise RunError("the scoring plugin was not set up on this worker")
        bundle, session = self._loaded
        return process_tile(source, key, record, self._config, bundle, session, Journal(self._folder), self._positions)


def process_on_worker(plugin: str, source: TileSource, key: str, record: dict[str, Any]) -> TileReport:
    """Task that Dask runs: hand a tile to the plugin of the run."""
    scoring: ScoringPlugin = get_worker().plugins[plugin]
    return scoring.process(source, key, record)


#: A worker has one tile at a time where that is possible, and its death counts once: the run itself tries again. One
#: that starts anew may take long, on a busy machine or a slow disk; the cluster must not give it up.
_LOCAL = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,
    "distributed.deploy.lost-worker-timeout": "1 hour",
}


@contextmanager
def connect(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A Dask client, closed at the end; a local cluster is started when no scheduler is given.

    Parameters
    ----------
    workers : int or None
        Processes of the local cluster; by default one per core.
    scheduler : str or None
        Address of a running scheduler, as ``tcp://host:8786``.

    Raises
    ------
    RunError
        If both are given, the number is not positive, or the scheduler does not answer.
    """
    if scheduler is not None:
        if workers is not None:
            raise RunError("give either a number of workers for this machine or the address of a scheduler, not both")
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise RunError(
                f"no Dask scheduler answers at {scheduler} ({error}). Start one with: dask scheduler"
            ) from error
        with client:
            yield client
        return
    with (
        dask.config.set(_LOCAL),
        LocalCluster(
            n_workers=local_workers(workers),
            threads_per_worker=1,
            host="127.0.0.1",
            # Any free port, and only for this machine.
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            # What goes wrong is in the run's own words and report.
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


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
