import csv
import io
import json
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table

from galmorph.catalogs import FORMATS, standards, write_table
from galmorph.catalogs.output import as_text, format_of
from galmorph.cli import main
from galmorph.errors import CatalogError

TABLE = pa.table(
    {
        "object_id": pa.array([9007199254740993, 2], pa.int64()),
        "p_lens": pa.array([0.1, np.nan], pa.float32()),
        "ra": pa.array([150.123456789, None], pa.float64()),
        "label": ["ring, [red]", 'say "yes"'],
        "unknown": [True, False],
        "embedding": pa.array([[0.5, np.inf], [1, 2]], pa.list_(pa.float16(), 2)),
    }
)


@pytest.mark.parametrize("format_", FORMATS)
def test_file_and_standard_output_are_the_same(format_, tmp_path, capfdbinary):
    write_table(TABLE, format_, tmp_path / "out")
    write_table(TABLE, format_)
    assert (tmp_path / "out").read_bytes() == capfdbinary.readouterr().out != b""


def test_parquet_is_the_table(tmp_path):
    write_table(TABLE, "parquet", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.equals(TABLE.schema)
    assert repr(found.to_pylist()) == repr(TABLE.to_pylist())  # repr: NaN is not equal to NaN


def test_json_keeps_numbers_and_has_no_nan(tmp_path):
    write_table(TABLE, "json", tmp_path / "out.json")
    first, second = json.loads((tmp_path / "out.json").read_text())
    assert first["object_id"] == 9007199254740993
    assert first["p_lens"] == 0.1
    assert first["embedding"] == [0.5, None]
    assert first["unknown"] is True
    assert second["p_lens"] is None
    assert second["ra"] is None


def test_csv_reads_back(tmp_path):
    write_table(TABLE, "csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["object_id"] == "9007199254740993"
    assert float(first["ra"]) == 150.123456789
    assert first["p_lens"] == "0.1"
    assert first["label"] == "ring, [red]"
    assert second["label"] == 'say "yes"'
    assert json.loads(second["embedding"]) == [1, 2]


def test_text_shows_every_value_and_takes_none_for_markup():
    text = as_text(TABLE)
    header, first, second = text.splitlines()
    assert header.split() == TABLE.column_names
    assert "9007199254740993" in first
    assert "ring, [red]" in first
    assert "[2 values]" in second


def test_text_names_the_columns_that_do_not_fit():
    text = as_text(TABLE, width=40)
    assert "and 3 more columns: label, unknown, embedding" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 40


def test_two_columns_are_folded_and_not_left_out():
    table = pa.table({"property": ["columns"], "value": ["word " * 40]})
    text = as_text(table, width=50)
    assert text.count("word") == 40
    assert max(map(len, text.splitlines())) <= 50


def test_tables_without_rows(capsys):
    for format_ in ("table", "csv", "json"):
        write_table(TABLE.slice(0, 0), format_)
    assert "object_id" in capsys.readouterr().out


class Terminal(io.StringIO):
    buffer = io.BytesIO()

    def isatty(self):
        return True


def test_parquet_does_not_go_to_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    with pytest.raises(CatalogError, match="--output FILE"):
        write_table(TABLE, "parquet")


def test_a_terminal_gets_what_fits(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    write_table(TABLE, "table")
    assert b"more columns" in Terminal.buffer.getvalue()


def test_formats_and_places_that_are_none(tmp_path):
    with pytest.raises(CatalogError, match="formats are table, csv, parquet, json"):
        write_table(TABLE, "xml")
    with pytest.raises(CatalogError, match="cannot be written"):
        write_table(TABLE, "csv", tmp_path / "no" / "where.csv")


DESCRIBED = pa.table(
    [
        pa.array([2**53 + 1, None], pa.int64()),
        pa.array([0.5, None], pa.float32()),
        pa.array(["é", None]),
        pa.array([True, False]),
        pa.array([[1.5, 2], [3, 4]], pa.list_(pa.float16(), 2)),
        pa.array([{"a": 1}, None]),
    ],
    schema=pa.schema(
        [
            pa.field("_healpix_29", pa.int64(), metadata={"ucd": "pos.healpix"}),
            pa.field("flux_g", pa.float32(), metadata={"unit": "nmgy", "ucd": "phot.flux", "description": "x" * 90}),
            pa.field("RA [deg]", pa.string()),
            pa.field("primary", pa.bool_()),
            pa.field("embedding", pa.list_(pa.float16(), 2)),
            pa.field("extra", pa.struct({"a": pa.int64()})),
        ]
    ),
)
NAMES = ["healpix_29", "flux_g", "RA_deg", "primary_", "embedding", "extra"]


@pytest.mark.filterwarnings("ignore:'nmgy' did not parse")
def test_fits_reads_back_with_units_and_ucds(tmp_path):
    write_table(DESCRIBED, "fits", tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits", 1)
    assert [header[f"TTYPE{i}"] for i in range(1, 7)] == NAMES
    assert (header["TUNIT2"], header["TUCD2"], header["TUCD1"]) == ("nmgy", "phot.flux", "pos.healpix")
    assert header["TCOMM2"] == "x" * 90
    table = Table.read(tmp_path / "out.fits")
    assert table["healpix_29"][0] == 2**53 + 1
    assert bool(table["healpix_29"].mask[1])
    assert table["flux_g"][0] == 0.5
    assert np.ma.is_masked(table["flux_g"][1]) or np.isnan(table["flux_g"][1])
    assert table["primary_"].tolist() == [True, False]
    assert table["embedding"].tolist() == [[1.5, 2], [3, 4]]
    assert table["RA_deg"][0] == r"\xe9"
    assert json.loads(table["extra"][0]) == {"a": 1}


def test_a_votable_is_valid_and_reads_back(tmp_path):
    write_table(DESCRIBED, "votable", tmp_path / "out.vot")
    tree = votable.parse_single_table(tmp_path / "out.vot", verify="exception")
    assert [field.name for field in tree.fields] == NAMES
    assert (tree.fields[1].ucd, "".join(tree.fields[1].description.split())) == ("phot.flux", "x" * 90)
    assert 'unit="&apos;nmgy&apos;"' in (tmp_path / "out.vot").read_text()  # quoted: no unit of VOUnit's
    table = tree.to_table()
    assert table["healpix_29"][0] == 2**53 + 1
    assert bool(table["healpix_29"].mask[1])
    assert table["RA_deg"][0] == "é"
    assert table["embedding"].tolist() == [[1.5, 2], [3, 4]]


def test_every_kind_of_value_reads_back_from_a_votable(tmp_path):
    numbers = {
        str(kind): pa.array([1, None, 3], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint32())
    }
    kinds = pa.table(
        {
            **numbers,
            "float_": pa.array([0.5, None, np.inf], pa.float32()),
            "double_": pa.array([1e300, None, -1.0], pa.float64()),
            "letters": ["é", "\U0001f600x", None],
            "zero_byte": ["Ā", "a ", ""],
            "letter": ["a", "b", "c"],
            "truth": [True, False, True],
            "list": pa.array([[1.5, 2], [3, np.nan], [5, 6]], pa.list_(pa.float32(), 2)),
        }
    )
    write_table(kinds, "votable", tmp_path / "out.vot")
    table = votable.parse_single_table(tmp_path / "out.vot", verify="exception").to_table()
    for name in numbers:
        assert table[name].tolist() == [1, None, 3]
    assert table["float_"].filled(np.nan).tolist() == pytest.approx([0.5, np.nan, np.inf], nan_ok=True)
    assert table["double_"].filled(np.nan).tolist() == pytest.approx([1e300, np.nan, -1.0], nan_ok=True)
    assert table["letters"].tolist() == ["é", "\U0001f600x", ""]
    assert table["zero_byte"].tolist() == ["Ā", "a ", ""]
    assert table["letter"].tolist() == ["a", "b", "c"]
    assert table["truth"].tolist() == [True, False, True]
    np.testing.assert_array_equal(np.ma.filled(table["list"], np.nan), [[1.5, 2], [3, np.nan], [5, 6]])


TRUTHS = [True, None, False, None, True, False]


def test_missing_truth_values_stay_missing_in_a_votable(tmp_path):
    table = pa.table({"n": range(6), "maybe": TRUTHS, "sure": [True] * 6, "never": pa.nulls(6, pa.bool_())})
    write_table(table, "votable", tmp_path / "out.vot")
    found = votable.parse_single_table(tmp_path / "out.vot", verify="exception").to_table()
    assert found["maybe"].tolist() == TRUTHS
    assert found["sure"].tolist() == [True] * 6
    assert found["never"].tolist() == [None] * 6
    assert found["n"].tolist() == list(range(6))


def test_missing_truth_values_are_undefined_in_fits(tmp_path):
    table = pa.table({"n": range(6), "maybe": TRUTHS, "word": list("abcdef"), "sure": [True, False] * 3})
    write_table(table, "fits", tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", logical_as_bytes=True) as opened:
        letters = {b"T": True, b"F": False, b"": None}
        assert [letters[byte] for byte in opened[1].data["maybe"].tolist()] == TRUTHS
    with pytest.warns(UserWarning, match="'maybe' contains NULL"):
        found = Table.read(tmp_path / "out.fits")
    assert found["sure"].tolist() == [True, False] * 3
    assert found["word"].tolist() == list("abcdef")


def test_a_votable_of_many_rows_is_written_at_once():
    many = pa.table({f"c{number}": np.arange(100_000.0) for number in range(10)})
    start = time.process_time()
    standards.as_votable(many)
    assert time.process_time() - start < 2  # row by row it takes more


@pytest.mark.filterwarnings("ignore:'nmgy' did not parse")
@pytest.mark.parametrize("format_", ["fits", "votable"])
def test_tables_without_rows_can_be_written(format_, tmp_path):
    write_table(DESCRIBED.slice(0, 0), format_, tmp_path / "out")
    assert len(Table.read(tmp_path / "out", format=format_)) == 0


@pytest.mark.parametrize(
    ("sql", "formats"),
    [
        ("INTERVAL 3 DAY", ("csv", "parquet", "fits", "votable")),
        (r"'\xAA\xFF'::BLOB", ("csv", "fits", "votable")),
        ("18446744073709551615::UBIGINT", ("fits", "votable")),
    ],
)
def test_values_that_a_format_has_no_place_for_are_told_by_column(sql, formats, tmp_path):
    answer = duckdb.sql(f"SELECT 1 AS first, {sql} AS odd").to_arrow_table()
    for format_ in formats:
        with pytest.raises(CatalogError, match=f"the column odd cannot be written as {format_}.*CAST"):
            write_table(answer, format_, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    as_told = duckdb.sql(f"SELECT 1 AS first, CAST({sql} AS VARCHAR) AS odd").to_arrow_table()
    for format_ in formats:
        write_table(as_told, format_, tmp_path / "out")


def test_names_stay_different():
    assert standards.identifiers(["a-b", "a b", "A_B", "1st", "Order", "%%"]) == [
        "a_b", "a_b_2", "A_B_3", "c_1st", "Order_", "col",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "format_"), [("a.fits", "fits"), ("a.vot", "votable"), ("a.CSV", "csv"), ("a", "table"), (None, "table")]
)
def test_the_name_of_the_file_tells_the_format(name, format_):
    assert format_of(name and Path(name)) == format_


@pytest.mark.parametrize(
    "name", ["out.ecsv", "out.csv.gz", "out.tsv", "out.fits.gz", "out.feather", "out.xml.gz", "out.dat"]
)
def test_ends_that_mean_no_format_are_refused(name):
    with pytest.raises(
        CatalogError, match=f"the name {name} tells no format; .*ends in .txt, .csv, .parquet.*--format"
    ):
        format_of(Path(name))


COMMANDS = {
    "query": ["SELECT 1"],
    "info": [],
    "candidates": ["--kind", "unknown"],
    "crossmatch": ["CATALOG"],
    "diff": ["CATALOG"],
    "similar": ["--to", "1"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_commands_refuse_the_end_before_they_open_anything(verb, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    rest = [nowhere if word == "CATALOG" else word for word in COMMANDS[verb]]
    with pytest.raises(SystemExit) as stopped:
        main(["catalog", verb, nowhere, *rest, "--output", str(tmp_path / "out.ecsv")])
    assert stopped.value.code != 0
    assert "the name out.ecsv tells no format" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.ecsv").exists()


def test_a_format_that_is_told_goes_with_any_name(catalog, tmp_path):
    main(["catalog", "info", str(catalog.path), "--format", "csv", "--output", str(tmp_path / "out.dat")])
    assert (tmp_path / "out.dat").read_text().startswith('"path","survey"')
