"""What has been done for a release: one small file for each step, whose existence with the right key is the proof.

The key of a step is a digest of its settings and of what the steps before it gave. A step that was broken off, by
whatever, has no file and is done again; one that is done is not; a setting that is changed repeats the steps that it
concerns and those that build on them.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from galmorph.errors import RunError
from galmorph.inference.config import digest
from galmorph.inference.journal import write_json, write_text
from galmorph.locks import take

#: Does a step, and returns what it gave.
Work = Callable[[], Mapping[str, Any]]

#: Folder of the steps' files, and the lock, in the folder of a release.
STEPS, LOCK = "steps", ".lock"


@dataclass(frozen=True)
class Entry:
    """A step that is done.

    Parameters
    ----------
    step : str
        Its name.
    key : str
        Digest of what it depends on.
    facts : dict
        What it gave.
    finished : str
        UTC, ISO 8601.
    seconds : float
        Wall time of the attempt that finished it.
    """

    step: str
    key: str
    facts: dict[str, Any]
    finished: str
    seconds: float


class Journal:
    """Steps in the folder of a release.

    Parameters
    ----------
    folder : Path
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, step: str) -> Entry | None:
        """What a step gave; None if it is not done, or its file is damaged."""
        try:
            return Entry(**json.loads(self._file(step).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, step: str, key: str, facts: Mapping[str, Any], seconds: float) -> Entry:
        """Record that a step is done."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        # Through JSON, so that the first call and those that read it give the same.
        plain = json.loads(json.dumps(dict(facts), default=str))
        entry = Entry(step, key, plain, now, round(seconds, 1))
        write_json(self._file(step), vars(entry))
        return entry

    @staticmethod
    def key(step: str, depends: Mapping[str, Any]) -> str:
        """Digest of what a step depends on."""
        return digest(json.loads(json.dumps({"step": step, **depends}, default=str)))

    def do(self, step: str, depends: Mapping[str, Any], work: Work) -> tuple[Entry, bool]:
        """A step's entry, and whether its work had to be done for it.

        Parameters
        ----------
        step : str
            Its name.
        depends : mapping
            JSON-able: settings, and what earlier steps gave.
        work : callable
            Does it, and returns facts.

        Returns
        -------
        Entry, bool
            False if it was done before.
        """
        key = self.key(step, depends)
        entry = self.read(step)
        if entry is not None and entry.key == key:
            return entry, False
        started = time.perf_counter()
        facts = work()
        return self.write(step, key, facts, time.perf_counter() - started), True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: a second call is refused while this one lives, and none is once it is gone.

        Raises
        ------
        RunError
            If another call holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a+") as file:
            if not take(file, self.folder):
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise RunError(
                    f"{self.folder} is being worked on by {holder}; wait for it, or stop it and give the command again"
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def keep(self, name: str, text: str) -> None:
        """Write a file of the folder by atomic rename."""
        write_text(self.folder / name, text)

    def _file(self, step: str) -> Path:
        return self.folder / STEPS / f"{step}.json"
