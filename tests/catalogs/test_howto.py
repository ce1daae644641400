import subprocess
import sys

import pytest

from galmorph.catalogs import how_to_open
from galmorph.catalogs.howto import SNIPPETS, snippet


@pytest.mark.usefixtures("no_jit")
@pytest.mark.parametrize("program", SNIPPETS)
def test_each_snippet_runs_as_it_stands(program, catalog):
    if program == "LSDB":
        pytest.importorskip("lsdb")
    run = subprocess.run([sys.executable, "-c", snippet(program, catalog.path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "elliptical" in run.stdout


def test_the_text_has_python_duckdb_and_lsdb(tmp_path):
    path = tmp_path / "it's here"
    text = how_to_open(path)
    for program in ("Python", "DuckDB", "LSDB"):
        assert f"{program}:\n" in text
    for line in text.splitlines():
        if line.startswith("    "):
            compile(line.strip(), "snippet", "exec")
    assert repr(str(path)) in text
