"""Columns in words for who asked for one that is not there."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from galmorph.errors import CatalogError

#: So many columns are all told; of more, so many that are most like those asked for.
ALL, NEAREST = 12, 5


def nearest_columns(columns: Sequence[str], wanted: Sequence[str]) -> str:
    """Names of columns, and of many only those that are most like the ones asked for.

    Parameters
    ----------
    columns : sequence of str
        Those that there are.
    wanted : sequence of str
        Those that there are not.

    Returns
    -------
    str
        Names with commas between them, and the number of the others behind.
    """
    if len(columns) <= ALL:
        return ", ".join(columns)

    def likeness(name: str) -> float:
        return max(SequenceMatcher(None, name.lower(), other.lower()).ratio() for other in wanted)

    nearest = sorted(columns, key=likeness, reverse=True)[:NEAREST]
    return f"{', '.join(nearest)} and {len(columns) - NEAREST} others"


def no_column(where: object, wanted: Sequence[str], columns: Sequence[str]) -> CatalogError:
    """The error of who asked for columns that a table does not have.

    Parameters
    ----------
    where : object
        The table.
    wanted, columns : sequence of str
        As for `nearest_columns`.
    """
    return CatalogError(f"{where} has no column {', '.join(wanted)}; it has {nearest_columns(columns, wanted)}")
