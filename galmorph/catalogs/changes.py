"""Two catalogues of the same sky, object by object: what changed its label, whose probabilities moved, what is new."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from galmorph.catalogs.angles import degrees_of
from galmorph.catalogs.catalog import Catalog, open_catalog
from galmorph.catalogs.healpix import COVER_ORDER, INDEX_ORDER
from galmorph.catalogs.matching import match_positions
from galmorph.errors import CatalogError
from galmorph.metrics import stability
from galmorph.taxonomy import UNKNOWN

_ROW = ("object_id", "ra", "dec", "label", "confidence", "unknown", "tile", "x", "y", "radius", "_healpix_29")


@dataclass(frozen=True)
class Difference:
    """Two catalogues beside each other, primary rows only.

    Parameters
    ----------
    objects : pyarrow.Table
        A row per object of either: `status` (same, changed, new, lost), ids, position, labels, confidences, separation
        (arcsec) and `shift`, half the summed change of the probabilities of common classes (0 to 1).
    matrix : pandas.DataFrame
        Matched objects by what they were called (rows) and are called (columns); `unknown` is one of the names.
    stability : dict of str to float
        Population stability index of each common class's probability over the matched objects: below 0.1 it is called
        stable, above 0.25 another population.
    new_inside : int
        New objects on sky (HEALPix pixels of order 10) where the old catalogue has rows.
    lost_inside : int
        Lost objects on sky where the new catalogue has rows.
    names : tuple of str
        What the two are: survey, release and model.
    """

    objects: pa.Table
    matrix: pd.DataFrame = field(repr=False)
    stability: dict[str, float] = field(hash=False)
    new_inside: int
    lost_inside: int
    names: tuple[str, str]

    def counts(self) -> dict[str, int]:
        """Number of objects of each status."""
        status = self.objects.column("status").to_pylist()
        return {name: status.count(name) for name in ("same", "changed", "new", "lost")}

    def summary(self) -> str:
        """What came out, for a person."""
        counts = self.counts()
        matched = counts["same"] + counts["changed"]
        share = f" ({100 * counts['changed'] / matched:.1f} %)" if matched else ""
        lines = [
            f"{matched} objects in both, {counts['changed']} of them{share} called something else",
            f"{counts['new']} new ({self.new_inside} on sky that the old one covers), "
            f"{counts['lost']} lost ({self.lost_inside} on sky that the new one covers)",
        ]
        indices = [f"{name} {value:.3f}" for name, value in self.stability.items() if np.isfinite(value)]
        if indices:
            lines.append(f"stability index (below 0.1: stable): {', '.join(indices)}")
        return "\n".join(lines)


def diff(old: str | Path, new: str | Path, radius: float | str = 1.0) -> Difference:
    """Put two catalogues beside each other by position.

    Parameters
    ----------
    old, new : str or Path
        Folders of catalogues.
    radius : float or str
        Two rows that are each other's nearest within this angle are one object: arcsec, or with a unit.

    Returns
    -------
    Difference
        What changed.

    Raises
    ------
    CatalogError
        If one cannot be opened.
    """
    angle = degrees_of(radius, "arcsec")
    catalogs = open_catalog(old), open_catalog(new)
    common = [name for name in catalogs[0].classes if name in catalogs[1].classes]
    before, after = (_rows(catalog, common) for catalog in catalogs)
    place, separation = _mutual(before, after, angle)
    matched = place >= 0
    first, second = before[matched].reset_index(drop=True), after.iloc[place[matched]].reset_index(drop=True)
    found = np.zeros(len(after), dtype=bool)
    found[place[matched]] = True
    probabilities = [f"p_{name}" for name in common]
    moved = np.abs(second[probabilities].to_numpy() - first[probabilities].to_numpy()).sum(axis=1) / 2
    changed = (first["called"] != second["called"]).to_numpy()
    new_rows, lost_rows = after[~found].reset_index(drop=True), before[~matched].reset_index(drop=True)
    objects = pd.concat(
        [
            _objects(np.where(changed, "changed", "same"), first, second, separation[matched], moved),
            _objects(np.full(len(new_rows), "new"), None, new_rows),
            _objects(np.full(len(lost_rows), "lost"), lost_rows, None),
        ],
        ignore_index=True,
    )
    order = objects.sort_values(["status", "shift", "ra", "dec"], ascending=[True, False, True, True], kind="stable")
    return Difference(
        _table(order),
        _matrix(first, second, catalogs),
        {name: stability(first[f"p_{name}"].to_numpy(), second[f"p_{name}"].to_numpy()) for name in common},
        _inside(new_rows, before),
        _inside(lost_rows, after),
        (_name(catalogs[0]), _name(catalogs[1])),
    )


def _rows(catalog: Catalog, classes: list[str]) -> pd.DataFrame:
    frame = catalog.to_pandas([*_ROW, *(f"p_{name}" for name in classes), "primary"])
    frame = frame[frame["primary"]].reset_index(drop=True)
    return frame.assign(called=frame["label"].where(~frame["unknown"], UNKNOWN).astype("str"))


def _mutual(old: pd.DataFrame, new: pd.DataFrame, radius: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each old row the new one that is its nearest and whose nearest it is, or -1; and the separations."""
    place, separation = np.full(len(old), -1, dtype=np.int64), np.full(len(old), np.nan)
    if not len(old) or not len(new):
        return place, separation
    (ra, dec), (other_ra, other_dec) = ((frame["ra"].to_numpy(), frame["dec"].to_numpy()) for frame in (old, new))
    i, j, angle = match_positions(ra, dec, other_ra, other_dec, radius)
    order = np.lexsort((new["object_id"].to_numpy()[j], old["object_id"].to_numpy()[i], angle))
    i, j, angle = i[order], j[order], angle[order]
    first_i, first_j = (np.zeros(len(i), dtype=bool) for _ in range(2))
    first_i[np.unique(i, return_index=True)[1]] = True
    first_j[np.unique(j, return_index=True)[1]] = True
    both = first_i & first_j
    place[i[both]], separation[i[both]] = j[both], angle[both]
    return place, separation


def _objects(
    status: NDArray[np.str_],
    old: pd.DataFrame | None,
    new: pd.DataFrame | None,
    separation: NDArray[np.float64] | None = None,
    shift: NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    here = new if new is not None else old
    if here is None:
        raise CatalogError("an object is in the old catalogue or in the new one")
    empty = np.full(len(here), np.nan)
    columns: dict[str, object] = {"status": status.astype(object), "ra": here["ra"], "dec": here["dec"]}
    for suffix, frame in (("old", old), ("new", new)):
        nothing = pd.Series([None] * len(here), dtype="str")
        columns[f"object_id_{suffix}"] = (
            nothing.astype("Int64") if frame is None else frame["object_id"].astype("Int64")
        )
        columns[f"label_{suffix}"] = nothing if frame is None else frame["called"]
        columns[f"confidence_{suffix}"] = empty if frame is None else frame["confidence"].astype("float64")
    columns["separation"] = empty if separation is None else separation
    columns["shift"] = empty if shift is None else shift
    for name in ("tile", "x", "y", "radius"):
        columns[name] = here[name]
    return pd.DataFrame(columns)


def _table(objects: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(objects, preserve_index=False).replace_schema_metadata(None)
    known = {
        "ra": {"unit": "deg", "ucd": "pos.eq.ra;meta.main"},
        "dec": {"unit": "deg", "ucd": "pos.eq.dec;meta.main"},
        "separation": {"unit": "arcsec", "ucd": "pos.angDistance"},
        "radius": {"unit": "arcsec", "ucd": "phys.angSize"},
    }
    kinds = {"object_id_old": pa.int64(), "object_id_new": pa.int64()}
    fields = [
        pa.field(column.name, kinds.get(column.name, _plain(column.type)), metadata=known.get(column.name))
        for column in table.schema
    ]
    return table.cast(pa.schema(fields))


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_null(kind) else kind


def _matrix(old: pd.DataFrame, new: pd.DataFrame, catalogs: tuple[Catalog, Catalog]) -> pd.DataFrame:
    rows, columns = ([*catalog.classes, UNKNOWN] for catalog in catalogs)
    counted = pd.crosstab(old["called"], new["called"])
    return counted.reindex(index=rows, columns=columns, fill_value=0).astype(int)


def _inside(rows: pd.DataFrame, other: pd.DataFrame) -> int:
    """Rows in pixels of order 10 where the other catalogue has some."""
    shift = 2 * (INDEX_ORDER - COVER_ORDER)
    pixels = np.unique(other["_healpix_29"].to_numpy() >> shift)
    return int(np.isin(rows["_healpix_29"].to_numpy() >> shift, pixels).sum())


def _name(catalog: Catalog) -> str:
    words = [str(catalog.provenance.get(name, "")) for name in ("survey", "release", "model")]
    return f"{catalog.path} ({', '.join(word for word in words if word)})"
