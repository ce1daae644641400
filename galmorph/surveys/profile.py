"""Survey profiles: one TOML file says how a survey's tiles are named, laid out and calibrated.

The keys of a profile, those with a default in brackets::

    name, title, [release], [reference], [acknowledgement]
    bands            list, in the order of the planes that come out
    [all_bands]      list of the bands that the survey has, which an option can choose from
    [detection_bands]  list, those whose weighted mean objects are searched in; all bands
    [pixel_scale]    arcsec, the survey's native one; tiles that differ by more than 2 % carry a warning
    [zero_point]     AB magnitude of one count, one number or one for each band; 22.5 makes a count a nanomaggy
    [zero_point_keyword]  header keyword of the image that gives it instead
    [counts_keyword]  header keyword of the image that gives the counts of magnitude zero_point, instead of 1
    seeing           FWHM in arcsec, one number or one for each band
    [layout]         name of the only layout to use; all are tried, in order
    [[layouts]]      name, [tile], [exclude], [align], [folders], [band_names], image, [weight], [mask]: see
                     galmorph.surveys.layout
    [options.NAME]   sets = key that the option replaces ("layouts.image.hdu": in the layouts used), help, [required]
    [mock]           what galmorph.mocks needs to draw this survey

At least one of `zero_point` and `zero_point_keyword` has to be there.
"""

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from galmorph.errors import SurveyError
from galmorph.surveys.layout import Layout, read_layout
from galmorph.surveys.table import Table, suggestion


@dataclass(frozen=True)
class Option:
    """A setting that a profile lets its user choose.

    Parameters
    ----------
    name : str
        What it is called.
    sets : str
        Key of the profile that it replaces; ``layouts.`` in front means: of every layout used.
    help : str
        What it means.
    required : bool
        Whether the profile cannot do without it.
    """

    name: str
    sets: str
    help: str
    required: bool = False


@dataclass(frozen=True)
class Survey:
    """All that is known about a survey's tiles.

    Parameters
    ----------
    name, title, release, reference, acknowledgement : str
        What it is called, where it is described and what papers that use it have to say.
    bands : tuple of str
        Bands in the order of a tile's planes.
    detection_bands : tuple of str
        Bands that objects are searched in.
    pixel_scale : float or None
        Native pixel scale in arcsec; None when the profile is for tiles of any scale.
    zero_point : mapping of str to float
        AB magnitude of one count in each band; empty when `zero_point_keyword` gives it.
    zero_point_keyword : str or None
        Header keyword that gives the zero-point.
    counts_keyword : str or None
        Header keyword that gives the counts of an object of magnitude `zero_point`, which else is one.
    seeing : mapping of str to float
        FWHM of the point-spread function in each band, in arcsec.
    layouts : tuple of Layout
        Ways in which tiles come as files; the first that fits a file counts.
    options : tuple of Option
        What a user of the profile may choose.
    mock : mapping or None
        What it takes to draw tiles of this survey; None when it is not a mock survey.
    """

    name: str
    title: str
    release: str
    reference: str
    acknowledgement: str
    bands: tuple[str, ...]
    detection_bands: tuple[str, ...]
    pixel_scale: float | None
    zero_point: Mapping[str, float] = field(hash=False)
    zero_point_keyword: str | None
    counts_keyword: str | None
    seeing: Mapping[str, float] = field(hash=False)
    layouts: tuple[Layout, ...]
    options: tuple[Option, ...] = ()
    mock: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        # What is equal is written alike, as a profile in a file is read.
        if self.pixel_scale is not None:
            object.__setattr__(self, "pixel_scale", float(self.pixel_scale))
        for name in ("zero_point", "seeing"):
            numbers = getattr(self, name)
            object.__setattr__(self, name, {band: float(number) for band, number in numbers.items()})

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain tables, lists, texts and numbers, fit for TOML and JSON; what is None is left out."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)  # noqa: S101
        return plain


def survey_names() -> list[str]:
    """Names of the built-in profiles, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _built_in().iterdir() if entry.name.endswith(".toml"))


def load_survey(name_or_path: str | Path, options: Mapping[str, Any] | None = None, *, complete: bool = True) -> Survey:
    """Survey profile, built in or from a file.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a built-in profile, or path of a TOML file.
    options : mapping, optional
        Values for the profile's options. Texts are understood too: ``"g,r,z"`` for a list, ``"g=22.5,r=22.4"`` for a
        number per band.
    complete : bool
        False to look at a profile without giving the options that it cannot do without.

    Returns
    -------
    Survey

    Raises
    ------
    SurveyError
        If there is no such profile, a key of it is missing, unknown or wrong, or an option is.
    """
    values, where = _read_toml(name_or_path)
    known = _read_options(values.pop("options", {}), where)
    _apply_options(values, dict(options or {}), known, str(values.get("name", name_or_path)), complete)
    return _read_survey(Table(values, where), known)


def _built_in() -> Any:
    return resources.files("galmorph.surveys")


def _read_toml(name_or_path: str | Path) -> tuple[dict[str, Any], str]:
    name = str(name_or_path)
    if name in survey_names():
        source, where = _built_in() / f"{name}.toml", f"built-in survey profile {name}"
    elif name.endswith(".toml"):
        source, where = Path(name), f"survey profile {name}"
    else:
        hint = suggestion(name, survey_names())
        raise SurveyError(f"no survey is called {name!r}; {hint}. A profile of your own is the path of a .toml file")
    try:
        return tomllib.loads(source.read_text(encoding="utf-8")), where
    except FileNotFoundError:
        raise SurveyError(f"{where} does not exist") from None
    except OSError as error:
        raise SurveyError(f"{where} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SurveyError(f"{where} is not valid TOML: {error}") from error


def _read_survey(table: Table, options: tuple[Option, ...]) -> Survey:
    bands = table.words("bands")
    for band in bands:
        if not band.replace("_", "").isalnum() or not band.isascii():
            raise SurveyError(f"{table.where}: the band {band!r} has to be of letters, digits and underscores only")
    if len({band.lower() for band in bands}) < len(bands):
        raise table.fail(
            "bands", "a list of names that differ in more than capitals, as columns of a catalogue have to"
        )
    known = table.words("all_bands", ())
    strangers = [band for band in bands if known and band not in known]
    if strangers:
        raise SurveyError(
            f"{table.where}: the survey has no band {strangers[0]!r}; {suggestion(strangers[0], list(known))}"
        )
    survey = Survey(
        name=table.text("name"),
        title=table.text("title"),
        release=table.text("release", ""),
        reference=table.text("reference", ""),
        acknowledgement=table.text("acknowledgement", ""),
        bands=bands,
        detection_bands=table.words("detection_bands", bands),
        pixel_scale=table.number("pixel_scale", None, positive=True),
        zero_point=table.per_band("zero_point", bands, None, known=known),
        zero_point_keyword=table.text("zero_point_keyword", None),
        counts_keyword=table.text("counts_keyword", None),
        seeing=table.per_band("seeing", bands, known=known, positive=True),
        layouts=_read_layouts(table, bands, known),
        options=options,
        mock=table.any("mock", None),
    )
    table.finish()
    strangers = [band for band in survey.detection_bands if band not in bands]
    if strangers:
        raise table.fail("detection_bands", f"a list of the survey's own bands, {', '.join(bands)}")
    if not survey.zero_point and survey.zero_point_keyword is None:
        raise SurveyError(
            f"{table.where} has to give zero_point, the AB magnitude of one count (22.5 for nanomaggies), "
            f"or zero_point_keyword"
        )
    if survey.counts_keyword is not None and (not survey.zero_point or survey.zero_point_keyword is not None):
        raise SurveyError(f"{table.where}: counts_keyword goes with zero_point, and without zero_point_keyword")
    if survey.pixel_scale is None and any(layout.image.native_pixels for layout in survey.layouts):
        raise SurveyError(f"{table.where}: native_pixels needs pixel_scale, the scale that counts are given for")
    return survey


def _read_layouts(table: Table, bands: tuple[str, ...], known: tuple[str, ...]) -> tuple[Layout, ...]:
    values = table.any("layouts")
    if not isinstance(values, list) or not values:
        raise table.fail("layouts", "one or more tables, each headed by [[layouts]]")
    chosen = _chosen(table)
    layouts = [
        read_layout(entry, f"{table.where}, layout {number}", bands, known) for number, entry in enumerate(chosen, 1)
    ]
    names = [layout.name for layout in layouts]
    if len(set(names)) < len(names):
        raise SurveyError(f"{table.where}: two layouts have one name ({', '.join(names)})")
    return tuple(layouts)


def _chosen(table: Table) -> list[Any]:
    """Tables of the layouts in use: all, or the one that the key `layout` names."""
    chosen = table.text("layout", None)
    layouts: list[Any] = table.values["layouts"]
    if chosen is None:
        return layouts
    names = [str(layout.get("name")) for layout in layouts if isinstance(layout, Mapping)]
    if chosen not in names:
        raise SurveyError(f"{table.where}: no layout is called {chosen!r}; {suggestion(chosen, names)}")
    return [layout for layout in layouts if layout.get("name") == chosen]


def _read_options(values: Any, where: str) -> tuple[Option, ...]:
    options = []
    for name, entry in Table(values, f"{where}, [options]").values.items():
        table = Table(entry, f"{where}, [options.{name}]")
        options.append(Option(name, table.text("sets"), table.text("help"), table.flag("required", False)))
        table.finish()
    return tuple(options)


def _apply_options(
    values: dict[str, Any], given: dict[str, Any], known: tuple[Option, ...], survey: str, complete: bool
) -> None:
    names = [option.name for option in known]
    for name in given:
        if name not in names:
            raise SurveyError(f"survey {survey} has no option {name!r}; {suggestion(name, names)}")
    for option in known:
        if complete and option.required and option.name not in given:
            raise SurveyError(f"survey {survey} needs the option {option.name!r}: {option.help}")
    # The choice of a layout comes first: what is set in layouts is set in the chosen one alone.
    for option in sorted(known, key=lambda option: option.sets != "layout"):
        if option.name in given:
            value = _from_text(option.sets.rpartition(".")[2], given[option.name])
            _set(values, option.sets, copy.deepcopy(value))


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    head, _, rest = key.partition(".")
    if not rest:
        values[head] = value
    elif head == "layouts":
        chosen = values.get("layout")
        for layout in values.get("layouts", []):
            if chosen is None or layout.get("name") == chosen:
                _set(layout, rest, value)
    else:
        _set(values.setdefault(head, {}), rest, value)


_LISTS = ("bands", "detection_bands", "planes", "exclude", "bad", "saturated", "units")
_NUMBERS = ("pixel_scale", "zero_point", "seeing", "no_data", "hdu")


def _from_text(key: str, value: Any) -> Any:
    """Value of a key from what a command line can give: text."""
    if not isinstance(value, str):
        return value
    if key in _LISTS and value != "nonzero":
        words = [word.strip() for word in value.split(",") if word.strip()]
        return [_number(word) for word in words] if key in ("bad", "saturated") else words
    if key in _NUMBERS and "=" in value:
        pairs = [pair.partition("=") for pair in value.split(",")]
        return {band.strip(): _number(number) for band, _, number in pairs}
    return _number(value) if key in _NUMBERS else value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
