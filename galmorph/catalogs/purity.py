"""Candidates beside a list of what is true: how pure the best N are."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galmorph.catalogs.angles import degrees_of
from galmorph.catalogs.candidates import meaning
from galmorph.catalogs.matching import match_positions
from galmorph.catalogs.nearest import no_column
from galmorph.catalogs.tables import open_table, steadily
from galmorph.errors import CatalogError
from galmorph.taxonomy import CLASS_MAPS

logger = logging.getLogger(__name__)

#: Columns that may tell what an entry of a list is.
_LABELS = ("label", "kind", "class", "type")


@dataclass(frozen=True)
class Judged:
    """Candidates with what they are.

    Parameters
    ----------
    table : pyarrow.Table
        The candidates with one column more, `true`: an entry of the list lies within the radius.
    purity : dict of int to float
        Share of true ones among the first N, for N = 1, 2, 5, 10, 20, 50 ... and all.
    entries : int
        Entries of the list that are of the kind.
    """

    table: pa.Table
    purity: dict[int, float] = field(hash=False)
    entries: int

    def summary(self) -> str:
        """One line for a person."""
        shares = ", ".join(f"{share:.0%} of the first {rank}" for rank, share in self.purity.items())
        return f"true, by a list of {self.entries}: {shares or 'there are no candidates'}"


def judge(
    candidates: pa.Table, truth: str | Path, kind: str, radius: float | str = 3.0, *, labels: str | None = None
) -> Judged:
    """Mark the candidates that a list knows to be true.

    Parameters
    ----------
    candidates : pyarrow.Table
        Best first, with `ra` and `dec`.
    truth : str or Path
        Table of positions, or `lenscat`. If it tells classes, in the column `label`, `kind`, `class` or `type`, only
        entries that mean the kind count; a list without is of that kind altogether, and so is one whose column names
        no class that galmorph knows, as the type of lenscat, which tells galaxies from clusters.
    kind : str
        What the candidates should be: lens, merger.
    radius : float or str
        Largest separation: arcsec, or with a unit.
    labels : str, optional
        Column of the classes, if it has another name.

    Returns
    -------
    Judged
        The candidates, and how pure the best are.

    Raises
    ------
    CatalogError, DataError
        If the list cannot be read, or has no such column or no entry of the kind.
    """
    angle = degrees_of(radius, "arcsec")
    there_ra, there_dec = steadily(lambda: _entries(truth, kind, labels), truth)
    true = np.zeros(candidates.num_rows, dtype=bool)
    if len(true):
        found = match_positions(candidates["ra"].to_numpy(), candidates["dec"].to_numpy(), there_ra, there_dec, angle)
        true[found[0]] = True
    table = candidates.add_column(1, "true", pa.array(true))
    return Judged(table, _shares(true), len(there_ra))


def _entries(truth: str | Path, kind: str, labels: str | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (degrees) of the entries of a list that are of a kind."""
    opened = open_table(truth)
    if labels is not None and labels not in opened.columns:
        raise no_column(opened.name, [labels], opened.columns)
    column = labels or next((name for name in opened.columns if name.lower() in _LABELS), None)
    places = [piece.places(None) for piece in opened.pieces]
    there_ra, there_dec = (np.concatenate([getattr(place, name) for place in places]) for name in ("ra", "dec"))
    if column is not None:
        pieces = zip(opened.pieces, places, strict=True)
        told = [str(name) for piece, place in pieces for name in piece.rows(place.row, [column])[column].to_pylist()]
        if labels is not None or _names_classes(told):
            good = np.array([meaning(name) == kind for name in told], dtype=bool)
            there_ra, there_dec = there_ra[good], there_dec[good]
        elif told:
            words = ", ".join(sorted(set(told))[:3])
            logger.warning("%s: column %s names no class (%s): every entry counts as %s", truth, column, words, kind)
    if not len(there_ra):
        where = f"column {column} never says {kind}" if column else "it is empty"
        raise CatalogError(f"{opened.name} tells of no {kind}: {where}")
    return there_ra, there_dec


def _names_classes(told: Sequence[str]) -> bool:
    """If a column tells of morphology: the type of lenscat tells galaxies from clusters."""
    return any(meaning(name) in CLASS_MAPS["shape"].values() for name in set(told))


def _shares(true: NDArray[np.bool_]) -> dict[int, float]:
    ranks = [step * 10**power for power in range(7) for step in (1, 2, 5)]
    wanted = [rank for rank in ranks if rank < len(true)] + ([len(true)] if len(true) else [])
    return {rank: float(true[:rank].mean()) for rank in wanted}
