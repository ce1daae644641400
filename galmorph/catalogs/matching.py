"""Match a catalogue with another by position, reading only the partitions that can have pairs."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.catalogs.angles import degrees_of
from galmorph.catalogs.healpix import COVER_ORDER, INDEX_ORDER, Ranges, around, around_span
from galmorph.catalogs.tables import Places, SkyTable, free_name, open_table, steadily
from galmorph.sky import ARCSEC, unit_vectors

Ints = NDArray[np.int64]
Find = Literal["nearest", "all"]

#: Before the names of the other table's columns.
PREFIX = "other_"
#: Pieces of the other table whose positions are kept at once.
_KEPT = 16
_FOOTPRINT_SHIFT = 2 * (INDEX_ORDER - COVER_ORDER)


@dataclass(frozen=True)
class Crossmatch:
    """Pairs of two tables.

    Parameters
    ----------
    pairs : pyarrow.Table
        `separation` (arcsec), columns of the catalogue, and columns of the other table with `other_` before their
        names; in the order of the other table, then by separation.
    entries : int
        Rows of the other table that have a position.
    covered : int
        Those that lie on the catalogue: matched, or in a HEALPix pixel of order 10 (3.4 arcmin across) with a row.
    matched : int
        Those with a pair.
    labels : dict of str to int
        Of a catalogue of galmorph, what the nearest row of each matched entry is called.
    """

    pairs: pa.Table
    entries: int
    covered: int
    matched: int
    labels: dict[str, int] = field(hash=False)

    @property
    def missed(self) -> int:
        """Entries that lie on the catalogue and have no pair."""
        return self.covered - self.matched

    def summary(self) -> str:
        """What came out, for a person."""
        lines = [
            f"{self.pairs.num_rows} pairs",
            f"{self.entries} entries of the other table, {self.covered} of them on the catalogue: "
            f"{self.matched} recovered, {self.missed} missed",
        ]
        if self.labels:
            lines.append("recovered as " + ", ".join(f"{name} {count}" for name, count in self.labels.items()))
        return "\n".join(lines)


@dataclass(frozen=True)
class _Pairs:
    """Pieces and rows of pairs, and their separation in arcsec."""

    piece: Ints
    row: Ints
    other_piece: Ints
    other_row: Ints
    separation: NDArray[np.float64]

    def take(self, order: NDArray[np.int64] | NDArray[np.bool_]) -> "_Pairs":
        return _Pairs(*(getattr(self, name)[order] for name in self.__dataclass_fields__))


def crossmatch(
    catalog: str | Path,
    other: str | Path,
    radius: float | str = 3.0,
    *,
    find: Find = "nearest",
    columns: Sequence[str] | None = None,
    other_columns: Sequence[str] | None = None,
    position: tuple[str, str] | None = None,
    other_position: tuple[str, str] | None = None,
    all_rows: bool = False,
) -> Crossmatch:
    """Match a catalogue with another by position.

    Either may be the folder of a HATS catalogue, of which only partitions and row groups that can have pairs are read,
    or a Parquet, FITS, VOTable or CSV file.

    Parameters
    ----------
    catalog : str or Path
        The catalogue.
    other : str or Path
        The other table, or `lenscat` for the list of known lenses of the Python package of that name.
    radius : float or str
        Largest separation: arcsec, or with a unit, such as "0.05arcmin".
    find : {"nearest", "all"}
        For each row of the other table the nearest row of the catalogue, or all within the radius.
    columns, other_columns : sequence of str, optional
        Columns of the result, beside identifier and position. By default all those of a file; of a HATS catalogue
        identifier and position, and of one of galmorph label and scores too.
    position, other_position : tuple of str, optional
        Columns of right ascension and declination in degrees; by default known by their UCD or usual names.
    all_rows : bool
        Match all rows of a catalogue of galmorph, not just one per object.

    Returns
    -------
    Crossmatch
        Pairs, and how many entries of the other table were recovered and missed.

    Raises
    ------
    CatalogError, DataError
        If a table cannot be read or has no positions in degrees, or a column is not there.
    """
    angle = degrees_of(radius, "arcsec")

    def ask() -> Crossmatch:
        left = open_table(catalog, **_named(position), primary_only=not all_rows)
        right = open_table(other, **_named(other_position), primary_only=not all_rows)
        return _crossmatch(left, right, angle, find, (left.choose(columns), right.choose(other_columns)))

    return steadily(ask, catalog, other)


def _crossmatch(
    left: SkyTable, right: SkyTable, radius: float, find: Find, shown: tuple[Sequence[str], Sequence[str]]
) -> Crossmatch:
    """Match two tables that are open; the columns shown are those of the one and of the other."""
    search = _Search(left, right, radius)
    found = _ordered(list(search.pairs()))
    nearest = found.take(_firsts(found))
    result = nearest if find == "nearest" else found
    parts = {"separation": pa.chunked_array([result.separation])}
    for name, column in _gather(left, result.piece, result.row, shown[0]).items():
        parts[free_name(name, parts)] = column
    for name, column in _gather(right, result.other_piece, result.other_row, shown[1]).items():
        parts[free_name(f"{PREFIX}{name}", parts)] = column
    described = pa.field("separation", pa.float64(), metadata={"unit": "arcsec", "ucd": "pos.angDistance"})
    pairs = pa.table(parts)
    return Crossmatch(
        pairs.cast(pa.schema([described, *list(pairs.schema)[1:]])),
        search.entries,
        search.covered(nearest),
        len(nearest.row),
        _labels(left, nearest) if left.classes else {},
    )


def match_positions(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    other_ra: NDArray[np.float64],
    other_dec: NDArray[np.float64],
    radius: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """All pairs of two lists of positions within an angle.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    other_ra, other_dec : ndarray of float64, shape (m,)
        Degrees.
    radius : float
        Degrees.

    Returns
    -------
    index, other_index : ndarray of int, shape (k,)
        Places of the two of each pair.
    separation : ndarray of float64, shape (k,)
        Arcsec.
    """
    return _match(cKDTree(unit_vectors(ra, dec)), cKDTree(unit_vectors(other_ra, other_dec)), radius)


def _match(
    left: cKDTree, right: cKDTree, radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    chord = 2 * np.sin(np.radians(min(radius, 180.0)) / 2)
    found = left.sparse_distance_matrix(right, chord * (1 + 1e-12), output_type="ndarray")
    separation = 2 * np.arcsin(np.minimum(found["v"] / 2, 1.0)) * ARCSEC
    found, separation = found[separation <= radius * 3600], separation[separation <= radius * 3600]
    return found["i"], found["j"], separation


class _Search:
    """Finds pairs piece by piece, and keeps count of what lies on the catalogue."""

    def __init__(self, left: SkyTable, right: SkyTable, radius: float) -> None:
        self._left, self._right, self._radius = left, right, radius
        self._places: OrderedDict[int, tuple[Places, cKDTree]] = OrderedDict()
        # A file is one piece that may lie all over the sky: what is near its rows is told by them.
        self._scattered = len(right.pieces) == 1
        self._near = [self._around(number) for number in range(len(right.pieces))]
        #: For each piece that was looked at, which of its rows lie on the catalogue.
        self._inside: dict[int, NDArray[np.bool_]] = {}

    def _around(self, number: int) -> Ranges:
        if self._scattered:
            return around(self._other(number)[0].healpix, self._radius)
        return around_span(self._right.pieces[number].span, self._radius)

    def _other(self, number: int) -> tuple[Places, cKDTree]:
        """Positions of a piece of the other table."""
        if number not in self._places:
            places = self._right.pieces[number].places(None)
            self._places[number] = places, cKDTree(unit_vectors(places.ra, places.dec))
            if len(self._places) > _KEPT:
                self._places.popitem(last=False)
        return self._places[number]

    def pairs(self) -> Iterator[_Pairs]:
        """Pairs of each piece of the catalogue with each of the other that lies near."""
        for number, piece in enumerate(self._left.pieces):
            beside = [other for other, near in enumerate(self._near) if near.overlap(*piece.span)]
            if not beside:
                continue
            places = piece.places(self._near[beside[0]] if len(beside) == 1 else None)
            if not len(places.row):
                continue
            pixels = np.unique(places.healpix >> _FOOTPRINT_SHIFT)
            points = cKDTree(unit_vectors(places.ra, places.dec))
            for other_number in beside:
                other, tree = self._other(other_number)
                self._look(other_number, other, pixels)
                i, j, separation = _match(points, tree, self._radius)
                pieces = np.full(len(i), number), np.full(len(i), other_number)
                yield _Pairs(pieces[0], places.row[i], pieces[1], other.row[j], separation)

    def _look(self, number: int, other: Places, pixels: Ints) -> None:
        """Remember which rows of a piece of the other table lie in pixels of the catalogue."""
        if not len(other.row):
            return
        inside = self._inside.setdefault(number, np.zeros(int(other.row[-1]) + 1, dtype=bool))
        inside[other.row[np.isin(other.healpix >> _FOOTPRINT_SHIFT, pixels)]] = True

    @property
    def entries(self) -> int:
        """Rows of the other table that have a position."""
        return sum(piece.count() for piece in self._right.pieces)

    def covered(self, nearest: _Pairs) -> int:
        """Entries on the catalogue; the pairs have to be found before."""
        for number, inside in self._inside.items():
            inside[nearest.other_row[nearest.other_piece == number]] = True
        return sum(int(inside.sum()) for inside in self._inside.values())


def _named(position: tuple[str, str] | None) -> dict[str, str]:
    return {} if position is None else {"ra": position[0], "dec": position[1]}


def _ordered(found: Sequence[_Pairs]) -> _Pairs:
    """All pairs, by the rows of the other table, nearest first."""
    none = np.empty(0, np.int64)
    parts = [_Pairs(none, none, none, none, np.empty(0)), *found]
    together = _Pairs(
        np.concatenate([part.piece for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.other_piece for part in parts]),
        np.concatenate([part.other_row for part in parts]),
        np.concatenate([part.separation for part in parts]),
    )
    keys = (together.row, together.piece, together.separation, together.other_row, together.other_piece)
    return together.take(np.lexsort(keys))


def _firsts(found: _Pairs) -> NDArray[np.bool_]:
    """True for the first pair of each row of the other table."""
    first = np.ones(len(found.row), dtype=bool)
    first[1:] = (found.other_row[1:] != found.other_row[:-1]) | (found.other_piece[1:] != found.other_piece[:-1])
    return first


def _gather(table: SkyTable, piece: Ints, row: Ints, columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """Columns of the rows of pairs, from the pieces that have some."""
    tables, places = [], []
    kept = [name for name in columns if name != table.number]
    for number in np.unique(piece) if len(piece) else [0]:
        chosen = np.flatnonzero(piece == number)
        unique, back = np.unique(row[chosen], return_inverse=True)
        tables.append(table.pieces[number].rows(unique.astype(np.int64), kept).take(pa.array(back)))
        places.append(chosen)
    together = pa.concat_tables(tables, promote_options="permissive")
    order = pa.array(np.argsort(np.concatenate(places)))
    found = {name: together.column(name).take(order) for name in kept}
    return {name: found[name] if name in found else pa.chunked_array([row + 1]) for name in columns}


def _labels(catalog: SkyTable, nearest: _Pairs) -> dict[str, int]:
    """What matched rows are called, most frequent first."""
    rows = _gather(catalog, nearest.piece, nearest.row, ["label", "unknown"])
    names = [
        "unknown" if strange else name
        for name, strange in zip(rows["label"].to_pylist(), rows["unknown"].to_pylist(), strict=True)
    ]
    counts = {name: names.count(name) for name in sorted(set(names))}
    return dict(sorted(counts.items(), key=lambda entry: -entry[1]))
