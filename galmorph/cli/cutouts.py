"""``galmorph cutouts``."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from galmorph.bundle import load_bundle
from galmorph.cli.stopping import stop_on_sigterm
from galmorph.cutout_set import REJECTS, refuse_other_folder
from galmorph.cutouts import Framing
from galmorph.detection import DetectionConfig
from galmorph.labelling import DEFAULT_FRAMING, MATCH_RADIUS, Labelled, make_labelled_cutouts
from galmorph.surveys import load_survey

#: Reasons that are shown; all are in the table of rejects.
SHOWN = 5


@stop_on_sigterm()
def cutouts(
    tiles: list[str],
    /,
    *,
    labels: Path,
    out: Path,
    survey: str,
    model: Path | None = None,
    radius: float = MATCH_RADIUS,
    option: dict[str, str] | None = None,
    framing: Annotated[Framing, Parameter(group="Framing")] = DEFAULT_FRAMING,
    detection: Annotated[DetectionConfig, Parameter(group="Detection")] = DetectionConfig(),  # noqa: B008 (frozen)
) -> None:
    """Cut labelled objects out of tiles, exactly as a survey run does: a set to train on or to measure a model on.

    Parameters
    ----------
    tiles
        Files, folders or globs.
    labels
        Table with identifier, RA, Dec and label (Parquet, FITS, VOTable, ECSV or CSV); rows without a label give
        unlabelled cutouts.
    out
        Folder of the set. Rows without a cutout are in its rejects.csv, with the reason.
    survey
        Name of a built-in profile (see `galmorph surveys`) or path of a profile in TOML.
    model
        Folder of a model bundle whose bands and framing to take, to measure it with `galmorph evaluate`.
    radius
        Largest distance, in arcsec, of a detection from a row's position.
    option
        Settings of a profile that takes some, as --option.bands g,r,z; see `galmorph surveys NAME`.
    framing
        How cutouts are sized.
    detection
        How objects are found.
    """
    refuse_other_folder(out)
    profile, bands = load_survey(survey, option), None
    if model is not None:
        bundle = load_bundle(model)
        bundle.check_survey(f"survey {profile.name}", profile.bands, bundle.manifest.pixel_scale)
        framing, bands = bundle.manifest.framing, bundle.manifest.bands
    result = make_labelled_cutouts(
        tiles, profile, labels, out, framing=framing, bands=bands, detection=detection, radius=radius
    )
    _show(Console(highlight=False), result)


def _show(console: Console, result: Labelled) -> None:
    """The counts, and what was left out, in words."""
    counts = ", ".join(f"{name or 'unlabelled'} {count}" for name, count in result.counts.items())
    console.print(f"{sum(result.counts.values())} cutouts in {result.path}: {counts}", markup=False, soft_wrap=True)
    for name, reason in list(result.rejected_tiles.items())[:SHOWN]:
        console.print(f"[yellow]tile set aside[/yellow] {escape(name)}: {escape(reason)}", soft_wrap=True)
    if len(result.rejected):
        console.print(
            f"{len(result.rejected)} rows have no cutout: see {result.path / REJECTS}", markup=False, soft_wrap=True
        )
        for reason, count in Counter(result.rejected["reason"].tolist()).most_common(SHOWN):
            console.print(f"  {count}: {escape(reason)}", soft_wrap=True)
