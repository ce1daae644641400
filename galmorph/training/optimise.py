"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from galmorph.training.options import OptimiserOptions

#: Momentum of ``sgd``.
MOMENTUM = 0.9


#: Learning rate at the ends of the ``triangle`` schedule, as a fraction of the largest.
TRIANGLE_FLOOR = 0.1


def parameter_groups(
    network: nn.Module, terms: Iterable[Any], options: OptimiserOptions, *, idle: bool = False
) -> list[dict[str, Any]]:
    """The network's parameters, and those of losses with learning rates of their own.

    Parameters
    ----------
    network : Module
        Its parameters learn at the recipe's rate.
    terms : iterable of Term
        Losses, each with a `rate`: a multiple of the recipe's.
    options : OptimiserOptions
        The recipe's rate.
    idle : bool
        Whether there is a time in which losses that adapt do not count. Adam's penalty would be all that their
        parameters learn from then, in full steps, and would leave nothing of them: they have none.

    Returns
    -------
    list of dict
        For `build_optimiser`.
    """
    groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
    own = [(list(term.parameters()), term.rate) for term in terms]
    penalty = {"weight_decay": 0.0} if idle and options.name == "adam" else {}
    groups += [{"params": some, "lr": options.learning_rate * rate} | penalty for some, rate in own if some]
    return groups


def build_optimiser(parameters: Iterable[Any], options: OptimiserOptions) -> torch.optim.Optimizer:
    """Optimiser with its largest learning rate.

    Parameters
    ----------
    parameters : iterable of Parameter or dict
        What to train, perhaps in groups.
    options : OptimiserOptions
        Which.

    Returns
    -------
    Optimizer
        SGD with Nesterov momentum, Adam with L2 penalty, or AdamW with decoupled decay.
    """
    rate, decay = options.learning_rate, options.weight_decay
    if options.name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM, nesterov=True, weight_decay=decay)
    maker = torch.optim.Adam if options.name == "adam" else torch.optim.AdamW
    return maker(parameters, lr=rate, weight_decay=decay, betas=options.betas)


def rate_factor(step: int, options: OptimiserOptions, steps_per_epoch: int, epochs: int) -> float:
    """Learning rate at a step as a fraction of the largest.

    Parameters
    ----------
    step : int
        Optimiser steps made so far.
    options : OptimiserOptions
        Schedule.
    steps_per_epoch, epochs : int
        Length of the training.

    Returns
    -------
    float
        From 0 to 1.
    """
    warmup = options.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return 1.0
    if options.schedule == "triangle":
        cycle = options.cycle_epochs * steps_per_epoch
        height = 1 - abs(2 * ((step - warmup) % cycle) / cycle - 1)
        return TRIANGLE_FLOOR + (1 - TRIANGLE_FLOOR) * height
    if options.schedule == "step":
        return float(options.step_factor ** (step // steps_per_epoch // options.step_epochs))
    progress = (step - warmup) / max(1.0, steps_per_epoch * epochs - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def build_schedule(
    optimiser: torch.optim.Optimizer, options: OptimiserOptions, steps_per_epoch: int, epochs: int
) -> LambdaLR:
    """Scheduler that is stepped after every batch; see `rate_factor`."""
    return LambdaLR(optimiser, lambda step: rate_factor(step, options, steps_per_epoch, epochs))
