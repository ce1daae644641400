"""What the command line shows: progress, and a run in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from galmorph.inference.run import Progress as TileProgress
from galmorph.inference.run import RunReport
from galmorph.inference.task import TileReport

#: Warnings of this many tiles are shown; the others are in the run's report.
SHOWN = 5


@contextmanager
def tile_progress(console: Console) -> Iterator[TileProgress]:
    """A progress bar over tiles, as a callback for `galmorph.classify`; it appears with the first tile."""
    bar = Progress(
        TextColumn("tiles"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[objects]} objects"),
        console=console,
    )
    task = bar.add_task("tiles", total=None, objects=0)
    objects = 0

    def step(done: int, total: int, report: TileReport) -> None:
        nonlocal objects
        objects += report.account.scored
        bar.start()
        bar.update(task, total=total, completed=done, objects=objects)

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


def notes_on_run(console: Console, report: RunReport) -> None:
    """Print the numbers of a run, and what was set aside, with reasons."""
    console.print(
        f"{report.tiles} tiles ({report.resumed} done before, {len(report.rejected_tiles)} set aside), "
        f"{report.detected} objects = {report.scored} scored + {report.rejected} rejected",
        highlight=False,
    )
    for name, reason in list(report.rejected_tiles.items())[:SHOWN]:
        console.print(f"[yellow]set aside[/yellow] {escape(name)}: {escape(reason)}", highlight=False)
    if report.rejected_positions:
        console.print(f"[yellow]{report.rejected_positions} positions lie in no tile[/yellow]", highlight=False)
    for name, warnings in list(report.warnings.items())[:SHOWN]:
        for warning in warnings:
            console.print(f"[yellow]note[/yellow] {escape(name)}: {escape(warning)}", highlight=False)
    hidden = max(0, len(report.rejected_tiles) - SHOWN) + max(0, len(report.warnings) - SHOWN)
    if hidden or report.rejected or report.rejected_positions:
        more = f"{hidden} more such lines, and every" if hidden else "Every"
        console.print(f"{more} rejection with its reason: {report.folder / 'rejects'}, {report.folder / 'report.json'}")
