"""Train a network by a recipe."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from galmorph.errors import ConfigError, DataError
from galmorph.training.checkpoint import SUFFIX, SafeCheckpointIO, read_checkpoint
from galmorph.training.data import Dataset, read_source
from galmorph.training.folder import (
    BEST,
    CHECKPOINTS,
    LAST,
    METRICS,
    TrainResult,
    open_folder,
    read_result,
    write_result,
)
from galmorph.training.history import History
from galmorph.training.loaders import ordered_batches, training_batches
from galmorph.training.methods import Objective
from galmorph.training.module import Training
from galmorph.training.networks import build_network
from galmorph.training.recipe import Recipe, load_recipe, parse_recipe
from galmorph.training.split import PARTS, check_no_leak, split_objects
from galmorph.training.stretch import Stretch, fit_stretch
from galmorph.training.surroundings import surroundings

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]


def train(
    recipe: Recipe | Path,
    out: Path,
    *,
    data: Path | None = None,
    device: Device = "auto",
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train a network.

    A training of the same recipe and data that was interrupted in `out` goes on after its last whole epoch, with the
    same result as if it had not been; one that is finished is not repeated.

    Parameters
    ----------
    recipe : Recipe or Path
        Settings, or the TOML file with them.
    out : Path
        Folder for checkpoints, ``metrics.csv``, the resolved ``recipe.toml`` and ``result.json``.
    data : Path, optional
        Where the images are, if not where the recipe says.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes all accelerators there are, else the CPU; ``cuda`` fails without one.
    progress : bool
        Show a bar.
    callbacks : sequence of Callback
        Lightning callbacks beside the built-in ones.

    Returns
    -------
    TrainResult
        Where the checkpoints are, and how good the best is.

    Raises
    ------
    ConfigError
        If the recipe is not valid, `device` is not there, `out` holds a training by another recipe or data, or the
        loss ceased to be a number.
    DataError
        If the data cannot be used.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' was asked for and torch finds none; use --device cpu")
    if data is not None:
        recipe = replace(recipe, source=replace(recipe.source, path=Path(data).resolve()))
    out = Path(out)
    dataset = read_source(recipe.source)
    rows = part_rows(dataset, recipe)
    open_folder(out, recipe, dataset)
    if (finished := read_result(out)) is not None:
        logger.info("%s holds this training, finished; nothing to do", out)
        return finished
    with surroundings(recipe.seed):
        module = _build(recipe, dataset, rows)
        trainer = _trainer(recipe, out, device, progress, callbacks)
        batches = {"batch_size": recipe.fit.batch_size, "workers": recipe.fit.workers}
        last = out / CHECKPOINTS / f"{LAST}{SUFFIX}"
        trainer.fit(
            module,
            training_batches(dataset, rows["train"], seed=recipe.seed, **batches),
            ordered_batches(dataset, rows["validation"], **batches),
            ckpt_path=str(last) if last.is_file() else None,
        )
    return write_result(out)


def part_rows(dataset: Dataset, recipe: Recipe) -> dict[str, NDArray[np.intp]]:
    """Rows of each part that have a known class.

    Parameters
    ----------
    dataset : Dataset
        All images.
    recipe : Recipe
        How objects are divided.

    Returns
    -------
    dict of str to ndarray of int
        Rows in ``train``, ``validation`` and ``test``.

    Raises
    ------
    DataError
        If an object is in two parts, or a class has no image in the training or validation part.
    """
    parts = split_objects(dataset.object_ids, dataset.names, recipe.split)
    known = dataset.labels >= 0
    rows = {part: np.flatnonzero(known & (parts == part)) for part in PARTS}
    check_no_leak({part: dataset.object_ids[chosen] for part, chosen in rows.items()})
    for part in ("train", "validation"):
        absent = set(range(len(dataset.classes))) - set(dataset.labels[rows[part]].tolist())
        if absent:
            raise DataError(
                f"no {part} image of {', '.join(dataset.classes[k] for k in sorted(absent))}: more images are needed, "
                "or split.stratified = true"
            )
    return rows


def load_training(checkpoint: Path) -> tuple[Training, dict[str, Any]]:
    """Network of a checkpoint, ready for use on the CPU.

    Parameters
    ----------
    checkpoint : Path
        Written by `train`, or the folder of a training, which stands for its best checkpoint.

    Returns
    -------
    module : Training
        In evaluation mode.
    record : dict
        Recipe, facts of the data and their digests, number of training images of each class.

    Raises
    ------
    DataError
        If it is not such a checkpoint.
    """
    checkpoint = Path(checkpoint)
    if checkpoint.is_dir():
        checkpoint = checkpoint / CHECKPOINTS / f"{BEST}{SUFFIX}"
    state = read_checkpoint(checkpoint)
    if "record" not in state:
        raise DataError(f"{checkpoint} is not a checkpoint of a galmorph training; give a file of its checkpoints/")
    record: dict[str, Any] = state["record"]
    recipe = parse_recipe(record["recipe"], folder=Path("/"), name=str(checkpoint))
    module = _assemble(recipe, Stretch.from_dict(record["stretch"]), record)
    module.load_state_dict(state["state_dict"])
    return module.eval(), record


def _build(recipe: Recipe, dataset: Dataset, rows: dict[str, NDArray[np.intp]]) -> Training:
    """A network with random weights and a stretch fitted to the training part."""
    stretch = fit_stretch(dataset.images, rows["train"], recipe.stretch)
    counts = np.bincount(dataset.labels[rows["train"]], minlength=len(dataset.classes))
    record = {
        "recipe": recipe.to_dict(),
        "stretch": stretch.to_dict(),
        "shape": list(dataset.images.shape[1:]),
        "counts": counts.tolist(),
        "parts": {part: len(chosen) for part, chosen in rows.items()},
        "facts": dataset.facts,
        "digests": dataset.digests,
    }
    return _assemble(recipe, stretch, record)


def _assemble(recipe: Recipe, stretch: Stretch, record: dict[str, Any]) -> Training:
    bands, size, _ = record["shape"]
    classes = len(recipe.source.classes)
    network = build_network(recipe.network, stretch, bands=bands, size=size, classes=classes)
    module = Training(network, Objective(recipe.method, record["counts"]), recipe, record)
    return module.to(memory_format=torch.channels_last)


def _trainer(recipe: Recipe, out: Path, device: Device, progress: bool, extra: Sequence[Callback]) -> pl.Trainer:
    """Lightning's trainer with checkpoints, early stopping and the table of metrics."""
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if on_cuda:
        torch.set_float32_matmul_precision("high")
    monitor = f"valid_{recipe.fit.monitor}"
    mode = "min" if recipe.fit.monitor == "loss" else "max"
    checkpoints = [
        _checkpoints(out, filename=BEST, monitor=monitor, mode=mode),
        _checkpoints(out, filename=LAST),
    ]
    stopping = EarlyStopping(monitor=monitor, mode=mode, patience=recipe.fit.patience)
    return pl.Trainer(
        accelerator=device,
        precision="16-mixed" if on_cuda else "32-true",
        max_epochs=recipe.fit.epochs,
        gradient_clip_val=recipe.optimiser.clip or None,
        callbacks=[stopping, History(out / METRICS), *checkpoints, *extra],
        plugins=[SafeCheckpointIO()],
        default_root_dir=out,
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        deterministic="warn" if on_cuda else True,
    )


def _checkpoints(out: Path, **options: Any) -> ModelCheckpoint:
    """One kind of checkpoint: the best, or with nothing to monitor the last."""
    callback = ModelCheckpoint(
        dirpath=out / CHECKPOINTS,
        # After the epoch's validation and its early-stopping check, so that the state is that of a whole epoch.
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        **options,
    )
    callback.FILE_EXTENSION = SUFFIX
    return callback
