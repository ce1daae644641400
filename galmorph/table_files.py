"""Tables in files of any usual format, and their columns by usual names or by UCD."""

import gzip
import io
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galmorph.errors import DataError

#: Told the columns of a table and their UCDs: those that are wanted, None where it is not the table that is looked for.
Wanted = Callable[[Sequence[str], Mapping[str, str]], Sequence[str] | None]

#: What reading a CSV, also .gz, of which a part is missing or damaged may raise.
UNREADABLE = (OSError, ValueError, EOFError, zlib.error)

#: Endings of the tables that are read.
KINDS = ".parquet, .fits, .vot, .ecsv, .csv, .tsv or .txt (also .gz)"


def read_table(path: Path, wanted: Wanted | None = None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Table of any kind, and the UCDs of its columns.

    Parameters
    ----------
    path : Path
        Parquet, FITS, VOTable, ECSV or CSV (also .gz).
    wanted : callable, optional
        Chooses among the tables of a FITS file, of which else the first is read, and of the columns of FITS and
        Parquet, where others then cost no memory.

    Returns
    -------
    table : pandas.DataFrame
        The rows. CSV comes as text, not to lose digits of long identifiers. Units of the columns, where the file tells
        them, are in ``table.attrs["units"]``.
    ucds : dict of str to str
        UCDs of the columns, where the file tells them.

    Raises
    ------
    DataError
        If the file is not there or cannot be read as a table.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist or is no file; expected a table of positions ({KINDS})")
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith((".parquet", ".pq", ".parq")):
            return _read_parquet(path, wanted)
        if name.endswith((".fits", ".fit", ".fts")):
            return _read_fits(path, wanted)
        if name.endswith((".vot", ".votable", ".xml")):
            return _read_votable(path)
        if name.endswith(".ecsv"):
            return _read_ecsv(path)
        if name.endswith((".csv", ".txt", ".tsv")):
            return _read_csv(path, "\t" if name.endswith(".tsv") else ","), {}
    except DataError:
        raise
    except Exception as error:  # pyarrow, astropy and pandas raise what a damaged file makes them stumble over
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} cannot be read as a table ({reason}); the file is damaged or of another format"
        ) from error
    raise DataError(f"{path} is of an unknown kind; expected {KINDS}")


def _read_csv(path: Path, separator: str) -> pd.DataFrame:
    """All columns as text, not to lose digits of long identifiers; lines that begin with # are passed over."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        # Of `pandas` every # would begin a comment, in the middle of a label or an identifier too.
        lines = [line for line in file if not line.lstrip().startswith("#")]
    with warnings.catch_warnings():
        # Without a name for each field pandas would take the first one for the name of the row, and shift the others;
        # told that it is none, it warns, but for fields at the end that are empty.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                io.StringIO("".join(lines)), dtype=str, skipinitialspace=True, sep=separator, index_col=False
            )
        except pd.errors.ParserWarning as error:
            raise DataError(
                f"{path}: its rows have more fields than the header has names, so that none is known; "
                f"the header is {lines[0].strip()!r}, the first row {lines[1].strip()!r}. Name every column"
            ) from error


def _read_parquet(path: Path, wanted: Wanted | None) -> tuple[pd.DataFrame, dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    ucds, units = (
        {field.name: (field.metadata or {}).get(key, b"").decode("utf-8", "replace") for field in schema}
        for key in (b"ucd", b"unit")
    )
    # By way of pandas, whose index is no column.
    names = list(schema.empty_table().to_pandas().columns)
    table = pq.read_table(path, columns=wanted(names, ucds) if wanted else None)
    # Integers of which some are missing would else be floats, which long identifiers do not fit into.
    frame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}.get)
    frame.attrs["units"] = units
    return frame, ucds


def _read_fits(path: Path, wanted: Wanted | None) -> tuple[pd.DataFrame, dict[str, str]]:
    from astropy.io import fits
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Mapped, of a table no more is held in memory than the columns that are taken out of it.
        with fits.open(path, memmap=True) as opened:
            tables = [hdu for hdu in opened if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
            hdu, names = _choose(path, tables, wanted)
            ucds, units = _column_words(hdu, "TUCD"), _column_words(hdu, "TUNIT")
            columns = [hdu.columns[name] for name in names or ()]
            # Scaled columns, as those of unsigned integers, lose their type when they are taken out.
            scaled = any(value not in (None, "") for column in columns for value in (column.bscale, column.bzero))
            if columns and not scaled and isinstance(hdu, fits.BinTableHDU):
                hdu = fits.BinTableHDU.from_columns(columns)
            table = Table.read(hdu)
            flat = [name for name in table.colnames if table[name].ndim == 1]
            frame = table[flat].to_pandas()
    frame.attrs["units"] = units
    return frame, ucds


def _choose(path: Path, tables: Sequence[Any], wanted: Wanted | None) -> tuple[Any, Sequence[str] | None]:
    """The table of a FITS file that is looked for, and its columns that are wanted; None for all."""
    if not tables:
        raise DataError(f"{path} holds no table, only images; expected a table of positions")
    if wanted is None:
        return tables[0], None
    for hdu in tables:
        dtype = hdu.columns.dtype
        single = [name for name in hdu.columns.names if dtype[name].shape == ()]
        names = wanted(single, _column_words(hdu, "TUCD"))
        if names is not None:
            return hdu, names if len(names) < len(single) else None
    if len(tables) == 1:
        return tables[0], None
    listed = "; ".join(f"{hdu.name or '(no name)'}: {', '.join(hdu.columns.names[:8])}" for hdu in tables[:5])
    raise DataError(
        f"{path} holds {len(tables)} tables, and none has columns of positions by their names or UCDs ({listed}). "
        "Rename the columns, or give another table"
    )


def _column_words(hdu: Any, keyword: str) -> dict[str, str]:
    """What the header of a FITS table says of each column."""
    return {name: str(hdu.header.get(f"{keyword}{i}", "")) for i, name in enumerate(hdu.columns.names, 1)}


def _read_votable(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    from astropy.io.votable import parse_single_table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = parse_single_table(path)
        table = tree.to_table(use_names_over_ids=True)
    ucds = {field.name: str(field.ucd or "") for field in tree.fields}
    flat = [name for name in table.colnames if table[name].ndim == 1]
    frame = table[flat].to_pandas()
    frame.attrs["units"] = {field.name: str(field.unit or "") for field in tree.fields}
    return frame, ucds


def _read_ecsv(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    from astropy.table import Table
    from astropy.table.serialize import represent_mixins_as_columns

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = represent_mixins_as_columns(Table.read(path, format="ascii.ecsv"))
    flat = [name for name in table.colnames if table[name].ndim == 1]
    frame = table[flat].to_pandas()
    frame.attrs["units"] = {name: str(table[name].unit or "") for name in flat}
    return frame, {name: str((table[name].meta or {}).get("ucd", "")) for name in flat}


def plain_name(name: str) -> str:
    """Name of a column without case, unit in brackets and anything but letters and digits."""
    word = str(name).lower().partition("[")[0].partition("(")[0]
    return "".join(letter for letter in word if letter.isalnum())


def find_column(table: pd.DataFrame, ucds: Mapping[str, str], names: Sequence[str], ucd: str) -> str | None:
    """Column of a usual name, or else of a UCD (the main one, if several have it), or None.

    Parameters
    ----------
    table : pandas.DataFrame
        The table.
    ucds : dict of str to str
        UCDs of its columns.
    names : sequence of str
        Usual names, the best first, in lower case and without anything but letters and digits.
    ucd : str
        What its UCD starts with.

    Returns
    -------
    str or None
        Name of the column.
    """
    plain: dict[str, str] = {}
    for column in table.columns:
        plain.setdefault(plain_name(column), str(column))
    for name in names:
        if name in plain:
            return plain[name]
    marked: list[str] = [column for column, value in ucds.items() if ucd and value.lower().startswith(ucd)]
    main = [column for column in marked if "meta.main" in ucds[column].lower()]
    return next(iter(main or marked), None)
