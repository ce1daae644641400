"""The description of a release: every setting of `galmorph retrain`, as frozen dataclasses read from a TOML file.

As in a training's recipe a setting that is unknown, of the wrong type or out of range is an error that says where it
stands, relative paths start at the file's folder, and ``extends = "other.toml"`` says only what is different.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, TypeAdapter

from galmorph.names import NAME
from galmorph.registry.store import is_file
from galmorph.releases.gate_options import Gates
from galmorph.releases.weights import PARTS
from galmorph.training.inheritance import read_values
from galmorph.training.options import STRICT, Count, Natural, Positive
from galmorph.training.recipe import check_settings

Paths = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Images of the new release.

    Parameters
    ----------
    inputs : tuple of str
        Files, folders or globs.
    survey : str
        Name of a built-in profile, or path of one in TOML.
    release : str or None
        Name of the data release, in place of the profile's.
    options : mapping
        Settings of a profile that takes some.
    positions : Path or None
        Table of positions to measure instead of detecting.
    """

    __pydantic_config__ = STRICT

    inputs: Annotated[Paths, Field(min_length=1)]
    survey: str
    release: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    positions: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Whether the new tiles are like what the model was made for; see `galmorph drift`.

    Parameters
    ----------
    retrain_at : {"recalibrate", "retrain", "always"}
        The verdict from which on a new model is trained. ``recalibrate``: at that verdict too. ``always``: at any. Else
        the tiles are scored with the present model.
    tiles : int
        Tiles to look at, at most, chosen at random; 0 takes all.
    """

    __pydantic_config__ = STRICT

    retrain_at: Literal["recalibrate", "retrain", "always"] = "recalibrate"
    tiles: Natural = 24


@dataclass(frozen=True, kw_only=True)
class Gather:
    """Cutouts of the new release, and labels of some.

    Parameters
    ----------
    cutouts : Path or None
        A set of cutouts that is there already, taken instead of a sample of the tiles that were looked at. Labels that
        it may hold are not read.
    images : int
        How many objects are sampled.
    seed : int
        Of the sample.
    labels : tuple of str
        Tables of labels that people gave, see `galmorph.label_tables`.
    vet : int
        How many objects to list for people to look at, the most telling ones first; none with `cutouts`.
    """

    __pydantic_config__ = STRICT

    cutouts: Path | None = None
    images: Count = 2000
    seed: Natural = 0
    labels: Paths = ()
    vet: Natural = 0


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """How the new model is trained.

    Parameters
    ----------
    recipe : Path
        A training's recipe: its labelled images are the source, its method decides how it adapts. The new release is
        put in the place of its target.
    start : {"warm", "scratch"}
        From the weights of the present model, or from those that the recipe says.
    weights : Path or None
        Training or checkpoint of the present model, where the registry has none of it.
    leave_out : tuple of str
        Parts of the network that do not start from these weights but at random: ``encoder``, ``neck``, ``head``,
        ``open_head``.
    use_labels : bool
        Learn from the labelled objects of the new release too, those of the training and validation parts; the others
        judge.
    minutes : float or None
        Most wall time of the training proper, and as much of its twin's on the source alone, after which it ends with
        its best epoch so far; None leaves it to the recipe's number of epochs.
    device : {"auto", "cpu", "cuda"}
        Where.
    """

    __pydantic_config__ = STRICT

    recipe: Path
    start: Literal["warm", "scratch"] = "warm"
    weights: Path | None = None
    leave_out: tuple[Literal["encoder", "neck", "head", "open_head"], ...] = ()
    use_labels: bool = True
    minutes: Positive | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if self.leave_out and self.start == "scratch":
            raise ValueError("leave_out goes with start = 'warm'")
        if set(self.leave_out) >= set(PARTS):
            raise ValueError("with all parts left out nothing is taken over: start = 'scratch' says so")


@dataclass(frozen=True, kw_only=True)
class Register:
    """Where models are kept, and whether one that passed goes into use by itself.

    Parameters
    ----------
    name : str
        Of the model in the registry.
    registry : str or None
        An sqlite file (its name ends in ``.db`` or ``.sqlite``) or the address of an MLflow server; None takes MLflow's
        variables, else ``runs/mlflow.db``.
    promote : bool
        Make a model that passed all gates the champion. Otherwise it waits as challenger for
        `galmorph models promote`.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Field(pattern=NAME)]
    registry: str | None = None
    promote: bool = False


@dataclass(frozen=True, kw_only=True)
class Score:
    """How the tiles are scored; see `galmorph classify`.

    Parameters
    ----------
    workers : int or None
        Worker processes; None takes one per core.
    scheduler : str or None
        Address of a Dask scheduler to use instead.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    embedding : bool
        Keep the feature vectors in the catalogue.
    """

    __pydantic_config__ = STRICT

    workers: Count | None = None
    scheduler: str | None = None
    device: str = "auto"
    embedding: bool = False


@dataclass(frozen=True, kw_only=True)
class Release:
    """A new data release, and what shall be done about it.

    Parameters
    ----------
    name : str
        Of this work.
    model : str
        The present model: of the registry (``models:/NAME@champion``), or the folder of a bundle.
    tiles : Tiles
        Images of the new release.
    adapt : Adapt
        How a new model is trained.
    register : Register or None
        Where models are kept. None keeps no registry: the new model is a folder, and in use for this release's tiles if
        it passed all gates.
    old_catalog : Path or None
        The catalogue so far, which the new one is put beside. It stays as it is.
    notice, gather, gates, score
        See the classes.
    """

    __pydantic_config__ = STRICT

    name: Annotated[str, Field(pattern=NAME)]
    model: str
    tiles: Tiles
    adapt: Adapt
    register: Register | None = None
    old_catalog: Path | None = None
    notice: Notice = field(default_factory=Notice)
    gather: Gather = field(default_factory=Gather)
    gates: Gates = field(default_factory=Gates)
    score: Score = field(default_factory=Score)

    def __post_init__(self) -> None:
        promote = self.register is None or self.register.promote
        if promote and (self.gates.source is None or not (self.gates.target or self.gates.estimate)):
            raise ValueError(
                "a model can go into use by itself (register.promote, or no table [register]) only with the gate "
                "source, and target (with labels) or estimate (without)"
            )
        if self.gates.target is not None and not self.gather.labels:
            raise ValueError("the gate target needs labels: name their tables in gather.labels, or ask for estimate")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values of every setting, defaults included."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return values

    def to_toml(self) -> str:
        """The description as a file, with every setting written out."""
        return tomli_w.dumps(_without_none(self.to_dict()))


#: Settings that are paths, by table; those of the whole file stand in none.
PATHS = (("gather", "cutouts"), ("adapt", "recipe"), ("adapt", "weights"), ("tiles", "positions"))

_ADAPTER = TypeAdapter(Release)


def load_release(path: Path) -> Release:
    """Read the description of a release.

    Parameters
    ----------
    path : Path
        A TOML file. Relative paths in it start at its folder.

    Returns
    -------
    Release
        All settings, with absolute paths.

    Raises
    ------
    ConfigError
        If the file is missing, is no TOML, or has an unknown, missing or impossible setting.
    """
    path = Path(path)
    return parse_release(read_values(path, PATHS, what="description of a release"), folder=path.parent, name=str(path))


def parse_release(values: Mapping[str, Any], folder: Path, name: str = "release") -> Release:
    """Check settings and make a description of them.

    Parameters
    ----------
    values : mapping
        As in the TOML file.
    folder : Path
        Where relative paths start.
    name : str
        What to call the description in errors.

    Returns
    -------
    Release
        All settings, with absolute paths.

    Raises
    ------
    ConfigError
        If a setting is unknown, missing or impossible.
    """
    release = check_settings(_ADAPTER, values, name)
    tiles, gather, adapt, register = release.tiles, release.gather, release.adapt, release.register
    return dataclasses.replace(
        release,
        model=release.model if release.model.startswith("models:/") else _absolute(release.model, folder),
        old_catalog=release.old_catalog and Path(_absolute(release.old_catalog, folder)),
        tiles=dataclasses.replace(
            tiles,
            inputs=tuple(_absolute(each, folder) for each in tiles.inputs),
            survey=_absolute(tiles.survey, folder) if tiles.survey.endswith(".toml") else tiles.survey,
            positions=tiles.positions and Path(_absolute(tiles.positions, folder)),
        ),
        gather=dataclasses.replace(
            gather,
            cutouts=gather.cutouts and Path(_absolute(gather.cutouts, folder)),
            labels=tuple(_absolute(each, folder) for each in gather.labels),
        ),
        adapt=dataclasses.replace(
            adapt,
            recipe=Path(_absolute(adapt.recipe, folder)),
            weights=adapt.weights and Path(_absolute(adapt.weights, folder)),
        ),
        register=register
        and dataclasses.replace(
            register,
            registry=_absolute(register.registry, folder) if _is_file(register.registry) else register.registry,
        ),
    )


def _is_file(registry: str | None) -> bool:
    return registry is not None and is_file(registry)


def _absolute(path: Any, folder: Path) -> str:
    return str((folder / path).resolve())


def _without_none(values: Any) -> Any:
    """Settings without unset ones, which TOML cannot express; absent means the same."""
    if isinstance(values, Mapping):
        return {key: _without_none(value) for key, value in values.items() if value is not None}
    return values
