"""Callbacks that look away until the losses which adapt have their full weight.

Before that a network is best on the source, having seen nothing else; to choose it would be to choose no adaptation.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


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


class LateCheckpoint(_Late, ModelCheckpoint):
    """Checkpoints that begin at an epoch: `first`, and options as of Lightning's."""
