"""How a model of the registry is called: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""

import re
from dataclasses import dataclass
from pathlib import Path

from galmorph.errors import RegistryError

PREFIX = "models:/"

#: Of a name and of an alias: what bundles allow, and what needs no quotes anywhere.
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_REFERENCE = re.compile(rf"models:/+(?P<name>{_WORD})(?:@(?P<alias>{_WORD})|/(?P<version>[0-9]{{1,9}}))")


@dataclass(frozen=True)
class Reference:
    """A model of the registry.

    Parameters
    ----------
    name : str
        Of the registered model.
    which : str
        An alias, or the number of a version.
    """

    name: str
    which: str

    @classmethod
    def parse(cls, text: str | Path) -> "Reference":
        """Read ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

        Raises
        ------
        RegistryError
            If it is neither.
        """
        found = _REFERENCE.fullmatch(str(text))
        if found is None:
            raise RegistryError(
                f"{str(text)!r} names no model of the registry; write {PREFIX}NAME@champion, {PREFIX}NAME@challenger "
                f"or {PREFIX}NAME/VERSION"
            )
        return cls(found["name"], found["alias"] or found["version"])

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}{'/' if self.which.isdecimal() else '@'}{self.which}"


def is_reference(text: str | Path) -> bool:
    """Whether it is meant for the registry, and is no folder."""
    return str(text).startswith(PREFIX)


def check_name(name: str) -> str:
    """The name, if a model may be called so.

    Raises
    ------
    RegistryError
        If not.
    """
    if re.fullmatch(_WORD, name) is None:
        raise RegistryError(
            f"{name!r} is no name for a model: 1 to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return name
