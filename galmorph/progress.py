"""A bar over long work, where somebody is there to look at it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def watched(items: Sequence[T], what: str) -> Iterator[T]:
    """The same items, with a bar of how many are done on a terminal or in a notebook, and nothing elsewhere.

    Parameters
    ----------
    items : sequence
        What is worked through.
    what : str
        What is done, for the beginning of the bar.

    Yields
    ------
    object
        Each item.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    seen = console.is_terminal or console.is_jupyter
    yield from track(items, what, console=console, transient=True, disable=not seen)


def announce(text: str) -> None:
    """Say what begins, where `watched` would show a bar, and nowhere else."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if console.is_terminal or console.is_jupyter:
        console.print(text, markup=False, soft_wrap=True)
