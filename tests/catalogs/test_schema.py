from pathlib import Path

import astropy.units as u
import pyarrow as pa
import pytest
from astropy.io.votable.ucd import check_ucd

from galmorph.catalogs.schema import (
    COLUMNS,
    PART_COLUMNS,
    bands_of,
    classes_of,
    finite_columns,
    page,
    part_columns,
    schema,
)
from galmorph.errors import CatalogError

DOCS = Path(__file__).parents[2] / "docs" / "catalogue.md"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_is_described_in_words_of_the_field(column):
    assert column.description
    assert check_ucd(column.ucd, check_controlled_vocabulary=True, has_colon=False)
    assert u.Unit(column.unit) is not None


def test_schema_has_the_contract_in_order():
    names = schema(["a", "b"], ["g", "r"]).names
    assert names == [
        "_healpix_29", "object_id", "source_id", "ra", "dec", "survey", "release", "tile", "number", "x", "y", "radius",
        "half_light_radius", "ellipticity", "position_angle", "flux_g", "flux_r", "flux_err_g", "flux_err_r", "snr",
        "flags", "bad_fraction", "off_edge_fraction", "edge_distance", "cutout_side", "p_a", "p_b", "label",
        "confidence", "entropy", "energy", "unknown", "anomaly_score", "model", "primary",
    ]  # fmt: skip


def test_fields_carry_unit_ucd_and_description():
    field = schema(["lens"], ["g"]).field("flux_g")
    assert field.metadata[b"unit"] == b"nmgy"
    assert field.metadata[b"ucd"] == b"phot.flux"
    assert field.metadata[b"description"] == b"flux in the Kron aperture, g band"
    assert field.metadata[b"band"] == b"g"


def test_classes_and_bands_are_told_by_the_schema():
    columns = schema(["spiral", "err_g"], ["z", "err_g"])
    assert classes_of(columns) == ("spiral", "err_g")
    assert bands_of(columns) == ("z", "err_g")


def test_embedding_only_when_asked_for():
    assert "embedding" not in schema(["a"], ["g"]).names
    assert schema(["a"], ["g"], embedding=16).field("embedding").type == pa.list_(pa.float16(), 16)


def test_a_part_needs_all_but_what_is_added():
    assert set(schema(["a"], ["g"]).names) - set(part_columns(["a"], ["g"])) == {"_healpix_29", "primary"}
    assert {"p_<class>", "flux_<band>", "flux_err_<band>"} < set(PART_COLUMNS)
    assert "p_a" in finite_columns(["a"], ["g"])
    assert "flux_g" not in finite_columns(["a"], ["g"])


@pytest.mark.parametrize(
    ("classes", "bands"), [([], ["g"]), (["a"], []), (["a", "a"], ["g"]), (["a"], ["g", ""]), (["a"], ["y", "r", "Y"])]
)
def test_classes_and_bands_must_name_columns(classes, bands):
    with pytest.raises(CatalogError, match="not empty and differ in more than capitals"):
        schema(classes, bands)


def test_the_documentation_has_the_columns_as_they_are():
    assert f"<!-- columns -->\n{page()}\n<!-- /columns -->\n" in DOCS.read_text(encoding="utf-8"), (
        "docs/catalogue.md is out of date: run galmorph.catalogs.schema.update_page on it"
    )
