"""A run folder is held by one call, and what a killed one left is cleared away."""

import threading

import pyarrow as pa
import pytest

from galmorph import locks
from galmorph.errors import FolderError, RunError
from galmorph.inference import run
from galmorph.inference.hold import held
from galmorph.inference.journal import Account, Journal, write_json


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "a" / "run")


def test_a_folder_is_held_once(journal):
    with held(journal):
        with pytest.raises(RunError, match=r"another call works on .*run now"), held(journal):
            pytest.fail("held twice")
        write_json(journal.run_file, {})
    with held(journal):
        assert journal.run_file.exists()


def test_a_call_that_made_no_run_leaves_no_folder(journal):
    with pytest.raises(ValueError, match="at once"), held(journal):
        raise ValueError("at once")
    assert not journal.folder.parent.exists()


@pytest.mark.parametrize("there", ["a", "a/run"])
def test_folders_that_were_there_before_a_call_that_made_no_run_stay(journal, tmp_path, there):
    (tmp_path / there).mkdir(parents=True)
    with pytest.raises(ValueError, match="at once"), held(journal):
        raise ValueError("at once")
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {"a", there}


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunError, match="run is a file, and a run needs a folder"), held(Journal(tmp_path / "run")):
        pytest.fail("a file was held")
    assert (tmp_path / "run").read_text() == "x"


def test_what_never_got_its_name_is_removed_and_nothing_else(journal):
    for name in ("parts/.a.parquet.0f.tmp", "rejects/.b.parquet.0f.tmp", ".run.json.0f.tmp", "parts/a.parquet"):
        path = journal.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    # Killed before run.json had its name: the folder is as good as empty but for the part, which is somebody's.
    with pytest.raises(RunError, match="is not empty and holds no run"), held(journal):
        pytest.fail("a folder of something else was taken")
    write_json(journal.run_file, {})
    with held(journal):
        left = sorted(str(path.relative_to(journal.folder)) for path in journal.folder.rglob("*") if path.is_file())
    assert left == [".lock", "parts/a.parquet", "run.json"]


def test_what_a_worker_left_that_was_killed_during_the_call_is_removed_at_its_end(journal):
    left = journal.folder / "parts" / ".a.parquet.0f.tmp"
    with held(journal):
        write_json(journal.run_file, {})
        left.parent.mkdir()
        left.write_text("x")
    assert not left.exists()


def test_a_call_that_was_killed_before_it_had_a_run_is_no_obstacle(journal):
    journal.folder.mkdir(parents=True)
    (journal.folder / ".lock").touch()
    (journal.folder / ".run.json.0f.tmp").write_text("{")
    with held(journal):
        write_json(journal.run_file, {})
    assert sorted(path.name for path in journal.folder.iterdir()) == [".lock", "run.json"]


def test_a_file_in_the_place_of_the_folder_is_told(journal):
    journal.folder.parent.mkdir()
    journal.folder.parent.chmod(0o755)
    (journal.folder.parent / "file").write_text("x")
    with pytest.raises(FolderError, match="cannot be written"), held(Journal(journal.folder.parent / "file" / "run")):
        pytest.fail("held a file")


def test_a_file_system_without_locks_is_used_all_the_same(journal, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with held(journal):
        write_json(journal.run_file, {})
    assert journal.run_file.exists()


def test_records_that_a_network_file_system_shows_late_are_awaited(journal, monkeypatch):
    account = Account("key", 1, 1, 0)
    table = pa.table({"object_id": [1]})
    timer = threading.Timer(0.5, journal.write_tile, ("a", table, [], account))
    timer.start()
    run._await_records(journal, {"a": "key"})
    assert journal.account("a") == account
    timer.join()
    monkeypatch.setattr(run, "PATIENCE", 0.3)
    run._await_records(journal, {"b": "key"})
    assert journal.account("b") is None
