"""The catalogue so far and the new one: what changed its label, as a page, a table, and a list to look at."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galmorph.catalogs import diff, write_table
from galmorph.catalogs.changes import Difference
from galmorph.catalogs.changes_page import Shown, changes_page, changes_sections, to_show
from galmorph.catalogs.output import format_of
from galmorph.errors import DataError, RunError
from galmorph.run_folder import open_run

logger = logging.getLogger(__name__)

#: Files: every object, those that changed their label, the page, and the part of the page that the report shows.
OBJECTS, CHANGED, PAGE, SECTIONS = "diff.parquet", "changed.csv", "diff.html", "diff-sections.html"


def compare_catalogs(old: Path, new: Path, out: Path) -> dict[str, Any]:
    """Put the new catalogue beside the old one.

    Parameters
    ----------
    old, new : Path
        Folders of catalogues. Neither is changed.
    out : Path
        Folder for `OBJECTS`, `CHANGED`, `PAGE` and `SECTIONS`.

    Returns
    -------
    dict
        Numbers of objects by status, the files, and the stability index of each class.

    Raises
    ------
    CatalogError
        If one cannot be opened.
    """
    found = diff(old, new)
    out.mkdir(parents=True, exist_ok=True)
    write_table(found.objects, format_of(out / OBJECTS), out / OBJECTS)
    write_table(changed_objects(found), format_of(out / CHANGED), out / CHANGED)
    groups = []
    for status, catalog in (("changed", new), ("new", new), ("lost", old)):
        rows = to_show(found, status)
        groups.append(Shown(status, rows, _pictures(catalog, rows)))
    (out / PAGE).write_text(changes_page(found, groups), encoding="utf-8")
    (out / SECTIONS).write_text(changes_sections(found, groups), encoding="utf-8")
    return {
        "old": str(old),
        "new": str(new),
        "counts": found.counts(),
        "stability": {name: _plain(value) for name, value in found.stability.items()},
        "objects": str(out / OBJECTS),
        "changed": str(out / CHANGED),
        "page": str(out / PAGE),
        "sections": str(out / SECTIONS),
    }


def changed_objects(found: Difference) -> pa.Table:
    """Objects in both catalogues that changed their label, those whose probabilities moved most first: for vetting.

    Parameters
    ----------
    found : Difference
        Two catalogues.

    Returns
    -------
    pyarrow.Table
        `object_id` of the new catalogue, `ra` and `dec` in degrees, `label_old`, `label_new` and `shift`.
    """
    rows = found.objects.filter(pc.equal(found.objects.column("status"), "changed"))
    rows = rows.sort_by([("shift", "descending"), ("ra", "ascending"), ("dec", "ascending")])
    kept = rows.select(["object_id_new", "ra", "dec", "label_old", "label_new", "shift"])
    return kept.rename_columns(["object_id", *kept.column_names[1:]])


def _pictures(catalog: Path, rows: pa.Table) -> NDArray[np.uint8] | None:
    """Pictures of rows from the tiles of a run; None if the catalogue lies by itself or the tiles are gone."""
    try:
        return open_run(catalog).pictures(rows) if rows.num_rows else None
    except (RunError, DataError) as error:
        logger.warning("no pictures: %s", error)
        return None


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
