"""Train a network by a recipe."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, Timer
from torch.utils.data import DataLoader

from galmorph.errors import BudgetError, ConfigError, DataError
from galmorph.training.average import Averaging
from galmorph.training.band_order import tell_order
from galmorph.training.checkpoint import SUFFIX, SafeCheckpointIO, read_checkpoint
from galmorph.training.domain_norm import split_norms
from galmorph.training.domains import Domains, read_domains
from galmorph.training.folder import (
    BEST,
    CHECKPOINTS,
    LAST,
    METRICS,
    TrainResult,
    open_folder,
    read_result,
    with_present_settings,
    write_result,
)
from galmorph.training.history import History
from galmorph.training.hold import held
from galmorph.training.late import LateCheckpoint, LateStopping
from galmorph.training.loaders import Batch, Rows, ordered_batches, training_batches
from galmorph.training.methods import Objective, find_method
from galmorph.training.module import PROCESSES, Training
from galmorph.training.networks import build_network
from galmorph.training.onset import onset
from galmorph.training.recipe import Recipe, load_recipe, located, parse_recipe
from galmorph.training.shipped import checkpoint_file
from galmorph.training.stretch import Stretch, fit_stretch
from galmorph.training.surroundings import surroundings
from galmorph.training.terms import Setting
from galmorph.training.transfer import read_start, start_file, start_from, tell_other_division
from galmorph.training.watch import WATCHED, monitored, monitored_images

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda"]


def train(
    recipe: Recipe | Path,
    out: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    device: Device = "auto",
    devices: int | Literal["auto"] = "auto",
    progress: bool = True,
    minutes: float | None = None,
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
        Where the labelled images are, if not where the recipe says.
    target : Path, optional
        Where the unlabelled images are that the method adapts to, if not where the recipe says.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes GPUs if there are any, else the CPU; ``cuda`` fails without one.
    devices : int or "auto"
        How many GPUs or, with ``cpu``, processes; ``auto`` takes all GPUs, and one process on a CPU. Of several, each
        takes its share of every epoch's images, in batches of ``fit.batch_size``; the script that calls is run in each,
        and files are written by the first alone.
    progress : bool
        Show a bar.
    minutes : float, optional
        Most wall time, that of interrupted calls included: the training ends with the epoch in which it is over, and
        has its best epoch so far.
    callbacks : sequence of Callback
        Lightning callbacks beside the built-in ones.

    Returns
    -------
    TrainResult
        Where the checkpoints are, and how good the best is.

    Raises
    ------
    ConfigError
        If the recipe is not valid, `device` is not there, `out` holds a training by another recipe or data, one that
        began on another number of devices, or is another call's now, or the loss ceased to be a number.
    BudgetError
        If `minutes` were over before an epoch that can be the best.
    DataError
        If the data cannot be used.
    """
    recipe = settle(recipe, data, target, device)
    _check_epochs(recipe)
    out = Path(out)
    domains = read_domains(recipe)
    if recipe.target and domains.order:
        tell_order(recipe.target.path, domains.source.facts.get("bands", []), domains.order)
    initial = recipe.network.initial
    with surroundings(recipe.seed):
        # First, so that a recipe that gives no network leaves no folder.
        module = build(recipe, domains)
        open_folder(out, recipe, domains, None if initial is None else start_file(initial))
        if (finished := read_result(out)) is not None:
            logger.info("%s holds this training, finished; nothing to do", out)
            return finished
        with held(out):
            labels = domains.source.labels[domains.rows["validation"]]
            images = monitored_images(recipe, labels)
            trainer = _trainer(recipe, images, out, device, devices, progress, minutes, callbacks)
            last = out / CHECKPOINTS / f"{LAST}{SUFFIX}"
            epoch = _next_epoch(last, trainer.world_size) if last.is_file() else 0
            trainer.fit(
                module,
                training_part(recipe, domains, trainer.world_size, epoch),
                validation_part(recipe, domains),
                ckpt_path=str(last) if epoch else None,
            )
    if not (out / CHECKPOINTS / f"{BEST}{SUFFIX}").is_file():
        raise BudgetError(
            f"the training in {out} ended after {trainer.current_epoch} epochs, and its best is sought among those "
            f"after the first {first_epoch(recipe)}, when the losses that adapt have their full weight. "
            "Give more minutes, and it goes on"
        )
    result = write_result(out)
    _tell_guessing(result.metrics["valid_recall"], module.record)
    return result


def _tell_guessing(recall: float, record: dict[str, Any]) -> None:
    """Warn of a network that is right no more often than one that guesses, by the mean of the classes' recalls."""
    classes, images = len(record["counts"]), record["parts"]["validation"]
    chance = 1 / classes
    if recall <= chance + 2 * math.sqrt(chance * (1 - chance) / images):
        logger.warning(
            "the best epoch has a recall of %.2f on the validation part, and guessing one of %.2f among %d classes: "
            "nothing was learned that could be told from it. Train for longer, lower optimiser.learning_rate (see "
            "--find-lr), or look at the images and their labels",
            recall,
            chance,
            classes,
        )


def _next_epoch(last: Path, processes: int) -> int:
    """Epoch that a training goes on with after its last checkpoint; fails on another number of processes."""
    state = read_checkpoint(last)
    begun = state.get(PROCESSES, 1)
    if begun != processes:
        raise ConfigError(
            f"{last} is of a training on {begun} processes (one a device), and this call has {processes}: "
            "steps of an epoch and the schedule of the learning rate go by it, and would go wrong. Go on with as many "
            "(CUDA_VISIBLE_DEVICES says which GPUs are seen), or begin anew in another folder"
        )
    return int(state["epoch"]) + 1


def settle(recipe: Recipe | Path, data: Path | None, target: Path | None, device: Device) -> Recipe:
    """The recipe that `train` follows; fails if it or its data's places are wrong, or the device is not there."""
    # A checkpoint keeps the recipe, for readers in other working directories.
    recipe = located(recipe, Path.cwd()) if isinstance(recipe, Recipe) else load_recipe(recipe)
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device 'cuda' was asked for and torch finds none; use --device cpu")
    return moved(recipe, data, target)


def training_part(recipe: Recipe, domains: Domains, processes: int = 1, epoch: int = 0) -> DataLoader[Any]:
    """Shuffled batches of the training part, of both domains if the method adapts, for so many processes."""
    source = Rows(domains.source, domains.rows["train"])
    target = None if domains.target is None else Rows(domains.target, domains.target_rows["train"])
    fit = recipe.fit
    return training_batches(
        source,
        target,
        batch_size=fit.batch_size,
        seed=recipe.seed,
        workers=fit.workers,
        processes=processes,
        epoch=epoch,
    )


def validation_part(recipe: Recipe, domains: Domains) -> list[DataLoader[Batch]]:
    """The source's validation part in order, and if the method adapts the target's, of which no label is known."""
    parts = [Rows(domains.source, domains.rows["validation"])]
    if domains.target is not None:
        rows = domains.target_rows["validation"]
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:WATCHED])
        parts.append(Rows(domains.target, chosen))
    fit = recipe.fit
    return [ordered_batches(part, batch_size=fit.batch_size, workers=fit.workers) for part in parts]


def moved(recipe: Recipe, data: Path | None, target: Path | None) -> Recipe:
    """The recipe with other places of its data.

    Parameters
    ----------
    recipe : Recipe
        Settings.
    data, target : Path or None
        Folders in place of those of source and target; None leaves them.

    Returns
    -------
    Recipe
        With absolute paths.

    Raises
    ------
    ConfigError
        If a target is given and the recipe has none.
    """
    if data is not None:
        recipe = replace(recipe, source=replace(recipe.source, path=Path(data).resolve()))
    if target is not None:
        if recipe.target is None:
            raise ConfigError("a target was given and the recipe has no table [target]; add it, with at least its path")
        recipe = replace(recipe, target=replace(recipe.target, path=Path(target).resolve()))
    return recipe


def first_epoch(recipe: Recipe) -> int:
    """The first epoch that can be the best: of a method that adapts the first with the full weights."""
    if not find_method(recipe.method.name).adapts:
        return 0
    return math.ceil(onset(recipe.method, recipe.fit.epochs).end)


def _check_epochs(recipe: Recipe) -> None:
    if recipe.fit.epochs <= first_epoch(recipe):
        raise ConfigError(
            f"fit.epochs is {recipe.fit.epochs}, and warm-up and ramp of method {recipe.method.name!r} take "
            f"{first_epoch(recipe)}: give more epochs, or lower method.warmup_epochs and method.ramp_epochs"
        )


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
        If it is not such a checkpoint, or holds another network than its recipe's.
    """
    checkpoint = checkpoint_file(checkpoint)
    state = read_checkpoint(checkpoint)
    if "record" not in state:
        raise DataError(f"{checkpoint} is not a checkpoint of a galmorph training; give a file of its checkpoints/")
    record: dict[str, Any] = state["record"]
    recipe = with_present_settings(parse_recipe(record["recipe"], folder=Path("/"), name=str(checkpoint)), checkpoint)
    module = _assemble(recipe, Stretch.from_dict(record["stretch"]), record)
    missing, others = module.load_state_dict(state["state_dict"], strict=False)
    # What losses keep between steps says nothing of a network's answers, and a method can have had other losses.
    if names := [name for name in (*missing, *others) if not name.startswith("objective.")]:
        raise DataError(
            f"{checkpoint} does not hold the network of its recipe ({names[0]} is on one side only): it was written by "
            "another version; train again, or export with that version"
        )
    return module.eval(), record


def build(recipe: Recipe, domains: Domains) -> Training:
    """A network with random weights, or those the recipe names, and a stretch fitted to the labelled training part."""
    dataset, rows = domains.source, domains.rows
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
        "noise": domains.noise,
        "target": None,
        "initial": None,
    }
    if domains.target is not None:
        record["target"] = {
            "parts": {part: len(chosen) for part, chosen in domains.target_rows.items()},
            "facts": domains.target.facts,
            "digests": domains.target.digests,
        }
    module = _assemble(recipe, stretch, record)
    if recipe.network.initial is not None:
        start = read_start(recipe.network.initial)
        tell_other_division(start, recipe.split, dataset.digests)
        record["initial"] = start_from(start, module.network, recipe.network, recipe.source.classes)
    return module


def _assemble(recipe: Recipe, stretch: Stretch, record: dict[str, Any]) -> Training:
    bands, size, _ = record["shape"]
    method = find_method(recipe.method.name)
    network = build_network(
        recipe.network, stretch, bands=bands, size=size, classes=len(record["counts"]), open_head=method.open_head
    )
    images = record["target"]["parts"]["train"] if record["target"] else 0
    setting = Setting(record["counts"], images, *network.lengths(bands, size))
    if method.adapts and recipe.network.batch_norm == "domain" and not split_norms(network):
        raise ConfigError(
            "network.batch_norm = 'domain' is for encoders with batch normalisation, and "
            f"{recipe.network.encoder!r} has none; leave it 'mixed'"
        )
    module = Training(network, Objective(recipe.method, setting), recipe, record)
    return module.to(memory_format=torch.channels_last)


def _trainer(
    recipe: Recipe,
    images: float,
    out: Path,
    device: Device,
    devices: int | Literal["auto"],
    progress: bool,
    minutes: float | None,
    extra: Sequence[Callback],
) -> pl.Trainer:
    """Lightning's trainer with checkpoints, early stopping and the table of metrics."""
    monitor, mode = monitored(recipe)
    first = first_epoch(recipe)
    checkpoints = [
        _checkpoints(out, first, filename=BEST, monitor=monitor, mode=mode, images=images),
        _checkpoints(out, 0, filename=LAST),
    ]
    averaging = [Averaging(recipe.fit.average)] if recipe.fit.average else []
    stopping = LateStopping(first, monitor=monitor, mode=mode, patience=recipe.fit.patience)
    # By epochs: one that was cut off would count as whole.
    timer = [] if minutes is None else [Timer(timedelta(minutes=minutes), interval="epoch", verbose=False)]
    return trainer_on(
        device,
        devices=devices,
        max_epochs=recipe.fit.epochs,
        gradient_clip_val=recipe.optimiser.clip or None,
        callbacks=[*averaging, stopping, *timer, History(out / METRICS), *checkpoints, *extra],
        plugins=[SafeCheckpointIO()],
        default_root_dir=out,
        logger=False,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )


def trainer_on(device: Device, **options: Any) -> pl.Trainer:
    """Lightning's trainer on a device; a ConfigError where it cannot be, as in a batch job of several tasks."""
    try:
        return pl.Trainer(**hardware(device), **options)
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise ConfigError(
            f"a training on device {device!r} cannot be set up: {error}. Under SLURM ask for one task that starts all "
            "devices (--ntasks=1), or for a task for each (--ntasks-per-node) and start these by srun"
        ) from error


def hardware(device: Device) -> dict[str, Any]:
    """Options of Lightning's trainer that go with a device.

    On a GPU the network runs in float16 where that is safe. What is left in float32, the losses, are differences of
    nearly equal numbers, and not for TensorFloat-32.
    """
    on_cuda = device != "cpu" and torch.cuda.is_available()
    return {
        "accelerator": device,
        "precision": "16-mixed" if on_cuda else "32-true",
        "deterministic": "warn" if on_cuda else True,
    }


def _checkpoints(out: Path, first: int, **options: Any) -> ModelCheckpoint:
    """One kind of checkpoint: the best from an epoch on, or with nothing to monitor the last."""
    callback = LateCheckpoint(
        first,
        dirpath=out / CHECKPOINTS,
        # After the epoch's validation and its early-stopping check, so that the state is that of a whole epoch.
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        **options,
    )
    callback.FILE_EXTENSION = SUFFIX
    return callback
