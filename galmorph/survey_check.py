"""Which survey profiles files fit, and what is off, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from galmorph.errors import TileError
from galmorph.fits_planes import describe_file
from galmorph.surveys import Survey, find_tiles, load_survey, survey_names
from galmorph.surveys.layout import plain_name
from galmorph.tiles import Tile, read_tile, refuse_want_of_memory, why_unusable


@dataclass(frozen=True)
class Fit:
    """A tile that can be read by a profile.

    Parameters
    ----------
    survey, layout : str
        The profile and its layout.
    tile : str
        Name of the tile.
    files : tuple of Path
        Its files.
    facts : str
        What the tile holds, in words.
    off : tuple of str
        What is odd about it.
    """

    survey: str
    layout: str
    tile: str
    files: tuple[Path, ...]
    facts: str
    off: tuple[str, ...]


@dataclass(frozen=True)
class Misfit:
    """A file that no profile can read.

    Parameters
    ----------
    path : Path
        The file, or the folder of an incomplete tile.
    reasons : tuple of str
        Why, profile by profile: first those that its name fits, those with the most similar names in front.
    contents : str
        What is in the file, in words; empty for a folder and what is no FITS file.
    """

    path: Path
    reasons: tuple[str, ...]
    contents: str


def check_files(
    inputs: Sequence[str | Path], surveys: Sequence[Survey] | None = None
) -> tuple[list[Fit], list[Misfit]]:
    """Read tiles by each profile that their names fit.

    Parameters
    ----------
    inputs : sequence of str or Path
        Files, folders and globs.
    surveys : sequence of Survey, optional
        Profiles to try; all built-in ones that need no option when not given.

    Returns
    -------
    fits : list of Fit
        One for each tile and profile that can read it, those with the least that is odd first.
    misfits : list of Misfit
        Inputs that are part of no tile that can be read, sorted by path.
    """
    fits: list[Fit] = []
    reasons: dict[Path, list[tuple[float, str]]] = {}
    for survey in _built_in() if surveys is None else surveys:
        sources, rejected = find_tiles(inputs, survey)
        complaints = [(entry.path, 0, entry.reason) for entry in rejected]
        for source in sources:
            try:
                tile = read_tile(source, survey)
            except Exception as error:  # whatever odd pixels make a library stumble over, the other files are told too
                refuse_want_of_memory(error)
                complaints.append((source.files[0], 1, why_unusable(source, error)))
                continue
            fits.append(Fit(survey.name, source.layout.name, source.name, source.files, _facts(tile), tile.warnings))
        for path, named, reason in complaints:
            reasons.setdefault(path, []).append((named + _likeness(path, survey), f"{survey.name}: {reason}"))
    fits.sort(key=lambda fit: (fit.tile, len(fit.off), fit.survey))
    claimed = {path for fit in fits for path in fit.files} | {path.parent for fit in fits for path in fit.files}
    misfits = [
        Misfit(path, tuple(reason for _, reason in sorted(found, reverse=True)), _contents(path))
        for path, found in sorted(reasons.items())
        if path not in claimed
    ]
    return fits, misfits


def _built_in() -> list[Survey]:
    loaded = [load_survey(name, complete=False) for name in survey_names()]
    return [survey for survey in loaded if not any(option.required for option in survey.options)]


def _facts(tile: Tile) -> str:
    rows, columns = tile.shape
    of_them = "" if tile.stripe is None else f", rows {tile.stripe.read[0] + 1} to {tile.stripe.read[1]} of them"
    noise = "no noise" if tile.weight is None else "noise for each pixel"
    return (
        f"bands {' '.join(tile.bands)}, {columns} x {rows} pixels of {tile.pixel_scale:.4g} arcsec{of_them}, "
        f"{100 * tile.valid.mean():.3g} % with data, {noise}"
    )


def _likeness(path: Path, survey: Survey) -> float:
    """How much a file's name looks like those of a survey, 0 to 1."""
    name = plain_name(path.name)
    patterns = [pattern for layout in survey.layouts for pattern in layout.patterns]
    return max(SequenceMatcher(None, name, pattern, autojunk=False).ratio() for pattern in patterns)


def _contents(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return describe_file(path)
    except TileError:
        return ""
