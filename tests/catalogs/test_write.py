import hashlib
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hats import read_hats
from hats.io.validation import is_valid_catalog
from hats.pixel_math.spatial_index import compute_spatial_index
from make_rows import BANDS, CLASSES, make_field, write_parts

from galmorph.catalogs import check_catalog, open_catalog, write, write_catalog
from galmorph.catalogs.ledger import one_writer
from galmorph.catalogs.schema import schema
from galmorph.errors import CatalogError

ARGUMENTS = {"provenance": {"survey": "mock-decals"}, "classes": CLASSES, "bands": BANDS}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def altered(folder: Path, change) -> list[Path]:
    """One part, changed."""
    folder.mkdir()
    path = folder / "part.parquet"
    pq.write_table(change(make_field("plain", 40, 1)["plain-a"]), path)
    return [path]


def replaced(name, values):
    return lambda table: table.set_column(table.column_names.index(name), name, values(table.column(name)))


def first(value):
    """The first entry of a column, replaced."""
    return lambda column: pa.array([value, *column.to_pylist()[1:]])


def test_hats_calls_it_valid_and_reads_every_row(catalog, parts):
    assert is_valid_catalog(catalog.path, strict=True)
    hats_catalog = read_hats(catalog.path)
    assert len(hats_catalog.get_healpix_pixels()) == len(catalog.files) > 10
    assert hats_catalog.catalog_info.total_rows == sum(pq.read_metadata(part).num_rows for part in parts)
    assert max(pq.read_metadata(file).num_rows for file in catalog.files) <= 200


def test_lsdb_opens_it(catalog):
    lsdb = pytest.importorskip("lsdb")
    frame = lsdb.open_catalog(catalog.path).compute()
    expected = catalog.to_pandas()
    assert sorted(frame["object_id"]) == sorted(expected["object_id"])
    assert frame["primary"].sum() == expected["primary"].sum()


def test_rows_are_those_of_the_parts(catalog, parts):
    written = pa.concat_tables([pq.read_table(file, partitioning=None) for file in catalog.files]).sort_by("object_id")
    given = pa.concat_tables([pq.read_table(part) for part in parts]).sort_by("object_id")
    target = schema(CLASSES, BANDS)
    for name in given.column_names:
        assert written.column(name).equals(given.column(name).cast(target.field(name).type)), name
    assert np.array_equal(
        written["_healpix_29"], compute_spatial_index(written["ra"].to_numpy(), written["dec"].to_numpy())
    )


def test_rows_are_sorted_on_the_sky(catalog):
    for file in catalog.files:
        assert np.all(np.diff(pq.read_table(file, columns=["_healpix_29"], partitioning=None)["_healpix_29"]) >= 0)


@pytest.mark.parametrize("field", ["plain", "wrap", "north", "south"])
def test_every_object_of_a_field_is_primary_once(catalog, field):
    # The fields hold 300 objects each, at random: two of them may lie within an arcsecond, but hardly more.
    count = catalog.query(f"""SELECT count(*) AS n FROM catalog WHERE "primary" AND tile LIKE '{field}%'""")
    assert 297 <= count["n"][0].as_py() <= 300
    doubled = catalog.query(f"""SELECT count(*) AS n FROM catalog WHERE NOT "primary" AND tile LIKE '{field}%'""")
    assert doubled["n"][0].as_py() > 5


def test_field_metadata_survives_in_the_files(catalog):
    for path in (
        catalog.files[0],
        catalog.path / "dataset" / "_common_metadata",
        catalog.path / "dataset" / "_metadata",
    ):
        columns = pq.read_schema(path)
        for field in schema(CLASSES, BANDS):
            found = columns.field(field.name).metadata
            assert {key: found[key] for key in field.metadata} == field.metadata, (path.name, field.name)


def test_properties_tell_the_provenance(catalog):
    text = (catalog.path / "hats.properties").read_text()
    assert "galmorph_model_sha256=" + "ab" * 32 in text
    assert "galmorph_seeing_g=1.3" in text


def test_same_bytes_whatever_the_order_of_parts(parts, tmp_path):
    found = [
        digests(write_catalog(order, tmp_path / f"catalog-{i}", max_rows=300, **ARGUMENTS))
        for i, order in enumerate((parts, parts[::-1], parts[3:] + parts[:3]))
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 10


def test_types_that_say_the_same_are_taken(tmp_path):
    def change(table):
        for name in ("number", "flags"):
            table = replaced(name, lambda column: column.cast(pa.int16()))(table)
        for name in ("tile", "label"):
            table = replaced(name, lambda column: column.dictionary_encode())(table)
        return replaced("source_id", lambda column: pa.nulls(len(column), pa.large_string()))(table)

    out = open_catalog(write_catalog(altered(tmp_path / "parts", change), tmp_path / "catalog", **ARGUMENTS))
    assert set(out.to_pandas(["source_id"])["source_id"]) == {""}


@pytest.mark.parametrize("value", [None, float("nan")])
def test_flux_that_could_not_be_measured_is_empty(value, tmp_path):
    part = altered(tmp_path / "parts", replaced("flux_g", first(value)))
    out = open_catalog(write_catalog(part, tmp_path / "catalog", **ARGUMENTS))
    assert out.query("SELECT count(*) AS n FROM catalog WHERE flux_g IS NULL")["n"][0].as_py() == 1


def test_embeddings_are_kept(tmp_path):
    paths = write_parts(tmp_path / "parts", n=30, fields=["plain"], embedding=8)
    out = open_catalog(write_catalog(paths, tmp_path / "catalog", **ARGUMENTS))
    given = {
        row["object_id"]: row["embedding"]
        for path in paths
        for row in pq.read_table(path, columns=["object_id", "embedding"]).to_pylist()
    }
    rows = out.query("SELECT object_id, embedding FROM catalog").to_pylist()
    assert {row["object_id"]: row["embedding"] for row in rows} == given
    assert is_valid_catalog(out.path, strict=True)


def test_a_catalogue_of_no_rows_opens_like_any_other(tmp_path):
    path = write_catalog([], tmp_path / "catalog", **ARGUMENTS)
    assert is_valid_catalog(path, strict=True)
    catalog = open_catalog(path)
    info = catalog.info()
    assert (info.rows, info.primary, info.unknown, info.area) == (0, 0, 0, 0)
    assert np.isnan(info.unknown_rate)
    assert catalog.candidates("merger").num_rows == 0
    assert catalog.to_pandas().empty


def test_a_tile_without_objects_adds_nothing(tmp_path):
    paths = write_parts(tmp_path / "parts", n=30, fields=["plain"])
    pq.write_table(pq.read_table(paths[0]).slice(0, 0), tmp_path / "parts" / "empty.parquet")
    without = digests(write_catalog(paths, tmp_path / "without", **ARGUMENTS))
    assert (
        digests(write_catalog([tmp_path / "parts" / "empty.parquet", *paths], tmp_path / "with", **ARGUMENTS))
        == without
    )


BAD_PARTS = {
    "column missing": (lambda t: t.drop_columns(["entropy"]), "has no column entropy"),
    "class missing": (lambda t: t.drop_columns(["p_star"]), "has no column p_star"),
    "column too many": (lambda t: t.append_column("p_ghost", t["p_star"]), "p_ghost"),
    "added column": (lambda t: t.append_column("primary", t["unknown"]), "primary"),
    "text for a number": (replaced("ra", lambda c: c.cast(pa.string())), "column ra must be double, got string"),
    "number for truth": (replaced("unknown", lambda c: c.cast(pa.int8())), "column unknown must be bool"),
    "fraction for a whole number": (replaced("flags", lambda c: pc.add(c.cast(pa.float64()), 0.5)), "column flags"),
    "NaN position": (replaced("ra", first(float("nan"))), "1 of 17 rows have no ra"),
    "no position": (replaced("dec", first(None)), "1 of 17 rows have no dec"),
    "NaN probability": (replaced("p_star", first(float("nan"))), "1 of 17 rows have no p_star"),
    "infinite probability": (replaced("p_star", first(float("inf"))), "a p_star is infinite"),
    "no label": (replaced("label", first(None)), "1 of 17 rows have no label"),
    "off the sphere": (replaced("dec", first(90.1)), "dec must be from -90 to 90"),
    "RA beyond the circle": (replaced("ra", first(-0.1)), "ra must be from 0 to 360"),
    "first id twice": (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "occurs 2 times, on plain-a"),
    "last id twice": (lambda t: pa.concat_tables([t, t.slice(t.num_rows - 1)]), "occurs 2 times, on plain-a"),
}


@pytest.mark.parametrize("case", BAD_PARTS)
def test_bad_parts_are_refused_in_words_and_leave_nothing(case, tmp_path):
    change, words = BAD_PARTS[case]
    with pytest.raises(CatalogError, match=words):
        write_catalog(altered(tmp_path / "parts", change), tmp_path / "catalog", **ARGUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_a_part_that_is_no_parquet(tmp_path):
    (tmp_path / "part.parquet").write_text("not Parquet")
    with pytest.raises(CatalogError, match=r"part\.parquet cannot be opened"):
        write_catalog([tmp_path / "part.parquet"], tmp_path / "catalog", **ARGUMENTS)


def test_embeddings_of_different_lengths_cannot_share(tmp_path):
    parts = write_parts(tmp_path / "a", 20, fields=["plain"]) + write_parts(
        tmp_path / "b", 20, fields=["wrap"], embedding=4
    )
    with pytest.raises(CatalogError, match="different lengths"):
        write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)


@pytest.mark.parametrize("arguments", [{"match_radius": -1.0}, {"max_rows": 0}])
def test_impossible_arguments(arguments, parts, tmp_path):
    with pytest.raises(CatalogError, match="must be"):
        write_catalog(parts, tmp_path / "catalog", **ARGUMENTS, **arguments)


def test_a_new_catalogue_takes_the_place_of_the_old(parts, tmp_path):
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    before = open_catalog(out).info().rows
    write_catalog(parts, out, **ARGUMENTS)
    assert open_catalog(out).info().rows > before
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


def test_a_write_that_fails_leaves_the_old(parts, tmp_path, monkeypatch):
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    before = digests(out)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(write, "write_layout", fail)
    with pytest.raises(OSError, match="disk full"):
        write_catalog(parts, out, **ARGUMENTS)
    assert digests(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


def test_what_a_link_leads_to_is_replaced(parts, tmp_path):
    real = write_catalog(parts[:2], tmp_path / "disk" / "real", **ARGUMENTS)
    (tmp_path / "catalog").symlink_to(real)
    for more in (3, 4):
        assert write_catalog(parts[:more], tmp_path / "catalog", **ARGUMENTS) == tmp_path / "catalog"
        assert (tmp_path / "catalog").is_symlink()
        fresh = digests(write_catalog(parts[:more], tmp_path / "disk" / "fresh", **ARGUMENTS))
        assert digests(real) == digests(tmp_path / "catalog") == fresh
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_two_calls_do_not_write_one_catalogue_at_once(parts, tmp_path):
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    before = digests(out)
    with one_writer(out), pytest.raises(CatalogError, match=r"another call writes .*wait for its end"):
        write_catalog(parts, out, **ARGUMENTS)
    assert digests(out) == before
    write_catalog(parts, out, **ARGUMENTS)
    assert check_catalog(out) == []
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


@pytest.mark.parametrize("killed", ["building", "between the renames"])
def test_what_a_killed_write_left_is_repaired(killed, parts, tmp_path):
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    (tmp_path / ".catalog.writing").mkdir()
    (tmp_path / ".catalog.writing" / "half").write_text("")
    if killed == "between the renames":
        out.rename(tmp_path / ".catalog.replaced")
    fresh = digests(write_catalog(parts, tmp_path / "fresh", **ARGUMENTS))
    assert digests(write_catalog(parts, out, **ARGUMENTS)) == fresh
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "fresh"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_catalogue_is_not_replaced(kind, parts, tmp_path):
    out = tmp_path / "precious"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.tex").write_text("years")
    else:
        out.write_text("years")
    with pytest.raises(CatalogError, match="is not a catalogue; it is left alone"):
        write_catalog(parts, out, **ARGUMENTS)
    assert "years" in (out / "thesis.tex" if kind == "folder" else out).read_text()


def test_partitions_are_gathered_from_many_parts(parts, tmp_path):
    """Rows of one partition come from several parts, and rows of one part go to several partitions."""
    out = open_catalog(write_catalog(parts, tmp_path / "catalog", max_rows=60, **ARGUMENTS))
    tiles = [set(pq.read_table(file, columns=["tile"], partitioning=None)["tile"].to_pylist()) for file in out.files]
    assert any(len(found) > 1 for found in tiles)
    assert any(a & b for a, b in itertools.pairwise(tiles))
