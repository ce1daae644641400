"""``galmorph surveys``."""

import sys
from pathlib import Path

from cyclopts import App
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from galmorph.surveys import load_survey, survey_names

app = App(name="surveys", help="Built-in survey profiles, and which of them files fit.")

#: Exit code when an input fits no profile.
UNFIT = 1
#: Inputs that fit nothing that are shown, and reasons for each, the likeliest first.
SHOWN_FILES, SHOWN_REASONS = 5, 3


@app.default
def surveys(name: str | None = None, /) -> None:
    """List the built-in survey profiles, or show one of them whole.

    Parameters
    ----------
    name
        Name of a profile, or path of one in TOML.
    """
    console = Console()
    if name is not None:
        console.print_json(data=load_survey(name, complete=False).to_dict())
        return
    table = Table("name", "survey", "bands", "arcsec/px", "layouts", box=None, pad_edge=False)
    for known in survey_names():
        survey = load_survey(known, complete=False)
        layouts = ", ".join(layout.name for layout in survey.layouts)
        scale = "any" if survey.pixel_scale is None else f"{survey.pixel_scale:g}"
        bands = "any" if known == "generic" else " ".join(survey.bands)
        table.add_row(known, survey.title, bands, scale, layouts)
    console.print(table)
    console.print(
        "\nA profile whole: galmorph surveys NAME. Your own: give the path of a TOML file in its place. Which one fits "
        "a file: galmorph surveys check FILE."
    )


@app.command
def check(tiles: list[str], /, *, survey: str | None = None, option: dict[str, str] | None = None) -> None:
    """Say which profiles files fit, and what is off.

    Every tile is read as a run would read it. The exit code is 1 when an input fits no profile.

    Parameters
    ----------
    tiles
        Files, folders or globs.
    survey
        The only profile to try, by name or path; all built-in ones when not given.
    option
        Settings of that profile, as --option.bands g,r,z.
    """
    from galmorph.survey_check import check_files

    tried = None if survey is None else [load_survey(survey, option)]
    fits, misfits = check_files(list(tiles), tried)
    console = Console(soft_wrap=True, highlight=False)
    for fit in fits:
        names = f"{fit.survey}, layout {fit.layout}: tile {fit.tile} of {_files(fit.files)}: {fit.facts}"
        console.print(f"[green]fits[/green] {escape(names)}")
        for line in fit.off:
            console.print(f"  [yellow]but[/yellow] {escape(line)}")
    for misfit in misfits[:SHOWN_FILES]:
        console.print(f"[red]fits no profile[/red] {escape(str(misfit.path))}")
        for line in (*misfit.reasons[:SHOWN_REASONS], f"it holds {misfit.contents}" if misfit.contents else ""):
            if line:
                console.print(f"  {escape(line)}")
    if len(misfits) > SHOWN_FILES:
        console.print(f"and {len(misfits) - SHOWN_FILES} more that fit none")
    if misfits:
        console.print(
            "A layout of your own: galmorph surveys generic lists the options that describe one, to be tried with "
            "galmorph surveys check TILE --survey generic --option.bands …"
        )
        sys.exit(UNFIT)


def _files(files: tuple[Path, ...]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0].name}{more}"
