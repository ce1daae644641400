import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hats.io.validation import is_valid_catalog
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import check_catalog, open_catalog, repair_catalog, write_catalog
from galmorph.catalogs.info import SUMMARY_FILE
from galmorph.cli import main
from galmorph.errors import CatalogError


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    paths = write_parts(folder / "parts", n=120, fields=["plain", "wrap"])
    provenance = {"survey": "mock-decals", "release": "1", "model": "test-model"}
    return write_catalog(paths, folder / "catalog", provenance=provenance, classes=CLASSES, bands=BANDS, max_rows=60)


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "catalog")


def change(column, alter):
    """Damage that rewrites a column of one partition."""

    def damage(path):
        file = open_catalog(path).files[2]
        table = pq.read_table(file, partitioning=None)
        index = table.column_names.index(column)
        field = table.schema.field(index)
        values = table.column(index).to_pylist()
        alter(values)
        pq.write_table(table.set_column(index, field, pa.array(values, field.type)), file)

    return damage


def put(value, place=0):
    def alter(values):
        values[place] = value(values[place]) if callable(value) else value

    return alter


def repeat_rows(path):
    """Rows of one partition stand in the next one too."""
    files = open_catalog(path).files
    tables = [pq.read_table(file, partitioning=None) for file in files[:2]]
    pq.write_table(pa.concat_tables([tables[0].slice(0, 2), tables[1]]), files[1])


def shuffle(path):
    file = open_catalog(path).files[1]
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.take(pa.array(np.arange(table.num_rows)[::-1])), file)


def stray(path):
    file = open_catalog(path).files[0]
    shutil.copy(file, file.with_name("Npix=999999.parquet"))


def rows_told(path):
    for name in ("hats.properties", "properties"):
        text = (path / name).read_text()
        line = next(line for line in text.splitlines() if line.startswith("hats_nrows"))
        (path / name).write_text(text.replace(line, "hats_nrows=7"))


def other_summary(path):
    facts = json.loads((path / SUMMARY_FILE).read_text())
    assert facts["rows"] > 0
    (path / SUMMARY_FILE).write_text(json.dumps(facts | {"rows": facts["rows"] + 1}))


def spoiled(path):
    file = open_catalog(path).files[0]
    file.write_bytes(b"PAR1" + b"\0" * 99 + b"PAR1")


def rewrite(alter):
    """Damage to the columns of one partition."""

    def damage(path):
        file = open_catalog(path).files[1]
        pq.write_table(alter(pq.read_table(file, partitioning=None)), file)

    return damage


def as_text(table):
    place = table.column_names.index("ra")
    return table.set_column(place, "ra", table.column(place).cast(pa.string()))


#: What is done, the rule that is then broken, and if it can be repaired.
DAMAGE = {
    "moved": (change("dec", put(lambda v: v + 0.3)), "_healpix_29 is the pixel of the position", True),
    "elsewhere": (change("dec", put(-10.0)), "rows lie in the pixel of their partition", True),
    "off the sphere": (change("dec", put(95.0)), "positions are degrees on the sphere", False),
    "order": (shuffle, "rows are sorted on the sky", True),
    "NaN": (change("flux_g", put(float("nan"))), "flux_g is empty where it could not be measured, not NaN", True),
    "no entropy": (change("entropy", put(None)), "every row has a finite entropy", True),
    "no label": (change("label", put(None)), "every row has a label", False),
    "probability": (change("p_spiral", put(1.7)), "probabilities sum to one", False),
    "negative": (change("p_spiral", put(-0.2)), "probabilities lie between 0 and 1", False),
    "label": (change("label", lambda v: v.__setitem__(slice(None), ["star"] * len(v))), "label is the most", False),
    "strange label": (change("label", put("quasar")), "label is a class of the model", False),
    "confidence": (change("confidence", put(0.01)), "confidence is the probability of the label", False),
    "entropy": (change("entropy", put(9.0)), "entropy is that of the probabilities", False),
    "flags": (change("flags", put(1 << 20)), "flags are those that are defined", False),
    "model": (change("model", put("another")), "model is the one of the provenance, test-model", False),
    "primary": (change("primary", put(lambda v: not v)), "primary is true for one row per object", True),
    "repeated": (repeat_rows, "object ids are unique", True),
    "stray": (stray, "every file of rows is in the list of partitions", True),
    "told": (rows_told, "the number of rows is the one that is told", True),
    "no summary": (lambda path: (path / "dataset" / "_metadata").unlink(), "the summary dataset/_metadata", True),
    "other summary": (other_summary, "the summary tells what the rows hold", True),
    "spoiled": (spoiled, "every partition can be read", False),
    "fewer columns": (rewrite(lambda t: t.drop_columns("label")), "every partition has the columns", False),
    "more columns": (rewrite(lambda t: t.append_column("ghost", t["ra"])), "every partition has the columns", False),
    "another type": (rewrite(as_text), "every partition has the columns", False),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_wrong_is_found(name, copy):
    damage, rule, repairable = DAMAGE[name]
    damage(copy)
    found = {finding.rule: finding for finding in check_catalog(copy)}
    mine = [finding for text, finding in found.items() if text.startswith(rule)]
    assert len(mine) == 1, list(found)
    assert mine[0].repairable == repairable
    assert mine[0].rows >= 1


@pytest.mark.parametrize("name", [name for name, (_, _, repairable) in DAMAGE.items() if repairable])
def test_what_can_be_repaired_is(name, copy, sound):
    damage = DAMAGE[name][0]
    damage(copy)
    left = repair_catalog(copy)
    assert not left
    assert is_valid_catalog(copy, strict=True)
    assert [path.name for path in copy.parent.iterdir()] == ["catalog"]
    before = open_catalog(sound).to_pandas()["object_id"]
    missing = set(before) - set(open_catalog(copy).to_pandas()["object_id"])
    assert len(missing) == (name == "no entropy")


def test_a_repetition_that_lacks_something_does_not_cost_the_object(copy, sound):
    def damage(table):
        row = table.slice(3, 1)
        lacking = row.set_column(
            row.column_names.index("entropy"), row.schema.field("entropy"), pa.nulls(1, pa.float32())
        )
        return pa.concat_tables([lacking, table, row])

    rewrite(damage)(copy)
    assert repair_catalog(copy) == []
    before, after = (open_catalog(path).to_pandas() for path in (sound, copy))
    assert after["object_id"].tolist() == before["object_id"].tolist()
    assert after["entropy"].tolist() == before["entropy"].tolist()


def test_a_sound_catalogue_has_nothing_wrong(sound, catalog):
    assert check_catalog(sound) == []
    assert check_catalog(catalog.path) == []


def test_an_empty_one_too(tmp_path):
    out = write_catalog([], tmp_path / "catalog", provenance={}, classes=CLASSES, bands=BANDS)
    assert check_catalog(out) == []
    assert repair_catalog(out) == []


def test_the_command_tells_and_repairs(copy, capsys):
    shuffle(copy)
    for options, code, words in (
        ([], 1, "not so: rows are sorted on the sky"),
        (["--repair"], 0, "the catalogue keeps all its rules"),
        ([], 0, "the catalogue keeps all its rules"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["catalog", "check", str(copy), *options])
        assert stopped.value.code == code
        assert words in capsys.readouterr().out


def test_a_repair_that_fails_is_not_told_as_done(copy, capsys, monkeypatch):
    shuffle(copy)

    def full(*_):
        raise CatalogError("the disk is full")

    monkeypatch.setattr("galmorph.catalogs.checking._write_anew", full)
    with pytest.raises(SystemExit) as stopped:
        main(["catalog", "check", str(copy), "--repair"])
    said = capsys.readouterr()
    assert stopped.value.code != 0
    assert "the disk is full" in said.err
    assert "what is left" not in said.out


def test_other_columns_are_named_and_nothing_is_made_of_them(copy):
    rewrite(as_text)(copy)
    (finding,) = check_catalog(copy)
    assert finding.example.endswith("column ra must be double, got string")
    with pytest.raises(CatalogError, match="column ra must be double, got string; repeat the run"):
        repair_catalog(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["catalog"]


def test_what_is_written_while_a_catalogue_is_repaired_is_not_lost(copy, tmp_path, monkeypatch):
    shuffle(copy)
    told = []

    def written_meanwhile(wanted, came):
        if not told:
            told.append("")
            with pytest.raises(CatalogError, match="another call writes") as refused:
                write_catalog([], copy, provenance={}, classes=CLASSES, bands=BANDS)
            told.append(str(refused.value))
        return ""

    monkeypatch.setattr("galmorph.catalogs.checking.other_column", written_meanwhile)
    repair_catalog(copy)
    assert str(copy) in told[1]


def test_a_partition_that_cannot_be_read_is_named_by_a_repair(copy):
    file = open_catalog(copy).files[2]
    file.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(CatalogError, match=f"{file} cannot be read: .*; repeat the run, or copy the catalogue again"):
        repair_catalog(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["catalog"]
