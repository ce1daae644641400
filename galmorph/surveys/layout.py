"""Layouts: how the files of a tile are called, and where in them image, weight and mask lie.

A file pattern is a file name with fields in braces. ``{band}`` stands for one of the survey's bands; every other field,
``{tile}`` or whatever a survey numbers its images by, stands for any text, or for digits alone when it ends in ``:d``.
A ``*`` stands for text that says nothing about the tile, as dates and checksums. Files that agree in all fields but the
band belong to one tile. Endings of compression (.fz, .gz, .bz2) are not part of a pattern: any of them fits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from string import Formatter
from typing import Any

from galmorph.errors import SurveyError
from galmorph.surveys.table import Table, suggestion

#: Endings that stand for a compression of the whole file or of the images in it.
COMPRESSIONS = (".fz", ".gz", ".bz2", ".Z")
WEIGHT_KINDS = ("invvar", "variance", "rms", "relative")


@dataclass(frozen=True)
class ImageLayer:
    """Where the pixels of the bands are.

    Parameters
    ----------
    file : str
        Pattern of the file name.
    hdu : str, int or None
        Name (which may hold ``{band}``) or index of the HDU; None is the first that holds an image.
    planes : tuple of str
        Bands of the planes of a cube, in order; empty when a band is an image of its own.
    planes_keyword : str or None
        Header keyword that names the bands of a cube's planes; it goes before `planes`.
    no_data : float or None
        Value that says that a pixel has no data, besides NaN and BLANK.
    native_pixels : bool
        Counts are per pixel of the survey's native scale, whatever that of the file: so in cut-outs that were
        interpolated to another scale, as viewers of surveys serve them, and not summed.
    units : tuple of str
        What BUNIT may say, where it is in the header; empty: anything.
    asinh : bool
        Pixels of image and weight are ``alpha asinh((counts - BOFFSET) / (2 BSOFTEN))``, alpha = 2.5 lg e, in files
        whose headers have these two keywords.
    """

    file: str
    hdu: str | int | None = None
    planes: tuple[str, ...] = ()
    planes_keyword: str | None = None
    no_data: float | None = None
    native_pixels: bool = False
    units: tuple[str, ...] = ()
    asinh: bool = False

    @property
    def is_cube(self) -> bool:
        """Whether several bands lie in one HDU."""
        return bool(self.planes) or self.planes_keyword is not None


@dataclass(frozen=True)
class WeightLayer:
    """Where the noise is given, in counts of the image, and as what.

    Parameters
    ----------
    file : str
        Pattern of the file name.
    hdu : str, int or None
        As for the image. A cube has the planes of the image.
    kind : str
        ``"invvar"`` (inverse variance), ``"variance"``, ``"rms"`` (standard deviation) or ``"relative"``
        (proportional to the inverse variance; the noise itself is measured from the image).
    """

    file: str
    hdu: str | int | None
    kind: str


@dataclass(frozen=True)
class MaskLayer:
    """Where bad pixels are marked.

    Parameters
    ----------
    file : str
        Pattern of the file name. Without ``{band}`` in it and in `hdu` there is one mask for all bands.
    hdu : str, int or None
        As for the image.
    bad : mapping of str to tuple of int or str, or None
        Bits, 0 the least significant, that spoil a pixel of a band; None: any value but 0 does. A text is the name of
        a bit, whose number stands in the mask's header as ``MP_NAME = number`` or ``MSKNnumber = NAME``.
    saturated : mapping of str to tuple of int or str
        Bits that say that a pixel of a band is saturated.
    """

    file: str
    hdu: str | int | None
    bad: Mapping[str, tuple[int | str, ...]] | None = field(hash=False)
    saturated: Mapping[str, tuple[int | str, ...]] = field(hash=False)


@dataclass(frozen=True)
class Layout:
    """One way in which a survey's tiles come as files.

    Parameters
    ----------
    name : str
        What the layout is called.
    tile : str
        Pattern of the tile's name, from the fields of the image's file pattern.
    exclude : tuple of str
        File names, with ``*`` for any text, that the layout leaves alone though they fit its patterns.
    align : bool
        Whether bands on different grids are resampled to that of the first; else they are refused.
    folders : tuple of str
        Folders, beside that of a file, that hold the other files of its tile: paths from the file's folder, with
        fields, ``*`` and ``..``.
    band_names : mapping of str to str
        What files and HDUs call a band, where that differs from its name.
    image : ImageLayer
        The pixels.
    weight : WeightLayer or None
        The noise, if the survey gives it.
    mask : MaskLayer or None
        The bad pixels, if the survey marks them.
    """

    name: str
    tile: str
    exclude: tuple[str, ...]
    align: bool
    folders: tuple[str, ...]
    band_names: Mapping[str, str] = field(hash=False)
    image: ImageLayer
    weight: WeightLayer | None = None
    mask: MaskLayer | None = None

    @property
    def patterns(self) -> tuple[str, ...]:
        """File patterns, each once, the image's first."""
        layers = (self.image, self.weight, self.mask)
        return tuple(dict.fromkeys(layer.file for layer in layers if layer is not None))

    def in_files(self, band: str) -> str:
        """What file names and HDUs call a band."""
        return self.band_names.get(band, band)

    def match(self, name: str, bands: tuple[str, ...]) -> dict[str, str] | None:
        """Fields, the band left out, of a file name that fits one of the patterns; None when it fits none.

        Of several that it fits the one with the most text counts: what is called ``x.weight.fits`` is the weight of x,
        though every name that ends in ``.fits`` may be an image's.
        """
        name = plain_name(name)
        if any(fnmatchcase(name, pattern) for pattern in self.exclude):
            return None
        for pattern in sorted(self.patterns, key=_text_of, reverse=True):
            found = name_expression(pattern, tuple(map(self.in_files, bands))).fullmatch(name)
            if found:
                return {key: value for key, value in found.groupdict().items() if key != "band"}
        return None


def plain_name(name: str) -> str:
    """File name without the ending of a compression."""
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name


def fill(pattern: str, fields: Mapping[str, str]) -> str:
    """Pattern with its fields filled in."""
    return "".join(text + (fields[name] if name else "") for text, name, _ in _parts(pattern))


def fields_of(pattern: str) -> list[str]:
    """Names of the fields of a pattern, in order."""
    return [name for _, name, _ in _parts(pattern) if name]


def read_layout(values: Any, where: str, bands: tuple[str, ...], known: tuple[str, ...] = ()) -> Layout:
    """Layout from its table in a profile.

    Parameters
    ----------
    values : mapping
        The table.
    where : str
        How errors call it.
    bands : tuple of str
        The survey's bands, those in use.
    known : tuple of str
        All that it has; those in use unless given.

    Returns
    -------
    Layout

    Raises
    ------
    SurveyError
        If a key is missing, unknown or wrong.
    """
    table = Table(values, where)
    image = _read_image(Table(table.any("image"), f"{where}, image"), bands)
    names = [field for field in fields_of(image.file) if field != "band"]
    tile = _read_pattern(table, "tile", "-".join(f"{{{name}}}" for name in names))
    _check_pattern(tile, f"{where}: tile", names)
    layout = Layout(
        name=table.text("name"),
        tile=tile,
        exclude=table.words("exclude", ()),
        align=table.flag("align", False),
        folders=table.words("folders", ()),
        band_names=_read_band_names(table, bands, known),
        image=image,
        weight=_read_weight(table.any("weight", None), f"{where}, weight", image.file),
        mask=_read_mask(table.any("mask", None), f"{where}, mask", image.file, bands, known),
    )
    table.finish()
    if layout.align and layout.mask is not None and "{band}" not in f"{layout.mask.file}{layout.mask.hdu}":
        raise SurveyError(
            f"{where}: align goes without a mask for all bands; give a mask for each, or the bands on one grid"
        )
    for folder in layout.folders:
        _check_pattern(folder, f"{where}: folder", [*names, "band"])
    for pattern in layout.patterns:
        _check_pattern(pattern, f"{where}: file", [*names, "band"])
        if set(fields_of(pattern)) | {"band"} != {*names, "band"}:
            raise SurveyError(f"{where}: but for the band, {pattern!r} has to have the fields of {image.file!r}")
    if not image.is_cube and len(bands) > 1 and "{band}" not in f"{image.file}{image.hdu}":
        raise SurveyError(
            f"{where}: nothing tells the bands apart; put {{band}} in image's file or hdu, or give its planes"
        )
    return layout


def _read_image(table: Table, bands: tuple[str, ...]) -> ImageLayer:
    layer = ImageLayer(
        file=_read_pattern(table, "file"),
        hdu=_read_hdu(table),
        planes=table.words("planes", ()),
        planes_keyword=table.text("planes_keyword", None),
        no_data=table.number("no_data", None),
        native_pixels=table.flag("native_pixels", False),
        units=table.words("units", ()),
        asinh=table.flag("asinh", False),
    )
    table.finish()
    missing = [band for band in bands if band not in layer.planes]
    if layer.planes and missing:
        raise table.fail("planes", f"a list that holds every band of the survey ({', '.join(missing)} is not in it)")
    return layer


def _read_weight(values: Any, where: str, image_file: str) -> WeightLayer | None:
    if values is None:
        return None
    table = Table(values, where)
    kind = table.text("kind", "invvar")
    if kind not in WEIGHT_KINDS:
        raise SurveyError(f"{where}: {kind!r} is no kind of weight; {suggestion(kind, list(WEIGHT_KINDS))}")
    layer = WeightLayer(_read_pattern(table, "file", image_file), _read_hdu(table), kind)
    table.finish()
    _check_elsewhere(table, layer.hdu)
    return layer


def _read_band_names(table: Table, bands: tuple[str, ...], known: tuple[str, ...]) -> dict[str, str]:
    names = table.any("band_names", {})
    if not isinstance(names, Mapping) or not all(isinstance(name, str) and name for name in names.values()):
        raise table.fail("band_names", 'a table of bands and what files call them, as { g = "HSC-G" }')
    if not set(names) <= {*bands, *known}:
        raise table.fail("band_names", f"a table with names of the bands {', '.join(known or bands)}")
    if len({names.get(band, band) for band in bands}) < len(bands):
        raise table.fail("band_names", "a table with another name for each band")
    return dict(names)


def _read_mask(
    values: Any, where: str, image_file: str, bands: tuple[str, ...], known: tuple[str, ...]
) -> MaskLayer | None:
    if values is None:
        return None
    table = Table(values, where)
    bad = table.any("bad", "nonzero")
    layer = MaskLayer(
        file=_read_pattern(table, "file", image_file),
        hdu=_read_hdu(table),
        bad=None if bad == "nonzero" else table.bits("bad", bands, known=known),
        saturated=table.bits("saturated", bands, (), known=known),
    )
    table.finish()
    if layer.bad is not None and not any(layer.bad.values()):
        raise table.fail("bad", 'bits that spoil a pixel, at least one, or "nonzero"')
    _check_elsewhere(table, layer.hdu)
    return layer


def _check_elsewhere(table: Table, hdu: str | int | None) -> None:
    if hdu is None and "file" not in table.values:
        raise SurveyError(f"{table.where} has to have a file, an hdu or both: as it is, it would be the image itself")


def _read_hdu(table: Table) -> str | int | None:
    hdu = table.any("hdu", None)
    if hdu is None:
        return None
    if type(hdu) is int and hdu >= 0:
        return hdu
    if not isinstance(hdu, str) or not hdu:
        raise table.fail("hdu", "the name of an HDU or its index, the primary one being 0")
    _check_pattern(_read_pattern(table, "hdu"), f"{table.where}: hdu", ["band"])
    return hdu


def _read_pattern(table: Table, key: str, default: Any = ...) -> str:
    """Text whose fields can be read."""
    pattern: str = table.text(key, default)
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError:
        raise table.fail(key, "a pattern with braces that pair") from None
    for _, name, spec, conversion in parts:
        if name is not None and (not name.isidentifier() or spec not in ("", "d") or conversion):
            raise table.fail(key, "a pattern whose fields are single words in braces")
    return pattern


def _check_pattern(pattern: str, where: str, allowed: list[str]) -> None:
    for name in fields_of(pattern):
        if name not in allowed:
            raise SurveyError(f"{where} {pattern!r} has an unknown field {name!r}; {suggestion(name, allowed)}")


def _text_of(pattern: str) -> int:
    """Letters of a pattern outside its fields."""
    return sum(len(text) for text, _, _ in _parts(pattern))


def _parts(pattern: str) -> list[tuple[str, str | None, str | None]]:
    return [(text, name, spec) for text, name, spec, _ in Formatter().parse(pattern)]


@lru_cache
def name_expression(pattern: str, band_names: tuple[str, ...]) -> re.Pattern[str]:
    """What the names of a pattern's files match, with a group for each field."""
    seen: set[str] = set()
    expression = ""
    for text, name, spec in _parts(pattern):
        expression += re.escape(text).replace(r"\*", ".*")
        if name in seen:
            expression += f"(?P={name})"
        elif name == "band":
            expression += f"(?P<band>{'|'.join(map(re.escape, band_names))})"
        elif name:
            expression += f"(?P<{name}>{'[0-9]+' if spec == 'd' else '.+'})"
        seen.add(name or "")
    return re.compile(expression, re.DOTALL)
