"""Tables of positions on the sky, as other catalogues give them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.table_files import find_column, plain_name, read_table

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]

#: Usual names of columns, in order of preference, in lower case and without anything but letters and digits.
RA_NAMES = (
    "ra",
    "radeg",
    "raj2000",
    "raicrs",
    "rightascension",
    "alphaj2000",
    "alpha",
    "rajdeg",
    "alphasky",
    "ramean",
    "rastack",
    "coordra",
)
DEC_NAMES = ("dec", "de", "decdeg", "dej2000", "decj2000", "deicrs", "decicrs", "declination", "deltaj2000", "delta",
             "dejdeg", "dedeg", "deltasky", "decmean", "decstack", "coorddec")  # fmt: skip
ID_NAMES = (
    "sourceid",
    "objectid",
    "coaddobjectid",
    "id",
    "objid",
    "targetid",
    "name",
    "iauname",
    "dr7objid",
    "catid",
    "number",
)
RADIUS_NAMES = ("radius", "radiusarcsec")
LABEL_NAMES = ("label", "class", "morphology")
RA_UCD, DEC_UCD, ID_UCD = "pos.eq.ra", "pos.eq.dec", "meta.id"

#: Floats hold whole numbers exactly up to here.
_EXACT = 2**53

#: Units of right ascension that are refused.
HOURS = ("h", "hr", "hour", "hours", "hourangle", "h:m:s", "hms", '"h:m:s"')
RADIANS = ("rad", "radian", "radians")
#: Arcsec of the units that radii come in; those without a unit are arcsec.
ARCSEC = {
    **dict.fromkeys(("", "arcsec", "arcsecs", "arcsecond", "arcseconds", "asec", '"'), 1.0),
    **dict.fromkeys(("arcmin", "arcmins", "arcminute", "arcminutes", "amin", "'"), 60.0),
    **dict.fromkeys(("deg", "degs", "degree", "degrees"), 3600.0),
    **dict.fromkeys(RADIANS, float(np.degrees(3600))),
}
#: Arcsec. A dozen galaxies on the sky are larger; other tables mean by more, as 999 or 9999, that they know none.
MOST_RADIUS = 600.0
#: Rows that an error names at most.
MAX_NAMED = 10


@dataclass(frozen=True)
class SourceCatalog:
    """A survey's own catalogue: what its objects are called, and which rows are second ones of an object.

    Parameters
    ----------
    name : str
        Of the catalogue.
    columns : tuple of str
        Columns that tell it from others, in lower case and without anything but letters and digits.
    identifier : tuple of str
        Columns that together identify an object, joined by hyphens.
    primary : str
        Column that is 1 or true in the one row of an object that counts, if the table has it.
    """

    name: str
    columns: tuple[str, ...]
    identifier: tuple[str, ...]
    primary: str


#: What the usual names of columns cannot tell. Where overlapping tiles measure an object twice, one row is primary.
SOURCE_CATALOGS = (
    # https://www.legacysurvey.org/dr10/catalogs/: objid counts within a brick.
    SourceCatalog("tractor", ("release", "brickid", "objid"), ("release", "brickid", "objid"), "brickprimary"),
    # https://sdm-schemas.lsst.io/dp1.html#Object; the pipelines mark rows of inner patches.
    SourceCatalog("Rubin Object", ("objectid", "coordra"), ("objectid",), "detectisprimary"),
    # https://hsc-release.mtk.nao.ac.jp/schema/, tables forced and meas.
    SourceCatalog("HSC", ("objectid", "isprimary"), ("objectid",), "isprimary"),
    # https://outerspace.stsci.edu/display/PANSTARRS/PS1+StackObjectThin+table+fields
    SourceCatalog("Pan-STARRS1", ("objid", "primarydetection"), ("objid",), "primarydetection"),
    # https://skyserver.sdss.org/dr18/MoreTools/browser, PhotoObjAll: mode is 1 for primary, 2 for secondary.
    SourceCatalog("SDSS", ("objid", "mode", "run", "camcol"), ("objid",), "mode"),
)


def read_positions(path: str | Path) -> pd.DataFrame:
    """Positions from a Parquet file, a FITS table, a VOTable, an ECSV or a CSV file (also .gz).

    Columns are known by their usual names (ra, RAJ2000, "RA [deg]", alpha_j2000 ...), whatever the case, or, in FITS,
    VOTable and Parquet, by their UCD (pos.eq.ra;meta.main). Without a column of identifiers rows are numbered from 1.
    Surveys' own catalogues (`SOURCE_CATALOGS`, and those whose columns have usual names, such as MER's) keep their
    identifiers; rows that they mark as second ones of an object are left out.

    Parameters
    ----------
    path : str or Path
        The table.

    Returns
    -------
    pandas.DataFrame
        ``source_id`` (text), ``ra``, ``dec`` (degrees, float64), and ``radius`` (arcsec, NaN for none and for more than
        `MOST_RADIUS`) if the table has it, in arcsec or the unit that the table tells; rows in the table's order.

    Raises
    ------
    DataError
        If the file cannot be read as a table, has no columns or no numbers for the positions, positions are missing or
        out of range, or the number of a row without identifier is the identifier of another.
    """
    rows, _ = _read_rows(Path(path))
    return rows.reset_index(drop=True)


def _read_rows(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Positions, indexed by the rows of the table, and the table."""
    table, ucds = read_table(path, _wanted)
    if not len(table):
        raise DataError(f"{path} has no rows; expected one for each position")
    ra_name, dec_name = position_columns(path, table, ucds)
    ra, dec = degrees(path, table, ra_name), degrees(path, table, dec_name)
    _check(path, ra_name, ra, np.isfinite(ra), "a number")
    _check(path, dec_name, dec, np.isfinite(dec), "a number")
    _check(path, ra_name, ra, (ra >= -180) & (ra <= 360), "degrees between 0 and 360")
    _check(path, dec_name, dec, np.abs(dec) <= 90, "degrees between -90 and 90")
    known = _source_catalog(table)
    result = pd.DataFrame({"source_id": _identifiers(path, table, ucds, known), "ra": ra % 360.0, "dec": dec})
    radius_name = find_column(table, {}, RADIUS_NAMES, "")
    if radius_name is not None:
        result["radius"] = _radii(path, table, radius_name)
    return _primary_rows(path, table, result, known), table


def _wanted(names: Sequence[str], ucds: Mapping[str, str]) -> list[str] | None:
    """Columns that positions and labels are made of; None of a table without positions."""
    table = pd.DataFrame(columns=list(names))
    if with_positions(names, ucds) is None:
        return None
    known = [
        (name,) for catalog in SOURCE_CATALOGS for name in (*catalog.columns, *catalog.identifier, catalog.primary)
    ]
    found = [
        *(find_column(table, ucds, *one) for one in ((RA_NAMES, RA_UCD), (DEC_NAMES, DEC_UCD), (ID_NAMES, ID_UCD))),
        *(find_column(table, {}, usual, "") for usual in (RADIUS_NAMES, LABEL_NAMES, *known)),
    ]
    return list(dict.fromkeys(name for name in found if name is not None))


def with_positions(names: Sequence[str], ucds: Mapping[str, str]) -> Sequence[str] | None:
    """All columns of a table that has positions, None of others: for `galmorph.table_files.read_table`."""
    table = pd.DataFrame(columns=list(names))
    found = [find_column(table, ucds, *one) for one in ((RA_NAMES, RA_UCD), (DEC_NAMES, DEC_UCD))]
    return None if None in found else names


def read_labels(path: str | Path) -> pd.DataFrame:
    """Positions with labels: a table as `read_positions` takes it, with a column `label` (or class, morphology).

    Parameters
    ----------
    path : str or Path
        The table.

    Returns
    -------
    pandas.DataFrame
        ``source_id``, ``ra``, ``dec`` (degrees) and ``label`` (text; empty for none), rows in the table's order.

    Raises
    ------
    DataError
        If `read_positions` cannot read it, it has no labels, or two rows have one identifier.
    """
    path = Path(path)
    rows, table = _read_rows(path)
    result = rows[["source_id", "ra", "dec"]]
    name = find_column(table, {}, LABEL_NAMES, "")
    if name is None:
        whole, _ = read_table(path, with_positions)
        raise DataError(
            f"{path} has no column of labels; expected one called {', '.join(LABEL_NAMES)}. Its columns are "
            f"{', '.join(map(str, whole.columns[:20]))}: rename one"
        )
    twice = result["source_id"][result["source_id"].duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{path}: {len(twice)} identifiers stand in more than one row ({', '.join(twice[:MAX_NAMED])}); "
            "expected a row for each object. Remove the others, or give them identifiers of their own"
        )
    # Whole numbers are floats where a row has none: 1.0 would be another class than another table's 1.
    words = _text(_whole(table[name])).loc[result.index]
    return result.assign(label=words.fillna("")).reset_index(drop=True)


def position_columns(path: Path, table: pd.DataFrame, ucds: dict[str, str]) -> tuple[str, str]:
    """Names of the columns of right ascension and declination; a DataError if there are none."""
    ra_name = _column(path, table, ucds, RA_NAMES, RA_UCD, "right ascension")
    return ra_name, _column(path, table, ucds, DEC_NAMES, DEC_UCD, "declination")


def _column(path: Path, table: pd.DataFrame, ucds: dict[str, str], names: Sequence[str], ucd: str, what: str) -> str:
    found = find_column(table, ucds, names, ucd)
    if found is None:
        columns = ", ".join(map(str, table.columns[:20])) + (", ..." if len(table.columns) > 20 else "")
        raise DataError(
            f"{path} has no column of {what}; expected one called {', '.join(names[:4])} or of the UCD {ucd}. "
            f"Its columns are {columns}: rename one"
        )
    return found


def degrees(path: Path, table: pd.DataFrame, name: str) -> Floats:
    """Degrees of a column of angles, NaN where it is empty; a DataError if they are hours or no numbers."""
    unit = _unit(table, name)
    if unit.lower() in HOURS:
        raise DataError(f"{path}: column {name} is in hours ({unit}); expected degrees. Multiply it by 15 first")
    return _numbers(path, table, name, "decimal degrees") * _degrees_in(unit)


def _degrees_in(unit: str) -> float:
    """Degrees in a unit that a table tells; 1 of what is no angle, such as the J2000 of a column RA (J2000)."""
    if not unit or unit.lower() in ARCSEC:
        return ARCSEC[unit.lower() or "deg"] / 3600
    from astropy import units  # also reads mas, and 15deg, which is what astropy writes for hours

    told = units.Unit(unit, parse_strict="silent")
    return float(told.to(units.deg)) if told.is_equivalent(units.deg) else 1.0


def _radii(path: Path, table: pd.DataFrame, name: str) -> Floats:
    """Radii of a column in arcsec, NaN where there is none."""
    unit = _unit(table, name)
    if unit.lower() not in ARCSEC:
        raise DataError(
            f"{path}: column {name} is in {unit}; expected arcsec, arcmin, deg or rad. Convert or rename it first"
        )
    radius = _numbers(path, table, name, "arcsec") * ARCSEC[unit.lower()]
    _check(path, name, radius, ~(radius <= 0), "positive arcsec, or nothing")
    absurd = radius > MOST_RADIUS
    if absurd.any():
        what = (
            f"{path}: {np.count_nonzero(absurd)} of {len(radius)} values of {name} are more than {MOST_RADIUS:g} arcsec"
        )
        log.warning("%s, as in row %d, and count as none", what, int(np.argmax(absurd)) + 1)
    return np.where(absurd, np.nan, radius)


def _unit(table: pd.DataFrame, name: str) -> str:
    """Unit of a column, by the file or in brackets behind its name; empty for none."""
    return str(table.attrs.get("units", {}).get(name, "")) or name.replace("(", "[").partition("[")[2].strip("[]) ")


def _numbers(path: Path, table: pd.DataFrame, name: str, expected: str) -> Floats:
    """Numbers of a column, NaN where it is empty; a DataError if it holds others."""
    values = table[name]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=float, na_value=np.nan)
    text = values.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = numbers.isna() & text.notna() & ~text.astype(str).str.strip().str.lower().isin(["", "nan", "null", "none"])
    if wrong.any():
        first = text[wrong].iloc[0]
        sexagesimal = pd.Series([str(first)]).str.contains(r"^\s*[+-]?\d+\s*[:hd\s]\s*\d+", regex=True).iloc[0]
        what = "hours or degrees, minutes and seconds" if sexagesimal else "no number"
        raise DataError(
            f"{path}: column {name} has {first!r} in row {int(np.flatnonzero(wrong)[0]) + 1}, which is {what}; "
            f"expected {expected}. Convert the column first"
        )
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _check(path: Path, name: str, values: Floats, right: NDArray[np.bool_], expected: str) -> None:
    wrong = np.flatnonzero(~right)
    if len(wrong):
        rows = ", ".join(str(row + 1) for row in wrong[:MAX_NAMED]) + (", ..." if len(wrong) > MAX_NAMED else "")
        raise DataError(
            f"{path}: column {name} has to hold {expected}; it does not in {len(wrong)} of {len(values)} rows "
            f"(row {rows}; the first is {values[wrong[0]]}). Correct or remove them"
        )


def _source_catalog(table: pd.DataFrame) -> SourceCatalog | None:
    """The survey's catalogue that a table is, by its columns."""
    names = {plain_name(column) for column in table.columns}
    return next((known for known in SOURCE_CATALOGS if names.issuperset(known.columns)), None)


def _text(values: pd.Series) -> pd.Series:
    """Column as text, NaN where it is empty."""
    values = values.reset_index(drop=True)
    if not (isinstance(values.dtype, pd.StringDtype) or pd.api.types.is_integer_dtype(values)):
        values = values.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return values.astype("str").str.strip().where(values.notna())


def _identifiers(path: Path, table: pd.DataFrame, ucds: dict[str, str], known: SourceCatalog | None) -> pd.Series:
    numbers = pd.Series(np.arange(1, len(table) + 1)).astype("str")
    if known is not None:
        columns = [find_column(table, {}, (name,), "") for name in known.identifier]
    else:
        columns = [find_column(table, ucds, ID_NAMES, ID_UCD)]
    found = [_text(_whole(table[column])) for column in columns if column is not None]
    if not found:
        return numbers
    first, *others = found
    for other in others:
        first = first + "-" + other
    taken = first.isna() & numbers.isin(first)
    if taken.any():
        row = numbers[taken].iloc[0]
        raise DataError(
            f"{path}: {np.count_nonzero(first.isna())} rows have no identifier, such as row {row}, and the number of "
            "that row, which is taken for one, is the identifier of another. Give these rows identifiers"
        )
    return first.fillna(numbers)


def _whole(values: pd.Series) -> pd.Series:
    """Identifiers or labels that a table has as floats, as the whole numbers that they were; others as they are."""
    if not pd.api.types.is_float_dtype(values):
        return values
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    if (known % 1 != 0).any():
        return values
    if (np.abs(known) >= _EXACT).any():
        log.warning(
            "column %s holds identifiers as floats, which have no room for their last digits: the column should be of "
            "integers or text",
            values.name,
        )
        return values
    return pd.Series(numbers, index=values.index, name=values.name).astype("Int64")


def _primary_rows(path: Path, table: pd.DataFrame, rows: pd.DataFrame, known: SourceCatalog | None) -> pd.DataFrame:
    """Rows without those that the survey marks as second ones of an object."""
    column = find_column(table, {}, (known.primary,), "") if known is not None else None
    if column is None:
        return rows
    primary = _text(table[column]).str.lower().isin(["1", "1.0", "true", "t"])
    if not primary.any():
        raise DataError(f"{path}: column {column} calls no row primary; expected 1 or true for one row of each object")
    if not primary.all():
        log.warning("%s: %d of %d rows left out, by %s", path, np.count_nonzero(~primary), len(rows), column)
    return rows[primary.to_numpy()]
