"""The folder of a training: what is in it, and whether it may be gone on with."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from galmorph.digests import file_sha256
from galmorph.errors import ConfigError
from galmorph.training.checkpoint import SUFFIX, read_checkpoint
from galmorph.training.domains import Domains
from galmorph.training.gather import is_first
from galmorph.training.history import read_history
from galmorph.training.hold import is_unfinished, write_rows, write_whole
from galmorph.training.recipe import Recipe, load_recipe

RECIPE, IDENTITY, METRICS, RESULT = "recipe.toml", "identity.json", "metrics.csv", "result.json"
REJECTS = "rejects.csv"
#: What a learning-rate scan leaves; a training may stand beside it.
RATES, RATES_PLOT = "learning-rate.csv", "learning-rate.png"
#: Settings of source and target that do not make another training of the same data.
ELSEWHERE = ("path", "labels", "faults")
#: What a recipe says of the result of a training: it may change in a folder, and nothing is trained again.
AFTERWARDS = ("description", "guard", "export")
CHECKPOINTS, BEST, LAST = "checkpoints", "best", "last"
#: What several seeds of a recipe leave beside a folder for each: a summary, which names them.
SEEDS = "seeds.json"


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves.

    Parameters
    ----------
    checkpoint : Path
        Weights of the best epoch, by the recipe's ``fit.monitor``.
    last : Path
        State after the last epoch; a training that was interrupted goes on from it.
    epochs : int
        Epochs trained.
    best_epoch : int
        The best one, counted from 0.
    metrics : dict
        Metrics of the best epoch.
    """

    checkpoint: Path
    last: Path
    epochs: int
    best_epoch: int
    metrics: dict[str, float]


def open_folder(out: Path, recipe: Recipe, domains: Domains, initial: Path | None = None) -> None:
    """Write the resolved recipe, or refuse a folder that holds another training; of several processes the first does.

    Parameters
    ----------
    out : Path
        The folder.
    recipe : Recipe
        All settings.
    domains : Domains
        The data; where they lie does not matter, what is in them does.
    initial : Path, optional
        File of the weights that the training starts from.

    Raises
    ------
    ConfigError
        If the folder holds a training by another recipe, on other data or from other weights, several seeds, or
        something else.
    """
    if not is_first():
        return
    settings = {key: value for key, value in recipe.portable().items() if key not in AFTERWARDS}
    # The digests say which data; where they lie may change.
    for table in ("source", "target"):
        if settings[table] is not None:
            settings[table] = {key: value for key, value in settings[table].items() if key not in ELSEWHERE}
    del settings["network"]["initial"]
    mine: dict[str, Any] = {"recipe": settings, "data": domains.source.digests}
    if initial is not None:
        mine["initial"] = file_sha256(initial)
    if domains.target is not None:
        mine["target"] = domains.target.digests
    marker = out / IDENTITY
    if (out / SEEDS).is_file():
        raise ConfigError(f"{out} holds trainings of several seeds. Choose another folder for a single one")
    if marker.is_file():
        if json.loads(marker.read_text()) != mine:
            raise ConfigError(
                f"{out} holds a training by another recipe, on other data or from other weights. "
                "Choose another folder, or delete this one"
            )
    elif out.is_dir() and {path.name for path in out.iterdir() if not is_unfinished(path)} - {RATES, RATES_PLOT}:
        raise ConfigError(f"{out} is not empty and holds no training. Choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    # First, for a folder with a recipe alone would be one of something else to a call that goes on.
    write_whole(marker, (json.dumps(mine, indent=2) + "\n").encode())
    write_whole(out / RECIPE, recipe.to_toml().encode())
    _write_rejects(out / REJECTS, domains)


def member_folders(folder: Path) -> list[Path]:
    """Folders of the trainings that a folder of several seeds has; of one training, or of a checkpoint, itself."""
    summary = folder / SEEDS
    if not summary.is_file():
        return [folder]
    return [seed_folder(folder, seed) for seed in json.loads(summary.read_text())["seeds"]]


def seed_folder(folder: Path, seed: int) -> Path:
    """Where the training of one of several seeds lies."""
    return folder / f"seed-{seed}"


def with_present_settings(recipe: Recipe, checkpoint: Path) -> Recipe:
    """The recipe that a checkpoint was trained by, with what the recipe of its folder says of the result now.

    Parameters
    ----------
    recipe : Recipe
        As the checkpoint holds it.
    checkpoint : Path
        File of the checkpoint. One that was taken out of the folder of its training keeps all that it holds.

    Returns
    -------
    Recipe

    Raises
    ------
    ConfigError
        If the recipe in the folder was made one that cannot be used.
    """
    folder = checkpoint.resolve().parent.parent
    if not ((folder / IDENTITY).is_file() and (folder / RECIPE).is_file()):
        return recipe
    present = load_recipe(folder / RECIPE)
    return replace(recipe, **{name: getattr(present, name) for name in AFTERWARDS})


def _write_rejects(path: Path, domains: Domains) -> None:
    """The table of images that were left out, if there are any."""
    datasets = {"source": domains.source} | ({} if domains.target is None else {"target": domains.target})
    rows = [(name, *row) for name, dataset in datasets.items() for row in dataset.rejects.items()]
    if rows:
        write_rows(path, [("domain", "file", "reason"), *rows])


def write_result(out: Path) -> TrainResult:
    """Record that the training in a folder is finished, and what it gave."""
    best = out / CHECKPOINTS / f"{BEST}{SUFFIX}"
    history = read_history(out / METRICS)
    best_epoch = int(read_checkpoint(best)["epoch"])
    result = TrainResult(
        checkpoint=best,
        last=out / CHECKPOINTS / f"{LAST}{SUFFIX}",
        epochs=len(history),
        best_epoch=best_epoch,
        metrics=next(row for row in history if row["epoch"] == best_epoch),
    )
    facts = {"epochs": result.epochs, "best_epoch": best_epoch, "metrics": result.metrics}
    if is_first():
        write_whole(out / RESULT, (json.dumps(facts, indent=2) + "\n").encode())
    return result


def read_result(out: Path) -> TrainResult | None:
    """What a finished training left; None if there is none in the folder."""
    if not (out / RESULT).is_file():
        return None
    folder = out / CHECKPOINTS
    facts = json.loads((out / RESULT).read_text())
    return TrainResult(checkpoint=folder / f"{BEST}{SUFFIX}", last=folder / f"{LAST}{SUFFIX}", **facts)
