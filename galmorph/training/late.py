"""Callbacks that look away until the losses which adapt have their full weight.

Before that a network is best on the source, having seen nothing else; to choose it would be to choose no adaptation.
"""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

#: Where Lightning's state of checkpoints has paths.
PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class _Late(pl.Callback):
    """Holds back what another callback does at the end of an epoch, until epoch `first`, counted from 0."""

    def __init__(self, first: int, **options: Any) -> None:
        super().__init__(**options)
        self.first = first

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Act, if it is time."""
        if trainer.current_epoch >= self.first:
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Act, if it is time."""
        if trainer.current_epoch >= self.first:
            super().on_validation_end(trainer, pl_module)


class LateStopping(_Late, EarlyStopping):
    """Early stopping that begins to count at an epoch: `first`, and options as of Lightning's."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop a training that goes on after it was to stop: interrupted between that and its end."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class LateCheckpoint(_Late, ModelCheckpoint):
    """Checkpoints that begin at an epoch: `first`, and options as of Lightning's.

    They know each other by name, so that a training whose folder was moved still knows its best.

    With `images`, what is monitored is known as well as a share of so many images, and the checkpoint kept is the
    latest that is within one standard error of the best so far (Breiman et al. 1984, section 3.4.3): of epochs that the
    source cannot tell apart the one that has adapted longest.
    """

    def __init__(self, first: int, *, images: float = 0, **options: Any) -> None:
        super().__init__(first, **options)
        self.images = images
        self.highest = -math.inf

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether an epoch takes the place of the one that is kept."""
        if not self.images or current is None or not math.isfinite(current):
            return super().check_monitor_top_k(trainer, current)
        # A mean of recalls that are all 1 can come out a little larger.
        self.highest = max(self.highest, min(1.0, float(current)))
        return float(current) >= self.highest - math.sqrt(self.highest * (1 - self.highest) / self.images)

    def state_dict(self) -> dict[str, Any]:
        """Lightning's, and the best so far."""
        return super().state_dict() | {"highest": self.highest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state, wherever it was saved."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        self.highest = float(state_dict.get("highest", -math.inf))
        moved = {key: here(state_dict[key]) for key in PATHS if state_dict.get(key)}
        scores = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": scores})
