"""A script that starts workers is imported by them."""

import subprocess
import sys
from multiprocessing import get_context

import pytest
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

from galmorph.errors import RunError
from galmorph.inference.spawned import refuse_import, starts_when_imported

CALL = 'print(galmorph.classify("tiles", "mock-decals", "model", "run", workers=1).report.scored, "objects")'


@pytest.fixture
def script(tmp_path):
    """Save a script beside tiles and a model, and run it."""
    make_tile(tmp_path / "tiles", "tile", ra=150.0, seed=1, size=112, objects=5)
    make_bundle(tmp_path / "model", list(BANDS))

    def run(*lines):
        path = tmp_path / "script.py"
        path.write_text("\n".join(["import galmorph", *lines]))
        return subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("lines", [[CALL], ["def main():", f"    {CALL}", "main()"]])
def test_a_script_without_a_guard_is_told_what_to_do(script, lines):
    ended = script(*lines)
    words = ended.stderr
    assert ended.returncode == 1
    assert "1 worker processes could not be started" in words.splitlines()[-1]
    assert 'below a line `if __name__ == "__main__":`' in words.splitlines()[-1]
    assert "memory" not in words
    assert "another call works on" not in words
    # The worker itself says so too.
    assert words.count("the script starts workers whenever it is imported, and each of its workers imports it") == 1


def test_a_script_with_a_guard_goes_through(script):
    ended = script("if __name__ == '__main__':", f"    {CALL}")
    assert (ended.returncode, ended.stdout.split()[1:]) == (0, ["objects"]), ended.stderr


def test_the_guard_is_seen(tmp_path):
    asks = "from galmorph.inference.spawned import starts_when_imported as asked"
    for lines, answer in (
        ("print(asked())", "True"),
        ("def main():\n    print(asked())\n\n\nmain()", "True"),
        ("if __name__ == '__main__':\n    print(asked())", "False"),
        ("def main():\n    print(asked())\n\n\nif '__main__' == __name__:\n    main()", "False"),
    ):
        path = tmp_path / "script.py"
        path.write_text(f"{asks}\n{lines}\n")
        assert subprocess.run([sys.executable, path], capture_output=True, text=True).stdout.strip() == answer
        piped = subprocess.run([sys.executable, "-"], input=path.read_text(), capture_output=True, text=True)
        assert piped.stdout.strip() == "False"  # nothing that a worker could import
    assert not starts_when_imported()


def test_a_process_that_was_started_may_start_workers_itself():
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(refuse_import) is None


def test_a_call_while_the_script_is_imported_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "__mp_main__", object())
    with pytest.raises(RunError, match="imported"):
        refuse_import()


STOPPED = """
import asyncio, os, signal
from distributed import Nanny
from galmorph.inference.cluster import _local_cluster

async def begin(self):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)

Nanny.start_unsafe = begin
# What runs in the background of a script is started with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    _local_cluster(1)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_call_that_is_stopped_while_its_workers_begin_ends_without_a_traceback():
    ended = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=50)
    assert ended.stdout == "stopped\n"
    assert ended.stderr == ""
