"""Folders that hold the files of tiles, each listed once."""

import glob
import os
import sys
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from galmorph.surveys.layout import COMPRESSIONS, name_expression, plain_name


class Folders:
    """Looks for files in folders, each of which is listed once at most."""

    def __init__(self) -> None:
        self._names: dict[Path, list[str]] = {}
        self._globbed: dict[str, list[Path]] = {}

    def add(self, folder: Path, names: Iterable[str]) -> None:
        """Take down what a folder holds."""
        self._names[folder] = sorted(names)

    def glob(self, pattern: str) -> list[Path]:
        """What fits a pattern of paths, absolute and sorted."""
        if pattern not in self._globbed:
            matches = {Path(os.path.abspath(match)) for match in glob.glob(pattern)}  # noqa: PTH100, PTH207 - not resolved
            self._globbed[pattern] = sorted(matches)
        return self._globbed[pattern]

    def files(self, folder: Path, name: str) -> list[Path]:
        """Files of a plain name, which may hold ``*``, in a folder; only the first of several compressions of one.

        Parameters
        ----------
        folder : Path
            Where to look.
        name : str
            File name without the ending of a compression.

        Returns
        -------
        list of Path
            Sorted; more than one only when `name` holds ``*``.
        """
        if "*" not in name:
            there = [name + ending for ending in ("", *COMPRESSIONS) if self._may_hold(folder, name + ending)]
            return next(([folder / known] for known in there if (folder / known).is_file()), [])
        if folder not in self._names:
            self.add(folder, (path.name for path in folder.iterdir()) if folder.is_dir() else ())
        expression, found = name_expression(name, ()), dict[str, Path]()
        for known in _beginning(self._names[folder], name.partition("*")[0]):
            plain = plain_name(known)
            if expression.fullmatch(plain) and plain not in found:
                found[plain] = folder / known
        return list(found.values())

    def _may_hold(self, folder: Path, name: str) -> bool:
        """False where a folder that was listed has no such name."""
        return folder not in self._names or name in _beginning(self._names[folder], name)


def _beginning(names: list[str], start: str) -> list[str]:
    """Those of sorted names that begin with a text."""
    return names[bisect_left(names, start) : bisect_left(names, start + chr(sys.maxunicode))]
