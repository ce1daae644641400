"""``galmorph import``: published data sets as sets of cutouts."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from galmorph.errors import MissingExtraError

if TYPE_CHECKING:
    from galmorph.training.importers import Imported

app = App(name="import", help="Turn a published data set into a set of cutouts.")

Out = Annotated[Path, Parameter(help="Folder of the set to make.")]
Drop = Annotated[tuple[str, ...], Parameter(help="Class to leave out; may be given more than once.")]
Size = Annotated[int | None, Parameter(help="Pixels a side to resize to.")]
Faults = Annotated[
    Literal["refuse", "skip"],
    Parameter(help="At an image that is broken or lacks its label: refuse all, or skip it and list it in rejects.csv."),
]
Same = Annotated[
    Path | None, Parameter(help="Another set, of which objects at the same positions take the identifiers.")
]
Unlabelled = Annotated[bool, Parameter(help="Keep images without a class, as unlabelled ones.")]

#: Faults that are shown; all are in the table of rejects.
SHOWN = 5


@app.command
def deepmerge(
    folder: Path, /, *, out: Out, experiment: Literal["sim_sim", "sim_real"] = "sim_sim", faults: Faults = "refuse"
) -> None:
    """DeepMerge II (Zenodo 4507941): both domains of an experiment, to OUT/source and OUT/target.

    Parameters
    ----------
    folder
        Where the .npy files are.
    experiment
        sim_sim: pristine to noisy; sim_real: simulated to SDSS.
    """
    _show(*_importers().import_deepmerge(folder, out, experiment=experiment, faults=faults).values())


@app.command
def lsst(folder: Path, /, *, out: Out, year: Literal["Y1", "Y10"], drop: Drop = (), faults: Faults = "refuse") -> None:
    """LSST mocks of DeepAstroUDA (Zenodo 5514180): one depth.

    Parameters
    ----------
    folder
        Where the .npy files are.
    year
        Noise of one or of ten years.
    """
    _show(_importers().import_lsst(folder, out, year=year, drop=drop, faults=faults))


@app.command
def galaxy10(
    file: Path,
    /,
    *,
    out: Out,
    drop: Drop = ("in_between_smooth",),
    size: Size = None,
    faults: Faults = "refuse",
    same_objects_as: Same = None,
) -> None:
    """Galaxy10 DECaLS (Zenodo 10845026): the nine classes of DeepAstroUDA.

    Parameters
    ----------
    file
        Galaxy10_DECals.h5.
    """
    importers = _importers()
    _show(importers.import_galaxy10(file, out, drop=drop, size=size, faults=faults, same_objects_as=same_objects_as))


@app.command
def galaxy_zoo(
    votes: Path,
    pictures: Path,
    /,
    *,
    out: Out,
    size: Size = None,
    unlabelled: Unlabelled = False,
    faults: Faults = "refuse",
    same_objects_as: Same = None,
) -> None:
    """Galaxy Zoo 2: classes from fractions of votes, pictures by identifier.

    Parameters
    ----------
    votes
        CSV with dr7objid or objid, ra, dec and debiased vote fractions.
    pictures
        Folder of pictures such as 587722981742084144.jpg.
    """
    importers = _importers()
    _show(
        importers.import_galaxy_zoo(
            votes,
            pictures,
            out,
            size=size,
            unlabelled=unlabelled,
            faults=faults,
            same_objects_as=same_objects_as,
        )
    )


@app.command
def pictures(
    folder: Path,
    /,
    *,
    out: Out,
    labels: Path | None = None,
    survey: str = "pictures",
    pixel_scale: float = 1.0,
    size: Size = None,
    drop: Drop = (),
    unlabelled: Unlabelled = False,
    faults: Faults = "refuse",
    same_objects_as: Same = None,
) -> None:
    """Colour pictures and a table of labels.

    Parameters
    ----------
    folder
        Where the pictures are.
    labels
        CSV with file, label and perhaps object_id, ra and dec; FOLDER/labels.csv by default.
    survey
        What to call the survey.
    pixel_scale
        Arcsec per pixel; 1 if it is not known.
    """
    importers = _importers()
    _show(
        importers.import_pictures(
            folder,
            out,
            labels=labels,
            survey=survey,
            pixel_scale=pixel_scale,
            size=size,
            drop=drop,
            unlabelled=unlabelled,
            faults=faults,
            same_objects_as=same_objects_as,
        )
    )


def _importers() -> ModuleType:
    try:
        from galmorph.training import importers
    except ImportError as error:
        raise MissingExtraError("Importing data sets", str(error.name), "training") from error
    return importers


def _show(*results: "Imported") -> None:
    """What was made and what was left out, in words."""
    console = Console(highlight=False)
    for result in results:
        counts = ", ".join(f"{name or 'unlabelled'} {count}" for name, count in result.counts.items())
        console.print(f"{sum(result.counts.values())} images in {result.path}: {counts}", soft_wrap=True)
        if result.dropped:
            left = ", ".join(f"{name} {count}" for name, count in result.dropped.items())
            console.print(f"left out: {left}", soft_wrap=True)
        for reason in list(result.faults.values())[:SHOWN]:
            console.print(f"[yellow]skipped[/yellow] {escape(reason)}", soft_wrap=True)
        if len(result.faults) > SHOWN:
            console.print(f"{len(result.faults)} skipped in all: {result.path / 'rejects.csv'}", soft_wrap=True)
