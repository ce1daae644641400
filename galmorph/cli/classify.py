"""``galmorph classify``."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from galmorph.cli.screen import notes_on_run, tile_progress
from galmorph.cli.stopping import stop_on_sigterm
from galmorph.detection import DetectionConfig
from galmorph.inference.devices import Asked
from galmorph.pipeline import classify as run_classify

#: Exit code of a run that is finished, with a catalogue, but set tiles or inputs aside.
SET_ASIDE = 3


def classify(
    tiles: list[str],
    /,
    *,
    survey: str,
    model: Path,
    out: Path,
    positions: Path | None = None,
    release: str | None = None,
    option: dict[str, str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    device: str = "auto",
    precision: Asked = "auto",
    embedding: bool = False,
    retry_rejected: bool = False,
    detection: Annotated[DetectionConfig, Parameter(group="Detection")] = DetectionConfig(),  # noqa: B008 (frozen)
) -> None:
    """Classify the objects of survey tiles and write a catalogue to OUT/catalog.

    A run that was stopped, however it was stopped, goes on when the same command is given again. A tile that fails is
    set aside, with the reason, and the run goes on; the exit code is 3 when any was, 0 when none was.

    Parameters
    ----------
    tiles
        Files, folders or globs.
    survey
        Name of a built-in profile (see `galmorph surveys`) or path of a profile in TOML.
    model
        Folder of the model bundle, or one of the registry, as models:/NAME@champion.
    out
        Run folder.
    positions
        Table with RA and Dec (Parquet, FITS, VOTable, ECSV or CSV) to measure instead of detecting.
    release
        Name of the data release, in place of the profile's.
    option
        Settings of a profile that takes some, as --option.bands g,r,z; see `galmorph surveys NAME`.
    workers
        Worker processes on this machine; by default one per core.
    scheduler
        A running Dask scheduler to use instead: its address, as tcp://host:8786, or the file that it wrote.
    device
        auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N.
    precision
        Which of the model's graphs scores; by default the fastest for the device, or that of the run that goes on.
    embedding
        Keep the feature vectors in the catalogue.
    retry_rejected
        Process only the tiles that an earlier call set aside.
    detection
        How objects are found.
    """
    console = Console(stderr=True)
    with stop_on_sigterm(), tile_progress(console) as (progress, hashing):
        result = run_classify(
            list(tiles),
            survey,
            model,
            out,
            positions=positions,
            options=option,
            release=release,
            detection=detection,
            workers=workers,
            scheduler=scheduler,
            device=device,
            precision=precision,
            embedding=embedding,
            retry_rejected=retry_rejected,
            progress=progress,
            hashing=hashing,
            announce=partial(console.print, highlight=False, soft_wrap=True),
        )
    notes_on_run(console, result.report)
    Console().print(f"catalogue: {result.path}", markup=False, soft_wrap=True, highlight=False)
    if result.report.rejected_tiles:
        sys.exit(SET_ASIDE)
