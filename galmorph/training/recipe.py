"""The recipe: every setting of a training, as frozen dataclasses read from a TOML file.

A setting that is unknown, of the wrong type or out of range is an error that says where it stands. A file may begin
with ``extends = "other.toml"`` and then says only what is different; see `galmorph.training.inheritance`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import Field, TypeAdapter, ValidationError

from galmorph.errors import ConfigError
from galmorph.names import NAME
from galmorph.training.inheritance import read_values
from galmorph.training.method_options import MethodOptions
from galmorph.training.options import (
    STRICT,
    ExportOptions,
    FitOptions,
    GuardOptions,
    NetworkOptions,
    OptimiserOptions,
    Seed,
    Source,
    SplitOptions,
    StretchOptions,
    Target,
    ViewOptions,
)

S = TypeVar("S")

#: Settings that are paths, by table.
PATHS = (("source", "path"), ("source", "labels"), ("target", "path"), ("network", "initial"), ("export", "card"))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every setting of a training.

    Parameters
    ----------
    name : str
        Name of the model.
    source : Source
        Labelled images.
    target : Target or None
        Unlabelled images to adapt to; only methods that adapt use them.
    seed : int
        Seed of everything random.
    description : str
        What the model is for, in a sentence or two; it opens the model card.
    split, stretch, views, network, method, optimiser, fit, guard, export
        See the classes.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Field(pattern=NAME)]
    source: Source
    target: Target | None = None
    seed: Seed = 0
    description: str = ""
    split: SplitOptions = field(default_factory=SplitOptions)
    stretch: StretchOptions = field(default_factory=StretchOptions)
    views: ViewOptions = field(default_factory=ViewOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    method: MethodOptions = field(default_factory=MethodOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    guard: GuardOptions = field(default_factory=GuardOptions)
    export: ExportOptions = field(default_factory=ExportOptions)

    def __post_init__(self) -> None:
        if self.export.threshold == "strangers" and not self.method.weights.get("strangers"):
            raise ValueError(
                "export.threshold is strangers, which a network is unsure of only if it was trained with them: "
                "set method.weights.strangers, or leave export.threshold out"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values of every setting, defaults included."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return values

    def portable(self) -> dict[str, Any]:
        """The same without the folders of the machine: of paths only the names."""
        values = self.to_dict()
        for table, key in PATHS:
            if values[table] is not None and values[table][key] is not None:
                values[table][key] = Path(values[table][key]).name
        return values

    def to_toml(self) -> str:
        """The recipe as a file, with every setting written out."""
        return tomli_w.dumps(_without_none(self.to_dict()))


_ADAPTER = TypeAdapter(Recipe)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : Path
        A TOML file. Relative paths in it start at its folder, those in a file that it extends at the folder of that.

    Returns
    -------
    Recipe
        All settings, with absolute paths.

    Raises
    ------
    ConfigError
        If the file is missing, is no TOML, or has an unknown, missing or impossible setting.
    """
    path = Path(path)
    values = read_values(path, PATHS)
    return parse_recipe(values, folder=path.parent, name=str(path))


def parse_recipe(values: Mapping[str, Any], folder: Path, name: str = "recipe") -> Recipe:
    """Check settings and make a recipe of them.

    Parameters
    ----------
    values : mapping
        As in the TOML file.
    folder : Path
        Where relative paths start.
    name : str
        What to call the recipe in errors.

    Returns
    -------
    Recipe
        All settings, with absolute paths.

    Raises
    ------
    ConfigError
        If a setting is unknown, missing or impossible.
    """
    return located(check_settings(_ADAPTER, values, name), folder)


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with absolute paths.

    Parameters
    ----------
    recipe : Recipe
        Settings.
    folder : Path
        Where relative paths start.

    Returns
    -------
    Recipe
    """
    source, target, network, export = recipe.source, recipe.target, recipe.network, recipe.export
    return dataclasses.replace(
        recipe,
        source=dataclasses.replace(
            source, path=_absolute(source.path, folder), labels=_absolute(source.labels, folder)
        ),
        target=target and dataclasses.replace(target, path=_absolute(target.path, folder)),
        network=dataclasses.replace(network, initial=_absolute(network.initial, folder)),
        export=dataclasses.replace(export, card=_absolute(export.card, folder)),
    )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """The mapping without settings that are None, which TOML cannot say; absent means the same."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _absolute(path: Path | None, folder: Path) -> Any:
    """The path, starting at `folder` if it is relative; None stays None."""
    return None if path is None else (folder / path).resolve()


def check_settings(adapter: TypeAdapter[S], values: Mapping[str, Any], name: str) -> S:
    """Settings as dataclasses.

    Parameters
    ----------
    adapter : TypeAdapter
        Of the dataclass.
    values : mapping
        As in a TOML file.
    name : str
        What to call the file in errors.

    Returns
    -------
    object
        What the adapter makes of them.

    Raises
    ------
    ConfigError
        If a setting is unknown, missing or impossible.
    """
    try:
        # Through JSON, because there (and not from Python objects) strict checking lets an array be a tuple.
        return adapter.validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(say_problem(problem) for problem in error.errors())) from error


def say_problem(problem: Mapping[str, Any]) -> str:
    """One problem that validation found in a recipe, in words."""
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where} is not a setting; check its spelling and its table"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{where} is missing"
    # A rule that a whole table breaks says itself which of its settings it is about.
    got = "" if isinstance(problem["input"], Mapping) else f", got {problem['input']!r}"
    # One that the whole file breaks has no place in it.
    return f"{where}: {problem_words(problem)}{got}" if where else f"{problem_words(problem)}{got}"


def problem_words(problem: Mapping[str, Any]) -> str:
    """What validation says of a problem, to stand within a sentence; names in it keep their capitals."""
    words = str(problem["msg"]).removeprefix("Value error, ")
    return words[:1].lower() + words[1:]
