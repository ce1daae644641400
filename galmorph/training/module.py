"""The training step: what Lightning calls for each batch."""

import math
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from galmorph.errors import ConfigError
from galmorph.training.domain_norm import set_domain, start_target_from_source
from galmorph.training.gather import Collected
from galmorph.training.loaders import Batch, Pair
from galmorph.training.losses import class_weights, weighted_cross_entropy
from galmorph.training.methods import Objective
from galmorph.training.networks import Classifier
from galmorph.training.onset import onset
from galmorph.training.optimise import build_optimiser, build_schedule, parameter_groups
from galmorph.training.recipe import Recipe
from galmorph.training.step import observe
from galmorph.training.watch import target_criteria

#: In a checkpoint: how many processes the training is on.
PROCESSES = "processes"


class Training(pl.LightningModule):
    """A network, what it minimises and how.

    Logs ``train_loss``, ``train_<loss>`` for each loss of the method, the ``learning_rate`` at the start of the epoch,
    and on the source's validation part ``valid_loss`` (the cross-entropy), ``valid_accuracy`` and ``valid_recall``
    (mean of per-class recalls). Methods that adapt add ``adapting``, the share of their weight that the losses which
    adapt have in the mean of the epoch, what their losses have to say, and the criteria of `galmorph.training.watch` on
    the target's validation part.

    Parameters
    ----------
    network : Classifier
        What is trained.
    objective : Objective
        What is minimised.
    recipe : Recipe
        Settings.
    record : dict
        Facts that a checkpoint carries so that it can be exported by itself.
    """

    weights: Tensor
    noise: Tensor | None

    def __init__(self, network: Classifier, objective: Objective, recipe: Recipe, record: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.recipe = recipe
        self.record = record
        classes = len(recipe.source.classes)
        self.validated = Collected()
        self.watched = Collected()
        self.onset = onset(recipe.method, recipe.fit.epochs)
        weights = class_weights(record["counts"] if recipe.method.class_weights else [1] * classes)
        self.register_buffer("weights", weights, persistent=False)
        # What draws nothing leaves all other draws as they are. Checkpoints can be older than this.
        noise = record.get("noise", [])
        self.register_buffer("noise", torch.tensor(noise) if any(noise) else None, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features; see `Classifier`."""
        logits, features = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits, features

    def on_train_epoch_start(self) -> None:
        """Log the learning rate; in the first epoch after the warm-up, start the target's branch from the source's."""
        if self.current_epoch == math.ceil(self.onset.warmup) > 0:
            start_target_from_source(self.network)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log("learning_rate", float(rate), sync_dist=True)

    def training_step(self, batch: Batch | Pair, batch_index: int) -> Tensor:
        """Loss of a batch of random views.

        What is random in it depends on seed, epoch, batch and process alone, so that a resumed training draws the same.
        """
        draw = np.random.SeedSequence([self.recipe.seed, self.current_epoch, batch_index, self.global_rank])
        for_dropout, for_views = draw.generate_state(2).tolist()
        torch.manual_seed(for_dropout)
        epoch = self.current_epoch + batch_index / max(1, int(self.trainer.num_training_batches))
        outputs = observe(
            self.network,
            batch,
            self.recipe.views,
            torch.Generator().manual_seed(for_views),
            noise=self.noise,
            second=self.objective.second,
            mixed=self.recipe.network.batch_norm == "mixed",
            progress=epoch / self.recipe.fit.epochs,
            strangers=self.objective.strangers,
        )
        adapting = self.onset.share(epoch)
        total: Tensor
        total, parts, facts = self.objective(outputs, adapting)
        values = {f"train_{name}": value.detach() for name, value in parts.items()} | {"train_loss": total.detach()}
        if self.objective.adapts:
            facts = {**facts, "adapting": torch.tensor(adapting)}
        size = len(outputs.labels)
        # Several GPUs join numbers on the GPUs.
        facts = {name: value.to(total.device) for name, value in facts.items()}
        self.log_dict({**values, **facts}, on_step=False, on_epoch=True, sync_dist=True, batch_size=size)
        return total

    def on_train_epoch_end(self) -> None:
        """Let the tuner see the loss; fail when it is no number: nothing that follows could be trusted."""
        loss = float(self.trainer.callback_metrics["train_loss"])
        if not math.isfinite(loss):
            raise ConfigError(
                f"the loss of epoch {self.current_epoch} is {loss}: training diverged, or an image holds values that "
                "are not finite. Lower optimiser.learning_rate, or check the images"
            )
        # While the weights rise so does the loss, which would tell the tuner nothing.
        if self.onset.share(self.current_epoch) == 1:
            separation = float(self.trainer.callback_metrics.get("train_separation", 0.0))
            self.objective.end_epoch(self.current_epoch, loss, separation)

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Look at a batch of the validation part: the source's, or of the second loader the target's."""
        images, labels, rows = batch
        set_domain(self.network, "target" if dataloader_idx else "source")
        logits = self(images)[0]
        if dataloader_idx:
            self.watched.add(rows, logits)
        else:
            self.validated.add(rows, logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log what is right on the source, and what the network's answers on the target are like."""
        set_domain(self.network, "source")
        logits, labels = self.validated.take()
        accuracy, recall = (multiclass_accuracy(logits, labels, logits.shape[1], which) for which in ("micro", "macro"))
        loss = weighted_cross_entropy(logits, labels, self.weights)
        values: dict[str, Tensor | float] = {"valid_loss": loss, "valid_accuracy": accuracy, "valid_recall": recall}
        # Nothing is taken where there is no target.
        for seen in self.watched.take():
            values |= target_criteria(seen, float(recall))
        # The same numbers on every process.
        self.log_dict(values, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Optimiser and a schedule that is stepped after every batch."""
        options, epochs = self.recipe.optimiser, self.recipe.fit.epochs
        idle = self.onset.warmup > 0
        groups = parameter_groups(self.network, self.objective.terms.values(), options, idle=idle)
        optimiser = build_optimiser(groups, options)
        steps = max(1, int(self.trainer.estimated_stepping_batches) // epochs)
        schedule = build_schedule(optimiser, options, steps, epochs)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what an export needs beside the weights, and what a training that goes on has to agree with."""
        checkpoint["record"] = self.record
        checkpoint[PROCESSES] = self.trainer.world_size
