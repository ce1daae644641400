import numpy as np
import pandas as pd
import pytest

from galmorph.errors import DataError
from galmorph.label_tables import COLUMNS, read_label_table, read_label_tables, settle, write_label_table

ROWS = [
    ("9007199254740993", 150.0, 2.0, "spiral", "ann", "2026-03-01T12:00:00Z"),
    ("9007199254740993", 150.0, 2.0, "merger", "bob", "2026-03-02T12:00:00+02:00"),
    ("9007199254740993", 150.0, 2.0, "merger", "cat", "2026-03-03"),
    ("b", 359.9, -2.0, "unknown", "ann", "2026-03-01T13:00:00Z"),
    ("b", 359.9, -2.0, "spiral", "ann", "2026-03-01T12:00:00Z"),
    ("c", 10.0, 0.0, "spiral", "ann", "2026-03-01T12:00:00Z"),
    ("c", 10.0, 0.0, "merger", "bob", "2026-03-01T12:00:00Z"),
]


def table(rows=ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits"])
def test_what_is_written_is_read(tmp_path, kind):
    write_label_table(table().iloc[:2].assign(rank=[1, 2]), tmp_path / f"labels.{kind}")
    found = read_label_table(tmp_path / f"labels.{kind}", ["spiral", "merger"])
    assert found["object_id"].tolist() == ["9007199254740993"] * 2
    assert found["label"].tolist() == ["spiral", "merger"]
    assert found["when"].tolist() == [pd.Timestamp("2026-03-01T12:00Z"), pd.Timestamp("2026-03-02T10:00Z")]
    np.testing.assert_array_equal(found[["ra", "dec"]], [[150.0, 2.0]] * 2)


def test_the_last_verdict_of_each_and_the_label_of_most():
    found = settle(table().assign(when=lambda rows: pd.to_datetime(rows["when"], utc=True, format="ISO8601")))
    assert found.set_index("object_id")["label"].to_dict() == {"9007199254740993": "merger", "b": "unknown", "c": ""}
    assert found["votes"].tolist() == [2, 1, 1]
    assert found["persons"].tolist() == [3, 1, 2]
    assert found["who"].tolist() == ["ann;bob;cat", "ann", "ann;bob"]


def test_rows_that_nobody_looked_at_are_left_out(tmp_path):
    write_label_table(table([("a", 1.0, 1.0, "", "", ""), ROWS[0]]), tmp_path / "labels.csv")
    assert read_label_table(tmp_path / "labels.csv")["object_id"].tolist() == ["9007199254740993"]


def test_no_tables_and_an_empty_one(tmp_path):
    (tmp_path / "labels.csv").write_text(",".join(COLUMNS) + "\n")
    write_label_table(table(), tmp_path / "full.csv")
    full = read_label_tables([tmp_path / "full.csv"])
    for nothing in (read_label_tables([]), read_label_tables([tmp_path / "labels.csv"])):
        assert nothing.empty
        assert nothing.columns.tolist() == full.columns.tolist()
        assert [kind.kind for kind in nothing.dtypes] == [kind.kind for kind in full.dtypes]


def test_a_survey_s_own_catalogue_is_no_table_of_labels(tmp_path):
    table(ROWS[:2]).assign(objid=[1, 2], mode=[1, 2], run=[1, 1], camcol=[1, 1]).to_csv(tmp_path / "sdss.csv")
    with pytest.raises(DataError, match="looks like a survey's own catalogue"):
        read_label_table(tmp_path / "sdss.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", 1.0, 1.0, "spiral", "", "2026-03-01"), "column who has to hold who gave the label"),
        (("a", 1.0, 1.0, "spiral", "ann", "yesterday"), r"column when has to hold a time such as .* 'yesterday'"),
        (("", 1.0, 1.0, "spiral", "ann", "2026-03-01"), "column object_id has to hold an identifier"),
        (("a", 1.0, 1.0, "sprial", "ann", "2026-03-01"), "column label has to hold one of spiral, merger, unknown"),
        (("a", 1.0, 91.0, "spiral", "ann", "2026-03-01"), "degrees between -90 and 90"),
    ],
)
def test_faults_are_named(tmp_path, row, message):
    table([ROWS[0], row]).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_label_table(tmp_path / "labels.csv", ["spiral", "merger"])


def test_columns_that_lack_are_named(tmp_path):
    table().drop(columns=["who", "when"]).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match="has no column who, when"):
        read_label_table(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"is \.parquet, \.csv or \.fits"):
        write_label_table(table(), tmp_path / "labels.xls")
    with pytest.raises(DataError, match="missing"):
        write_label_table(table().drop(columns="who"), tmp_path / "labels.csv")
