import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse, validate
from astropy.table import Table

from galmorph.catalogs.voparquet import CONTENT_KEY, VERSION_KEY, with_votable
from galmorph.errors import CatalogError


@pytest.fixture(scope="module")
def metadata(catalog):
    return {
        file: pq.read_metadata(file).metadata
        for file in (catalog.files[0], catalog.path / "dataset/_common_metadata", catalog.path / "dataset/_metadata")
    }


def test_every_file_tells_of_its_columns(metadata):
    contents = {tags[CONTENT_KEY] for tags in metadata.values()}
    assert len(contents) == 1
    assert {tags[VERSION_KEY] for tags in metadata.values()} == {b"1.0"}


def test_every_column_has_its_type_unit_ucd_and_description(catalog, metadata):
    content = metadata[catalog.files[0]][CONTENT_KEY]
    table = parse(io.BytesIO(content), verify="exception").get_first_table()
    assert [field.name for field in table.fields] == catalog.schema.names
    kinds = {"int64": "long", "int32": "int", "double": "double", "float": "float", "bool": "boolean", "string": "char"}
    for field, column in zip(table.fields, catalog.schema, strict=True):
        assert field.datatype == kinds[str(column.type)]
        assert field.ucd == column.metadata[b"ucd"].decode()
        assert field.description == column.metadata[b"description"].decode()
        assert (field.unit is not None) == (b"unit" in column.metadata), column.name


def test_it_is_a_valid_votable(metadata, tmp_path):
    (tmp_path / "content.xml").write_bytes(next(iter(metadata.values()))[CONTENT_KEY])
    report = io.StringIO()
    assert validate(str(tmp_path / "content.xml"), output=report), report.getvalue()


def test_astropy_reads_rows_with_units(catalog, tmp_path):
    # astropy 8 cannot put columns of text together with the empty ones of the VOTable.
    table = pq.read_table(catalog.files[0], partitioning=None)
    names = [field.name for field in table.schema if not pa.types.is_string(field.type)]
    kept = table.select(names)
    schema = with_votable(kept.schema.remove_metadata())
    pq.write_table(kept.cast(schema), tmp_path / "rows.parquet")
    read = Table.read(tmp_path / "rows.parquet", format="parquet.votable")
    assert str(read["ra"].unit) == "deg"
    assert read["flux_g"].meta["ucd"] == "phot.flux"
    assert read["ra"].tolist() == table["ra"].to_pylist()


def test_embeddings_have_their_length():
    embedding = pa.field("embedding", pa.list_(pa.float16(), 12), metadata={"ucd": "stat.param"})
    content = with_votable(pa.schema([embedding])).metadata[CONTENT_KEY]
    (field,) = parse(io.BytesIO(content)).get_first_table().fields
    assert (field.datatype, field.arraysize) == ("float", "12")


def test_a_type_that_votable_lacks():
    with pytest.raises(CatalogError, match="column when: VOTable has no type for date32"):
        with_votable(pa.schema([("when", pa.date32())]))
