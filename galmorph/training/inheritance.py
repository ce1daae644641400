"""A recipe that extends another one: its file says only what is different."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galmorph.errors import ConfigError

#: The setting that names the recipe to start from.
EXTENDS = "extends"

#: Tables that are one setting each: who gives one, gives the whole of it.
WHOLE = (("method", "weights"), ("network", "encoder_options"))


def read_toml(path: Path) -> dict[str, Any]:
    """Values of a TOML file, which is UTF-8, also where an editor has put a mark of that before it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        As they stand there.

    Raises
    ------
    ConfigError
        If it is no TOML.
    OSError
        If it cannot be read.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def read_values(
    path: Path, paths: Sequence[tuple[str, str]], readers: tuple[Path, ...] = (), what: str = "recipe"
) -> dict[str, Any]:
    """Settings of a TOML file over those of the file that it extends.

    Tables are joined setting by setting; any other value of the extending file replaces the one before.

    Parameters
    ----------
    path : Path
        The file.
    paths : sequence of pairs of str
        Table and name of settings that are paths: relative ones start at the folder of the file that they stand in.
    readers : tuple of Path
        Files that extend this one.
    what : str
        What the file is called in errors.

    Returns
    -------
    dict
        Settings as they stand in the files, with absolute paths.

    Raises
    ------
    ConfigError
        If a file is missing, is no TOML, or extends itself.
    """
    path = Path(path).resolve()
    if path in readers:
        raise ConfigError(f"{path} extends itself, by way of {', '.join(each.name for each in readers)}")
    try:
        values = read_toml(path)
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}{_wanted(readers)}: {error.strerror}") from error
    for table, name in paths:
        settings = values.get(table)
        if isinstance(settings, dict) and isinstance(settings.get(name), str):
            settings[name] = str((path.parent / settings[name]).resolve())
    base = values.pop(EXTENDS, None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: {EXTENDS} must be the path of a {what}, got {base!r}")
    return _over(read_values(path.parent / base, paths, (*readers, path), what), values)


def _over(base: Mapping[str, Any], values: Mapping[str, Any], table: tuple[str, ...] = ()) -> dict[str, Any]:
    """Both mappings in one; where they differ, `values`."""
    joined = dict(base)
    for name, value in values.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        joined[name] = _over(base[name], value, (*table, name)) if both and (*table, name) not in WHOLE else value
    return joined


def _wanted(readers: tuple[Path, ...]) -> str:
    return f", which {readers[-1]} extends" if readers else ""
