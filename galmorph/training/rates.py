"""The learning-rate range scan (DeepMerge II, appendix A; Smith & Topin 2019)."""

import csv
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from scipy.ndimage import gaussian_filter1d

from galmorph.errors import ConfigError
from galmorph.training.domains import read_domains
from galmorph.training.fit import Device, build, settle, trainer_on, training_part
from galmorph.training.folder import RATES, RATES_PLOT
from galmorph.training.recipe import Recipe
from galmorph.training.surroundings import surroundings

logger = logging.getLogger(__name__)

#: First and last learning rate of a scan, and steps from one to the other: 20 for each factor of ten.
LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 141

#: Standard deviation, in steps, of the Gaussian that smooths the losses.
SMOOTHING = 3.0

#: A scan ends early at a loss of so many times the first, or of this where the first is less: weights that have learned
#: already begin with next to nothing, of which batches differ by more. A network that knows nothing has ln(K) / K.
DIVERGED, LEAST_FIRST = 4.0, 0.25


@dataclass(frozen=True)
class RateScan:
    """The loss of a training whose learning rate grows with every step.

    Parameters
    ----------
    rates : ndarray of float
        Learning rates, shape ``(n,)``.
    losses : ndarray of float
        Total loss of the step with each, same shape.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]

    @property
    def smoothed(self) -> NDArray[np.float64]:
        """Losses without the noise of batches, shape ``(n,)``."""
        values: NDArray[np.float64] = gaussian_filter1d(self.losses, SMOOTHING, mode="nearest")
        return values

    @property
    def suggestion(self) -> float:
        """The rate at the least smoothed loss: the paper's largest rate of a schedule."""
        return float(self.rates[np.argmin(self.smoothed)])

    def write(self, folder: Path) -> None:
        """Write the numbers as ``learning-rate.csv`` and a plot as ``learning-rate.png``."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / RATES).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["learning_rate", "loss", "smoothed_loss"])
            writer.writerows(zip(self.rates.tolist(), self.losses.tolist(), self.smoothed.tolist(), strict=True))
        # Without pyplot, which would choose a window system and keep the figure.
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.semilogx(self.rates, self.losses, ".", color="0.7", label="step")
        axes.semilogx(self.rates, self.smoothed, label="smoothed")
        axes.axvline(self.suggestion, color="black", linestyle=":", label=f"least: {self.suggestion:.2g}")
        # A loss that has diverged would leave no room for the rest.
        low, first = self.smoothed.min(), self.smoothed[0]
        axes.set_ylim(low - 0.1 * abs(first - low) - 1e-9, first + 0.5 * abs(first - low) + 1e-9)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend()
        figure.savefig(folder / RATES_PLOT, dpi=150)


def scan_rates(
    recipe: Recipe | Path,
    out: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    device: Device = "auto",
    progress: bool = True,
) -> RateScan:
    """Train a few steps of a recipe at learning rates that grow exponentially, and write down the loss.

    The recipe stays as it is, and so does a training that may be in the folder. What is looked at is the total loss:
    of a method that adapts with the full weight of all its losses, as after warm-up and ramp, and with boundary and
    margin of entropy separation as they are in the recipe. Rates of losses of their own keep their ratio to the
    network's. The same seed gives the same scan.

    Parameters
    ----------
    recipe : Recipe or Path
        Settings, or the TOML file with them; those of the schedule and its `learning_rate` play no part.
    out : Path
        Folder for ``learning-rate.csv`` and ``learning-rate.png``.
    data, target, device, progress
        As for `galmorph.training.fit.train`. One device is used.

    Returns
    -------
    RateScan
        Up to the last rate, or to where the loss diverged.

    Raises
    ------
    ConfigError, DataError
        As for a training; also if the very first losses are no numbers.
    """
    recipe = settle(recipe, data, target, device)
    # A tuner would change what is minimised on the way, and the loss would not tell of the rate alone.
    separation = replace(recipe.method.separation, tuner="off")
    recipe = replace(
        recipe,
        method=replace(recipe.method, warmup_epochs=0.0, ramp_epochs=0.0, separation=separation),
        optimiser=replace(recipe.optimiser, schedule="constant", warmup_epochs=0.0),
    )
    domains = read_domains(recipe)
    climb = _Climb(recipe.optimiser.learning_rate)
    with surroundings(recipe.seed):
        trainer = trainer_on(
            device,
            devices=1,
            # Enough of them for the steps; the bar counts by these.
            max_epochs=STEPS,
            max_steps=STEPS,
            limit_val_batches=0,
            gradient_clip_val=recipe.optimiser.clip or None,
            callbacks=[climb],
            default_root_dir=out,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
        )
        try:
            trainer.fit(build(recipe, domains), training_part(recipe, domains))
        except _Enough:
            logger.info("the loss diverged at a learning rate of %g", climb.rates[len(climb.losses)])
    if len(climb.losses) < 2:
        raise ConfigError(
            "the loss of the first steps is no number: check the images, and the weights that the training starts from"
        )
    scan = RateScan(climb.rates[: len(climb.losses)], np.array(climb.losses))
    if scan.suggestion in (LOWEST, HIGHEST):
        logger.warning("the least loss is at the end of the scan, at %g: it says little", scan.suggestion)
    scan.write(Path(out))
    return scan


class _Enough(Exception):  # noqa: N818 - no error
    """The loss has diverged."""


class _Climb(Callback):
    """Sets the learning rate of each step and collects the losses."""

    def __init__(self, base: float) -> None:
        self.base = base
        self.rates = np.geomspace(LOWEST, HIGHEST, STEPS)
        self.losses: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """After the schedule, which has had its turn at the end of the step before."""
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] / self.base * self.rates[len(self.losses)]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss of the step."""
        loss = float(outputs["loss"])
        first = self.losses[0] if self.losses else math.inf
        if not math.isfinite(loss) or loss > first + (DIVERGED - 1) * max(abs(first), LEAST_FIRST):
            raise _Enough
        self.losses.append(loss)
