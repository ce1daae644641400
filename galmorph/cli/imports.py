"""``galmorph import``: published data sets as sets of cutouts."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from galmorph.cli.stopping import stop_on_sigterm
from galmorph.errors import MissingExtraError

if TYPE_CHECKING:
    from galmorph.training.importers import Imported

app = App(name="import", help="Turn a published data set into a set of cutouts.")

Out = Annotated[Path, Parameter(help="Folder of the set to make.")]
Drop = Annotated[tuple[str, ...], Parameter(help="Classes to leave out.", consume_multiple=True)]
Most = Annotated[int | None, Parameter(help="Most images of a class; which are kept depends on identifiers alone.")]
Angle = Annotated[float | None, Parameter(help="Side of the sky about the centre to keep, in arcsec.")]
Bands = Annotated[tuple[str, str, str], Parameter(help="What to call the bands; both domains have to use one name.")]
Factor = Annotated[
    float | None,
    Parameter(
        help="Frame the object at the centre by this many of its radii to each side, measured as in a survey run."
    ),
]
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
@stop_on_sigterm()
def deepmerge(
    folder: Path,
    /,
    *,
    out: Out,
    experiment: Literal["sim_sim", "sim_real"] = "sim_sim",
    standardise: bool = False,
    faults: Faults = "refuse",
) -> None:
    """DeepMerge II (Zenodo 4507941): both domains of an experiment, to OUT/source and OUT/target.

    Parameters
    ----------
    folder
        Where the .npy files are.
    experiment
        sim_sim: pristine to noisy; sim_real: simulated to SDSS.
    standardise
        Give each domain a mean of 0 and a standard deviation of 1, from its training part.
    """
    importers = _importers()
    results = importers.import_deepmerge(folder, out, experiment=experiment, standardise=standardise, faults=faults)
    _show(*results.values())


@app.command
@stop_on_sigterm()
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
@stop_on_sigterm()
def galaxy10(
    file: Path,
    /,
    *,
    out: Out,
    bands: Bands = ("red", "green", "blue"),
    lenses: Path | None = None,
    drop: Drop = ("in_between_smooth",),
    most: Most = None,
    angle: Angle = None,
    factor: Factor = None,
    size: Size = None,
    faults: Faults = "refuse",
    same_objects_as: Same = None,
) -> None:
    """Galaxy10 DECaLS (Zenodo 10845026): the nine classes of DeepAstroUDA.

    Parameters
    ----------
    file
        Galaxy10_DECals.h5.
    lenses
        Folder of pictures of lenses, alike in size and scale, to add as the class lens.
    """
    _show(
        _importers().import_galaxy10(
            file,
            out,
            bands=bands,
            lenses=lenses,
            drop=drop,
            most=most,
            angle=angle,
            factor=factor,
            size=size,
            faults=faults,
            same_objects_as=same_objects_as,
        )
    )


@app.command
@stop_on_sigterm()
def galaxy_zoo(
    votes: Path,
    pictures: Path,
    /,
    *,
    out: Out,
    drop: Drop = (),
    most: Most = None,
    angle: Angle = None,
    factor: Factor = None,
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
            drop=drop,
            most=most,
            angle=angle,
            factor=factor,
            size=size,
            unlabelled=unlabelled,
            faults=faults,
            same_objects_as=same_objects_as,
        )
    )


@app.command
@stop_on_sigterm()
def pictures(
    folders: list[Path],
    /,
    *,
    out: Out,
    labels: Path | None = None,
    survey: str = "pictures",
    bands: Annotated[tuple[str, ...], Parameter(consume_multiple=1, negative=())] = ("red", "green", "blue"),
    pixel_scale: float = 1.0,
    drop: Drop = (),
    most: Most = None,
    angle: Angle = None,
    factor: Factor = None,
    size: Size = None,
    unlabelled: Unlabelled = False,
    faults: Faults = "refuse",
    same_objects_as: Same = None,
) -> None:
    """Colour pictures and a table of labels.

    Parameters
    ----------
    folders
        Where the pictures are; of several folders one set is made. With --unlabelled they need no table.
    labels
        CSV with file, label and perhaps object_id, ra and dec; labels.csv in each folder by default.
    survey
        What to call the survey.
    bands
        What to call the bands: one name for grey pictures.
    pixel_scale
        Arcsec per pixel; 1 if it is not known.
    """
    importers = _importers()
    _show(
        importers.import_pictures(
            folders,
            out,
            labels=labels,
            survey=survey,
            bands=bands,
            pixel_scale=pixel_scale,
            drop=drop,
            most=most,
            angle=angle,
            factor=factor,
            size=size,
            unlabelled=unlabelled,
            faults=faults,
            same_objects_as=same_objects_as,
        )
    )


@app.command
@stop_on_sigterm()
def folders(
    folder: Path,
    /,
    *,
    out: Out,
    survey: str = "",
    size: int = 256,
    drop: Drop = (),
    most: Most = None,
    faults: Faults = "refuse",
) -> None:
    """A folder of pictures for each class, as a domain of Office-31.

    Parameters
    ----------
    folder
        Where the folders of the classes are.
    survey
        What to call the set and its objects; by default the folder's name.
    size
        Pixels a side to bring all pictures to.
    """
    importers = _importers()
    _show(importers.import_folders(folder, out, survey=survey, size=size, drop=drop, most=most, faults=faults))


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
        console.print(f"{sum(result.counts.values())} images in {result.path}: {counts}", markup=False, soft_wrap=True)
        if result.dropped:
            left = ", ".join(f"{name} {count}" for name, count in result.dropped.items())
            console.print(f"left out: {left}", markup=False, soft_wrap=True)
        for reason in list(result.faults.values())[:SHOWN]:
            console.print(f"[yellow]skipped[/yellow] {escape(reason)}", soft_wrap=True)
        if len(result.faults) > SHOWN:
            console.print(
                f"{len(result.faults)} skipped in all: {result.path / 'rejects.csv'}", markup=False, soft_wrap=True
            )
