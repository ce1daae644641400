"""``galmorph plan``."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from galmorph.cli.stopping import stop_on_sigterm
from galmorph.detection import DetectionConfig
from galmorph.inference.devices import Asked
from galmorph.inference.plan import FAIR, Plan
from galmorph.pipeline import plan as make_plan


def plan(
    tiles: list[str],
    /,
    *,
    survey: str,
    model: Path,
    sample: int = 6,
    deadline: timedelta | None = None,
    price: float | None = None,
    positions: Path | None = None,
    option: dict[str, str] | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: Asked = "auto",
    embedding: bool = False,
    detection: Annotated[DetectionConfig, Parameter(group="Detection")] = DetectionConfig(),  # noqa: B008 (frozen)
) -> None:
    """Predict what a survey will take: time, memory, disk and cost, and the workers for a deadline.

    Some of the tiles go the whole way on this machine, into a folder that is removed afterwards. The prediction is for
    machines like this one.

    Parameters
    ----------
    tiles
        Files, folders or globs: the whole survey.
    survey
        Name of a built-in profile (see `galmorph surveys`) or path of a profile in TOML.
    model
        Folder of the model bundle, or one of the registry, as models:/NAME@champion.
    sample
        Tiles that are measured, from the smallest to the largest.
    deadline
        Time in which the survey has to be done, as 12h or 2d.
    price
        Price of one core for one hour, in any currency; gives the cost.
    positions
        Table with RA and Dec (Parquet, FITS, VOTable, ECSV or CSV) to measure instead of detecting.
    option
        Settings of a profile that takes some, as --option.bands g,r,z.
    workers
        Worker processes on this machine; by default one per core.
    device
        auto, cpu, cuda, cuda:N or tensorrt.
    precision
        Which of the model's graphs scores; by default the fastest for the device that the model holds.
    embedding
        Keep the feature vectors in the catalogue.
    detection
        How objects are found.
    """
    with stop_on_sigterm():
        result = make_plan(
            list(tiles),
            survey,
            model,
            sample=sample,
            positions=positions,
            options=option,
            detection=detection,
            workers=workers,
            device=device,
            precision=precision,
            embedding=embedding,
        )
    console = Console(highlight=False)
    console.print(_table(result, price))
    if result.spread > FAIR:
        console.print("[yellow]note[/yellow] the sampled tiles differ much: measure more with --sample")
    if deadline is not None:
        count = result.workers_for(deadline.total_seconds())
        cost = "" if price is None else f", cost {price * result.core_hours(count):.2f}"
        console.print(
            f"for {_span(deadline.total_seconds())}: {count} workers of {result.threads} cores and "
            f"{_size(result.memory)} ({_span(result.seconds(count))}, {result.core_hours(count):.1f} core-hours{cost})"
        )


def _table(plan: Plan, price: float | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("tiles", f"{plan.tiles} ({_size(plan.bytes)}), of which {plan.sampled} were measured")
    table.add_row("objects", f"about {plan.objects:,}")
    uncertain = f", ± {plan.spread:.0%} by how the tiles differ" if plan.spread < 1 else ""
    table.add_row("time", f"{_span(plan.seconds())} with {plan.workers} workers of {plan.threads} cores{uncertain}")
    table.add_row("", f"{_span(plan.serial)} of it for the start, knowing the files and the catalogue")
    table.add_row("memory", f"{_size(plan.memory)} for each worker")
    table.add_row("disk", f"{_size(plan.disk)} for the run folder and its catalogue")
    table.add_row("core-hours", f"{plan.core_hours():.2f}")
    if price is not None:
        table.add_row("cost", f"{price * plan.core_hours():.2f} at {price:g} for a core-hour")
    return table


def _span(seconds: float) -> str:
    """Time in words, to two places."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size(count: float) -> str:
    """Bytes in words."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
