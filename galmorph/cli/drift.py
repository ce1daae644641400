"""``galmorph drift``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from galmorph.detection import DetectionConfig

#: Colours of the verdicts on a terminal.
STYLES = {"as before": "green", "recalibrate": "yellow", "retrain": "red"}


def drift(
    source: list[str],
    /,
    *,
    against: Path,
    out: Path | None = None,
    survey: str | None = None,
    tiles: int = 24,
    positions: Path | None = None,
    release: str | None = None,
    workers: int | None = None,
    seed: int = 0,
    option: dict[str, str] | None = None,
    detection: Annotated[DetectionConfig, Parameter(group="Detection")] = DetectionConfig(),  # noqa: B008 (frozen)
) -> None:
    """Say whether a release is like what a model was made for: as before, recalibrate or retrain.

    Parameters
    ----------
    source
        Catalogue that the model made, or its run folder; or tiles: files, folders or globs.
    against
        Folder of the model bundle, or one of the registry, as models:/NAME@champion.
    out
        Folder for drift.json, drift.txt and drift.png; tiles are classified in its folder run.
    survey
        Profile of the tiles: a built-in name (see `galmorph surveys`) or a TOML file.
    tiles
        Tiles to classify at most, chosen at random; 0 takes all.
    positions
        Table with RA and Dec (Parquet, FITS, VOTable, ECSV or CSV) to measure on tiles instead of detecting.
    release
        Name of the data release of tiles, in place of the profile's.
    workers
        Processes that classify tiles.
    seed
        Of everything random.
    option
        Settings of a profile that takes some.
    detection
        How objects are found on tiles.
    """
    from galmorph.releases.notice import drift as notice

    found = notice(
        source,
        against,
        survey=survey,
        out=out,
        tiles=tiles,
        positions=positions,
        release=release,
        options=option,
        detection=detection,
        workers=workers,
        seed=seed,
    )
    console = Console(highlight=False)
    first, *others = found.summary().splitlines()
    console.print(f"[bold {STYLES[found.verdict]}]{escape(first)}[/]", soft_wrap=True)
    for line in others:
        console.print(escape(line), soft_wrap=True)
    if out is not None:
        console.print(f"report: {out / 'drift.png'}, {out / 'drift.json'}", markup=False, soft_wrap=True)
