"""Hold a catalogue against its own rules, and set right what can be."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import xlogy

from galmorph.catalogs.catalog import Catalog, open_catalog
from galmorph.catalogs.counterparts import KEYS, counterparts
from galmorph.catalogs.healpix import healpix_index
from galmorph.catalogs.info import SUMMARY_FILE, count_rows, read_summary
from galmorph.catalogs.ledger import one_writer
from galmorph.catalogs.partitions import span_of
from galmorph.catalogs.parts import open_parts
from galmorph.catalogs.primary import mark_primary
from galmorph.catalogs.properties import COLLECTION_FILE
from galmorph.catalogs.schema import COLUMNS, finite_columns, other_column
from galmorph.errors import CatalogError
from galmorph.flags import FLAGS

#: How far probabilities and what follows from them may be off: they are kept in single precision.
TOLERANCE = 1e-3
_ADDED = tuple(column.name for column in COLUMNS if column.added)
_SAME_COLUMNS = "every partition has the columns of the catalogue"
_KEYS = (*KEYS, "edge_distance", "bad_fraction", "primary")


@dataclass(frozen=True)
class Finding:
    """A rule that a catalogue breaks.

    Parameters
    ----------
    rule : str
        What should be.
    rows : int
        How many rows, or files, break it.
    example : str
        The first of them.
    repairable : bool
        If `repair_catalog` sets it right.
    """

    rule: str
    rows: int
    example: str
    repairable: bool


def check_catalog(path: str | Path, match_radius: float | None = None) -> list[Finding]:
    """Hold a catalogue against its own rules.

    Files are complete and counted, rows lie in the partition and in the order of their positions, what must be a number
    is one and what could not be measured is empty, probabilities sum to one and label, confidence and entropy follow
    from them, flags are known, survey and model are those of the provenance, object ids are unique, and the primary
    rows are those that the rule gives.

    Parameters
    ----------
    path : str or Path
        Folder of the catalogue.
    match_radius : float, optional
        Rows of different tiles within this angle (arcsec) are one object; by default as the catalogue was written.

    Returns
    -------
    list of Finding
        What is wrong; empty if nothing is.

    Raises
    ------
    CatalogError
        If it cannot be opened at all.
    """
    catalog = open_catalog(path)
    radius = catalog.match_radius if match_radius is None else match_radius
    findings = [*_check_files(catalog)]
    keys = []
    for file in catalog.files:
        try:
            table = pq.read_table(file, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            findings.append(Finding("every partition can be read", 1, f"{file.name}: {error}", repairable=False))
            continue
        if words := other_column(catalog.schema, table.schema):
            findings.append(Finding(_SAME_COLUMNS, 1, f"{file.name}: {words}", repairable=False))
            continue
        findings += [*_check_rows(catalog, file, table)]
        keys.append(table.select(_KEYS))
    findings += [*_check_objects(pa.concat_tables(keys), radius)] if keys else []
    if len(keys) == len(catalog.files) and read_summary(catalog.path) != count_rows(catalog.files, catalog.classes):
        words = f"{SUMMARY_FILE} is not there, or tells other numbers"
        findings.append(Finding("the summary tells what the rows hold", 1, words, repairable=True))
    return _merged(findings)


def repair_catalog(path: str | Path, match_radius: float | None = None) -> list[Finding]:
    """Write a catalogue anew from its own rows, and say what is still wrong.

    Order, partitions, metadata and primary rows are made again; rows that lack what every row must have, and
    repetitions of an object id, are left out; NaN becomes empty. The new one takes the place of the old when it is
    complete. What is wrong in the rows themselves stays: the run that made them can be repeated.

    Parameters
    ----------
    path : str or Path
        Folder of the catalogue.
    match_radius : float, optional
        As for `check_catalog`.

    Returns
    -------
    list of Finding
        What is left.

    Raises
    ------
    CatalogError
        If it cannot be opened, a partition cannot be read, it is the member of a collection, or another call writes it.
    """
    place = open_catalog(path).path
    if (place.parent / COLLECTION_FILE).is_file():
        raise CatalogError(
            f"{place} is the member of a collection, with a margin and an index made of it: repair the "
            "catalogue that it came from, and collect that again"
        )
    # From the first row that is read: a catalogue that was written meanwhile would be lost.
    with one_writer(place.resolve()):
        _write_anew(open_catalog(path), match_radius)
    return check_catalog(path, match_radius)


def _write_anew(catalog: Catalog, match_radius: float | None) -> None:
    """Write a catalogue from the rows of its own that can be kept."""
    from galmorph.catalogs.write import build_catalog

    needed = [name for name in finite_columns(catalog.classes, catalog.bands) if name not in _ADDED]
    seen: NDArray[np.int64] = np.empty(0, np.int64)
    folder = Path(tempfile.mkdtemp(prefix=f".{catalog.path.name}.repair.", dir=catalog.path.parent))
    try:
        parts = []
        for number, file in enumerate(catalog.files):
            try:
                table = pq.read_table(file, partitioning=None)
            except (OSError, pa.ArrowException) as error:
                words = " ".join(str(error).split())
                raise CatalogError(
                    f"{file} cannot be read: {words}; repeat the run, or copy the catalogue again"
                ) from error
            if words := other_column(catalog.schema, table.schema):
                raise CatalogError(f"{file}: {words}; repeat the run, or copy the catalogue again")
            table = table.drop_columns(list(_ADDED))
            kept = np.ones(table.num_rows, dtype=bool)
            for name in needed:
                kept &= np.isfinite(table.column(name).cast(pa.float64()).to_numpy())
            ids = table.column("object_id").to_numpy()
            good = np.flatnonzero(kept & ~np.isin(ids, seen))
            # Of the rows that can be kept: before the one that counts another may stand that lacks something.
            rows = np.sort(good[np.unique(ids[good], return_index=True)[1]])
            seen = np.concatenate([seen, ids[rows]])
            parts.append(folder / f"{number}.parquet")
            pq.write_table(table.take(pa.array(rows)), parts[-1])
        build_catalog(
            open_parts(parts, catalog.classes, catalog.bands),
            catalog.path.resolve(),
            classes=catalog.classes,
            provenance=catalog.provenance,
            match_radius=catalog.match_radius if match_radius is None else match_radius,
            max_rows=catalog.max_rows,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_files(catalog: Catalog) -> Iterator[Finding]:
    """What lies in the folder, beside what it says of itself."""
    listed = {file.relative_to(catalog.path) for file in catalog.files}
    there = {file.relative_to(catalog.path) for file in catalog.path.glob("dataset/Norder=*/Dir=*/Npix=*.parquet")}
    strays = sorted(there - listed)
    if strays:
        yield Finding("every file of rows is in the list of partitions", len(strays), str(strays[0]), repairable=True)
    rows = 0
    for file in catalog.files:
        try:
            rows += pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException):
            return  # said when its rows are read
    properties = (catalog.path / "hats.properties").read_text(encoding="utf-8").splitlines()
    told = next((line.partition("=")[2].strip() for line in properties if line.startswith("hats_nrows")), "")
    if told != str(rows):
        words = f"hats.properties tells {told or 'nothing'}, the files hold {rows}"
        yield Finding("the number of rows is the one that is told", 1, words, repairable=True)
    try:
        summed = pq.read_metadata(catalog.path / "dataset" / "_metadata").num_rows
    except (OSError, pa.ArrowException) as error:
        yield Finding("the summary dataset/_metadata can be read", 1, str(error), repairable=True)
    else:
        if summed != rows:
            words = f"dataset/_metadata tells {summed}, the files hold {rows}"
            yield Finding("the number of rows is the one that is told", 1, words, repairable=True)


def _check_rows(catalog: Catalog, file: Path, table: pa.Table) -> Iterator[Finding]:
    """Rules that every row has to keep by itself, or with its neighbours in the file."""
    if not table.schema.equals(catalog.schema):
        yield Finding("every partition has the columns of the catalogue", 1, file.name, repairable=False)
        return
    if not table.num_rows:
        return

    def broken(rule: str, wrong: NDArray[np.bool_], *, repairable: bool = False) -> Iterator[Finding]:
        if wrong.any():
            identifier = table.column("object_id")[int(np.argmax(wrong))].as_py()
            yield Finding(rule, int(wrong.sum()), f"object_id {identifier} in {file.name}", repairable)

    ra, dec = (table.column(name).to_numpy() for name in ("ra", "dec"))
    on_sphere = (ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90)
    yield from broken("positions are degrees on the sphere", ~on_sphere)
    healpix = table.column("_healpix_29").to_numpy()
    true = healpix.copy()
    true[on_sphere] = healpix_index(ra[on_sphere], dec[on_sphere])
    low, high = span_of(file)
    yield from broken("_healpix_29 is the pixel of the position", healpix != true, repairable=True)
    yield from broken("rows lie in the pixel of their partition", (true < low) | (true >= high), repairable=True)
    yield from broken("rows are sorted on the sky", np.diff(healpix, prepend=healpix[:1]) < 0, repairable=True)
    finite = set(finite_columns(catalog.classes, catalog.bands))
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_floating(field.type):
            nan = pc.fill_null(pc.is_nan(column), False).to_numpy()
            yield from broken(f"{field.name} is empty where it could not be measured, not NaN", nan, repairable=True)
            if field.name in finite:
                lacking = ~np.isfinite(column.to_numpy())
                yield from broken(f"every row has a finite {field.name}", lacking, repairable=True)
        elif column.null_count:
            yield from broken(f"every row has a {field.name}", column.is_null().to_numpy())
    yield from _check_scores(catalog, table, broken)
    undefined = (table.column("flags").to_numpy() & ~sum(flag.value for flag in FLAGS)) != 0
    yield from broken("flags are those that are defined", undefined)
    for name in ("survey", "release", "model"):
        if told := catalog.provenance.get(name):
            other = pc.not_equal(table.column(name), str(told)).to_numpy()
            yield from broken(f"{name} is the one of the provenance, {told}", other)


def _check_scores(
    catalog: Catalog, table: pa.Table, broken: Callable[[str, NDArray[np.bool_]], Iterator[Finding]]
) -> Iterator[Finding]:
    """Rules between the probabilities and what follows from them."""
    columns = [f"p_{name}" for name in catalog.classes]
    p = np.stack([table.column(name).cast(pa.float64()).to_numpy() for name in columns], axis=1)
    good = np.isfinite(p).all(axis=1)
    with np.errstate(invalid="ignore"):
        yield from broken("probabilities lie between 0 and 1", good & ((p < 0) | (p > 1 + TOLERANCE)).any(axis=1))
        yield from broken("probabilities sum to one", good & (np.abs(p.sum(axis=1) - 1) > TOLERANCE))
        places = {name: number for number, name in enumerate(catalog.classes)}
        label = np.array([places.get(name, -1) for name in table.column("label").to_pylist()])
        yield from broken("label is a class of the model", label < 0)
        chosen = np.where(label >= 0, p[np.arange(len(p)), np.maximum(label, 0)], np.nan)
        yield from broken("label is the most probable class", good & (chosen < p.max(axis=1) - TOLERANCE))
        confidence = table.column("confidence").to_numpy()
        yield from broken("confidence is the probability of the label", np.abs(confidence - chosen) > TOLERANCE)
        entropy = table.column("entropy").to_numpy()
        expected = -xlogy(np.maximum(p, 0), np.maximum(p, 0)).sum(axis=1)
        yield from broken("entropy is that of the probabilities", np.abs(entropy - expected) > 10 * TOLERANCE)


def _check_objects(keys: pa.Table, match_radius: float) -> Iterator[Finding]:
    """Rules between rows wherever they lie."""
    ids = keys.column("object_id").to_numpy()
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        example = f"object_id {unique[np.argmax(counts > 1)]}"
        yield Finding("object ids are unique", int((counts - 1).sum()), example, repairable=True)
        return
    ra, dec = (keys.column(name).to_numpy() for name in ("ra", "dec"))
    if not (np.isfinite(ra) & np.isfinite(dec)).all() or not len(ids):
        return
    names, tile = np.unique(np.array(keys.column("tile").to_pylist(), dtype=object), return_inverse=True)
    edge, bad = (keys.column(name).to_numpy() for name in ("edge_distance", "bad_fraction"))
    one = partial(counterparts, keys)
    expected = mark_primary(ra, dec, tile.astype(np.int64), edge, bad, ids, match_radius, one)
    wrong = expected != keys.column("primary").to_numpy()
    if wrong.any():
        words = f"object_id {ids[np.argmax(wrong)]} on tile {names[tile[np.argmax(wrong)]]}"
        yield Finding("primary is true for one row per object", int(wrong.sum()), words, repairable=True)


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each rule, over all files."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        before = merged.get(finding.rule)
        rows = finding.rows + (before.rows if before else 0)
        first = before or finding
        merged[finding.rule] = Finding(finding.rule, rows, first.example, first.repairable and finding.repairable)
    return list(merged.values())
