"""``galmorph catalog diff``: two catalogues beside each other."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyarrow as pa
from cyclopts import Parameter
from numpy.typing import NDArray

from galmorph import catalogs
from galmorph.catalogs import write_table
from galmorph.catalogs.output import format_of
from galmorph.errors import CatalogError

if TYPE_CHECKING:
    from galmorph.catalogs.changes import Difference


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
    chosen = format_of(output)
    found = catalogs.diff(old, new, radius)
    if output is not None:
        write_table(found.objects, chosen, output)
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
