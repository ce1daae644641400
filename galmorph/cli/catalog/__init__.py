"""``galmorph catalog``: one verb for each question."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pyarrow as pa
from cyclopts import App, Parameter
from numpy.typing import NDArray

from galmorph import catalogs
from galmorph.catalogs import Catalog, open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.errors import CatalogError

if TYPE_CHECKING:
    from galmorph.catalogs.changes import Difference
    from galmorph.catalogs.checking import Finding
    from galmorph.catalogs.regions import Region

app = App(name="catalog", help="Ask a catalogue.")

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


@app.command
def info(
    catalog: Path,
    /,
    *,
    sky: Path | None = None,
    format: Format = None,  # noqa: A002 - the option's name
    output: Output = None,
) -> None:
    """Count what a catalogue holds: rows, classes, unknowns, flags, sky, and where it comes from.

    Parameters
    ----------
    catalog
        Folder of the catalogue, such as RUN/catalog.
    sky
        Picture to write: where on the sky there are rows.
    """
    opened = open_catalog(catalog)
    counted = opened.info()
    if sky is not None:
        opened.draw_sky(sky)
    chosen = format or format_of(output)
    write_table(counted.table() if chosen == "table" else pa.Table.from_pylist([counted.to_dict()]), chosen, output)


@app.command
def query(
    catalog: Path,
    sql: str = 'SELECT * FROM catalog WHERE "primary"',
    /,
    *,
    cone: Cone = None,
    box: Box = None,
    polygon: Polygon = None,
    moc: Moc = None,
    timeout: float = 60.0,
    memory: str = "2GB",
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """Answer one SELECT over the table `catalog`, in DuckDB's SQL; nothing can be written or read besides.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    sql
        As "SELECT label, count(*) FROM catalog GROUP BY label"; all primary rows by default.
    timeout
        Seconds after which it is stopped.
    memory
        Most memory for the work and for the result.
    """
    within = [*_regions(cone, box, polygon, moc)]
    found = open_catalog(catalog).query(sql, within=within, timeout=timeout, memory=memory)
    write_table(found, format or format_of(output), output)


@app.command
def candidates(
    catalog: Path,
    /,
    *,
    kind: Literal["lens", "merger", "unknown"],
    top: int = 10,
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """List the best candidates of a kind, one row per object, best first.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    kind
        What is looked for.
    top
        How many, at most.
    """
    write_table(open_catalog(catalog).candidates(kind, top), format or format_of(output), output)


@app.command
def diff(
    old: Path,
    new: Path,
    /,
    *,
    radius: str = "1arcsec",
    output: Annotated[Path | None, Parameter(help="File for every object: Parquet, FITS, CSV ...")] = None,
    report: Path | None = None,
) -> None:
    """Put two catalogues beside each other: changed labels, moved probabilities, new and lost objects.

    Parameters
    ----------
    old
        Folder of a catalogue.
    new
        Folder of another catalogue of the same sky.
    radius
        Rows that are each other's nearest within this angle are one object.
    report
        Page to write (HTML, nothing else needed), with pictures if the catalogues lie in their run folders.
    """
    found = catalogs.diff(old, new, radius)
    if output is not None:
        write_table(found.objects, format_of(output), output)
    if report is not None:
        _write_report(found, old, new, report)
    print(found.summary())


def _write_report(found: "Difference", old: Path, new: Path, report: Path) -> None:
    from galmorph.catalogs.changes_page import Shown, changes_page, to_show

    groups = []
    for status, folder in (("changed", new), ("new", new), ("lost", old)):
        rows = to_show(found, status)
        groups.append(Shown(status, rows, _pictures(folder, rows)))
    try:
        report.write_text(changes_page(found, groups), encoding="utf-8")
    except OSError as error:
        raise CatalogError(f"{report} cannot be written: {error.strerror}") from error


def _pictures(folder: Path, rows: pa.Table) -> NDArray[np.uint8] | None:
    """Pictures of rows from the tiles of a run; None if the catalogue lies by itself or the tiles are gone."""
    from galmorph.errors import DataError, RunError
    from galmorph.run_folder import open_run

    try:
        return open_run(folder).pictures(rows) if rows.num_rows else None
    except (RunError, DataError) as error:
        print(f"no pictures: {error}", file=sys.stderr)
        return None


@app.command
def export(
    catalog: Path,
    output: Path,
    /,
    *,
    columns: list[str] | None = None,
    where: str = "",
    cone: Cone = None,
    box: Box = None,
    polygon: Polygon = None,
    moc: Moc = None,
    all_rows: bool = False,
) -> None:
    """Write rows of a catalogue for another program, with units, UCDs and where they come from.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    output
        File; its end tells the format: .fits, .vot, .csv, .parquet, .json, or .reg for regions of DS9.
    columns
        Columns to write; all but the embedding by default.
    where
        Condition that rows have to fulfil, in SQL, as "p_merger > 0.9 AND snr > 20".
    all_rows
        Write all rows, not just one per object.
    """
    within = [*_regions(cone, box, polygon, moc)]
    opened = open_catalog(catalog)
    rows = catalogs.export(opened, output, columns=_names(columns), where=where, within=within, all_rows=all_rows)
    print(f"{rows} rows in {output}")


@app.command
def check(catalog: Path, /, *, repair: bool = False) -> None:
    """Hold a catalogue against its own rules; exit code 1 if it breaks one.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    repair
        Write it anew from its own rows: order, partitions, metadata and primary rows are made again, rows that lack
        what every row must have and repetitions are left out.
    """
    findings = catalogs.check_catalog(catalog)
    _say(findings)
    if repair and any(finding.repairable for finding in findings):
        print("repaired; what is left:")
        findings = catalogs.repair_catalog(catalog)
        _say(findings)
    sys.exit(1 if findings else 0)


def _say(findings: "list[Finding]") -> None:
    """One line for each broken rule."""
    for finding in findings:
        can = "can be repaired" if finding.repairable else "cannot be repaired: repeat the run"
        print(f"not so: {finding.rule} ({finding.rows}; the first is {finding.example}; {can})")
    if not findings:
        print("the catalogue keeps all its rules")


@app.command
def crossmatch(
    catalog: Path,
    other: str,
    /,
    *,
    radius: str = "3arcsec",
    find: Literal["nearest", "all"] = "nearest",
    columns: list[str] | None = None,
    other_columns: list[str] | None = None,
    position: str | None = None,
    other_position: str | None = None,
    all_rows: bool = False,
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """Match a catalogue with another by position, and say how much of the other was recovered.

    Parameters
    ----------
    catalog
        Folder of the catalogue, or any table with positions (Parquet, FITS, VOTable, CSV).
    other
        The other catalogue or table; lenscat for the list of known lenses of the Python package of that name.
    radius
        Largest separation: 3arcsec, 0.05arcmin ...
    find
        For each row of the other table the nearest of the catalogue, or all within the radius.
    columns
        Columns of the catalogue in the result.
    other_columns
        Columns of the other table in the result, where other_ stands before their names.
    position
        Columns of the catalogue with right ascension and declination, as ra,dec; by default known by name or UCD.
    other_position
        The same, of the other table.
    all_rows
        Match every row of a catalogue of galmorph, not just one per object.
    """
    found = catalogs.crossmatch(
        catalog,
        other,
        radius,
        find=find,
        columns=_names(columns),
        other_columns=_names(other_columns),
        position=_two(position),
        other_position=_two(other_position),
        all_rows=all_rows,
    )
    chosen = format or format_of(output)
    write_table(found.pairs, chosen, output)
    print(found.summary(), file=sys.stderr if output is None and chosen != "table" else sys.stdout)


@app.command
def similar(
    catalog: Path,
    /,
    *,
    to: list[int] | None = None,
    to_image: Path | None = None,
    to_list: Path | None = None,
    model: Path | None = None,
    survey: str | None = None,
    radius: str = "3arcsec",
    top: int = 20,
    mosaic: Path | None = None,
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """List the objects that look most like examples, in the space of the model's features, best first.

    Parameters
    ----------
    catalog
        Folder of a catalogue that keeps embeddings (galmorph classify --embedding).
    to
        Object id of an example; may be given many times.
    to_image
        Image whose central object is the example, as a tile of the survey; needs --model.
    to_list
        Table of positions of examples.
    model
        Folder of the model bundle that the catalogue was made with.
    survey
        Profile that reads the image; the run's by default.
    radius
        Largest separation of a position of the list from its row.
    top
        How many, at most.
    mosaic
        Picture to write of what is found, from the tiles of the run.
    """
    opened = open_catalog(catalog)
    features = None if to_image is None else _features(opened, to_image, model, survey)
    found = opened.similar(to or (), positions=to_list, features=features, top=top, radius=radius)
    if mosaic is not None:
        from galmorph.run_folder import draw_rows, open_run

        captions = [f"{row['similarity']:.3f}\n{row['label']}" for row in found.to_pylist()]
        draw_rows(open_run(catalog), found, captions, mosaic)
    write_table(found, format or format_of(output), output)


def _features(catalog: Catalog, image: Path, model: Path | None, survey: str | None) -> NDArray[np.float32]:
    """Features of an image, by the model that the catalogue was made with."""
    from galmorph.bundle import load_bundle
    from galmorph.detection import DetectionConfig
    from galmorph.run_folder import features_of_image, open_run
    from galmorph.surveys import load_survey

    if model is None:
        raise CatalogError("an image as example needs the model that made the catalogue: give its folder with --model")
    bundle = load_bundle(model)
    if bundle.sha256 != catalog.provenance.get("model_sha256"):
        raise CatalogError(
            f"{model} is not the model that the catalogue was made with ({catalog.provenance.get('model')}): features "
            "of different models say nothing of likeness"
        )
    if survey is not None:
        return features_of_image(image, bundle, load_survey(survey), DetectionConfig())
    run = open_run(catalog.path)
    return features_of_image(image, bundle, run.survey, run.detection)


def _regions(cone: str | None, box: str | None, polygon: str | None, moc: str | None) -> "Iterator[Region]":
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


def _names(given: list[str] | None) -> list[str] | None:
    """Names given one by one or with commas between them."""
    return None if given is None else [part.strip() for text in given for part in text.split(",") if part.strip()]


def _two(text: str | None) -> tuple[str, str] | None:
    """Two names with a comma between them."""
    if text is None:
        return None
    first, comma, second = (part.strip() for part in text.partition(","))
    if not (first and comma and second):
        raise CatalogError(f"expected the names of two columns with a comma between them, such as ra,dec; got {text!r}")
    return first, second
