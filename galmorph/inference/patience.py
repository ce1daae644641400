"""Reading that may stand still with its disk is given up after a time."""

import errno
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Seconds after which reading that does not get on is taken to hang: tapes are slow, and servers may be away.
PATIENCE = 600.0


def within_patience(paths: Sequence[Path], read: Callable[[], T]) -> T:
    """What a function returns that reads files, unless it stands still.

    A read that hangs cannot be broken off; it is left to a thread of its own, so that its worker can go on. The thread
    gets on as long as it takes time of a processor, as each piece of a file that comes does, however seldom; where
    threads have no clocks of their own (macOS), what takes longer than twice `PATIENCE` is given up too.

    Parameters
    ----------
    paths : sequence of Path
        Files that it reads, for the error.
    read : callable
        Called in another thread, without arguments.

    Returns
    -------
    object
        What `read` returns.

    Raises
    ------
    OSError
        ETIMEDOUT, if it did nothing for `PATIENCE` seconds; it may be done later, and nobody looks at what it returns.
        Whatever `read` raises is raised too.
    """
    result: Future[T] = Future()
    clocks: list[int] = []

    def work() -> None:
        try:
            if hasattr(time, "pthread_getcpuclockid"):
                clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
            result.set_result(read())
        except BaseException as error:  # raised again where it is waited for
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    spent = -1.0
    while not wait([result], PATIENCE).done:
        before, spent = spent, _seconds(clocks)
        if spent == before:
            files = f"{'one of ' * (len(paths) > 1)}{', '.join(map(str, paths))}"
            raise OSError(errno.ETIMEDOUT, f"nothing came for {PATIENCE:.0f} s, the disk is slow or hangs", files)
    return result.result()


def _seconds(clocks: Sequence[int]) -> float:
    """What a thread's clock shows; 0 where threads have none, or once it has ended."""
    try:
        return sum(map(time.clock_gettime, clocks))
    except OSError:
        return 0.0
