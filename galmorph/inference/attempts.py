"""Tiles through a Dask cluster: those that the machine fails are tried again, the last time alone, then set aside."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from distributed import Client, as_completed
from distributed.scheduler import KilledWorker

from galmorph.errors import GalmorphError, RunError
from galmorph.inference.cluster import SCHEDULER_GONE, process_on_worker
from galmorph.inference.journal import Account, Journal
from galmorph.inference.task import TileReport
from galmorph.surveys import TileSource

logger = logging.getLogger(__name__)

#: How often a tile is tried in one call. The last time it has the cluster for itself, so that a tile is not blamed for
#: what another one did to a worker that both were on.
ATTEMPTS = 3

#: Gives the key and the record of a tile, made anew for each attempt.
Facts = Callable[[TileSource], tuple[str, dict[str, Any]]]


def process_tiles(
    client: Client, plugin: str, pending: Sequence[TileSource], facts: Facts, journal: Journal
) -> Iterator[TileReport]:
    """Yield the report of each tile as it is done or set aside.

    Faults of a tile are reports like others. What a task raises is the machine's fault: a lost worker, memory, a disk,
    a file that went away or changed.

    Parameters
    ----------
    client : Client
        Of the cluster, whose workers have the plugin.
    plugin : str
        Name of the `ScoringPlugin`.
    pending : sequence of TileSource
        Tiles to process.
    facts : callable
        Key and record of a tile as it is now.
    journal : Journal
        The run folder.

    Raises
    ------
    FolderError
        If the run folder does not even take the note that a tile was set aside.
    RunError
        If the scheduler is lost.
    """
    waiting, reasons = list(pending), dict[str, str]()
    for attempt in range(1, ATTEMPTS + 1):
        groups = [waiting] if attempt < ATTEMPTS else [[source] for source in waiting]
        failed = []
        for group in groups:
            for source, outcome in _submit(client, plugin, group, facts):
                if isinstance(outcome, TileReport):
                    outcome.attempts = attempt
                    yield outcome
                else:
                    reasons[source.name] = in_words(outcome)
                    logger.warning("tile %s, attempt %d: %s", source.name, attempt, reasons[source.name])
                    failed.append(source)
        waiting = failed
    for source in waiting:
        yield set_aside(journal, source, facts(source)[0], f"{reasons[source.name]} (tried {ATTEMPTS} times)", ATTEMPTS)


def set_aside(journal: Journal, source: TileSource, key: str, reason: str, attempts: int = 0) -> TileReport:
    """Record that a tile could not be processed now; the next call tries it again."""
    account = Account(key, tile_rejected=True, final=False)
    journal.write_rejected_tile(source.name, reason, account)
    return TileReport(source.name, account, reason, attempts=attempts)


def in_words(error: BaseException) -> str:
    """Fault of a machine as a reader of the summary needs it."""
    if isinstance(error, KilledWorker):
        return (
            "the worker process that had the tile was killed, most likely for want of memory: use fewer workers, "
            "smaller tiles or a machine with more"
        )
    if isinstance(error, MemoryError):
        return "the tile needs more memory than a worker has: use fewer workers, smaller tiles or a machine with more"
    if isinstance(error, GalmorphError):
        return str(error)
    return f"processing stopped: {type(error).__name__}: {' '.join(str(error).split())}"


def _submit(
    client: Client, plugin: str, sources: Sequence[TileSource], facts: Facts
) -> Iterator[tuple[TileSource, TileReport | BaseException]]:
    """Outcome of each tile, in the order in which they are done."""
    futures = {
        client.submit(process_on_worker, plugin, source, *facts(source), pure=False): source for source in sources
    }
    for future in as_completed(list(futures)):
        source = futures.pop(future)
        if future.status in ("cancelled", "lost"):
            raise RunError(SCHEDULER_GONE)
        outcome: TileReport | BaseException
        try:
            outcome = future.result()
        except Exception as error:  # of the task, or of a worker that died with the report that it had made
            outcome = error
        yield source, outcome
        future.release()
