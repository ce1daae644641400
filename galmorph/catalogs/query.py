"""Ask a catalogue with SQL that nobody has vouched for: DuckDB, locked down to reading one table."""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from galmorph.catalogs.nearest import nearest_columns
from galmorph.catalogs.partitions import span_of
from galmorph.catalogs.session import locked_session
from galmorph.errors import CatalogError

if TYPE_CHECKING:
    from galmorph.catalogs.regions import Region

#: Name of the table in queries.
TABLE = "catalog"
#: Functions that may stand where a table does; all others can reach files, settings or memory.
_TABLE_FUNCTIONS = frozenset({"generate_series", "range", "unnest"})
#: Rows fetched at once; few, since each may be large.
_BATCH = 2_048
#: Columns whose names are words of SQL and need quotation marks.
_RESERVED = ("primary",)


def run_query(
    files: Sequence[Path],
    sql: str,
    *,
    variables: Mapping[str, Any] | None = None,
    within: "Sequence[Region]" = (),
    object_ids: Sequence[int] | None = None,
    timeout: float = 60.0,
    memory: str = "2GB",
) -> pa.Table:
    """Result of one SELECT over Parquet files that together are the table `catalog`.

    Beside DuckDB's own functions there are `has_flag(flags, 'NAME')` and those of `galmorph.catalogs.sky_functions`.

    Parameters
    ----------
    files : sequence of Path
        Parquet files of one schema.
    sql : str
        One SELECT statement. Text that nobody has vouched for is safe: it cannot read or write files, change settings,
        load extensions or reach any other table.
    variables : mapping, optional
        Values that the query gets with `getvariable('name')`.
    within : sequence of Region
        Parts of the sky: the table has only rows that lie in all of them. Files that can have none are not opened.
    object_ids : sequence of int, optional
        The only rows that the table has; all by default.
    timeout : float
        Seconds after which the query is stopped.
    memory : str
        Most memory that the query may take, and most that its result may, as DuckDB reads it ("500MB", "2GB").

    Returns
    -------
    pyarrow.Table
        The result; of columns of one name, the second has a 2 behind its name.

    Raises
    ------
    CatalogError
        If the text is not one SELECT over the table, or the query fails, takes too long or too much memory.
    """
    largest = _bytes(memory)
    with _asking(files, variables or {}, within, object_ids, memory) as connection:
        check_select(connection, sql)
        try:
            return _run(connection, sql, timeout, largest)
        except duckdb.InterruptException as error:
            raise CatalogError(f"the query took longer than {timeout:g} s and was stopped") from error
        except (duckdb.OutOfMemoryException, _TooLargeError) as error:
            raise CatalogError(
                f"the query or its result needs more than {memory} of memory: ask for fewer rows or columns, "
                "or raise the memory"
            ) from error
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            columns = pq.read_schema(files[0]).names
            raise CatalogError(f"the query failed: {_explain(error, columns)}") from error


@contextmanager
def _asking(
    files: Sequence[Path],
    variables: Mapping[str, Any],
    within: "Sequence[Region]",
    object_ids: Sequence[int] | None,
    memory: str,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked connection in which the table is what a question may see."""
    try:
        with locked_session(files, memory) as connection:
            _make_table(connection, files, within, object_ids)
            for name, value in variables.items():
                connection.execute(f"SET VARIABLE {name} = ?", [value])
            yield connection
    except duckdb.Error as error:
        raise CatalogError(f"the catalogue cannot be read: {_first_lines(error)}") from error


def _make_table(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    within: "Sequence[Region]",
    object_ids: Sequence[int] | None,
) -> None:
    """The view that queries see: all rows, or those in every region and of the identifiers."""
    touched = [file for file in files if all(region.cover.overlap(*span_of(file)) for region in within)]
    paths = ", ".join("'" + str(file).replace("'", "''") + "'" for file in touched or files[:1])
    conditions, joins = [region.condition for region in within if region.condition], ""
    for number, region in enumerate(region for region in within if not region.condition):
        name = f"_ranges_{number}"
        _keep(connection, name, pa.table({"low": region.cover.low, "high": region.cover.high}))
        joins += f" ASOF JOIN {name} ON _rows._healpix_29 >= {name}.low"
        conditions.append(f"_rows._healpix_29 < {name}.high")
        # Bounds that DuckDB skips rows by.
        conditions.append(f"_rows._healpix_29 BETWEEN {region.cover.low[0]} AND {region.cover.high[-1]}")
    if object_ids is not None:
        _keep(connection, "_wanted", pa.table({"object_id": pa.array(object_ids, pa.int64())}))
        conditions.append("_rows.object_id IN (SELECT object_id FROM _wanted)")
    kept = f" WHERE {' AND '.join(conditions) if touched else 'false'}" if conditions else ""
    connection.execute(
        f"CREATE TEMP VIEW {TABLE} AS SELECT _rows.* "  # noqa: S608 - paths are quoted, conditions are numbers
        f"FROM read_parquet([{paths}], hive_partitioning = false) AS _rows{joins}{kept}"
    )


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Make a table that the view needs, in its order."""
    connection.register("_given", rows)
    connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM _given")  # noqa: S608
    connection.unregister("_given")


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse text that is not one SELECT over the catalogue.

    The settings of the session already forbid files and writing; this is the second lock, and the one that explains.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Only its parser is used.
    sql : str
        The text.

    Raises
    ------
    CatalogError
        If it is anything else.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise CatalogError(f"the query is not SQL that DuckDB understands: {_explain(error, ())}") from error
    if len(statements) != 1:
        raise CatalogError(f"a query is one SELECT statement, got {len(statements)} statements")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise CatalogError(f"a catalogue is read-only: a query is one SELECT statement, got {statements[0].type.name}")
    tree = _tree(connection, statements[0].query)
    if tree.get("error", True):
        raise CatalogError(
            f"a query is one SELECT statement: {tree.get('error_message', 'this one cannot be examined')}"
        )
    _check_sources(tree)


def check_condition(text: str) -> None:
    """Refuse text that is not one condition as it stands behind WHERE.

    Parameters
    ----------
    text : str
        SQL that is to be put between parentheses, on lines of its own.

    Raises
    ------
    CatalogError
        If it is anything else, as text that closes the parentheses.
    """
    with duckdb.connect(":memory:") as connection:
        tree, bare = (_tree(connection, f"SELECT\n{words}\n") for words in (text, "1"))
    if tree.get("error", True):
        reason = ValueError(tree.get("error_message", "it cannot be examined"))
        raise CatalogError(f"{text!r} is no condition in SQL: {_explain(reason, ())}")
    nodes = [statement["node"] for statement in tree["statements"]]
    columns = [node.pop("select_list", []) for node in nodes]
    bare["statements"][0]["node"].pop("select_list")
    if nodes != [bare["statements"][0]["node"]] or len(columns[0]) != 1 or columns[0][0].get("alias"):
        raise CatalogError(f"a condition is one expression, such as p_merger > 0.9 AND snr > 20; got {text!r}")


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """A statement as DuckDB's parser sees it."""
    text = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    try:
        found: dict[str, Any] = json.loads(text)
    except RecursionError as error:
        raise CatalogError("the query is nested too deeply to be examined: write it with fewer levels") from error
    return found


def _check_sources(tree: Any) -> None:
    """Refuse a statement that reads from anything but the catalogue and its own parts."""
    for node, known in _nodes(tree):
        source = None
        if node.get("type") == "BASE_TABLE":
            path = node["qualified_name"]["path"]
            source = ".".join(path) if len(path) != 1 or _folded(path[0]) not in known else None
        elif node.get("type") == "TABLE_FUNCTION":
            name = node["function"].get("function_name", "")
            source = f"{name}()" if _folded(name) not in _TABLE_FUNCTIONS else None
        elif node.get("type") == "SHOW_REF" and node.get("query") is None:
            source = f"the database's own tables; DESCRIBE {TABLE} lists the columns"
        if source is not None:
            raise CatalogError(f"a query can read the table {TABLE} and nothing else, not {source}")


def _nodes(tree: Any) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Every node of a serialised statement, and the tables that it knows: the catalogue and, where they hold, CTEs."""
    todo: list[tuple[Any, frozenset[str]]] = [(tree, frozenset([TABLE]))]
    while todo:
        node, known = todo.pop()
        if isinstance(node, list):
            todo.extend((entry, known) for entry in node)
        if not isinstance(node, dict):
            continue
        for entry in node.get("cte_map", {}).get("map", []):
            # What a CTE reads under its own name, or that of a later one, is a table of the database.
            todo.append((entry["value"], known))
            known |= {_folded(entry["key"])}
        yield node, known
        recursive = {_folded(node["cte_name"])} if node.get("type") == "RECURSIVE_CTE_NODE" else set()
        for name, child in node.items():
            if name != "cte_map":
                todo.append((child, known | recursive if name == "right" else known))


def _folded(name: str) -> str:
    """A name as DuckDB compares it: ASCII letters alone are the same in upper and lower case."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


class _TooLargeError(Exception):
    """The result passes the memory that it may take."""


def _run(connection: duckdb.DuckDBPyConnection, sql: str, timeout: float, largest: int) -> pa.Table:
    """Run a statement that was examined, bounded in time and in the bytes that come back."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        connection.interrupt()

    timer = threading.Timer(timeout, stop)
    timer.start()
    batches, size = [], 0
    try:
        reader = connection.sql(sql).to_arrow_reader(_BATCH)
        for batch in reader:
            size += batch.nbytes
            if size > largest:
                raise _TooLargeError
            batches.append(batch)
    except OSError as error:
        # What goes wrong while the result is fetched comes as OSError, an interrupt too.
        if late.is_set():
            raise duckdb.InterruptException(str(error)) from error
        raise
    finally:
        timer.cancel()
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return pa.table([_number(column) for column in table.columns], names=_once(table.column_names))


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals, in which DuckDB sums integers and reads 1.5, as numbers that every program and format has."""
    if not pa.types.is_decimal(column.type):
        return column
    largest = pc.max(pc.abs(column)).as_py() or 0
    return column.cast(pa.int64() if column.type.scale == 0 and largest < 2**63 else pa.float64())


def _once(names: Sequence[str]) -> list[str]:
    """Each name once, as of the two labels of a join: a table for programs has no second column of a name."""
    found: list[str] = []
    for name in names:
        unique, number = name, 2
        while unique in found or (unique != name and unique in names):
            unique, number = f"{name}_{number}", number + 1
        found.append(unique)
    return found


def _explain(error: Exception, columns: Sequence[str]) -> str:
    """What DuckDB says, without the drawing of the place, and what to do."""
    text = str(error)
    # What a function of galmorph complains of comes wrapped.
    words = _first_lines(error).rpartition("executing the UDF: CatalogError: ")[2]
    if "Referenced column" in text or "does not have a column" in text:
        wanted = re.findall(r'column (?:named )?"([^"]*)"', text) or [""]
        meant = f" Text stands in single quotes, as '{wanted[0]}'." if "Referenced column" in text else ""
        words = f"{words.split(' Candidate')[0]}{meant} The columns are {nearest_columns(columns, wanted)}"
    for name in _RESERVED:
        if f'at or near "{name}"' in text:
            words += f'. {name} is a word of SQL: write "{name}", in quotation marks, for the column'
    return words


def _first_lines(error: Exception) -> str:
    """The message in one line, without the drawing of the place in the query."""
    return " ".join(str(error).split("\n\nLINE")[0].split())


def _bytes(size: str) -> int:
    """Bytes in a size such as 500MB."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = size[:-2], size[-2:].upper()
    if unit not in units or not re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", number):
        raise CatalogError(f"memory is a number and KB, MB, GB or TB, such as 2GB; got {size!r}")
    return int(float(number) * units[unit])
