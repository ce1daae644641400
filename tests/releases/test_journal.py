"""Steps that are done once, and a folder that one call holds."""

import os
import subprocess
import sys

import pytest

from galmorph.errors import RunError
from galmorph.releases.journal import Journal


class Counting:
    """Work that counts how often it is done."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"times": self.times, "place": os}


def test_what_is_done_is_not_done_again(tmp_path):
    journal, work = Journal(tmp_path), Counting()
    first, new = journal.do("adapt", {"a": 1}, work)
    again, repeated = Journal(tmp_path).do("adapt", {"a": 1}, work)
    assert (new, repeated, work.times) == (True, False, 1)
    assert again == first
    assert journal.do("adapt", {"a": 2}, work)[1]
    assert work.times == 2


def test_a_step_that_was_broken_off_is_done_again(tmp_path):
    journal, work = Journal(tmp_path), Counting()

    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.do("adapt", {}, broken)
    assert journal.read("adapt") is None
    journal.do("adapt", {}, work)
    # A file that is damaged says nothing.
    (tmp_path / "steps" / "adapt.json").write_text('{"step": "ad')
    journal.do("adapt", {}, work)
    assert work.times == 2


def test_two_at_once_are_refused(tmp_path):
    holder = Journal(tmp_path)
    with (
        holder.alone(),
        pytest.raises(RunError, match=f"is being worked on by process {os.getpid()} on"),
        Journal(tmp_path).alone(),
    ):
        pass
    with Journal(tmp_path).alone():
        pass


def test_a_killed_call_holds_nothing(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom galmorph.releases.journal import Journal\n"
        "with Journal(Path(sys.argv[1])).alone():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert (tmp_path / ".lock").read_text().startswith("process ")
    with Journal(tmp_path).alone():
        pass
