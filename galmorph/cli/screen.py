"""What the command line shows: progress, and a run in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from galmorph.inference.records import Hashing
from galmorph.inference.run import Progress as TileProgress
from galmorph.inference.run import RunReport
from galmorph.inference.task import TileReport

#: Bytes that take long enough to read for a bar to be shown.
WORTH_A_BAR = 200_000_000
#: Warnings of this many tiles are shown; the others are in the run's report.
SHOWN = 5


@contextmanager
def tile_progress(console: Console) -> Iterator[tuple[TileProgress, Hashing]]:
    """Bars over tiles and over the bytes read to know them, as callbacks for `galmorph.classify`.

    Each appears with the first news of it.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
    reading = bar.add_task("knowing the files", total=None, count="", note="", visible=False)
    tiles = bar.add_task("tiles", total=None, count="", note="", visible=False)
    objects = aside = 0

    def step(done: int, total: int, report: TileReport) -> None:
        nonlocal objects, aside
        objects += report.account.scored
        aside += report.account.tile_rejected
        note = f"{objects} objects" + (f", {aside} set aside" if aside else "")
        bar.start()
        bar.update(tiles, total=total, completed=done, count=f"{done}/{total}", note=note, visible=True)

    def known(done: int, total: int) -> None:
        if total < WORTH_A_BAR:
            return
        bar.start()
        count = f"{done / 1e9:.1f}/{total / 1e9:.1f} GB"
        bar.update(reading, total=total, completed=done, count=count, visible=done < total)

    try:
        yield step, known
    finally:
        if bar.live.is_started:
            bar.stop()


def notes_on_run(console: Console, report: RunReport) -> None:
    """Print the numbers of a run, and what was set aside, with reasons."""
    # The terminal may break a line: a path with a break of ours could not be copied, and words not be found in a log.
    say = partial(console.print, highlight=False, soft_wrap=True)
    say(
        f"{report.tiles} tiles ({report.resumed} done before, {len(report.rejected_tiles)} set aside), "
        f"{report.detected} objects = {report.scored} scored + {report.rejected} rejected"
    )
    for name, reason in list(report.rejected_tiles.items())[:SHOWN]:
        say(f"[yellow]set aside[/yellow] {escape(name)}: {escape(reason)}")
    if report.rejected_tiles:
        say("To try those that were set aside again: the same command with --retry-rejected")
    done = {name: times for name, times in report.retried.items() if name not in report.rejected_tiles}
    if done:
        say(f"{len(done)} tiles went through after {max(done.values())} attempts at most")
    if report.rejected_positions:
        say(f"[yellow]{report.rejected_positions} positions lie in no tile[/yellow]")
    for name, warnings in list(report.warnings.items())[:SHOWN]:
        for warning in warnings:
            say(f"[yellow]note[/yellow] {escape(name)}: {escape(warning)}")
    hidden = max(0, len(report.rejected_tiles) - SHOWN) + max(0, len(report.warnings) - SHOWN)
    if hidden or report.rejected or report.rejected_positions:
        more = f"{hidden} more such lines, and every" if hidden else "Every"
        say(
            f"{more} rejection with its reason: {report.folder / 'rejects'}, {report.folder / 'report.json'}",
            markup=False,
        )
