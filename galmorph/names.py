"""Names: what a model, a recipe and a release may be called, and how a setting within tables is."""

from collections.abc import Iterator, Mapping
from typing import Any

#: A name that is a file's everywhere, as a regular expression.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values with their place as one name, such as ``optimiser.learning_rate``.

    Parameters
    ----------
    values : mapping
        Tables within tables.
    prefix : str
        Put before each name.

    Yields
    ------
    tuple of str and value
        An empty table is a value.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
