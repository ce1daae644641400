"""``galmorph surveys``."""

from rich.console import Console
from rich.table import Table

from galmorph.surveys import load_survey, survey_names


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
        bands = "any" if any(option.name == "bands" for option in survey.options) else " ".join(survey.bands)
        table.add_row(known, survey.title, bands, scale, layouts)
    console.print(table)
    console.print("\nA profile whole: galmorph surveys NAME. Your own: give the path of a TOML file in its place.")
