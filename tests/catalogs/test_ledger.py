import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import check_catalog, ledger, open_catalog, write_catalog
from galmorph.catalogs.ledger import LEDGER_FILE

ARGUMENTS = {"provenance": {}, "classes": CLASSES, "bands": BANDS, "max_rows": 60}


@pytest.fixture
def parts(tmp_path) -> list[Path]:
    return write_parts(tmp_path / "parts", n=100, fields=["plain", "wrap", "north"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("Npix*.parquet")}


def alter(path: Path) -> None:
    """Another measurement of a tile."""
    table = pq.read_table(path)
    place = table.column_names.index("snr")
    pq.write_table(table.set_column(place, "snr", pa.array(np.full(len(table), 7.0))), path)


@pytest.mark.parametrize("change", ["tile added", "tile replaced", "nothing", "tile taken away"])
def test_only_partitions_that_a_tile_touches_are_written(change, parts, tmp_path):
    first = [part for part in parts if change != "tile added" or part.name != "wrap-a.parquet"]
    out = write_catalog(first, tmp_path / "catalog", **ARGUMENTS)
    before = inodes(out)
    wanted = parts[::-1]
    if change == "tile replaced":
        alter(next(part for part in parts if part.name == "wrap-a.parquet"))
    if change == "tile taken away":
        wanted = [part for part in parts if part.name != "wrap-a.parquet"]
    write_catalog(wanted, out, **ARGUMENTS)
    after = inodes(out)
    same = {name for name, inode in after.items() if before.get(name) == inode}
    fresh = write_catalog(wanted, tmp_path / "fresh", **ARGUMENTS)
    assert contents(out) == contents(fresh)
    assert not check_catalog(out)
    tiles = {name: set(pq.read_table(out / name, partitioning=None)["tile"].to_pylist()) for name in after}
    touched = {name for name, found in tiles.items() if any(tile.startswith("wrap") for tile in found)}
    if change == "nothing":
        assert same == set(after)
    else:
        assert set(after) - touched <= same
        assert 0 < len(same) < len(after)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "fresh", "parts"]


@pytest.mark.parametrize("damage", ["partition", "ledger", "no ledger"])
def test_what_is_damaged_is_not_taken_over(damage, parts, tmp_path):
    out = write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)
    sound = contents(out)
    if damage == "partition":
        file = open_catalog(out).files[1]
        file.write_bytes(file.read_bytes()[:-200] + b"\0" * 200)
    elif damage == "ledger":
        (out / LEDGER_FILE).write_text("{")
    else:
        (out / LEDGER_FILE).unlink()
    write_catalog(parts, out, **ARGUMENTS)
    assert contents(out) == sound


def test_the_match_radius_is_part_of_what_a_partition_is_made_of(parts, tmp_path):
    out = write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)
    write_catalog(parts, out, match_radius=0.0, **ARGUMENTS)
    assert open_catalog(out).to_pandas()["primary"].all()


def test_other_descriptions_of_columns_are_other_files(parts, tmp_path):
    out = write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)
    bare, described = (pa.schema([pa.field("a", pa.int64(), metadata=m)]) for m in (None, {"unit": "deg"}))
    rows = np.zeros(2, np.int32), np.arange(2), np.ones(2, bool)
    digests = [ledger.Ledger(parts, schema, out).content(*rows) for schema in (bare, described, bare)]
    assert digests[0] == digests[2] != digests[1]
    assert len(json.loads((out / LEDGER_FILE).read_text())) == len(open_catalog(out).files)


def test_what_a_part_tells_of_its_run_decides_nothing(parts, tmp_path):
    out = write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)
    before = contents(out)
    for path in parts:
        pq.write_table(pq.read_table(path).replace_schema_metadata({"galmorph": "another try"}), path)
    assert contents(write_catalog(parts, out, **ARGUMENTS)) == before


def test_a_system_without_exchange_takes_two_steps(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_exchange", lambda *_: False)
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    write_catalog(parts, out, **ARGUMENTS)
    assert open_catalog(out).info().rows == sum(pq.read_metadata(part).num_rows for part in parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "parts"]


def test_a_catalogue_opened_before_answers_of_the_new_one(parts, tmp_path):
    out = write_catalog(parts[:2], tmp_path / "catalog", **ARGUMENTS)
    opened = open_catalog(out)
    write_catalog(parts, out, **ARGUMENTS)
    rows = sum(pq.read_metadata(part).num_rows for part in parts)
    assert opened.query("SELECT count(*) AS n FROM catalog")["n"][0].as_py() == rows
    assert len(opened.to_pandas()) == opened.info().rows == rows


def test_a_reader_during_writes_sees_the_old_or_the_new(parts, tmp_path):
    few, all_of_them = parts[:2], parts
    numbers = {sum(pq.read_metadata(part).num_rows for part in group) for group in (few, all_of_them)}
    out = write_catalog(few, tmp_path / "catalog", **ARGUMENTS)
    stop = threading.Event()

    def write() -> None:
        for turn in range(6):
            write_catalog(few if turn % 2 else all_of_them, out, **ARGUMENTS)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    opened = open_catalog(out)
    while not stop.is_set():
        seen.add(opened.query("SELECT count(*) AS n, count(DISTINCT object_id) AS m FROM catalog").to_pylist()[0]["n"])
        seen.add(len(open_catalog(out).to_pandas(["ra"])))
    writer.join()
    assert seen <= numbers


def test_a_copy_is_made_where_links_cannot_be(parts, tmp_path, monkeypatch):
    out = write_catalog(parts, tmp_path / "catalog", **ARGUMENTS)
    before = contents(out)

    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(ledger.os, "link", refuse)
    write_catalog(parts, out, **ARGUMENTS)
    assert contents(out) == before
    shutil.rmtree(out)
