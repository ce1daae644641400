import time
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from galmorph.errors import FolderError, RunError
from galmorph.inference.journal import (
    INPUTS,
    POSITIONS,
    Account,
    Journal,
    Reject,
    read_account,
    read_json,
    rejected_positions,
    write_json,
)
from galmorph.inference.run import _balance, _reject_positions_outside

ROWS = pa.table({"object_id": pa.array([1, 2], pa.int64())})


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_a_finished_tile_is_accounted_for(journal):
    account = Account("key", detected=3, scored=2, rejected=1)
    journal.write_tile("a", ROWS, [Reject("a", "object", "no data", 3)], account)
    assert journal.account("a") == account
    assert journal.rejects().to_pylist()[0]["reason"] == "no data"
    assert sorted(path.name for path in journal.folder.rglob("*.parquet")) == ["a.parquet", "a.parquet"]


def test_a_tile_without_part_is_not_done(journal):
    journal.write_tile("a", ROWS, [Reject("a", "object", "no data", 3)], Account("key", 3, 2, 1))
    journal.part("a").unlink()
    assert journal.account("a") is None


def test_a_tile_whose_rejects_are_gone_is_not_done(journal):
    journal.write_tile("a", ROWS, [Reject("a", "object", "no data", 3)], Account("key", 3, 2, 1))
    journal.reject_file("a").unlink()
    assert journal.account("a") is None


@pytest.mark.parametrize("other", [Account("newer", 3, 2, 1), Account("key", 4, 2, 2)])
def test_a_tile_whose_rejects_are_of_another_attempt_is_not_done(journal, other):
    """Rejects are written first: what was killed then has the part of the attempt before."""
    journal.write_tile("a", ROWS, [Reject("a", "object", "no data", 3)], Account("key", 3, 2, 1))
    part = journal.part("a").read_bytes()
    journal.write_tile("a", ROWS, [Reject("a", "object", "no data", 3)], other)
    journal.part("a").write_bytes(part)
    assert journal.account("a") is None


@pytest.mark.parametrize("kept", [0, 4, -8])
def test_a_damaged_part_is_not_done(journal, kept):
    journal.write_tile("a", ROWS, [], Account("key", 2, 2, 0))
    data = journal.part("a").read_bytes()
    journal.part("a").write_bytes(data[:kept])
    assert journal.account("a") is None


def test_damaged_rejects_are_told_with_the_remedy(journal):
    journal.write_rejected_tile("a", "it is torn", Account("key", tile_rejected=True))
    journal.reject_file("a").write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"rejects/a\.parquet is damaged .*Remove it and give the same command again"):
        journal.rejects()


@pytest.mark.parametrize("text", ['{"config": []}', '{"tiles": []}', "[]", "{"])
def test_a_record_that_is_none_is_told(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json .*start the run in another folder"):
        read_json(tmp_path / "run.json")


def test_a_rejected_tile_is_accounted_for(journal):
    account = Account("key", tile_rejected=True)
    journal.write_rejected_tile("a", "it is torn", account)
    assert journal.account("a") == account
    assert (
        journal.rejects().to_pylist()[0] | {"tile": "a", "kind": "tile", "reason": "it is torn"}
        == journal.rejects().to_pylist()[0]
    )


def test_a_tile_that_works_at_last_leaves_no_rejection(journal):
    journal.write_rejected_tile("a", "it is torn", Account("key", tile_rejected=True))
    journal.write_tile("a", ROWS, [], Account("key", 2, 2, 0))
    assert journal.rejects().num_rows == 0


def test_what_belongs_to_no_tile_is_replaced_by_each_call(journal):
    journal.write_rejects(INPUTS, [Reject("x", "input", "no tile"), Reject("y", "input", "no tile")])
    journal.write_rejects(INPUTS, [Reject("x", "input", "no tile")])
    assert journal.rejects()["tile"].to_pylist() == ["x"]
    journal.write_rejects(INPUTS, [])
    assert journal.rejects().num_rows == 0


def test_a_write_that_fails_leaves_nothing(journal, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FolderError, match=r"a\.parquet cannot be written: No space left .* what is finished is kept"):
        journal.write_tile("a", ROWS, [], Account("key", 2, 2, 0))
    assert list(journal.folder.rglob("*.*")) == []


def test_parquet_of_others_has_no_account(tmp_path):
    pa.parquet.write_table(ROWS, tmp_path / "x.parquet")
    assert read_account(tmp_path / "x.parquet") is None


def test_a_record_that_is_none_is_an_error(tmp_path):
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(RunError, match="not a run's record"):
        read_json(tmp_path / "run.json")
    write_json(tmp_path / "run.json", {"a": 1})
    assert read_json(tmp_path / "run.json") == {"a": 1}


def test_positions_outside_are_recorded_in_columns_with_the_same_bytes(tmp_path):
    positions = pd.DataFrame({"source_id": ["é1", "", "3"], "ra": [1.5, 2.0, 3.0], "dec": [-1.0, 0.0, 1.0]})
    one, two = Journal(tmp_path / "one"), Journal(tmp_path / "two")
    rows = positions.to_dict("records")
    one.write_rejects(POSITIONS, [Reject("", "position", "lies in no tile", None, *row.values()) for row in rows])
    two.write_rejects(POSITIONS, rejected_positions(positions, "lies in no tile"))
    assert two.reject_file(POSITIONS).read_bytes() == one.reject_file(POSITIONS).read_bytes()
    two.write_rejects(POSITIONS, rejected_positions(positions[:0], "lies in no tile"))
    assert not two.reject_file(POSITIONS).exists()


def test_many_positions_outside_take_no_more_memory_than_columns(tmp_path):
    count = 50_000
    names = pd.Series(np.arange(count)).astype("str")
    positions = pd.DataFrame({"source_id": names, "ra": 1.0, "dec": 2.0})
    journal = Journal(tmp_path)
    journal.write_rejected_tile("a", "it is torn", Account("k", tile_rejected=True))
    for _ in range(2):
        tracemalloc.start()
        _reject_positions_outside(journal, positions)
        report = _balance(journal, [], {}, {}, time.perf_counter())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (report.rejected_positions, report.rejected_tiles) == (count, {"a": "it is torn"})
        assert peak < 100 * count
