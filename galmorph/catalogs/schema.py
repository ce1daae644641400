"""Columns of a catalogue, read from columns.toml: the Arrow schema and the page of the documentation."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from galmorph.errors import CatalogError
from galmorph.flags import FLAGS

_TYPES = {
    "bool": pa.bool_(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "string": pa.string(),
}
_EMBEDDING_TYPE = "float16[]"
_CLASS, _BAND = "<class>", "<band>"


@dataclass(frozen=True)
class Column:
    """One entry of columns.toml.

    Parameters
    ----------
    name : str
        Name in the files, or a template with `<class>` or `<band>`.
    type : str
        Name of the Arrow type.
    description : str
        What the value means.
    unit : str
        As astropy.units reads it; empty for none.
    ucd : str
        IVOA unified content descriptor (UCD1+).
    finite : bool
        Whether every row must have a finite value; other numbers may be empty.
    added : bool
        Whether the column is made when the catalogue is written.
    optional : bool
        Whether a catalogue can be without it.
    """

    name: str
    type: str
    description: str
    unit: str = ""
    ucd: str = ""
    finite: bool = False
    added: bool = False
    optional: bool = False


COLUMNS = tuple(
    Column(**entry)
    for entry in tomllib.loads(files(__package__).joinpath("columns.toml").read_text(encoding="utf-8"))["column"]
)

#: What a part must contain, with the templates `<class>` and `<band>` unexpanded.
PART_COLUMNS = tuple(column.name for column in COLUMNS if not column.added and not column.optional)


def part_columns(classes: Sequence[str], bands: Sequence[str]) -> list[str]:
    """Names of the columns that a part must contain.

    Parameters
    ----------
    classes : sequence of str
        Classes of the model.
    bands : sequence of str
        Bands of the survey.

    Returns
    -------
    list of str
        Names, in the order of the catalogue.
    """
    wanted = [column for column in COLUMNS if column.name in PART_COLUMNS]
    return [name for column in wanted for name, _, _ in _expand(column, classes, bands)]


def schema(classes: Sequence[str], bands: Sequence[str], embedding: int = 0) -> pa.Schema:
    """Arrow schema of a catalogue.

    Parameters
    ----------
    classes : sequence of str
        Classes of the model, in the order of its output.
    bands : sequence of str
        Bands of the survey, in order.
    embedding : int
        Length of the embedding; 0 for a catalogue without.

    Returns
    -------
    pyarrow.Schema
        Each field has the metadata `unit`, `ucd`, `description`, and `class` or `band` where it belongs to one.

    Raises
    ------
    CatalogError
        If classes or bands are missing, empty or repeated, be it in other capitals.
    """
    for what, names in (("classes", classes), ("bands", bands)):
        if not names or not all(names) or len({name.lower() for name in names}) != len(names):
            raise CatalogError(
                f"a catalogue needs {what} with names that are not empty and differ in more than capitals, which SQL "
                f"and FITS do not tell apart; got {list(names)}"
            )
    fields = []
    for column in COLUMNS:
        if column.optional and not embedding:
            continue
        kind = pa.list_(pa.float16(), embedding) if column.type == _EMBEDDING_TYPE else _TYPES[column.type]
        for name, description, belongs in _expand(column, classes, bands):
            metadata = {"unit": column.unit, "ucd": column.ucd, "description": description, **belongs}
            fields.append(pa.field(name, kind, metadata={key: value for key, value in metadata.items() if value}))
    return pa.schema(fields)


def other_column(wanted: pa.Schema, came: pa.Schema) -> str:
    """The first column that is missing or of another type, in words; empty if all are as wanted."""
    for field in wanted:
        if field.name not in came.names:
            return f"there is no column {field.name}"
        if (kind := came.field(field.name).type) != field.type:
            return f"column {field.name} must be {field.type}, got {kind}"
    return ""


def finite_columns(classes: Sequence[str], bands: Sequence[str]) -> list[str]:
    """Names of the columns of numbers that every row must have, for these classes and bands."""
    return [name for column in COLUMNS if column.finite for name, _, _ in _expand(column, classes, bands)]


def classes_of(catalog_schema: pa.Schema) -> tuple[str, ...]:
    """Classes that a catalogue's schema has probabilities of, in order."""
    return _values(catalog_schema, b"class")


def bands_of(catalog_schema: pa.Schema) -> tuple[str, ...]:
    """Bands that a catalogue's schema has fluxes of, in order."""
    return _values(catalog_schema, b"band")


def describe(table: pa.Table, known_columns: pa.Schema) -> pa.Table:
    """A table whose columns that a schema knows have its units, UCDs and descriptions.

    Parameters
    ----------
    table : pyarrow.Table
        Any table.
    known_columns : pyarrow.Schema
        Columns of a catalogue.

    Returns
    -------
    pyarrow.Table
        The same rows. A column of the same name and another type is another column.
    """
    fields = []
    for column in table.schema:
        known = known_columns.field(column.name) if column.name in known_columns.names else None
        same = known is not None and known.type == column.type and not column.metadata
        fields.append(column.with_metadata(known.metadata) if known is not None and same else column)
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def page() -> str:
    """Tables of the columns and of the flags in Markdown, for docs/catalogue.md."""
    lines = ["| column | type | unit | UCD | meaning |", "|---|---|---|---|---|"]
    for column in COLUMNS:
        description = column.description.replace("{class}", _CLASS).replace("{band}", _BAND)
        lines.append(f"| `{column.name}` | {column.type} | {column.unit} | {column.ucd} | {description} |")
    lines += ["", "| bit | value | flag | set when |", "|---|---|---|---|"]
    lines += [f"| {flag.bit} | {flag.value} | `{flag.name}` | {flag.description} |" for flag in FLAGS]
    return "\n".join(lines)


def update_page(path: Path) -> None:
    """Replace the generated part of a page of the documentation, between its two marks.

    Parameters
    ----------
    path : Path
        Markdown file with a line `<!-- columns -->` and a line `<!-- /columns -->`.
    """
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- columns -->\n")
    _, _, after = rest.partition("<!-- /columns -->\n")
    path.write_text(f"{before}<!-- columns -->\n{page()}\n<!-- /columns -->\n{after}", encoding="utf-8")


def _expand(column: Column, classes: Sequence[str], bands: Sequence[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, description and what it belongs to, of each column that an entry stands for."""
    for mark, key, names in ((_CLASS, "class", classes), (_BAND, "band", bands)):
        if mark in column.name:
            for name in names:
                description = column.description.replace(f"{{{key}}}", name)
                yield column.name.replace(mark, name), description, {key: name}
            return
    yield column.name, column.description, {}


def _values(catalog_schema: pa.Schema, key: bytes) -> tuple[str, ...]:
    found = (field.metadata[key].decode() for field in catalog_schema if field.metadata and key in field.metadata)
    return tuple(dict.fromkeys(found))
