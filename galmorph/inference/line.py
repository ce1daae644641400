"""A worker's line of production: a tile is prepared while the model scores another; what it waits for is known."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_END = object()


class Line:
    """Turns that the tiles in progress in one process take, and the time in which the model had to wait for them.

    One tile at a time is prepared (read and searched for objects), so that the memory for that is needed once, and one
    batch of cutouts at a time is scored. With two tiles in progress the one is prepared while the other is scored.
    """

    def __init__(self) -> None:
        self._preparing, self._scoring, self._books = threading.Lock(), threading.Lock(), threading.Lock()
        self._tiles = 0
        self._idle_since = 0.0

    @contextmanager
    def tile(self) -> Iterator["Turns"]:
        """A tile in progress, from its first byte to its part."""
        turns = Turns(self)
        with self._books:
            if self._tiles == 0:
                self._idle_since = time.perf_counter()
            self._tiles += 1
        try:
            yield turns
        finally:
            with self._books:
                self._tiles -= 1
                if self._tiles == 0:
                    turns.seconds["idle"] += time.perf_counter() - self._idle_since


class Turns:
    """What one tile waits for, and how long each of its stages took.

    Parameters
    ----------
    line : Line
        Of the process.

    Attributes
    ----------
    seconds : dict of str to float
        Wall time of each stage. ``queue`` is the time in which the tile waited for its turn or its cutouts, ``idle``
        that before its batches in which the model scored nothing although tiles were in progress: the part of
        reading, searching, cutting and writing that was not overlapped with scoring.
    """

    def __init__(self, line: Line) -> None:
        self.seconds: dict[str, float] = {"idle": 0.0}
        self._line = line
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last call as of a stage."""
        now = time.perf_counter()
        self.add(stage, now - self._last)
        self._last = now

    def add(self, stage: str, seconds: float) -> None:
        """Count what was done beside, by another thread, as of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """The turn to read a tile and find its objects."""
        with self._line._preparing:
            self.lap("queue")
            yield

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """The turn to use the model; counted as the stage ``score``."""
        line = self._line
        with line._scoring:
            self.lap("queue")
            with line._books:
                self.seconds["idle"] += time.perf_counter() - line._idle_since
            try:
                yield
            finally:
                with line._books:
                    line._idle_since = time.perf_counter()
        self.lap("score")


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made by a thread of its own while the one before is in use.

    Parameters
    ----------
    items : iterator
        What raises there is raised here, in its place.

    Yields
    ------
    object
        One more item than the one in use is held.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]  # only the mark of the end is something else
