"""What a search tries: settings of a recipe with their ranges or choices, read from a TOML file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from optuna.trial import Trial
from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError

from galmorph.errors import ConfigError
from galmorph.training.inheritance import read_toml
from galmorph.training.options import STRICT
from galmorph.training.recipe import Recipe, parse_recipe, problem_words

#: What a search can go by, and whether more is better. No label of the target is in any of it.
OBJECTIVES: Mapping[str, Literal["maximize", "minimize"]] = {
    "valid_recall": "maximize",
    "valid_accuracy": "maximize",
    "valid_loss": "minimize",
    "target_density": "maximize",
    "target_information": "maximize",
    "target_separated_density": "maximize",
    "recall_and_information": "maximize",
}

#: Tables of a recipe that can be searched. All trials are measured on the same images.
TABLES = ("stretch", "views", "network", "method", "optimiser", "fit")

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers between two ends, which are part of it; whole ones if both ends are.

    Parameters
    ----------
    low, high : int or float
        The ends.
    log : bool
        Try each factor as often, rather than each difference.
    """

    __pydantic_config__ = STRICT

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low must be less than high, and above 0 with log, got {self.low:g} and {self.high:g}")

    @property
    def first(self) -> Scalar:
        """A value of it."""
        return self.low

    def suggest(self, trial: Trial, name: str) -> Scalar:
        """The value that a trial is to have."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Some values without order.

    Parameters
    ----------
    choices : tuple of bool, int, float or str
        At least two.
    """

    __pydantic_config__ = STRICT

    choices: Annotated[tuple[Scalar, ...], Field(min_length=2)]

    @property
    def first(self) -> Scalar:
        """A value of it."""
        return self.choices[0]

    def suggest(self, trial: Trial, name: str) -> Scalar:
        """The value that a trial is to have."""
        return cast(Scalar, trial.suggest_categorical(name, self.choices))


def _kind(value: Any) -> str:
    """Which of both a setting is, so that what is wrong with it can be said."""
    return "choice" if isinstance(value, Choice) or (isinstance(value, Mapping) and "choices" in value) else "range"


Setting = Annotated[Annotated[Range, Tag("range")] | Annotated[Choice, Tag("choice")], Discriminator(_kind)]


@dataclass(frozen=True, kw_only=True)
class Space:
    """A file of a search.

    Parameters
    ----------
    settings : mapping of str to Range or Choice
        By the setting's place in the recipe, as ``optimiser.learning_rate`` or ``method.weights.mmd``.
    objective : str
        One of `OBJECTIVES`, of the best epoch: ``valid_…`` on the source's validation part, ``target_…`` on unlabelled
        images of the target's, see `galmorph.training.criteria`, or ``recall_and_information`` of both.
    pruning : bool
        Stop a trial whose objective is worse than the median of earlier ones at the same epoch.
    """

    __pydantic_config__ = STRICT

    settings: Annotated[Mapping[str, Setting], Field(min_length=1)]
    objective: Literal[
        "valid_recall",
        "valid_accuracy",
        "valid_loss",
        "target_density",
        "target_information",
        "target_separated_density",
        "recall_and_information",
    ] = "valid_recall"
    pruning: bool = True

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Which way is better."""
        return OBJECTIVES[self.objective]

    @property
    def of_target(self) -> bool:
        """Whether the objective is of target images."""
        return not self.objective.startswith("valid_")

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """The value of each setting that a trial is to have."""
        return {name: setting.suggest(trial, name) for name, setting in self.settings.items()}


_ADAPTER = TypeAdapter(Space)


def load_space(path: Path) -> Space:
    """Read what a search tries.

    Parameters
    ----------
    path : Path
        A TOML file.

    Returns
    -------
    Space
        The settings and the objective.

    Raises
    ------
    ConfigError
        If the file is missing, is no TOML, or has something unknown or impossible in it.
    """
    try:
        values = read_toml(Path(path))
    except OSError as error:
        raise ConfigError(f"cannot read the space {path}: {error.strerror}") from error
    try:
        # Through JSON, because there strict checking lets an array be a tuple.
        return _ADAPTER.validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"] if part not in ("range", "choice"))
        raise ConfigError(
            f"{path}: {where}: {problem_words(problem)}. A setting is given as "
            "{ low = 0.0, high = 1.0 }, perhaps with log = true, or as { choices = [32, 64] }"
        ) from error


def with_settings(recipe: Recipe, settings: Mapping[str, Scalar]) -> Recipe:
    """A recipe with other values.

    Parameters
    ----------
    recipe : Recipe
        The one to start from.
    settings : mapping of str to bool, int, float or str
        By place in the recipe.

    Returns
    -------
    Recipe
        Checked as one read from a file.

    Raises
    ------
    ConfigError
        If a setting is unknown, or its value impossible.
    """
    values = recipe.to_dict()
    for name, value in settings.items():
        *tables, last = name.split(".")
        if not tables or tables[0] not in TABLES:
            raise ConfigError(f"{name} cannot be searched: trials differ in the tables {', '.join(TABLES)}")
        table = values
        for each in tables:
            if not isinstance(table.get(each), dict):
                raise ConfigError(f"{name} is not a setting: there is no table {each}")
            table = table[each]
        table[last] = value
    return parse_recipe(values, Path("/"), "the recipe with " + ", ".join(f"{k} = {v}" for k, v in settings.items()))
