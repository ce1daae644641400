"""What a training looks at in a target without labels after each epoch."""

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galmorph.scores import softmax
from galmorph.training.criteria import mutual_information, neighbourhood_density, separated_density
from galmorph.training.methods import find_method
from galmorph.training.recipe import Recipe

#: Most images of the target's validation part that are looked at.
WATCHED = 4000

#: Metric that each choice of ``fit.monitor`` goes by.
MONITORS: Mapping[str, str] = {
    "recall": "valid_recall",
    "accuracy": "valid_accuracy",
    "loss": "valid_loss",
    "information": "target_information",
    "density": "target_separated_density",
    "recall_and_information": "recall_and_information",
}

#: What stands for a criterion of the target in a training that sees none.
WITHOUT_TARGET = "recall"


def monitored(recipe: Recipe) -> tuple[str, Literal["min", "max"]]:
    """What a training goes by, as the name of a metric, and which way is better.

    Parameters
    ----------
    recipe : Recipe
        With ``fit.monitor``. A method that does not adapt sees no target, and goes by the source's recall in place of a
        criterion of the target.

    Returns
    -------
    name : str
        Column of ``metrics.csv``.
    mode : {"min", "max"}
        Whether less or more is better.
    """
    name: str = recipe.fit.monitor
    if not MONITORS[name].startswith("valid_") and not find_method(recipe.method.name).adapts:
        name = WITHOUT_TARGET
    return MONITORS[name], "min" if name == "loss" else "max"


def monitored_images(recipe: Recipe, labels: NDArray[np.int64]) -> float:
    """Of how many images a share would be known as well as what a training goes by.

    Parameters
    ----------
    recipe : Recipe
        With ``fit.monitor``.
    labels : ndarray of int
        Classes of the source's validation images, shape ``(n,)``.

    Returns
    -------
    float
        All of them for the accuracy. For the mean of recalls fewer, unless classes are even: where all have the recall
        `r` its variance is ``r (1 - r) sum_k 1 / n_k / K**2``. 0 for what is no share of the source's images, and for
        methods that do not adapt, which gain nothing by later epochs.
    """
    name = monitored(recipe)[0]
    if not find_method(recipe.method.name).adapts or name not in ("valid_recall", "valid_accuracy"):
        return 0.0
    if name == "valid_accuracy":
        return float(len(labels))
    counts = np.unique(labels, return_counts=True)[1]
    return float(len(counts) ** 2 / (1 / counts).sum())


def target_criteria(logits: Tensor, recall: float) -> dict[str, float]:
    """Criteria of what a network says of the target's validation part.

    Parameters
    ----------
    logits : Tensor
        Shape ``(n, K)``, at least one row.
    recall : float
        Mean recall on the source's validation part.

    Returns
    -------
    dict of str to float
        Metrics by name.
    """
    # Of a network that diverged nothing is known, which is no number rather than a warning.
    with np.errstate(invalid="ignore"):
        p = softmax(logits.float().cpu().numpy())
        information = mutual_information(p)
        return {
            "target_information": information,
            "target_density": neighbourhood_density(p),
            "target_separated_density": separated_density(p),
            "recall_and_information": (recall + information / math.log(max(2, p.shape[1]))) / 2,
        }
