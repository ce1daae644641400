"""A survey run: plan the tiles, skip what is done, process the rest on Dask, account for everything."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from distributed import Client, as_completed

from galmorph.bundle import Bundle
from galmorph.errors import RunError
from galmorph.inference.cluster import ScoringPlugin, connect, cores, local_workers, process_on_worker
from galmorph.inference.config import RunConfig, digest, file_sha256
from galmorph.inference.journal import INPUTS, POSITIONS, Account, Journal, Reject, read_json, write_json
from galmorph.inference.task import TileReport
from galmorph.surveys import Rejected, TileSource

logger = logging.getLogger(__name__)

#: Called with the number of tiles done, the number of all, and the report of the tile just done.
Progress = Callable[[int, int, TileReport], None]


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Parameters
    ----------
    folder : Path
        The run folder.
    tiles : int
        Tiles of the run, those that could not be used included.
    resumed : int
        Tiles that an earlier call had finished.
    detected, scored, rejected : int
        Numbers of objects; the first is the sum of the others.
    rejected_tiles : dict
        Reason for each tile that was set aside.
    rejected_positions : int
        Given positions that lie in no tile.
    warnings : dict
        What was odd about tiles, by tile.
    seconds : dict
        Wall time of each stage, added over tiles.
    parts : list of Path
        Files of scored objects, by tile name.
    """

    folder: Path
    tiles: int
    resumed: int
    detected: int
    scored: int
    rejected: int
    rejected_tiles: dict[str, str]
    rejected_positions: int
    warnings: dict[str, tuple[str, ...]]
    seconds: dict[str, float]

    parts: list[Path]


def run_tiles(
    sources: Sequence[TileSource],
    unusable: Sequence[Rejected],
    bundle: Bundle,
    config: RunConfig,
    folder: Path,
    *,
    positions: pd.DataFrame | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> RunReport:
    """Process the tiles of a run that are not done yet.

    Parameters
    ----------
    sources : sequence of TileSource
        Tiles to process.
    unusable : sequence of Rejected
        Inputs that are no tiles, with reasons.
    bundle : Bundle
        The model.
    config : RunConfig
        Settings.
    folder : Path
        Run folder, made or gone on with.
    positions : pandas.DataFrame or None
        Given positions, with unique `source_id`.
    workers, scheduler : int, str or None
        Where to run; see `galmorph.inference.cluster.connect`.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    progress : callable or None
        Called after every tile.

    Returns
    -------
    RunReport
        Totals over all tiles, those of earlier calls included.

    Raises
    ------
    RunError
        If the folder holds a run with another configuration, no input is a tile, or the books do not balance.
    """
    _check_positions(positions)
    journal = Journal(folder)
    keys = _open(journal, sources, config)
    journal.write_rejects(INPUTS, [Reject(item.name, "input", item.reason) for item in unusable])
    pending = [source for source in sources if not _is_done(journal, source.name, keys[source.name])]
    reports: dict[str, TileReport] = {}
    if pending:
        with connect(workers, scheduler) as client:
            threads = None if scheduler else max(1, cores() // local_workers(workers))
            plugin = ScoringPlugin(
                bundle.path.resolve(),
                bundle.sha256,
                device,
                config,
                folder.resolve(),
                positions,
                threads,
                scheduler is None,
            )
            client.register_plugin(plugin, name=plugin.name)
            for report in _process(client, plugin.name, pending, keys, journal):
                reports[report.tile] = report
                if progress is not None:
                    progress(len(reports), len(pending), report)
    if positions is not None:
        _reject_positions_outside(journal, positions)
    return _balance(journal, unusable, keys, reports)


def _check_positions(positions: pd.DataFrame | None) -> None:
    if positions is None:
        return
    twice = positions.loc[positions["source_id"].duplicated(), "source_id"]
    if len(twice):
        raise RunError(
            f"the table of positions has {len(twice)} identifiers more than once, such as {twice.iloc[0]!r}; "
            "identifiers must be unique, or objects could not be told apart"
        )


def _open(journal: Journal, sources: Sequence[TileSource], config: RunConfig) -> dict[str, str]:
    """Make the run folder or check that it fits; return the key of each tile."""
    known: dict[str, Any] = {}
    if journal.run_file.exists():
        record = read_json(journal.run_file)
        _refuse_changes(journal.folder, record.get("config", {}), config.to_dict())
        known = record.get("tiles", {})
    elif journal.folder.exists() and any(journal.folder.iterdir()):
        raise RunError(f"{journal.folder} is not empty and holds no run; give a new folder with --out")
    dropped = sorted(known.keys() - {source.name for source in sources})
    if dropped:
        raise RunError(
            f"{journal.folder} holds a run of {len(known)} tiles, and {', '.join(dropped[:3])} "
            f"({len(dropped)} in all) is not among the tiles given now. Give all its tiles, and more if you like, "
            "or a new folder with --out."
        )
    tiles = {source.name: _tile_record(source, known.get(source.name, {})) for source in sources}
    write_json(
        journal.run_file,
        {"config_sha256": config.digest(), "config": config.to_dict(), "tiles": dict(sorted(tiles.items()))},
    )
    return {
        name: digest({"config": config.digest(), "files": [file["sha256"] for file in record["files"]]})
        for name, record in tiles.items()
    }


def _tile_record(source: TileSource, known: dict[str, Any]) -> dict[str, Any]:
    """Path, size and digest of a tile's files; digests are kept while size and time of change stay."""
    earlier = {file["path"]: file for file in known.get("files", [])}
    files = []
    for path in source.files:
        status = path.stat()
        record = {"path": str(path.resolve()), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        before = earlier.get(record["path"], {})
        unchanged = all(before.get(name) == record[name] for name in ("size", "mtime_ns"))
        record["sha256"] = before["sha256"] if unchanged else file_sha256(path)
        files.append(record)
    return {"files": files}


def _refuse_changes(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise when a run would go on with other settings."""
    changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if changed:
        details = "; ".join(f"{name} was {_short(before.get(name))} and is {_short(now.get(name))}" for name in changed)
        raise RunError(
            f"{folder} holds a run with other settings, whose rows would not fit together with new ones: {details}. "
            "Give a new folder with --out, or the settings of the run."
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_done(journal: Journal, tile: str, key: str) -> bool:
    account = journal.account(tile)
    return account is not None and account.key == key and account.final


def _process(
    client: Client, plugin: str, pending: Sequence[TileSource], keys: dict[str, str], journal: Journal
) -> Iterator[TileReport]:
    """Yield the report of each tile as it is done."""
    futures = {
        client.submit(process_on_worker, plugin, source, keys[source.name], pure=False): source for source in pending
    }
    for future in as_completed(list(futures)):
        source = futures.pop(future)
        error = future.exception()
        if error is None:
            yield future.result()
        else:
            # The task turns every fault of a tile into a rejection; what arrives here is the machine's: memory,
            # disk, a lost worker. The next call tries the tile again.
            reason = f"processing stopped: {type(error).__name__}: {error}"
            logger.error("tile %s: %s", source.name, reason)
            account = Account(keys[source.name], tile_rejected=True, final=False)
            journal.write_rejected_tile(source.name, reason, account)
            yield TileReport(source.name, account, reason)
        future.release()


def _reject_positions_outside(journal: Journal, positions: pd.DataFrame) -> None:
    """Record given positions of which no tile has a row."""
    seen: set[str] = set()
    for file in (journal.folder / "parts").glob("*.parquet"):
        seen.update(pq.read_table(file, columns=["source_id"])["source_id"].to_pylist())
    seen.update(journal.rejects()["source_id"].to_pylist())
    outside = positions[~positions["source_id"].isin(list(seen))]
    journal.write_rejects(
        POSITIONS,
        [
            Reject("", "position", "lies in no tile that could be read", None, row["source_id"], row["ra"], row["dec"])
            for row in outside.to_dict("records")
        ],
    )


def _balance(
    journal: Journal,
    unusable: Sequence[Rejected],
    keys: dict[str, str],
    reports: dict[str, TileReport],
) -> RunReport:
    """Add up what the files say, and check that nothing was lost."""
    accounts: dict[str, Account] = {}
    for name, key in keys.items():
        account = journal.account(name)
        if account is None or account.key != key:
            raise RunError(f"tile {name} left no record in {journal.folder}; run the same command again")
        if account.detected != account.scored + account.rejected:
            raise RunError(
                f"tile {name}: {account.detected} objects detected, {account.scored} scored and "
                f"{account.rejected} rejected, which does not add up; remove {journal.part(name)} and run again"
            )
        accounts[name] = account
    rejects = journal.rejects().to_pylist()
    seconds: dict[str, float] = {}
    for report in reports.values():
        for stage, duration in report.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + duration
    result = RunReport(
        folder=journal.folder,
        tiles=len(accounts) + len(unusable),
        resumed=len(accounts) - len(reports),
        detected=sum(account.detected for account in accounts.values()),
        scored=sum(account.scored for account in accounts.values()),
        rejected=sum(account.rejected for account in accounts.values()),
        rejected_tiles={row["tile"]: row["reason"] for row in rejects if row["kind"] in ("input", "tile")},
        rejected_positions=sum(row["kind"] == "position" for row in rejects),
        warnings={name: report.warnings for name, report in reports.items() if report.warnings},
        seconds=seconds,
        parts=[journal.part(name) for name in sorted(accounts) if not accounts[name].tile_rejected],
    )
    write_json(journal.folder / "report.json", json.loads(json.dumps(asdict(result), default=str)))
    return result
