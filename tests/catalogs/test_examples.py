"""The examples that people start from, and the lines of the documentation, run as they stand."""

import ast
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from make_rows import BANDS, CLASSES

from galmorph.catalogs import open_catalog, write_catalog
from galmorph.catalogs.howto import SNIPPETS, snippet

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "catalogs" / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.sql")), ids=lambda path: path.name)
def test_queries_are_answered(path, catalog):
    assert catalog.query(path.read_text(encoding="utf-8")).num_rows > 0


@pytest.mark.usefixtures("no_jit")
def test_crossmatch_finds_what_was_put_in(parts, tmp_path):
    pytest.importorskip("lsdb")
    field = [part for part in parts if part.name.startswith("plain")]
    path = write_catalog(field, tmp_path / "catalog", provenance={}, classes=CLASSES, bands=BANDS, max_rows=150)
    wanted = open_catalog(path).query('SELECT ra, dec + 1 / 3600 AS dec FROM catalog WHERE "primary"').to_pandas()
    nowhere = pd.DataFrame({"ra": [150.1], "dec": [2.6]})
    pd.concat([wanted, nowhere]).to_csv(tmp_path / "list.csv", index=False)
    run = subprocess.run(
        [sys.executable, EXAMPLES / "crossmatch_lsdb.py", path, tmp_path / "list.csv"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"{len(wanted)} pairs" in run.stdout


@pytest.mark.parametrize("program", SNIPPETS)
def test_the_page_shows_the_snippets_that_are_tested(program):
    page = (REPOSITORY / "docs" / "catalogue.md").read_text(encoding="utf-8")
    shown = page.split(f"<!-- snippet: {program} -->\n```python\n")[1].split("```")[0]
    # The same code, however it is laid out and quoted.
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(snippet(program, "RUN/catalog")))


def test_the_table_of_files_is_complete():
    readme = (REPOSITORY / "catalogs" / "README.md").read_text(encoding="utf-8")
    for path in (REPOSITORY / "catalogs").rglob("*"):
        if path.suffix in (".sql", ".py"):
            assert f"`{path.relative_to(REPOSITORY / 'catalogs')}`" in readme
