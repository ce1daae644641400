"""Methods of skada and pytorch-adapt on the closed digits, with the table's own network, images, views and steps.

In an environment with galmorph[training] and, beside it, what they need:

    pip install --no-deps skada==0.6.0 skorch POT pytorch-adapt==0.0.83 pytorch-metric-learning
    python training/benchmarks/peers.py DATA [--seeds 0 1 2 3 4] [--methods …] [--experiments …]

adds lines to ``docs/benchmarks/adaptation/EXPERIMENT.jsonl`` under the names ``LIBRARY VERSION: METHOD``. Everything
but the losses is as ours: the network with its random weights, the optimiser, the schedule of the learning rate, the
largest norm of the gradient, batches of as many images of each domain, the number of steps. Losses have the weights
that the library gives them, but for one (`DOMAIN`); what counts is the network after the last step.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adaptation import RESULTS, read_lines
from experiments import EXPERIMENTS
from numpy.typing import NDArray
from pytorch_adapt import hooks, layers
from pytorch_adapt.layers.utils import get_kernel_scales
from pytorch_adapt.models import Discriminator
from pytorch_adapt.weighters import MeanWeighter
from skada import deep
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from galmorph.cutout_set import read_cutout_set
from galmorph.training.data import Dataset, read_source
from galmorph.training.domains import part_rows
from galmorph.training.loaders import Rows, training_batches
from galmorph.training.networks import Classifier, build_network
from galmorph.training.optimise import build_optimiser, rate_factor
from galmorph.training.recipe import Recipe
from galmorph.training.split import split_objects, split_target
from galmorph.training.stretch import fit_stretch
from galmorph.training.views import random_view

CLOSED = ("digits-closed-mnist", "digits-closed-usps")

#: Length of the discriminator's hidden layers and of CDAN's randomised map, as in our own.
HIDDEN, RANDOM_MAP = 1024, 1024

#: Where skada aligns domains.
LAYER = "network.encoder"

SKADA: Mapping[str, Callable[..., Any]] = {
    "coral": lambda module, length, classes, **options: deep.DeepCoral(module, LAYER, **options),
    "dan": lambda module, length, classes, **options: deep.DAN(module, LAYER, **options),
    "dann": lambda module, length, classes, **options: deep.DANN(module, LAYER, num_features=length, **options),
    "cdan": lambda module, length, classes, **options: deep.CDAN(
        module, LAYER, num_features=length, n_classes=classes, **options
    ),
    "mcc": lambda module, length, classes, **options: deep.MCC(module, LAYER, **options),
}

#: Weights of pytorch-adapt's CDAN, a game of two optimisers without reversed gradients: at the library's own, 1, it
#: forgets the source's classes here (accuracies of 0.4 to 0.6 there), which shows without labels of the target.
DOMAIN = {"g_src_domain_loss": 0.1, "g_target_domain_loss": 0.1}

#: Hooks of pytorch-adapt by method, made of the optimisers of networks and discriminator.
ADAPT: Mapping[str, Callable[[list[Any], list[Any]], Any]] = {
    "coral": lambda both, _: hooks.AlignerPlusCHook(both, loss_fn=layers.CORALLoss()),
    "dan": lambda both, _: hooks.AlignerPlusCHook(both, loss_fn=layers.MMDLoss(get_kernel_scales(), "quadratic")),
    "dann": lambda both, other: hooks.DANNHook(both + other),
    "cdan": lambda both, other: hooks.CDANHook(d_opts=other, g_opts=both, g_weighter=MeanWeighter(weights=DOMAIN)),
    "mcc": lambda both, _: hooks.ClassifierHook(both, post=[hooks.MCCHook()]),
}


@dataclass(frozen=True)
class Problem:
    """What is learned from, and what is measured.

    Parameters
    ----------
    recipe : Recipe
        Of our own methods on the experiment.
    source, target : Dataset
        All images; the target's names are for measuring alone.
    rows, target_rows : dict of str to ndarray of int
        Parts of each.
    """

    recipe: Recipe
    source: Dataset
    target: Dataset
    rows: Mapping[str, NDArray[np.intp]]
    target_rows: Mapping[str, NDArray[np.intp]]

    @property
    def epoch_steps(self) -> int:
        """Steps of one of our epochs."""
        return len(self.rows["train"]) // self.recipe.fit.batch_size

    @property
    def steps(self) -> int:
        """Steps of our trainings."""
        return self.epoch_steps * self.recipe.fit.epochs

    def network(self) -> Classifier:
        """The network with random weights of the recipe's seed."""
        torch.manual_seed(self.recipe.seed)
        stretch = fit_stretch(self.source.images, self.rows["train"], self.recipe.stretch)
        bands, size = self.source.images.shape[1:3]
        return build_network(self.recipe.network, stretch, bands=bands, size=size, classes=len(self.source.classes))

    def rate(self, step: int) -> float:
        """Learning rate of a step, as a fraction of the largest."""
        return rate_factor(step, self.recipe.optimiser, self.epoch_steps, self.recipe.fit.epochs)


def read_problem(name: str, seed: int, data: Path) -> Problem:
    """The images of an experiment, divided as for our own methods."""
    experiment = EXPERIMENTS[name]
    recipe = experiment.recipe("mmd", seed, data)
    source, cutouts = read_source(recipe.source), read_cutout_set(data / experiment.target)
    ids, names = (cutouts.labels[key].astype(str).to_numpy(dtype=np.str_) for key in ("object_id", "label"))
    source_parts = split_objects(source.object_ids, source.names, recipe.split)
    parts = split_target(ids, source.object_ids, source_parts, recipe.split)
    target = Dataset(cutouts.images, np.full(len(ids), -1), names, ids, source.classes)
    rows = {part: np.flatnonzero(parts == part) for part in ("train", "test")}
    return Problem(recipe, source, target, part_rows(source, recipe), rows)


class Viewed(nn.Module):
    """The network, which in training sees random views as ours does; logits alone come out.

    Parameters
    ----------
    network : Module
        A `galmorph.training.networks.Classifier`.
    recipe : Recipe
        With the views and the seed.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.views = recipe.views
        self.generator = torch.Generator().manual_seed(recipe.seed)

    def forward(self, images: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Logits, shape ``(n, K)``."""
        if self.training:
            images = random_view(images, self.views, self.generator)
        logits: Tensor = self.network(images)[0]
        return logits


class _Enough(Callback):
    """Ends a training of skorch after so many steps: its passes over the data are not ours."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0

    def on_batch_end(self, net: Any, training: bool = False, **given: Any) -> None:
        """Count, and stop as if by Ctrl-C, which skorch takes for the end."""
        self.done += training
        if self.done >= self.steps:
            raise KeyboardInterrupt


def train_skada(method: str, problem: Problem, network: Classifier) -> int:
    """Train the network with a method of skada; the number of steps."""
    recipe, rows, seen = problem.recipe, problem.rows["train"], problem.target_rows["train"]
    options, enough = recipe.optimiser, _Enough(problem.steps)
    bands, size = problem.source.images.shape[1:3]
    net = SKADA[method](
        Viewed(network, recipe),
        network.lengths(bands, size)[0],
        len(problem.source.classes),
        # Of each domain: skada's loader doubles it.
        batch_size=recipe.fit.batch_size,
        max_epochs=problem.steps,
        optimizer=torch.optim.AdamW,
        lr=options.learning_rate,
        optimizer__weight_decay=options.weight_decay,
        optimizer__betas=options.betas,
        train_split=None,
        verbose=0,
        callbacks=[
            GradientNormClipping(options.clip),
            LRScheduler(LambdaLR, lr_lambda=problem.rate, step_every="batch"),
            enough,
        ],
    )
    images = np.concatenate([problem.source.images[rows], problem.target.images[seen]]).astype(np.float32)
    labels = np.concatenate([problem.source.labels[rows], np.full(len(seen), -1)])
    net.fit(images, labels, sample_domain=np.concatenate([np.full(len(rows), 1), np.full(len(seen), -2)]))
    return enough.done


def train_adapt(method: str, problem: Problem, network: Classifier) -> int:
    """Train the network with a method of pytorch-adapt; the number of steps."""
    recipe, classes = problem.recipe, len(problem.source.classes)
    bands, size = problem.source.images.shape[1:3]
    length = network.lengths(bands, size)[0]
    parts = {
        "G": nn.Sequential(network.stretch, network.encoder),
        "C": nn.Sequential(network.neck, network.dropout, network.head),
        "D": Discriminator(in_size=RANDOM_MAP if method == "cdan" else length, h=HIDDEN),
    }
    given = {**parts, "feature_combiner": layers.RandomizedDotProduct([length, classes], RANDOM_MAP)}
    optimisers = {name: build_optimiser(part.parameters(), recipe.optimiser) for name, part in parts.items()}
    schedules = [LambdaLR(optimiser, problem.rate) for optimiser in optimisers.values()]
    step = ADAPT[method]([optimisers["G"], optimisers["C"]], [optimisers["D"]])
    generator, done = torch.Generator().manual_seed(recipe.seed), 0
    source, target = (
        Rows(problem.source, problem.rows["train"]),
        Rows(problem.target, problem.target_rows["train"]),
    )
    batches = training_batches(source, target, batch_size=recipe.fit.batch_size, seed=recipe.seed, workers=0)

    def back(loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_([each for part in parts.values() for each in part.parameters()], recipe.optimiser.clip)

    network.train()
    for epoch in range(recipe.fit.epochs):
        batches.sampler.set_epoch(epoch)
        for pair in batches:
            views = {name: random_view(part.images, recipe.views, generator) for name, part in pair._asdict().items()}
            batch = {
                "src_imgs": views["source"],
                "src_labels": pair.source.labels,
                "src_domain": torch.zeros(len(pair.source.images)),
                "target_imgs": views["target"],
                "target_domain": torch.ones(len(pair.target.images)),
            }
            step({**given, **batch, "custom_backward": back})
            for schedule in schedules:
                schedule.step()
            done += 1
    return done


LIBRARIES: Mapping[str, tuple[Mapping[str, Any], Callable[[str, Problem, Classifier], int]]] = {
    f"skada {version('skada')}": (SKADA, train_skada),
    f"pytorch-adapt {version('pytorch-adapt')}": (ADAPT, train_adapt),
}


def measure(name: str, library: str, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train a method of a library and measure it: the line of the results."""
    problem = read_problem(name, seed, data)
    network, started = problem.network(), time.perf_counter()
    steps = LIBRARIES[library][1](method, problem, network)
    seconds = time.perf_counter() - started
    line: dict[str, Any] = {
        "method": f"{library}: {method}",
        "seed": seed,
        "seconds": round(seconds, 1),
        "steps": steps,
    }
    network.eval()
    for domain, images, rows in (
        ("source", problem.source, problem.rows["test"]),
        ("target", problem.target, problem.target_rows["test"]),
    ):
        with torch.inference_mode():
            answers = network(torch.from_numpy(np.asarray(images.images[rows])))[0].argmax(dim=1).numpy()
        right = np.array(problem.source.classes)[answers] == images.names[rows]
        line[domain] = {"accuracy": round(float(right.mean()), 4)}
    return line


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", default=list(SKADA))
    parser.add_argument("--experiments", nargs="+", default=CLOSED)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    given.results.mkdir(parents=True, exist_ok=True)
    wanted = [
        (seed, name, library, method)
        for seed in given.seeds
        for name in given.experiments
        for library, (methods, _) in LIBRARIES.items()
        for method in given.methods
        if method in methods
    ]
    for seed, name, library, method in wanted:
        if (f"{library}: {method}", seed) in {
            (line["method"], line["seed"]) for line in read_lines(name, given.results)
        }:
            continue
        line = json.dumps(measure(name, library, method, seed, given.data.resolve()))
        print(name, line, flush=True)
        with (given.results / f"{name}.jsonl").open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
