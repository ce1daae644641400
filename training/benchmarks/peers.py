"""Methods of skada on the closed digits, with the network, images, views and budget of the table's own.

In an environment with galmorph[training] and, beside it, ``pip install --no-deps skada==0.6.0 skorch POT``:

    python training/benchmarks/peers.py DATA [--seeds 0 1 2 3 4]

adds lines to ``docs/benchmarks/adaptation/digits-closed-*.jsonl`` under the names ``skada: METHOD``.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skorch
import torch
from adaptation import RESULTS, read_lines
from experiments import EXPERIMENTS
from skada import deep
from skorch.callbacks import LRScheduler
from torch import Tensor, nn

from galmorph.cutout_set import read_cutout_set
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.networks import build_network
from galmorph.training.recipe import Recipe
from galmorph.training.split import split_objects, split_target
from galmorph.training.stretch import fit_stretch
from galmorph.training.views import random_view

#: Where domains are aligned.
LAYER = "network.encoder"

METHODS: Mapping[str, Callable[..., Any]] = {
    "coral": lambda module, length, classes, **options: deep.DeepCoral(module, LAYER, **options),
    "dan": lambda module, length, classes, **options: deep.DAN(module, LAYER, **options),
    "dann": lambda module, length, classes, **options: deep.DANN(module, LAYER, num_features=length, **options),
    "cdan": lambda module, length, classes, **options: deep.CDAN(
        module, LAYER, num_features=length, n_classes=classes, **options
    ),
    "mcc": lambda module, length, classes, **options: deep.MCC(module, LAYER, **options),
}


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


def measure(name: str, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train one of `METHODS` and measure it."""
    experiment = EXPERIMENTS[name]
    recipe = experiment.recipe("mmd", seed, data)
    source, target = read_source(recipe.source), read_cutout_set(data / experiment.target)
    rows = part_rows(source, recipe)
    ids = target.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
    source_parts = split_objects(source.object_ids, source.names, recipe.split)
    parts = split_target(ids, source.object_ids, source_parts, recipe.split)
    seen = target.images[parts == "train"]
    torch.manual_seed(seed)
    stretch = fit_stretch(source.images, rows["train"], recipe.stretch)
    bands, size = source.images.shape[1:3]
    network = build_network(
        recipe.network, stretch, bands=bands, size=size, classes=len(source.classes), open_head=False
    )
    batch, steps = recipe.fit.batch_size, len(rows["train"]) // recipe.fit.batch_size * recipe.fit.epochs
    images = np.concatenate([source.images[rows["train"]], seen])
    labels = np.concatenate([source.labels[rows["train"]], np.full(len(seen), -1)])
    domains = np.concatenate([np.full(len(rows["train"]), 1), np.full(len(seen), -2)])
    # skada draws both domains for one batch, and calls a pass over the larger of them an epoch.
    passes = max(1, round(steps * 2 * batch / max(len(rows["train"]), len(seen))))
    net = METHODS[method](
        Viewed(network, recipe),
        network.lengths(bands, size)[0],
        len(source.classes),
        batch_size=2 * batch,
        max_epochs=passes,
        optimizer=torch.optim.AdamW,
        lr=recipe.optimiser.learning_rate,
        optimizer__weight_decay=recipe.optimiser.weight_decay,
        train_split=None,
        verbose=0,
        callbacks=[LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=steps, step_every="batch")],
    )
    started = time.perf_counter()
    net.fit(images.astype(np.float32), labels, sample_domain=domains)
    seconds = time.perf_counter() - started
    module = network.eval()
    line: dict[str, Any] = {"method": f"skada: {method}", "seed": seed, "seconds": round(seconds, 1)}
    line["steps"] = sum(len(epoch["batches"]) for epoch in net.history)
    names = target.labels["label"].astype(str).to_numpy(dtype=np.str_)
    for domain, stack, truth, chosen in (
        ("source", source.images, source.names, rows["test"]),
        ("target", target.images, names, np.flatnonzero(parts == "test")),
    ):
        with torch.inference_mode():
            answers = module(torch.from_numpy(np.asarray(stack[chosen])))[0].argmax(dim=1).numpy()
        right = np.array(source.classes)[answers] == truth[chosen]
        line[domain] = {"accuracy": round(float(right.mean()), 4)}
    return line


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print(f"skorch {skorch.__version__}")
    for seed in given.seeds:
        for name in ("digits-closed-mnist", "digits-closed-usps"):
            done = {(line["method"], line["seed"]) for line in read_lines(name)}
            for method in METHODS:
                if (f"skada: {method}", seed) not in done:
                    line = json.dumps(measure(name, method, seed, given.data.resolve()))
                    print(name, line, flush=True)
                    with (RESULTS / f"{name}.jsonl").open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
