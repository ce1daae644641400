"""Sessions of DuckDB that can read the files of one catalogue and nothing else; kept warm for the next question."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from galmorph.catalogs.sky_functions import add_sky_functions
from galmorph.flags import FLAGS

#: Sessions that are kept: making one takes longer than most questions.
_KEPT = 4

_Key = tuple[int, tuple[Path, ...], str]
_sessions: OrderedDict[_Key, duckdb.DuckDBPyConnection] = OrderedDict()
_access = threading.Lock()


@contextmanager
def locked_session(files: Sequence[Path], memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that knows the functions of galmorph, may read some files, and has the key thrown after it.

    What a question makes in it (temporary views, variables) is its own and goes with it.

    Parameters
    ----------
    files : sequence of Path
        All that can be read.
    memory : str
        Most memory, as DuckDB reads it; shared by questions that are asked at the same time.

    Yields
    ------
    duckdb.DuckDBPyConnection
        The connection.
    """
    key = os.getpid(), tuple(files), memory
    with _access:
        if key not in _sessions:
            _sessions[key] = _make(files, memory)
        _sessions.move_to_end(key)
        connection = _sessions[key].cursor()
        while len(_sessions) > _KEPT:
            _sessions.popitem(last=False)
    try:
        yield connection
    finally:
        connection.close()


def _make(files: Sequence[Path], memory: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    add_sky_functions(connection)
    cases = " ".join(f"WHEN '{flag.name}' THEN {flag.value}" for flag in FLAGS)
    connection.execute(
        "CREATE MACRO has_flag(flags, name) AS "
        f"(flags & CASE name {cases} ELSE error('no flag is called ' || name) END) <> 0"
    )
    connection.execute(
        "CREATE MACRO colour(blue, red) AS CASE WHEN blue > 0 AND red > 0 THEN 2.5 * log10(red / blue) END"
    )
    settings = {
        "memory_limit": memory,
        "temp_directory": "",
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # The system keeps files in memory as long as there is room; the session need not.
        "enable_external_file_cache": False,
        "allowed_paths": [str(file) for file in files],
        "enable_external_access": False,
        "lock_configuration": True,
    }
    for name, setting in settings.items():
        connection.execute(f"SET {name} = ?", [setting])
    return connection
