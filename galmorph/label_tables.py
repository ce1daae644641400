"""Tables of labels that people gave: one row for each verdict of a person on an object.

========== ====== ===================================================================================
column     type   meaning
========== ====== ===================================================================================
object_id  text   identifier of the object in the catalogue or set of cutouts that the person looked at
ra, dec    number ICRS position, degrees
label      text   class, or ``unknown`` for none of them; empty: not looked at yet
who        text   the person
when       text   time of the verdict, ISO 8601, UTC unless it says otherwise
========== ====== ===================================================================================

Parquet, CSV, FITS and VOTable are read. Others' verdicts, and the same person's later ones, are rows of their own;
`settle` makes one label per object of them.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galmorph.errors import DataError
from galmorph.positions import read_positions
from galmorph.table_files import find_column, read_table
from galmorph.taxonomy import UNKNOWN

#: Columns of a table, in order.
COLUMNS = ("object_id", "ra", "dec", "label", "who", "when")

#: Rows that an error names at most.
NAMED = 5


def read_label_table(path: str | Path, classes: Collection[str] | None = None) -> pd.DataFrame:
    """Read verdicts.

    Parameters
    ----------
    path : str or Path
        The table.
    classes : collection of str, optional
        Labels that may occur beside `UNKNOWN`; any by default.

    Returns
    -------
    pandas.DataFrame
        `COLUMNS`, `when` being a time in UTC; rows without a label are left out.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column, or a row with a label has no identifier, person or time, or its
        label is none of the classes.
    """
    path = Path(path)
    table, _ = read_table(path)
    names = {name: find_column(table, {}, (name.replace("_", ""),), "") for name in COLUMNS}
    lacking = [name for name, found in names.items() if found is None]
    if lacking:
        raise DataError(
            f"{path} has no column {', '.join(lacking)}; a table of labels has {', '.join(COLUMNS)}, and this one "
            f"{', '.join(map(str, table.columns[:20]))}. Add or rename columns"
        )
    if not len(table):
        return _empty()
    positions = read_positions(path)
    if len(positions) != len(table):
        raise DataError(f"{path} looks like a survey's own catalogue, of which only some rows count; give {COLUMNS}")
    text = {name: _text(table[names[name]]) for name in ("object_id", "label", "who", "when")}
    rows = pd.DataFrame({**text, "ra": positions["ra"].to_numpy(), "dec": positions["dec"].to_numpy()})
    given = rows["label"] != ""
    for name, expected in (("object_id", "an identifier"), ("who", "who gave the label")):
        _refuse(path, name, given & (rows[name] == ""), expected, rows[name])
    when = pd.to_datetime(rows["when"], utc=True, errors="coerce", format="ISO8601")
    _refuse(path, "when", given & when.isna(), "a time such as 2026-03-01T12:00:00Z", rows["when"])
    if classes is not None:
        strange = given & ~rows["label"].isin([*classes, UNKNOWN])
        _refuse(path, "label", strange, f"one of {', '.join([*classes, UNKNOWN])}", rows["label"])
    return rows.assign(when=when).loc[given, list(COLUMNS)].reset_index(drop=True)


def write_label_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write verdicts, or a list of objects to be looked at.

    Parameters
    ----------
    table : pandas.DataFrame
        `COLUMNS`, and others beside them if wanted.
    path : str or Path
        ``.parquet``, ``.csv`` or ``.fits``.

    Raises
    ------
    DataError
        If a column is missing, or the kind of file is none of these.
    """
    path = Path(path)
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise DataError(f"{path}: a table of labels needs the columns {', '.join(COLUMNS)}; missing: {lacking}")
    others = [name for name in table.columns if name not in COLUMNS]
    rows = table[[*COLUMNS, *others]].copy()
    when = pd.to_datetime(rows["when"], utc=True, format="ISO8601")
    rows["when"] = when.dt.strftime("%Y-%m-%dT%H:%M:%SZ").fillna("").astype("str")
    rows["object_id"] = rows["object_id"].astype("str")
    kind = path.suffix.lower()
    if kind == ".parquet":
        rows.to_parquet(path, index=False)
    elif kind == ".csv":
        rows.to_csv(path, index=False)
    elif kind in (".fits", ".fit"):
        from astropy.table import Table

        columns = {name: _plain(rows[name]) for name in rows.columns}
        Table(columns).write(path, overwrite=True)
    else:
        raise DataError(f"{path}: a table of labels is .parquet, .csv or .fits, not {kind or 'without an ending'}")


def settle(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One label per object: the last verdict of each person counts, and the label that most give.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        From `read_label_table`, perhaps of several tables.

    Returns
    -------
    pandas.DataFrame
        A row per object, in the order of identifiers: `COLUMNS` with the persons in `who`, separated by semicolons, and
        the last time; `votes` for the label, and `persons`. Where as many are for one label as for another it is empty.
    """
    if not len(verdicts):
        return _empty().assign(votes=pd.Series(dtype=np.int64), persons=pd.Series(dtype=np.int64))
    last = verdicts.sort_values("when", kind="stable").drop_duplicates(["object_id", "who"], keep="last")
    rows = []
    for name, group in last.groupby("object_id", sort=True):
        counts = group["label"].value_counts()
        best = counts[counts == counts.iloc[0]]
        rows.append(
            {
                "object_id": str(name),
                "ra": float(group["ra"].iloc[-1]),
                "dec": float(group["dec"].iloc[-1]),
                "label": str(best.index[0]) if len(best) == 1 else "",
                "who": ";".join(sorted(group["who"].tolist())),
                "when": group["when"].max(),
                "votes": int(counts.iloc[0]),
                "persons": len(group),
            }
        )
    return pd.DataFrame(rows)


def read_label_tables(paths: Sequence[str | Path], classes: Collection[str] | None = None) -> pd.DataFrame:
    """Verdicts of several tables, settled; see `read_label_table` and `settle`."""
    tables = [read_label_table(path, classes) for path in paths]
    return settle(pd.concat(tables, ignore_index=True) if tables else _empty())


def _empty() -> pd.DataFrame:
    table = pd.DataFrame({name: np.empty(0, dtype=float if name in ("ra", "dec") else np.str_) for name in COLUMNS})
    return table.assign(when=pd.to_datetime(table["when"], utc=True))


def _text(values: pd.Series) -> pd.Series:
    """Column as text, empty where there is nothing."""
    values = values.reset_index(drop=True)
    decoded = values.map(lambda value: value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    return decoded.astype("str").str.strip().where(decoded.notna(), "")


def _plain(values: pd.Series) -> np.ndarray:
    """Column as numpy has it; text of fixed length."""
    return values.to_numpy(dtype=np.str_) if pd.api.types.is_string_dtype(values) else values.to_numpy()


def _refuse(path: Path, name: str, wrong: pd.Series, expected: str, values: pd.Series) -> None:
    """Raise where rows are wrong."""
    if not wrong.any():
        return
    places = np.flatnonzero(wrong.to_numpy())
    rows = ", ".join(str(place + 1) for place in places[:NAMED]) + (", ..." if len(places) > NAMED else "")
    raise DataError(
        f"{path}: column {name} has to hold {expected}; it does not in {len(places)} rows (row {rows}; the first has "
        f"{values.iloc[places[0]]!r}). Correct them, or empty their label"
    )
