"""A run folder belongs to one call at a time, which clears away what killed ones left half written."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from galmorph.errors import RunError
from galmorph.inference.journal import Journal, told_in_words
from galmorph.locks import take

_LOCK = ".lock"


@contextmanager
def held(journal: Journal) -> Iterator[None]:
    """Hold a run folder, which is made if it is not there, until the end of the block.

    Parameters
    ----------
    journal : Journal
        The run folder.

    Raises
    ------
    RunError
        If another call holds the folder, or it is a file, or not empty and holds no run.
    FolderError
        If it cannot be written.
    """
    folder = journal.folder
    with told_in_words(folder):
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder} is a file, and a run needs a folder; give a new one with --out")
        if folder.exists() and not journal.run_file.exists() and any(_visible(folder)):
            raise RunError(f"{folder} is not empty and holds no run; give a new folder with --out")
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("a")
    with file:
        if not take(file, folder):
            raise RunError(
                f"another call works on {folder} now; wait for its end, stop it, or give another folder with --out"
            )
        try:
            _sweep(folder)
            yield
            # A worker that was killed while it wrote, in a run that went on without it, leaves the same.
            _sweep(folder)
        finally:
            if not journal.run_file.exists():
                _leave(folder, made)


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _sweep(folder: Path) -> None:
    """Remove files that never got their names, as a killed process leaves them."""
    for where in (folder, folder / "parts", folder / "rejects"):
        for scratch in where.glob(".*.tmp"):
            with told_in_words(scratch):
                scratch.unlink(missing_ok=True)


def _leave(folder: Path, made: Sequence[Path]) -> None:
    """Leave no trace of a call that did not come to make a run: the lock goes, and the folders that it made."""
    with contextlib.suppress(OSError):
        (folder / _LOCK).unlink()
        for path in made:
            path.rmdir()
