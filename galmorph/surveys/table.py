"""Typed reading of the tables of a profile: every key is checked, none is ignored."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from galmorph.errors import SurveyError


def suggestion(word: str, known: list[str]) -> str:
    """Words that end an error about an unknown name: the closest known one, and all of them.

    Parameters
    ----------
    word : str
        What came.
    known : list of str
        What would have been understood.

    Returns
    -------
    str
        ``"did you mean 'x'? Known: x, y"`` or, with nothing close, ``"known: x, y"``.
    """
    listed = ", ".join(known) if known else "none"
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}? Known: {listed}" if close else f"known: {listed}"


class Table:
    """One table of a TOML file, read key by key.

    Parameters
    ----------
    values : mapping
        The table.
    where : str
        How errors call it, for instance ``"survey profile x.toml, [layouts.image]"``.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise SurveyError(f"{where} has to be a table of keys and values, and is {values!r}")
        self.values = dict(values)
        self.where = where
        self._asked: list[str] = []

    def _get(self, key: str, default: Any) -> Any:
        self._asked.append(key)
        if key in self.values:
            return self.values[key]
        if default is ...:
            raise SurveyError(f"{self.where} lacks the key {key!r}")
        return default

    def fail(self, key: str, expected: str) -> SurveyError:
        """Error that says what `key` has to be and what it is."""
        return SurveyError(f"{self.where}: {key} has to be {expected}, and is {self.values.get(key)!r}")

    def text(self, key: str, default: Any = ...) -> Any:
        """Text, not empty."""
        value = self._get(key, default)
        if value is not default and (not isinstance(value, str) or not value.strip()):
            raise self.fail(key, "a text")
        return value

    def words(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """List of texts, each once."""
        value = self._get(key, default)
        if value is default:
            return tuple(default)
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) and v for v in value):
            raise self.fail(key, "a list of texts")
        if len(set(value)) < len(value):
            raise self.fail(key, "a list without repetitions")
        return tuple(value)

    def number(self, key: str, default: Any = ..., *, positive: bool = False) -> Any:
        """Finite number."""
        value = self._get(key, default)
        if value is default:
            return value
        if not _is_number(value) or (positive and value <= 0):
            raise self.fail(key, "a positive number" if positive else "a number")
        return float(value)

    def per_band(
        self,
        key: str,
        bands: tuple[str, ...],
        default: Any = ...,
        *,
        known: tuple[str, ...] = (),
        positive: bool = False,
    ) -> dict[str, float]:
        """One number for all bands, or a table with a number for each, and perhaps for others that are `known`."""
        value = self._get(key, default)
        if value is None:
            return {}
        if _is_number(value):
            value = dict.fromkeys(bands, value)
        number = "a positive number" if positive else "a number"
        expected = f"{number}, or a table with one for each of the bands {', '.join(bands)}"
        if not isinstance(value, Mapping) or not set(bands) <= set(value) <= {*bands, *known}:
            raise self.fail(key, expected)
        if not all(_is_number(v) and (v > 0 or not positive) for v in value.values()):
            raise self.fail(key, expected)
        return {band: float(value[band]) for band in bands}

    def bits(
        self, key: str, bands: tuple[str, ...], default: Any = ..., *, known: tuple[str, ...] = ()
    ) -> dict[str, tuple[int | str, ...]]:
        """Bit numbers, 0 the least significant, or names of bits, of each band: one list for all, or a table of lists.

        In a table the keys are bands, perhaps others that are `known`, and ``all``, whose list goes for every band.
        """
        value = self._get(key, default)
        lists = value if isinstance(value, Mapping) else {"all": value}
        entries = all(isinstance(entry, list | tuple) and all(map(_is_bit, entry)) for entry in lists.values())
        if not entries or not set(lists) <= {"all", *bands, *known}:
            raise self.fail(
                key,
                "a list of bit numbers from 0 to 63 or of names, or a table with one for all and for each of the bands "
                f"{', '.join(known or bands)}",
            )
        return {band: tuple(dict.fromkeys([*lists.get("all", ()), *lists.get(band, ())])) for band in bands}

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def any(self, key: str, default: Any = ...) -> Any:
        """Value that the caller checks."""
        return self._get(key, default)

    def finish(self) -> None:
        """Refuse keys that nobody asked for.

        Raises
        ------
        SurveyError
            If the table has such a key.
        """
        for key in self.values:
            if key not in self._asked:
                raise SurveyError(f"{self.where} has an unknown key {key!r}; {suggestion(key, self._asked)}")


def _is_bit(value: Any) -> bool:
    return (type(value) is int and 0 <= value < 64) or (isinstance(value, str) and value.isidentifier())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
