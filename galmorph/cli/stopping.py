"""How a command is stopped."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from galmorph.errors import Terminated


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: `Terminated` is raised, and what is open is closed."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # Once is enough: a second signal must not break off the closing.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
