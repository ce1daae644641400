"""Tables for the programs of astronomers: FITS, VOTable and DS9 regions, with names, units and UCDs as they ask for."""

import io
import json
import re
import warnings
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from galmorph.catalogs.binary2 import rows_of, stored, votable_type
from galmorph.errors import CatalogError

#: Words of SQL-92 and ADQL, which cannot name a column there without quotation marks; `dec` is one by the letter of
#: SQL-92, and a column of every astronomical service all the same.
_WORDS = """
    abs absolute acos action add all allocate alter and any are area as asc asin assertion at atan atan2
    authorization avg begin between bigint bit both box by cascade case cast catalog ceiling centroid char character
    check circle close coalesce collate column commit connect connection constraint contains continue convert coord1
    coord2 coordsys cos cot count create cross current cursor date day deallocate decimal declare default degrees
    delete desc describe distance distinct domain double drop else end escape except exception exec execute exists
    exp external extract false fetch first float floor for foreign found from full get global go goto grant group
    having hour identity ilike immediate in indicator initially inner input insert int integer intersect intersects
    interval into is isolation join key language last leading left level like local log log10 lower match max min
    minute mod module month names national natural nchar next no not null nullif numeric of on only open option or
    order outer output overlaps pad partial pi point polygon position power precision prepare preserve primary prior
    privileges procedure public radians rand read real references region relative restrict revoke right rollback
    round rows schema scroll second section select session set sin size smallint some space sql sqrt substring sum
    system table tan temporary then time timestamp timezone to top trailing transaction translate trim true truncate
    union unique unknown update upper usage user using value values varchar varying view when whenever where with
    work write year zone
"""
_RESERVED = frozenset(_WORDS.split())
#: Colour of DS9's circles, by what a row is called.
_COLOURS = ("cyan", "green", "yellow", "blue", "orange", "white")
_UNKNOWN_COLOUR = "magenta"


def identifiers(names: Sequence[str]) -> list[str]:
    """Names as ADQL and FITS take them: a letter, then letters, digits and underscores, each name once.

    Parameters
    ----------
    names : sequence of str
        Names of columns.

    Returns
    -------
    list of str
        `primary` becomes `primary_`, `_healpix_29` becomes `healpix_29`, `RA [deg]` becomes `RA_deg`.
    """
    found: list[str] = []
    for name in names:
        word = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or "col"
        word = f"c_{word}" if not word[0].isalpha() else word
        word = f"{word}_" if word.lower() in _RESERVED else word
        taken = {other.lower() for other in found}
        unique, number = word, 2
        while unique.lower() in taken:
            unique, number = f"{word}_{number}", number + 1
        found.append(unique)
    return found


def as_fits(table: pa.Table) -> bytes:
    """A FITS file with one binary table.

    Parameters
    ----------
    table : pyarrow.Table
        Fields may have the metadata `unit`, `ucd` and `description`.

    Returns
    -------
    bytes
        The file; TUCDn and TCOMMn carry UCDs and descriptions. A missing number is NaN or the smallest integer
        (TNULLn), a missing truth value the byte 0; text is ASCII, other letters escaped.
    """
    from astropy.io import fits

    columns, undefined = [], {}
    names = identifiers(table.column_names)
    for name, field, column in zip(names, table.schema, table.columns, strict=True):
        values, missing = _values(column)
        if values.dtype.kind == "U":
            values = np.char.encode(values, "ascii", "backslashreplace")
        null = int(np.iinfo(values.dtype).min) if missing is not None and values.dtype.kind == "i" else None
        kind = _fits_format(values)
        columns.append(fits.Column(name=name, format=kind, array=values, null=null, unit=_tag(field, b"unit")))
        if missing is not None and values.dtype.kind == "b":
            undefined[name] = missing
    hdu = fits.BinTableHDU.from_columns(columns, name="CATALOG")
    for name, missing in undefined.items():
        hdu.data.view(np.ndarray)[name][missing] = 0
    for number, field in enumerate(table.schema, 1):
        for keyword, key in (("TUCD", b"ucd"), ("TCOMM", b"description")):
            if text := _tag(field, key):
                hdu.header[f"{keyword}{number}"] = text.encode("ascii", "replace").decode()
    for fact in _facts(table.schema):
        hdu.header["COMMENT"] = " ".join(fact.split()).encode("ascii", "replace").decode()
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # long descriptions go on in CONTINUE cards
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream)
    return stream.getvalue()


def as_votable(table: pa.Table) -> bytes:
    """A VOTable (BINARY2).

    Parameters
    ----------
    table : pyarrow.Table
        Fields may have the metadata `unit`, `ucd` and `description`.

    Returns
    -------
    bytes
        The file. A unit that VOUnit does not know stands in quotation marks, as it asks for.
    """
    from astropy.io.votable.exceptions import VOWarning
    from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile

    file = VOTableFile()
    resource, result = Resource(type="results"), TableElement(file)
    file.resources.append(resource)
    resource.tables.append(result)
    if facts := _facts(table.schema):
        result.description = "; ".join(facts)
    filled = [_values(column) for column in table.columns]
    columns = [stored(values) for values, _ in filled]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VOWarning)
        for name, column, values in zip(identifiers(table.column_names), table.schema, columns, strict=True):
            tags = {"ucd": _tag(column, b"ucd") or None, "unit": vounit(_tag(column, b"unit")) or None}
            field = Field(file, ID=name, name=name, **votable_type(values), **tags)
            field.description = _tag(column, b"description") or None
            result.fields.append(field)
        # One row, in whose place all are put.
        result.create_arrays(min(table.num_rows, 1))
        stream = io.BytesIO()
        file.to_xml(stream, tabledata_format="binary2")
    if not table.num_rows:
        return stream.getvalue()
    head, tag, rest = stream.getvalue().partition(b'<STREAM encoding="base64">')
    return b"".join(
        [head, tag, b64encode(rows_of(columns, [missing for _, missing in filled])), rest[rest.index(b"</STREAM>") :]]
    )


def as_ds9(table: pa.Table) -> bytes:
    """Regions for DS9: a circle per row, as wide as its aperture, coloured by label.

    Parameters
    ----------
    table : pyarrow.Table
        Columns `ra` and `dec` (degrees); of `radius` (arcsec), `label`, `unknown` and `object_id`, those that are there
        are used.

    Returns
    -------
    bytes
        Text of a region file.

    Raises
    ------
    CatalogError
        If there are no positions.
    """
    for name in ("ra", "dec"):
        if name not in table.column_names:
            raise CatalogError(f"regions need the columns ra and dec; there are {', '.join(table.column_names)}")
    rows = table.select(
        [n for n in ("ra", "dec", "radius", "label", "unknown", "object_id") if n in table.column_names]
    )
    labels = sorted(set(rows["label"].to_pylist())) if "label" in rows.column_names else []
    colours = {label: _COLOURS[i % len(_COLOURS)] for i, label in enumerate(labels)}
    lines = ["# Region file format: DS9 version 4.1", 'global color=cyan width=1 font="helvetica 10 normal"', "icrs"]
    for row in rows.to_pylist():
        strange = bool(row.get("unknown"))
        colour = _UNKNOWN_COLOUR if strange else colours.get(row.get("label"), "cyan")
        text = " ".join(str(row[name]) for name in ("label", "object_id") if row.get(name) is not None)
        text = f"unknown ({text})" if strange else text
        radius = row.get("radius") or 3.0
        lines.append(
            f'circle({row["ra"]:.7f},{row["dec"]:.7f},{radius:.2f}") '
            f"# color={colour} text={{{re.sub(r'[{}]', '', text)}}}"
        )
    return ("\n".join(lines) + "\n").encode()


def _values(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Numpy values, and of truth values and integers which are missing, if some are: False and the smallest integer."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type) and not column.null_count:
        flat = column.combine_chunks().flatten().cast(pa.float32())
        return flat.to_numpy(zero_copy_only=False).reshape(-1, kind.list_size), None
    if pa.types.is_nested(kind):
        column = pa.chunked_array([pa.array([json.dumps(v, default=str) for v in column.to_pylist()], pa.string())])
        kind = column.type
    missing = column.is_null().to_numpy() if column.null_count else None
    if pa.types.is_boolean(kind):
        return pc.fill_null(column, False).to_numpy(), missing
    if pa.types.is_integer(kind):
        kind = pa.int64() if pa.types.is_unsigned_integer(kind) else kind
        smallest = int(np.iinfo(kind.to_pandas_dtype()).min)
        return pc.fill_null(column.cast(kind), smallest).to_numpy(), missing
    if pa.types.is_floating(kind):
        column = column.cast(pa.float32()) if kind == pa.float16() else column
        return column.to_numpy(), None
    text = pc.fill_null(column.cast(pa.string()), "").to_pylist()
    return np.array(text, dtype=np.str_) if text else np.empty(0, dtype="U1"), None


def _fits_format(values: NDArray[Any]) -> str:
    if values.dtype.kind == "S":
        return f"{max(values.dtype.itemsize, 1)}A"
    letters = {"b1": "L", "i1": "I", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
    letter = letters[values.dtype.str[1:]]
    return f"{values.shape[1]}{letter}" if values.ndim == 2 else letter


def vounit(text: str) -> str:
    """A unit as VOUnit asks for: in quotation marks if it does not know it.

    Parameters
    ----------
    text : str
        As astropy writes it.

    Returns
    -------
    str
        The same, or quoted.
    """
    from astropy import units

    if not text:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            units.Unit(text, format="vounit")
    except (ValueError, Warning):
        return f"'{text}'"
    return text


def _facts(schema: pa.Schema) -> list[str]:
    """What the metadata of a table say of it, but for what programs keep there for themselves."""
    pairs = ((key.decode(), value.decode("utf-8", "replace")) for key, value in (schema.metadata or {}).items())
    return [
        f"{key}: {value}"
        for key, value in pairs
        if key not in ("pandas", "ARROW:schema") and not key.startswith("IVOA.")
    ]


def _tag(field: pa.Field, key: bytes) -> str:
    value: bytes = (field.metadata or {}).get(key, b"")
    return value.decode("utf-8", "replace")
