"""``galmorph train``, ``galmorph export`` and ``galmorph evaluate``."""

from pathlib import Path

from rich.console import Console

from galmorph.errors import MissingExtraError


def train(recipe: Path, /, *, out: Path | None = None) -> None:
    """Train a network by a recipe; a training that was stopped goes on when the command is repeated.

    Parameters
    ----------
    recipe
        TOML file; examples are in the folder `training`.
    out
        Folder of results; by default runs/NAME, by the recipe's name.
    """
    try:
        from galmorph.training import train as run_train
    except ImportError as error:
        raise _missing(error) from error
    Console().print(run_train(recipe, out), highlight=False)


def export(checkpoint: Path, /, *, out: Path) -> None:
    """Make a model bundle from a training: ONNX graph, manifest, reference statistics and model card.

    Parameters
    ----------
    checkpoint
        Folder of a training's checkpoint, or of the training.
    out
        Folder of the bundle to make.
    """
    try:
        from galmorph.training import export as run_export
    except ImportError as error:
        raise _missing(error) from error
    Console().print(f"bundle: {run_export(checkpoint, out)}", soft_wrap=True, highlight=False)


def evaluate(bundle: Path, data: Path, /, *, out: Path | None = None) -> None:
    """Measure a model bundle on a set of labelled cutouts.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    data
        Folder of the labelled cutouts.
    out
        JSON file for the result.
    """
    try:
        from galmorph.training import evaluate as run_evaluate
    except ImportError as error:
        raise _missing(error) from error
    Console().print(run_evaluate(bundle, data), highlight=False)


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError("Training", str(error.name), "training")
