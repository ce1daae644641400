"""A survey run: plan the tiles, skip what is done, process the rest on Dask, account for everything."""

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from galmorph.bundle import Bundle
from galmorph.errors import RunError
from galmorph.inference.attempts import process_tiles, set_aside
from galmorph.inference.cluster import Announce, ScoringPlugin, connect, cores, local_workers, scoring
from galmorph.inference.config import RunConfig, digest
from galmorph.inference.devices import choose_providers, settle_device, this_machine
from galmorph.inference.journal import (
    INPUTS,
    POSITIONS,
    Account,
    Journal,
    Reject,
    read_json,
    read_rows,
    rejected_positions,
    write_json,
)
from galmorph.inference.records import Hashing, Record, tile_record, tile_records
from galmorph.inference.task import TileReport
from galmorph.names import flat
from galmorph.surveys import Rejected, Survey, TileSource, may_be_tile

logger = logging.getLogger(__name__)

#: Seconds after which NFS shows a folder as it is, by its usual settings (``acdirmax`` is 60), and some more.
PATIENCE = 70.0

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
    retried : dict
        How often tiles were tried in this call, by tile, of those that did not go through at once.
    warnings : dict
        What was odd about tiles, by tile.
    elapsed : float
        Wall time of this call in seconds, the catalogue apart.
    seconds : dict
        Wall time of each stage, added over the tiles of this call. Tiles in progress at once, and cutting and scoring
        of one, overlap. ``idle`` is the time in which a worker's model waited although tiles were in progress,
        ``queue`` that in which tiles waited for their turn; see `galmorph.inference.line.Turns`.
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
    retried: dict[str, int]
    warnings: dict[str, tuple[str, ...]]
    elapsed: float
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
    retry_rejected: bool = False,
    progress: Progress | None = None,
    hashing: Hashing | None = None,
    announce: Announce = logger.info,
) -> RunReport:
    """Process the tiles of a run that are not done yet, or those that were set aside.

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
        See `galmorph.inference.devices.choose_providers`.
    retry_rejected : bool
        Process the tiles that an earlier call set aside, for whatever reason, and no others.
    progress : callable or None
        Called after every tile.
    hashing : callable or None
        Called while the files of the tiles are read to know them, with the bytes done and those of all.
    announce : callable
        Told in words where the cluster's dashboard is, and what the run waits for.

    Returns
    -------
    RunReport
        Totals over all tiles, those of earlier calls included.

    Raises
    ------
    RunError
        If the folder holds a run with another configuration, no input is a tile, or the books do not balance; with
        `retry_rejected`, if the folder holds no run, or one with tiles that are not done.
    """
    begin = time.perf_counter()
    if scheduler is None:
        # Before files are read to know them, which takes its time.
        device, workers = settle_device(device, workers)
        local_workers(workers)
        if device != "auto":
            choose_providers(device, this_machine().providers)
    _check_positions(positions)
    journal = Journal(folder)
    if retry_rejected and not journal.run_file.exists():
        raise RunError(f"{folder} holds no run, and so no tiles that were set aside; leave out --retry-rejected")
    ledger = _open(journal, sources, config, hashing)
    journal.write_rejects(INPUTS, [Reject(item.name, "input", item.reason) for item in unusable])
    pending = _pending(journal, sources, ledger, retry_rejected)
    reports: dict[str, TileReport] = {}
    unread = [source for source in pending if ledger.fault(source.name)]
    for source in unread:
        reports[source.name] = set_aside(journal, source, ledger.key(source.name), ledger.fault(source.name))
    readable = [source for source in pending if source.name not in reports]
    if readable:
        with connect(workers, scheduler, announce) as client:
            threads = None if scheduler else max(1, cores() // local_workers(workers))
            # Not resolved: on other machines the same paths may lead through other links and mounts.
            plugin = ScoringPlugin(
                bundle.path.absolute(),
                bundle.sha256,
                device,
                config,
                folder.absolute(),
                positions,
                threads,
                scheduler is None,
            )
            with scoring(client, plugin) as name:
                for report in process_tiles(client, name, readable, ledger.facts, journal):
                    reports[report.tile] = report
                    if progress is not None:
                        progress(len(reports), len(pending), report)
        if scheduler:
            _await_records(journal, {name: ledger.key(name) for name in reports})
    if positions is not None:
        _reject_positions_outside(journal, positions)
    return _balance(journal, unusable, ledger.keys(), reports, begin)


class _Ledger:
    """What ``run.json`` says: the configuration, and the tiles as they were taken up.

    Parameters
    ----------
    journal : Journal
        The run folder.
    settings : dict
        Configuration, as the run was begun with it: equal numbers need not be written alike.
    records : dict
        Record of each tile.
    """

    def __init__(self, journal: Journal, settings: dict[str, Any], records: dict[str, Record]) -> None:
        self._journal, self._settings, self._records = journal, settings, records
        self._digest = digest(settings)
        self.write()

    def write(self) -> None:
        """Write ``run.json``."""
        write_json(
            self._journal.run_file,
            {
                "config_sha256": self._digest,
                "config": self._settings,
                "tiles": dict(sorted(self._records.items())),
            },
        )

    def fault(self, tile: str) -> str:
        """Why the files of a tile could not be read; empty when they could."""
        return str(self._records[tile].get("fault", ""))

    def key(self, tile: str) -> str:
        """Digest of the configuration, of a tile's files, and of the rows of them that a stripe is."""
        record = self._records[tile]
        facts = {"config": self._digest, "files": [file["sha256"] for file in record["files"]]}
        facts |= {name: record[name] for name in ("own", "read") if name in record}
        return digest(facts | ({"fault": True} if self.fault(tile) else {}))

    def keys(self) -> dict[str, str]:
        """Key of every tile."""
        return {tile: self.key(tile) for tile in self._records}

    def facts(self, source: TileSource) -> tuple[str, Record]:
        """Key and record of a tile as it is now; a change is written down."""
        record = tile_record(source, self._records[source.name])
        if "fault" not in record and record != self._records[source.name]:
            self._records[source.name] = record
            self.write()
        return self.key(source.name), self._records[source.name]


def _check_positions(positions: pd.DataFrame | None) -> None:
    if positions is None:
        return
    twice = positions.loc[positions["source_id"].duplicated(), "source_id"]
    if len(twice):
        raise RunError(
            f"{len(twice)} rows of the table of positions have the identifier of another, such as {twice.iloc[0]!r}; "
            "expected one of its own for each, to tell objects apart. Give them others, remove these rows, or rename "
            "the column, and rows are numbered"
        )


def _open(journal: Journal, sources: Sequence[TileSource], config: RunConfig, hashing: Hashing | None) -> _Ledger:
    """Begin a run, or check that it fits the one that the folder holds."""
    known: dict[str, Any] = {}
    settings = config.to_dict()
    if journal.run_file.exists():
        record = read_json(journal.run_file)
        _refuse_changes(journal.folder, record.get("config", {}), settings)
        settings, known = record["config"], record.get("tiles", {})
    names = {source.name for source in sources}
    _forget_damaged(journal, known, names)
    _forget_tables(journal, known, names, config.survey)
    dropped = sorted(known.keys() - names)
    if dropped:
        raise RunError(
            f"{journal.folder} holds a run of {len(known)} tiles, and {', '.join(dropped[:3])} "
            f"({len(dropped)} in all) is not among the tiles given now{_namesakes(dropped[0], names)}. "
            "Give all its tiles, and more if you like, or a new folder with --out."
        )
    return _Ledger(journal, settings, tile_records(sources, known, hashing))


def _namesakes(tile: str, names: Collection[str]) -> str:
    """What to add when several tiles of one name are given, which have longer names to be told apart."""
    longer = sorted(name for name in names if re.fullmatch(f"{re.escape(tile)}-[0-9a-f]{{8}}(@[0-9]+)?", name))
    return f" (several are called {tile}, and so they are {longer[0]} and so on: give one of them)" if longer else ""


def _forget_damaged(journal: Journal, known: dict[str, Any], names: set[str]) -> None:
    """Forget tiles that counted as one while they were damaged, and come in stripes now that they can be read."""
    for tile in {name.rpartition("@")[0] for name in names} & known.keys() - names:
        if not journal.scored(tile):
            journal.forget(tile)
            del known[tile]


def _forget_tables(journal: Journal, known: dict[str, Any], names: set[str], survey: Survey) -> None:
    """Forget what an earlier call took for tiles and set aside, and its headers show to be none."""
    for tile in known.keys() - names:
        files = [Path(file["path"]) for file in known[tile].get("files", [])]
        if files and not journal.scored(tile) and not any(may_be_tile(file, survey) for file in files):
            journal.forget(tile)
            del known[tile]


def _refuse_changes(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise when a run would go on with other settings."""
    one, other = dict(flat(before)), dict(flat(now))
    changed = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    if changed:
        details = "; ".join(
            f"{name} was {_short(one.get(name))} and is {_short(other.get(name))}" for name in changed[:3]
        )
        details += f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise RunError(
            f"{folder} holds a run with other settings, whose rows would not fit together with new ones: {details}. "
            "Give a new folder with --out, or the settings of the run."
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _pending(
    journal: Journal, sources: Sequence[TileSource], ledger: _Ledger, retry_rejected: bool
) -> list[TileSource]:
    """Tiles to process."""
    accounts = {source.name: journal.account(source.name) for source in sources}
    rejected = {name for name, account in accounts.items() if account is not None and account.tile_rejected}
    undone = [
        source
        for source in sources
        if (account := accounts[source.name]) is None or account.key != ledger.key(source.name) or not account.final
    ]
    if not retry_rejected:
        return undone
    others = [source.name for source in undone if source.name not in rejected]
    if others:
        raise RunError(
            f"{journal.folder} has {len(others)} tiles that are not done yet, such as {others[0]}; finish the run "
            "first, by the same command without --retry-rejected"
        )
    return [source for source in sources if source.name in rejected]


def _reject_positions_outside(journal: Journal, positions: pd.DataFrame) -> None:
    """Record given positions of which no tile has a row."""
    rejects = journal.rejects()
    # Of tiles and objects alone: an earlier call has recorded positions outside of the tiles that it had.
    seen = [rejects.filter(pc.not_equal(rejects["kind"], "position"))["source_id"]]
    seen += [read_rows(file, ["source_id"])["source_id"] for file in (journal.folder / "parts").glob("*.parquet")]
    known = pa.chunked_array([chunk for column in seen for chunk in column.chunks], pa.string())
    given = pa.array(positions["source_id"], pa.string())
    outside = positions[pc.invert(pc.is_in(given, value_set=known)).to_numpy(zero_copy_only=False)]
    journal.write_rejects(POSITIONS, rejected_positions(outside, "lies in no tile that could be read"))


def _await_records(journal: Journal, keys: dict[str, str]) -> None:
    """Wait until this machine sees what others have written; NFS may show a folder as it was some time ago."""
    deadline = time.monotonic() + PATIENCE
    for name, key in keys.items():
        while (account := journal.account(name)) is None or account.key != key:
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)
            for file in (journal.part(name), journal.reject_file(name)):
                with contextlib.suppress(OSError):
                    next(file.parent.iterdir(), None)  # asks the server, where a look at the file may not


def _balance(
    journal: Journal,
    unusable: Sequence[Rejected],
    keys: dict[str, str],
    reports: dict[str, TileReport],
    begin: float,
) -> RunReport:
    """Add up what the files say, and check that nothing was lost."""
    accounts: dict[str, Account] = {}
    for name, key in keys.items():
        account = journal.account(name)
        if account is None or account.key != key:
            raise RunError(
                f"tile {name} left no record in {journal.folder}. If workers are on other machines, they must have "
                "that folder under the same path; then run the same command again"
            )
        if account.detected != account.scored + account.rejected:
            raise RunError(
                f"tile {name}: {account.detected} objects detected, {account.scored} scored and "
                f"{account.rejected} rejected, which does not add up; remove {journal.part(name)} and run again"
            )
        accounts[name] = account
    rejects = journal.rejects()
    whole = rejects.filter(pc.is_in(rejects["kind"], value_set=pa.array(["input", "tile"]))).to_pylist()
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
        rejected_tiles={row["tile"]: row["reason"] for row in whole},
        rejected_positions=pc.sum(pc.equal(rejects["kind"], "position")).as_py() or 0,
        retried={name: report.attempts for name, report in reports.items() if report.attempts > 1},
        warnings={name: account.warnings for name, account in accounts.items() if account.warnings},
        elapsed=time.perf_counter() - begin,
        seconds=seconds,
        parts=[journal.part(name) for name in sorted(accounts) if not accounts[name].tile_rejected],
    )
    write_json(journal.folder / "report.json", json.loads(json.dumps(asdict(result), default=str)))
    return result
