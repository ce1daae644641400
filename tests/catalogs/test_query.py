import json
import time

import duckdb
import numpy as np
import pytest

from galmorph.catalogs.query import run_query
from galmorph.errors import CatalogError
from galmorph.flags import FLAGS

ALLOWED = [
    'SELECT count(*) FROM catalog WHERE "primary"',
    "SELECT c.primary FROM catalog c LIMIT 1",
    "select ra from CATALOG limit 1;",
    "WITH bright AS (SELECT * FROM catalog WHERE snr > 50) SELECT label, count(*) FROM bright GROUP BY label",
    "WITH a AS (SELECT * FROM catalog), B AS (SELECT * FROM A) SELECT * FROM (SELECT * FROM b LIMIT 1)",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3), u AS (FROM t) SELECT * FROM u",
    "WITH a AS (SELECT 1) (SELECT * FROM a) UNION ALL (SELECT * FROM a)",
    "SELECT (WITH a AS (SELECT 1 AS one) SELECT one FROM a WHERE one IN (SELECT one FROM a)) FROM catalog LIMIT 1",
    "SELECT a.object_id FROM catalog a JOIN catalog b USING (object_id) LIMIT 3",
    "SELECT unnest([1, 2])",
    "SELECT * FROM range(3)",
    "FROM catalog LIMIT 2",
    "TABLE catalog",
    "VALUES (1)",
    "DESCRIBE catalog",
    "SUMMARIZE SELECT ra FROM catalog",
    "SELECT sum(snr) OVER (PARTITION BY label) FROM catalog LIMIT 2",
]


@pytest.mark.parametrize("sql", ALLOWED)
def test_questions_are_answered(sql, catalog):
    assert catalog.query(sql).num_rows > 0


OUTSIDE = "/etc/passwd"
REFUSED = {
    "": "got 0 statements",
    "SELECT 1; SELECT 2": "got 2 statements",
    "SELECT 1; DROP TABLE catalog": "got 2 statements",
    "DROP VIEW catalog": "read-only",
    "CREATE TABLE t AS SELECT 1": "read-only",
    "INSERT INTO catalog VALUES (1)": "read-only",
    "DELETE FROM catalog": "read-only",
    "COPY catalog TO '{inside}/x.csv'": "read-only",
    "COPY (SELECT 1) TO '/tmp/galmorph-x.csv'": "read-only",
    "EXPORT DATABASE '/tmp/galmorph-x'": "read-only",
    "ATTACH '/tmp/galmorph-x.db'": "read-only",
    "INSTALL httpfs": "read-only",
    "LOAD httpfs": "read-only",
    "SET enable_external_access = true": "read-only",
    "RESET lock_configuration": "read-only",
    "PRAGMA database_list": "read-only",
    "CALL pragma_version()": "read-only",
    "EXPLAIN SELECT 1": "read-only",
    f"SELECT * FROM '{OUTSIDE}'": "nothing else, not",
    f"SELECT * FROM read_text('{OUTSIDE}')": "nothing else, not read_text",
    f"SELECT * FROM read_csv_auto(['{OUTSIDE}'])": "nothing else, not read_csv_auto",
    f"SELECT (SELECT content FROM read_blob('{OUTSIDE}'))": "nothing else, not read_blob",
    f"WITH t AS (SELECT * FROM read_text('{OUTSIDE}')) SELECT * FROM t": "nothing else, not read_text",
    f"SELECT 1 UNION ALL SELECT length(content) FROM read_text('{OUTSIDE}')": "nothing else, not read_text",
    f"SELECT * FROM catalog WHERE label IN (SELECT content FROM read_text('{OUTSIDE}'))": "nothing else, not read_text",
    f"DESCRIBE SELECT * FROM read_text('{OUTSIDE}')": "nothing else, not read_text",
    "SELECT * FROM read_parquet('{inside}/**/*.parquet')": "nothing else, not read_parquet",
    "SELECT * FROM glob('/etc/*')": "nothing else, not glob",
    "SELECT * FROM query('SELECT 1')": "nothing else, not query",
    "SELECT * FROM duckdb_settings()": "nothing else, not duckdb_settings",
    "SELECT * FROM information_schema.tables": "nothing else, not information_schema.tables",
    "SELECT * FROM memory.main.catalog": "nothing else, not memory.main.catalog",
    "SELECT * FROM json_execute_serialized_sql('[]')": "nothing else, not json_execute_serialized_sql",
    "SELECT * FROM python_scan": "nothing else, not python_scan",
    **{
        sql.replace("NAME", name): f"nothing else, not {name}"
        for name in ("sqlite_master", "duckdb_views")
        for sql in (
            "SELECT * FROM NAME, (WITH NAME AS (SELECT 1 AS one) SELECT one FROM NAME) s",
            "SELECT (WITH NAME AS (SELECT 1 AS one) SELECT one FROM NAME), * FROM NAME",
            "(WITH NAME AS (SELECT 'a' AS one) SELECT one FROM NAME) UNION ALL SELECT sql FROM NAME",
            "WITH NAME AS (SELECT * FROM NAME) SELECT * FROM NAME",
            "WITH a AS (SELECT * FROM NAME), NAME AS (SELECT 1 AS one) SELECT * FROM a",
            "WITH RECURSIVE a AS (SELECT * FROM NAME), NAME AS (SELECT 1 AS one) SELECT * FROM a",
            "WITH RECURSIVE NAME AS (SELECT sql FROM NAME UNION SELECT sql FROM NAME) SELECT * FROM NAME",
        )
    },
    "WITH duc\u212adb_views AS (SELECT 1 AS one) SELECT * FROM duckdb_views": "nothing else, not duckdb_views",
    "SHOW TABLES": "DESCRIBE catalog lists the columns",
    "SELECT * FROM (SHOW ALL TABLES)": "DESCRIBE catalog lists the columns",
    "SELECT " + "+".join(["1"] * 900): "nested too deeply",
    "SELECT " + "abs(" * 900 + "1" + ")" * 900: "nested too deeply",
    "SELCT 1": "not SQL that DuckDB understands: .*SELCT",
    "SELECT redshift FROM catalog": r"redshift.* The columns are .* and \d+ others",
    'SELECT ra FROM catalog WHERE label = "merger"': r"Text stands in single quotes, as 'merger'\. The columns are",
    "SELECT p_elliptic FROM catalog": r"The columns are p_elliptical, .* and \d+ others$",
    "SELECT c.half_radius FROM catalog AS c": r"The columns are half_light_radius, .* and \d+ others$",
    "SELECT ra FROM catalog WHERE primary": 'write "primary", in quotation marks',
    "SELECT has_flag(flags, 'SHINY') FROM catalog": "no flag is called SHINY",
    "SELECT ra FROM catalog WHERE dec = 'north'": "Could not convert string 'north'",
    "SELECT ? FROM catalog": "the query failed",
}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:60])
def test_what_is_no_question_is_refused_in_words(sql, catalog):
    with pytest.raises(CatalogError, match=REFUSED[sql]):
        catalog.query(sql.replace("{inside}", str(catalog.path / "dataset")))


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT * FROM read_text('{OUTSIDE}')",
        f"SELECT * FROM '{OUTSIDE}'",
        "SELECT * FROM glob('/etc/*')",
        "COPY catalog TO '/tmp/galmorph-x.csv'",
        "COPY catalog TO '{inside}/x.csv'",
        "ATTACH '/tmp/galmorph-x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
    ],
)
def test_the_session_is_locked_even_behind_the_examiner(sql, catalog, monkeypatch):
    monkeypatch.setattr("galmorph.catalogs.query.check_select", lambda *_: None)
    with pytest.raises(CatalogError):
        catalog.query(sql.replace("{inside}", str(catalog.path / "dataset")))


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT sum(sin(a.range * b.range)) FROM range(1000000) a, range(1000000) b",
    ],
)
def test_a_question_without_end_is_stopped(sql, catalog):
    start = time.monotonic()
    with pytest.raises(CatalogError, match=r"took longer than 0\.5 s"):
        catalog.query(sql, timeout=0.5)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT list(a.range) FROM range(100000000) a, range(1000) b", "more than 200MB"),
        ("SELECT repeat('a', 100000) FROM range(100000)", "more than 200MB"),
    ],
)
def test_memory_is_bounded(sql, words, catalog):
    with pytest.raises(CatalogError, match=words):
        catalog.query(sql, memory="200MB")


@pytest.mark.parametrize("memory", ["2", "GB", "many GB", "2 furlongs", "\u00b2MB", "\u0663GB", "1.2.3GB", ".GB"])
def test_memory_has_a_unit(memory, catalog):
    with pytest.raises(CatalogError, match="2GB"):
        catalog.query("SELECT 1", memory=memory)


def test_nothing_of_the_calling_program_is_seen(catalog):
    secret = duckdb.sql("SELECT 42 AS answer")
    assert secret.fetchall() == [(42,)]
    with pytest.raises(CatalogError, match="not secret"):
        catalog.query("SELECT * FROM secret")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_has_flag_reads_the_bit(flag, catalog):
    found = catalog.query(f"SELECT flags, has_flag(flags, '{flag.name}') AS set FROM catalog")
    assert np.array_equal(found["set"].to_numpy(), (found["flags"].to_numpy() & flag.value) > 0)


def test_answers_are_those_of_pandas(catalog):
    frame = catalog.to_pandas()
    table = catalog.query('SELECT label, avg(snr) AS snr FROM catalog WHERE "primary" GROUP BY label ORDER BY label')
    expected = frame[frame["primary"]].groupby("label")["snr"].mean()
    assert table["label"].to_pylist() == list(expected.index)
    assert table["snr"].to_pylist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_columns_of_one_name_are_all_kept(catalog):
    row = catalog.query("SELECT 1 AS x, 2 AS x, 3 AS x_2, 4 AS x").to_pylist()[0]
    assert row == {"x": 1, "x_3": 2, "x_2": 3, "x_4": 4}
    joined = catalog.query("SELECT a.label, b.label FROM catalog a JOIN catalog b USING (object_id) LIMIT 1")
    assert joined.column_names == ["label", "label_2"]
    assert joined.schema.field("label_2").type == joined.schema.field("label").type


def test_sums_are_numbers_for_every_program(catalog):
    frame = catalog.to_pandas()
    table = catalog.query(
        "SELECT sum(flags) AS flags, 1.5 AS half, sum(object_id) AS ids, sum(flags) FILTER (false) AS no FROM catalog"
    )
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "double", "int64"]
    half, ids = 1.5, float(sum(map(int, frame["object_id"])))
    assert table.to_pylist() == [{"flags": frame["flags"].sum(), "half": half, "ids": ids, "no": None}]


def test_conditions_are_pushed_into_the_scan(catalog):
    """Partitions whose statistics rule them out are not read."""
    relation = duckdb.connect().read_parquet([str(file) for file in catalog.files], hive_partitioning=False)
    relation.create_view("catalog")
    plan = relation.query("catalog", "EXPLAIN (FORMAT json) SELECT ra FROM catalog WHERE _healpix_29 < 100").fetchall()
    scan = json.loads(plan[0][1])[0]
    while scan["children"]:
        scan = scan["children"][0]
    assert "_healpix_29<100" in scan["extra_info"]["Filters"].replace(" ", "")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CatalogError, match="cannot be read"):
        run_query([tmp_path / "nothing.parquet"], "SELECT 1")
