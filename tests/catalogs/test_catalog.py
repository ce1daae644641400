import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from make_rows import BANDS, CLASSES, FIELDS

from galmorph.catalogs import FORMATS, crossmatch, open_catalog, write_catalog, write_table
from galmorph.errors import CatalogError
from galmorph.flags import FLAGS


@pytest.fixture
def copy(catalog, tmp_path):
    return shutil.copytree(catalog.path, tmp_path / "copy")


def test_classes_bands_and_provenance_come_back(catalog):
    assert catalog.classes == CLASSES
    assert catalog.bands == BANDS
    assert catalog.provenance["survey"] == "mock-decals"


def test_info_counts_what_is_there(catalog):
    info, frame = catalog.info(), catalog.to_pandas()
    main = frame[frame["primary"]]
    assert (info.rows, info.primary, info.unknown) == (len(frame), len(main), main["unknown"].sum())
    assert info.unknown_rate == pytest.approx(main["unknown"].mean())
    known = main[~main["unknown"]]["label"].value_counts()
    assert info.classes == {name: known.get(name, 0) for name in CLASSES}
    assert sum(info.classes.values()) + info.unknown == info.primary
    assert info.flags == {flag.name: ((main["flags"] & flag.value) > 0).sum() for flag in FLAGS}
    assert info.flags["EDGE"] > 0
    assert (info.survey, info.release, info.model) == (("mock-decals",), ("1",), ("test-model",))
    assert info.partitions == len(catalog.files)


@pytest.mark.parametrize("field", FIELDS)
def test_area_centre_and_extent_of_one_field(field, parts, tmp_path):
    """Two tiles of 600 arcsec that overlap by 60: 0.053 square degrees, half a diagonal of 0.179 degrees."""
    mine = [part for part in parts if part.name.startswith(field)]
    info = open_catalog(write_catalog(mine, tmp_path / "c", provenance={}, classes=CLASSES, bands=BANDS)).info()
    assert 0.053 < info.area < 2.5 * 0.053
    distance = np.hypot((info.centre[0] - FIELDS[field][0] + 180) % 360 - 180, info.centre[1] - FIELDS[field][1])
    assert distance < 0.02 or abs(info.centre[1]) > 89.9
    assert info.extent == pytest.approx(0.179, abs=0.02)


def test_info_is_a_table_and_plain_data(catalog):
    table = catalog.info().table()
    lines = dict(zip(table["property"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert lines["survey"] == "mock-decals"
    assert lines["class merger"].isdigit()
    assert json.loads(json.dumps(catalog.info().to_dict()))["rows"] == catalog.info().rows


@pytest.mark.parametrize("format_", FORMATS)
def test_info_goes_into_every_format(format_, catalog, tmp_path):
    write_table(pa.Table.from_pylist([catalog.info().to_dict()]), format_, tmp_path / "info")
    written = (tmp_path / "info").read_bytes()
    if format_ == "votable":
        written = str(Table.read(tmp_path / "info", format="votable")["survey"][0]).encode()
    assert b"mock-decals" in written


def test_to_pandas_takes_columns(catalog):
    frame = catalog.to_pandas(["dec", "ra"])
    assert list(frame) == ["dec", "ra"]
    assert len(frame) == sum(pq.read_metadata(file).num_rows for file in catalog.files)
    with pytest.raises(CatalogError, match=r"no column redshift; it has .* and \d+ others"):
        catalog.to_pandas(["ra", "redshift"])


def remove(name):
    return lambda path: (path / name).unlink()


def cut_partition(path):
    file = sorted(path.rglob("Npix*.parquet"))[3]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def lose_partition(path):
    sorted(path.rglob("Npix*.parquet"))[3].unlink()


def empty_partition(path):
    sorted(path.rglob("Npix*.parquet"))[3].write_bytes(b"")


def newer(path):
    document = json.loads((path / "provenance.json").read_text())
    (path / "provenance.json").write_text(json.dumps({**document, "format": 99}))


def without_column(path):
    common = path / "dataset" / "_common_metadata"
    columns = pq.read_schema(common)
    pq.write_metadata(columns.remove(columns.get_field_index("entropy")), common)


def other_type(path):
    common = path / "dataset" / "_common_metadata"
    columns = pq.read_schema(common)
    index = columns.get_field_index("flags")
    pq.write_metadata(columns.set(index, columns.field(index).with_type(pa.string())), common)


DAMAGE = {
    "no properties": (remove("hats.properties"), "not the folder of a catalogue"),
    "no provenance": (remove("provenance.json"), "not one of galmorph"),
    "provenance spoiled": (lambda path: (path / "provenance.json").write_text("{"), "is damaged"),
    "no partition list": (remove("partition_info.csv"), "list of partitions"),
    "list spoiled": (lambda path: (path / "partition_info.csv").write_text("Norder,Npix\n0,x\n"), "list of partitions"),
    "no columns": (remove("dataset/_common_metadata"), "list of columns"),
    "column missing": (without_column, "no column entropy"),
    "wrong type": (other_type, "column flags must be int32, got string"),
    "newer": (newer, "newer than this galmorph"),
    "partition missing": (lose_partition, "is missing; write or copy"),
    "half a partition": (cut_partition, "is incomplete; write or copy"),
    "empty partition": (empty_partition, "is incomplete; write or copy"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_in_words(case, copy):
    damage, words = DAMAGE[case]
    open_catalog(copy)
    damage(copy)
    with pytest.raises(CatalogError, match=words):
        open_catalog(copy)


def test_a_partition_spoiled_inside_fails_in_words(copy):
    # The data pages and the footer are spoiled, the last bytes are right.
    for file in copy.rglob("Npix*.parquet"):
        file.write_bytes(b"PAR1" + b"\x00" * 200 + b"PAR1")
    with pytest.raises(CatalogError, match="cannot be read"):
        open_catalog(copy).query("SELECT * FROM catalog")
    with pytest.raises(CatalogError, match=r"cannot be read: .*`galmorph catalog check` tells which files"):
        open_catalog(copy).to_pandas()
    with pytest.raises(CatalogError, match="cannot be read"):
        crossmatch(copy, copy)


def test_the_run_folder_is_no_catalogue_but_points_to_it(copy, tmp_path):
    copy.rename(tmp_path / "catalog")
    with pytest.raises(CatalogError, match=f"there is one at {tmp_path / 'catalog'}"):
        open_catalog(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CatalogError, match="not the folder of a catalogue"):
        open_catalog(tmp_path / "nothing")
