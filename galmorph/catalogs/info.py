"""What a catalogue holds, counted."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from galmorph.catalogs.schema import classes_of
from galmorph.flags import FLAGS

#: Order of the HEALPix pixels (3.4 arcmin across) by which the covered area is counted.
_AREA_ORDER = 10
_PIXELS = 12 * 4**_AREA_ORDER
#: File in a catalogue that tells what it holds.
SUMMARY_FILE = "summary.json"
_KEYS = {
    "survey", "release", "model", "rows", "primary", "classes", "unknown", "area", "centre", "extent", "flags",
}  # fmt: skip
#: Seconds that counting may take: it is nobody's untrusted question.
_PATIENCE = 3600.0


@dataclass(frozen=True)
class CatalogInfo:
    """What a catalogue holds.

    Parameters
    ----------
    path : str
        Folder.
    survey, release, model : tuple of str
        Those that occur in the rows.
    rows, primary, partitions : int
        Number of rows, of primary rows and of files.
    classes : dict of str to int
        Primary rows of each class, those that are unknown left out.
    unknown : int
        Primary rows that are unknown.
    unknown_rate : float
        Their fraction among the primary rows; NaN without rows.
    area : float
        Area (square degrees) of the HEALPix pixels of order 10 (3.4 arcmin across) with rows.
    centre : tuple of float
        Mean direction of the rows, right ascension and declination (degrees); NaN without rows.
    extent : float
        Largest angle (degrees) of a row from the centre.
    flags : dict of str to int
        Primary rows that have each flag.
    columns : tuple of str
        Names of the columns.
    provenance : mapping
        What the writer was told of where the rows come from.
    """

    path: str
    survey: tuple[str, ...]
    release: tuple[str, ...]
    model: tuple[str, ...]
    rows: int
    primary: int
    partitions: int
    classes: dict[str, int]
    unknown: int
    unknown_rate: float
    area: float
    centre: tuple[float, float]
    extent: float
    flags: dict[str, int]
    columns: tuple[str, ...]
    provenance: Mapping[str, Any] = field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, for JSON."""
        return asdict(self)

    def table(self) -> pa.Table:
        """What a person reads first, as two columns of text."""
        lines = {
            "catalogue": self.path,
            "survey": ", ".join(self.survey),
            "release": ", ".join(self.release),
            "model": ", ".join(self.model),
            "rows": f"{self.rows}",
            "primary rows": f"{self.primary}",
            "partitions": f"{self.partitions}",
            "area": f"{self.area:.4g} deg2",
            "centre": f"ra {self.centre[0]:.4f}, dec {self.centre[1]:+.4f} deg",
            "extent": f"{self.extent:.4g} deg from the centre",
            **{f"class {name}": f"{count}" for name, count in self.classes.items()},
            "unknown": f"{self.unknown} ({100 * self.unknown_rate:.1f} %)" if self.primary else "0",
            **{f"flag {name}": f"{count}" for name, count in self.flags.items() if count},
            "columns": ", ".join(self.columns),
        }
        return pa.table({"property": list(lines), "value": list(lines.values())})


def collect_info(path: Path, files: Sequence[Path], columns: pa.Schema, provenance: Mapping[str, Any]) -> CatalogInfo:
    """What a catalogue holds, by the summary that was written with it, or counted if there is none.

    Parameters
    ----------
    path : Path
        Folder of the catalogue.
    files : sequence of Path
        Its partitions.
    columns : pyarrow.Schema
        Its columns.
    provenance : mapping
        Where its rows come from.

    Returns
    -------
    CatalogInfo
        The counts.
    """
    counts = read_summary(path) or count_rows(files, classes_of(columns))
    rows = counts["primary"]
    return CatalogInfo(
        path=str(path),
        survey=tuple(counts["survey"]),
        release=tuple(counts["release"]),
        model=tuple(counts["model"]),
        rows=counts["rows"],
        primary=rows,
        partitions=len(files),
        classes=dict(counts["classes"]),
        unknown=counts["unknown"],
        unknown_rate=counts["unknown"] / rows if rows else math.nan,
        area=counts["area"],
        centre=tuple(counts["centre"] or (math.nan, math.nan)),
        extent=math.nan if counts["extent"] is None else counts["extent"],
        flags=dict(counts["flags"]),
        columns=tuple(columns.names),
        provenance=provenance,
    )


def count_rows(files: Sequence[Path], classes: Sequence[str]) -> dict[str, Any]:
    """Count the rows of a catalogue.

    Parameters
    ----------
    files : sequence of Path
        Partitions.
    classes : sequence of str
        Classes of the model.

    Returns
    -------
    dict
        What the summary of a catalogue holds, in plain types. The same rows give the same numbers.
    """
    row = _asked(files, _TOTALS)[0]
    counts = {entry["label"]: entry["n"] for entry in _asked(files, _LABELS)}
    sky = _asked(files, _MEAN)[0]
    empty = row["total"] == 0
    extent = None if empty else _extent(files, sky["mx"], sky["my"], sky["mz"])
    return {
        "survey": row["survey"] or [],
        "release": row["release"] or [],
        "model": row["model"] or [],
        "rows": row["total"],
        "primary": row["main"],
        "classes": {name: counts.get(name, 0) for name in classes},
        "unknown": row["strange"],
        "area": sky["pixels"] * 4 * 180**2 / math.pi / _PIXELS,
        # Sums over several threads differ in their last digits.
        "centre": None if empty else [round(sky["ra"], 6), round(sky["dec"], 6)],
        "extent": extent,
        "flags": {flag.name: row[flag.name] for flag in FLAGS},
    }


def _extent(files: Sequence[Path], *mean: float) -> float:
    """Largest angle (degrees) of a row from a mean direction."""
    length = math.hypot(*mean)
    direction = {name: number / length if length else math.nan for name, number in zip("xyz", mean, strict=True)}
    return round(float(_asked(files, _EXTENT, direction)[0]["extent"]), 6)


def _asked(files: Sequence[Path], sql: str, variables: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Rows of an answer."""
    from galmorph.catalogs.query import run_query  # DuckDB takes a while to load, and a summary does without

    return list(run_query(files, sql, variables=variables, timeout=_PATIENCE).to_pylist())


def write_summary(folder: Path, files: Sequence[Path], classes: Sequence[str]) -> None:
    """Keep what a catalogue holds beside its rows, so that it can be told without reading them.

    Parameters
    ----------
    folder : Path
        Folder of the catalogue.
    files : sequence of Path
        Its partitions.
    classes : sequence of str
        Classes of the model.
    """
    text = json.dumps(count_rows(files, classes), indent=1)
    (folder / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What the catalogue in a folder keeps of itself; None if there is nothing that can be read."""
    try:
        found = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= _KEYS else None


_FLAG_COUNTS = ",\n    ".join(
    f"""count(*) FILTER ("primary" AND has_flag(flags, '{flag.name}')) AS "{flag.name}\"""" for flag in FLAGS
)
_TOTALS = f"""
SELECT count(*) AS total,
    count(*) FILTER ("primary") AS main,
    count(*) FILTER ("primary" AND unknown) AS strange,
    list(DISTINCT survey ORDER BY survey) AS survey,
    list(DISTINCT release ORDER BY release) AS release,
    list(DISTINCT model ORDER BY model) AS model,
    {_FLAG_COUNTS}
FROM catalog
"""  # noqa: S608 - flags are constants of the package
_LABELS = 'SELECT label, count(*) AS n FROM catalog WHERE "primary" AND NOT unknown GROUP BY label'
_XYZ = """
    cos(radians(dec)) * cos(radians(ra)) AS x,
    cos(radians(dec)) * sin(radians(ra)) AS y,
    sin(radians(dec)) AS z
"""
#: Number of pixels with rows, a bit for each, and mean direction. What is asked of the sky keeps no row: a catalogue of
#: any size is counted in the same memory.
_MEAN = f"""
SELECT coalesce(bit_count(bitstring_agg(pixel, 0, {_PIXELS - 1}) FILTER (pixel BETWEEN 0 AND {_PIXELS - 1})), 0)
        AS pixels,
    avg(x) AS mx, avg(y) AS my, avg(z) AS mz,
    (degrees(atan2(my, mx)) + 360) % 360 AS ra,
    degrees(atan2(mz, sqrt(mx * mx + my * my))) AS dec
FROM (SELECT _healpix_29 >> {2 * (29 - _AREA_ORDER)} AS pixel, {_XYZ} FROM catalog)
"""  # noqa: S608
#: Largest angle from the mean direction.
_EXTENT = f"""
SELECT max(degrees(2 * asin(least(
    1, 0.5 * sqrt(pow(x - getvariable('x'), 2) + pow(y - getvariable('y'), 2) + pow(z - getvariable('z'), 2))
)))) AS extent
FROM (SELECT {_XYZ} FROM catalog)
"""  # noqa: S608
