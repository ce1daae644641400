"""Options that several verbs share, and what their text means."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from galmorph.errors import CatalogError

if TYPE_CHECKING:
    from galmorph.catalogs.regions import Region

Format = Annotated[
    Literal["table", "csv", "parquet", "json", "fits", "votable"] | None,
    Parameter(help="table for reading, the others for programs; by default as the name of the output says, or table."),
]
Output = Annotated[Path | None, Parameter(help="File to write; standard output by default.")]

Cone = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Only rows in a circle: RA,DEC,RADIUS in degrees, the radius perhaps with a unit, as 150.1,2.2,30arcmin.",
    ),
]
Box = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Only rows in a box: RA_LOW,RA_HIGH,DEC_LOW,DEC_HIGH in degrees, eastwards from the first to the second.",
    ),
]
Polygon = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="Only rows in a polygon: RA1,DEC1,RA2,DEC2,RA3,DEC3 ... in degrees; its sides are great circles.",
    ),
]
Moc = Annotated[str | None, Parameter(help="Only rows in a coverage map (MOC): a FITS, JSON or text file.")]


def regions_of(cone: str | None, box: str | None, polygon: str | None, moc: str | None) -> "Iterator[Region]":
    """Regions that options tell."""
    if cone is None and box is None and polygon is None and moc is None:
        return
    from galmorph.catalogs import regions

    if cone is not None:
        ra, dec, radius = _split(cone, "--cone RA,DEC,RADIUS", 3)
        yield regions.cone(_number(ra), _number(dec), radius)
    if box is not None:
        numbers = [_number(part) for part in _split(box, "--box RA_LOW,RA_HIGH,DEC_LOW,DEC_HIGH", 4)]
        yield regions.box(numbers[0], numbers[1], numbers[2], numbers[3])
    if polygon is not None:
        corners = [_number(part) for part in _split(polygon, "--polygon RA1,DEC1,RA2,DEC2,RA3,DEC3 ...", None)]
        yield regions.polygon(list(zip(corners[::2], corners[1::2], strict=True)))
    if moc is not None:
        yield regions.coverage(moc)


def _split(text: str, usage: str, number: int | None) -> list[str]:
    """Parts between commas or spaces, as many as there have to be; two by two if that is not told."""
    parts = text.replace(",", " ").split()
    if len(parts) != number if number is not None else len(parts) % 2 or not parts:
        raise CatalogError(f"expected {usage}, got {text!r}")
    return parts


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CatalogError(f"expected a number of degrees, got {text!r}") from error


def names_of(given: list[str] | None) -> list[str] | None:
    """Names given one by one or with commas between them."""
    return None if given is None else [part.strip() for text in given for part in text.split(",") if part.strip()]


def two_names(text: str | None) -> tuple[str, str] | None:
    """Two names with a comma between them."""
    if text is None:
        return None
    first, comma, second = (part.strip() for part in text.partition(","))
    if not (first and comma and second):
        raise CatalogError(f"expected the names of two columns with a comma between them, such as ra,dec; got {text!r}")
    return first, second
