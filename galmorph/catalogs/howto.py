"""How to open a catalogue with other programs, in lines that run as they stand."""

from pathlib import Path

#: What each snippet needs, and its text with {path} for the folder of the catalogue as a Python string.
SNIPPETS = {
    "Python": """\
import galmorph
catalog = galmorph.open_catalog({path})
counts = 'SELECT label, count(*) AS n FROM catalog WHERE "primary" AND NOT unknown GROUP BY label ORDER BY n DESC'
print(catalog.query(counts))
""",
    "DuckDB": """\
import duckdb
catalog = duckdb.read_parquet({glob})
counts = 'SELECT label, count(*) AS n FROM catalog WHERE "primary" AND NOT unknown GROUP BY label ORDER BY n DESC'
print(duckdb.sql(counts))
""",
    "LSDB": """\
import lsdb
catalog = lsdb.open_catalog({path}, columns=["ra", "dec", "label", "primary", "unknown"])
print(catalog.query("primary and not unknown").compute())
""",
    "pandas": """\
import pandas
catalog = pandas.read_parquet({dataset}, partitioning=None)
print(catalog[catalog["primary"] & ~catalog["unknown"]].groupby("label").size())
""",
    "polars": """\
import polars
catalog = polars.scan_parquet({glob})
print(catalog.filter("primary", ~polars.col("unknown")).group_by("label").len().collect())
""",
}


def snippet(program: str, path: str | Path) -> str:
    """Python lines that open a catalogue with one program.

    Parameters
    ----------
    program : str
        A key of `SNIPPETS`.
    path : str or Path
        Folder of the catalogue.

    Returns
    -------
    str
        Lines to paste.
    """
    path = Path(path)
    places = {"path": path, "glob": path / "dataset" / "**" / "*.parquet", "dataset": path / "dataset"}
    return SNIPPETS[program].format(**{name: repr(str(place)) for name, place in places.items()})


def how_to_open(path: str | Path) -> str:
    """How to open a catalogue from Python, DuckDB and LSDB.

    Parameters
    ----------
    path : str or Path
        Folder of the catalogue.

    Returns
    -------
    str
        A short text with one snippet for each, to be shown to a person.
    """
    return "\n".join(f"{program}:\n{_indent(snippet(program, path))}" for program in ("Python", "DuckDB", "LSDB"))


def _indent(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
