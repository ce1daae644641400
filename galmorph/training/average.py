"""Weights averaged over the steps of a training: what it is judged by, and what it leaves."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from galmorph.training.module import Training

#: Where a checkpoint has the weights that go on learning; its ``state_dict`` has the averaged ones.
LEARNING = "learning"

#: What the network's weights are called in a checkpoint.
PREFIX = "network."


class Averaging(Callback):
    """An exponential moving average of the network's weights, and of its batch statistics, after every step.

    The average takes the network's place while it is validated, and in checkpoints. What learns is untouched, and so is
    all else that a training carries: banks, discriminators, the tuner.

    Parameters
    ----------
    decay : float
        Share of the average that each step keeps: it reaches back over about ``1 / (1 - decay)`` steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: AveragedModel

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Start from the weights as they are."""
        average = get_ema_multi_avg_fn(self.decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(_network(pl_module), multi_avg_fn=average, use_buffers=True)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go to where the network has gone by now."""
        self.average.to(pl_module.device)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Take in a step."""
        self.average.update_parameters(_network(pl_module))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the average be judged."""
        self._swap(pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the network learn on."""
        self._swap(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the average where weights are looked for, and those that learn beside it."""
        weights: dict[str, Tensor] = checkpoint["state_dict"]
        averaged = {PREFIX + name: weight for name, weight in self.average.module.state_dict().items()}
        checkpoint[LEARNING] = {name: weights[name] for name in averaged}
        checkpoint["state_dict"] = {**weights, **averaged}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on from a checkpoint, of which the network has been given the average so far."""
        self.average.module.load_state_dict(_network(pl_module).state_dict())
        # Any number but 0, which would let the average begin anew.
        self.average.n_averaged.fill_(1)
        learning = {name.removeprefix(PREFIX): weight for name, weight in checkpoint[LEARNING].items()}
        _network(pl_module).load_state_dict(learning)

    def _swap(self, module: pl.LightningModule) -> None:
        """Exchange the values of network and average, in place: optimiser and processes hold on to the tensors."""
        mine, other = (net.state_dict() for net in (_network(module), self.average.module))
        for name, weight in mine.items():
            kept = weight.clone()
            weight.copy_(other[name])
            other[name].copy_(kept)


def _network(module: pl.LightningModule) -> Any:
    assert isinstance(module, Training)  # noqa: S101 - no other module is trained here
    return module.network
