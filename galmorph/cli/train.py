"""``galmorph train``, ``galmorph export`` and ``galmorph evaluate``."""

import json
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from galmorph.errors import MissingExtraError


def train(
    recipe: Path,
    /,
    *,
    out: Path | None = None,
    data: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Train a network by a recipe; a training that was stopped goes on when the command is repeated.

    Parameters
    ----------
    recipe
        TOML file; examples are in the folder `training`.
    out
        Folder of results; by default runs/NAME, NAME being the recipe's file name.
    data
        Labelled images, in place of the recipe's.
    device
        auto, cpu or cuda.
    """
    try:
        from galmorph.training.fit import train as run_train
    except ImportError as error:
        raise _missing(error) from error
    folder = out or Path("runs") / recipe.stem
    result = run_train(recipe, folder, data=data, device=device)
    console = Console(highlight=False)
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
    console.print(f"{result.epochs} epochs, the best is {result.best_epoch}: {numbers}", soft_wrap=True)
    console.print(f"next: galmorph export {result.checkpoint} --out BUNDLE", soft_wrap=True)


def export(checkpoint: Path, /, *, out: Path, data: Path | None = None) -> None:
    """Make a model bundle from a training: ONNX graph, manifest, reference statistics and model card.

    Parameters
    ----------
    checkpoint
        Folder of the training's checkpoint.
    out
        Folder of the bundle to make.
    data
        Labelled images of the training, if they were moved.
    """
    try:
        from galmorph.training.export import export as run_export
    except ImportError as error:
        raise _missing(error) from error
    Console(highlight=False).print(f"bundle: {run_export(checkpoint, out, data=data)}", soft_wrap=True)


def evaluate(
    bundle: Path,
    data: Path,
    /,
    *,
    part: Literal["all", "train", "validation", "test"] | None = None,
    format: Literal["table", "json"] = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
) -> None:
    """Measure a model bundle on a set of labelled cutouts.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    data
        Folder of the labelled cutouts.
    part
        Which part, by the division of the bundle's training; by default test if it was trained on this set, else all.
    format
        table for reading, json for other programs.
    output
        File for the JSON.
    """
    try:
        from galmorph.training.evaluate import evaluate as run_evaluate
    except ImportError as error:
        raise _missing(error) from error
    result = run_evaluate(bundle, data, part=part)
    text = json.dumps(result.to_dict(), indent=2)
    if output is not None:
        output.write_text(text + "\n")
    if format == "json":
        print(text)
        return
    table = Table("", "", box=None, pad_edge=False, show_header=False)
    for name, value in result.to_table():
        table.add_row(name, value)
    Console(highlight=False).print(table)


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError("Training", str(error.name), "training")
