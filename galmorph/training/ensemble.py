"""Networks of several seeds that answer together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galmorph.errors import ConfigError, DataError
from galmorph.training.fit import load_training
from galmorph.training.module import Training
from galmorph.training.networks import Classifier
from galmorph.training.orientations import Oriented


class Ensemble(nn.Module):
    """Several networks as one (Lakshminarayanan et al. 2017): the mean of their logits, their features side by side.

    Parameters
    ----------
    members : sequence of Module
        At least one, of the same classes; each gives logits and features.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(n, K)`` and features ``(n, M d)``; see `galmorph.training.networks.Classifier.forward`."""
        logits, features = zip(*(member(images) for member in self.members), strict=True)
        return torch.stack(logits).mean(0), torch.cat(features, dim=1)


def as_served(networks: Sequence[Classifier], orientations: int) -> nn.Module:
    """Networks as their bundle answers; one network in one orientation is itself.

    Parameters
    ----------
    networks : sequence of Classifier
        What was trained, at least one.
    orientations : {1, 4, 8}
        See `galmorph.training.options.ExportOptions`.

    Returns
    -------
    Module
        Images in, logits and features out.
    """
    each = [network if orientations == 1 else Oriented(network, orientations) for network in networks]
    return each[0] if len(each) == 1 else Ensemble(each)


def load_members(checkpoints: Sequence[Path]) -> tuple[list[Training], dict[str, Any]]:
    """Networks of one recipe, ready for use on the CPU.

    Parameters
    ----------
    checkpoints : sequence of Path
        As `galmorph.training.fit.load_training` takes them, at least one.

    Returns
    -------
    modules : list of Training
        In evaluation mode.
    record : dict
        Of the first; see `load_training`.

    Raises
    ------
    ConfigError, DataError
        If they were not trained by one recipe, but for the seed, on the same data; see also `load_training`.
    """
    loaded = [load_training(checkpoint) for checkpoint in checkpoints]
    first, record = loaded[0]
    for (module, other), path in zip(loaded, checkpoints, strict=True):
        if replace(module.recipe, seed=0).portable() != replace(first.recipe, seed=0).portable():
            raise ConfigError(
                f"{path} and {checkpoints[0]} are of different recipes; networks answer together that differ by "
                "nothing but the seed: train with galmorph train --seeds, or export one alone"
            )
        if (other["digests"], other["target"]) != (record["digests"], record["target"]):
            raise DataError(f"{path} and {checkpoints[0]} were trained on different data; train the older one again")
    return [module for module, _ in loaded], record
