"""The metrics of each epoch as a CSV file that survives an interruption."""

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from galmorph.training.hold import write_rows

#: Columns before the metrics.
FIRST = "epoch"


class History(Callback):
    """Writes ``metrics.csv``: a row for each epoch, a column for each metric.

    On a resumed training, rows of epochs that are trained again are dropped first.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the table with this epoch's row; the module has logged its metrics by now."""
        # On all processes, since they may have to be joined.
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        if not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch
        rows: list[dict[str, Any]] = [row for row in _read(self.path) if int(row[FIRST]) < epoch]
        rows.append({FIRST: epoch, **metrics})
        names = list(rows[-1])
        write_rows(self.path, [names, *([row[name] for name in names] for row in rows)])


def read_history(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics file.

    Parameters
    ----------
    path : Path
        Written by `History`.

    Returns
    -------
    list of dict
        Epoch and metrics; empty if there is no file.
    """
    return [{name: float(value) for name, value in row.items()} for row in _read(path)]


def _read(path: Path) -> list[dict[str, str]]:
    """Rows as they are written."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
