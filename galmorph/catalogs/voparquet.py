"""What VOParquet asks for: a VOTable without rows in the metadata of a Parquet file, which tells of its columns."""

from xml.etree import ElementTree as ET

import pyarrow as pa

from galmorph.catalogs.standards import vounit
from galmorph.errors import CatalogError

#: Keys of the file's metadata, as the convention has them.
VERSION_KEY, CONTENT_KEY = b"IVOA.VOTable-Parquet.version", b"IVOA.VOTable-Parquet.content"
_VERSION = b"1.0"
_NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
_TYPES = {
    pa.bool_(): "boolean",
    pa.float16(): "float",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.int16(): "short",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.string(): "char",
}


def with_votable(schema: pa.Schema, title: str = "galmorph catalogue") -> pa.Schema:
    """A schema whose metadata hold a VOTable with name, type, unit, UCD and description of every column.

    Parameters
    ----------
    schema : pyarrow.Schema
        Fields may have the metadata `unit`, `ucd` and `description`.
    title : str
        What the table is.

    Returns
    -------
    pyarrow.Schema
        The same fields; a file that is written with it follows the VOParquet convention.

    Raises
    ------
    CatalogError
        If VOTable has no type for a column.
    """
    root = ET.Element("VOTABLE", {"version": "1.4", "xmlns": _NAMESPACE})
    table = ET.SubElement(ET.SubElement(root, "RESOURCE"), "TABLE")
    ET.SubElement(table, "DESCRIPTION").text = title
    for field in schema:
        tags = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        entry = ET.SubElement(table, "FIELD", {"name": field.name, **_type(field)})
        if tags.get("ucd"):
            entry.set("ucd", tags["ucd"])
        if tags.get("unit"):
            entry.set("unit", vounit(tags["unit"]))
        if tags.get("description"):
            ET.SubElement(entry, "DESCRIPTION").text = tags["description"]
    text = ET.tostring(root, encoding="unicode", xml_declaration=False)
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()
    return schema.with_metadata({**(schema.metadata or {}), VERSION_KEY: _VERSION, CONTENT_KEY: content})


def _type(field: pa.Field) -> dict[str, str]:
    kind, size = field.type, "*" if pa.types.is_string(field.type) else ""
    if pa.types.is_fixed_size_list(kind):
        kind, size = kind.value_type, str(kind.list_size)
    if kind not in _TYPES:
        raise CatalogError(f"column {field.name}: VOTable has no type for {field.type}")
    return {"datatype": _TYPES[kind]} | ({"arraysize": size} if size else {})
