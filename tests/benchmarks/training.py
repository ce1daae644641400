"""What a step that adapts costs beside a plain one, and what the bank takes.

One process, one thread. A step is everything between two batches: random views, the network forward, the method's
losses, backward, the optimiser. Methods take turns, and time is the processor's, so that other load disturbs little.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
import torch
from common.outcome import Result, entry, finish, parser

from galmorph.training.bank import Bank
from galmorph.training.loaders import Batch, Pair
from galmorph.training.losses import NO_LABEL, Marks, clustering_loss, rank_codes
from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import METHODS, Objective
from galmorph.training.networks import build_network
from galmorph.training.optimise import build_optimiser, parameter_groups
from galmorph.training.options import NetworkOptions, OptimiserOptions, StretchOptions, ViewOptions
from galmorph.training.step import observe
from galmorph.training.stretch import fit_stretch
from galmorph.training.terms import Setting

CLASSES = 10

#: Images of each domain that the bank and other memories hold.
IMAGES = 20_000

#: Images of a batch (of each domain), and pixels a side, for the network of the recipes' default and a tiny one.
NETWORKS = {"resnet18": (32, 64), "deepmerge": (128, 75)}

#: Batch (of both domains) and images in the bank, for the time of the clustering loss.
SIZES = ((64, 5_000), (128, 10_000), (128, 40_000), (256, 20_000), (256, 40_000))

#: What is compared, by name: every method, and two with strangers, which are another batch to look at.
COMPARED = {name: MethodOptions(name=name) for name in METHODS} | {
    f"{name} with strangers": MethodOptions(name=name, weights={"strangers": 0.5})
    for name in ("source_only", "deepastrouda")
}

STEP_TARGET, BANK_MEGABYTES, PAIR_TARGET = 1.5, 50.0, 1.25


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor time of each call, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}


def passes(options: MethodOptions) -> int:
    """How often a method has to look at a batch of one domain."""
    objective = Objective(options, Setting([1] * CLASSES, 1, 1, 1))
    return (2 if objective.adapts else 1) * (2 if objective.second else 1) + objective.strangers


def step_of(chosen: MethodOptions, encoder: str, images: torch.Tensor) -> Callable[[], None]:
    """A step of a method, with every memory of the training full."""
    torch.manual_seed(0)
    size = images.shape[-1]
    stretch = fit_stretch(images.numpy(), np.arange(len(images)), StretchOptions())
    method, options = METHODS[chosen.name], OptimiserOptions()
    network = build_network(
        NetworkOptions(encoder=encoder), stretch, bands=3, size=size, classes=CLASSES, open_head=method.open_head
    )
    network.to(memory_format=torch.channels_last)
    setting = Setting([IMAGES // CLASSES] * CLASSES, IMAGES, *network.lengths(3, size))
    objective = Objective(chosen, setting)
    for label, memory in objective.named_buffers():
        if label.endswith(("probabilities", "memory")):
            memory.copy_(torch.rand(memory.shape).softmax(dim=1))
        elif label.endswith("codes"):
            memory.copy_(torch.randint(0, CLASSES**3, memory.shape))
        elif label.endswith("seen"):
            memory.fill_(True)
    optimiser = build_optimiser(parameter_groups(network, objective.terms.values(), options), options)
    rows = torch.arange(len(images))
    source = Batch(images, rows % CLASSES, rows)
    batch = Pair(source, Batch(images.flip(0), torch.full_like(rows, NO_LABEL), rows)) if method.adapts else source

    def step() -> None:
        optimiser.zero_grad()
        generator = torch.Generator().manual_seed(0)
        outputs = observe(
            network, batch, ViewOptions(), generator, second=objective.second, mixed=True, strangers=objective.strangers
        )
        objective(outputs)[0].backward()
        optimiser.step()

    return step


def steps(encoder: str, rounds: int) -> list[Result]:
    """Each method's step beside the plain one, by pass."""
    batch, size = NETWORKS[encoder]
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    times = take_turns({name: step_of(chosen, encoder, images) for name, chosen in COMPARED.items()}, rounds)
    plain = times["source_only"]
    return [
        entry(
            f"{encoder}, {name}: step beside a plain one, by pass",
            times[name] / plain / passes(chosen),
            STEP_TARGET,
            "most",
            seconds=round(times[name], 4),
            passes=passes(chosen),
        )
        for name, chosen in COMPARED.items()
        if name != "source_only"
    ]


def memory() -> Result:
    """Size of the bank of all images."""
    megabytes = sum(buffer.numel() * buffer.element_size() for buffer in Bank(2 * IMAGES, CLASSES).buffers()) / 1e6
    name = f"bank of {2 * IMAGES} images and {CLASSES} classes, beside {BANK_MEGABYTES:g} MB"
    return entry(name, megabytes / BANK_MEGABYTES, 1.0, "most", megabytes=round(megabytes, 2))


def marked(n: int, first: int, generator: torch.Generator) -> tuple[torch.Tensor, Marks]:
    """Random probabilities; half of them labelled."""
    p = (2 * torch.randn(n, CLASSES, generator=generator)).softmax(dim=1)
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    labels[n // 2 :] = NO_LABEL
    return p, Marks(torch.arange(first, first + n), rank_codes(p, 3, ordered=True), labels)


def clustering_of(batch: int, bank: int) -> Callable[[], object]:
    """Value and gradient of the clustering loss."""
    generator = torch.Generator().manual_seed(0)
    (p, mine), (q, others) = marked(batch, 0, generator), marked(bank, 0, generator)
    p.requires_grad_(True)
    return lambda: torch.autograd.grad(clustering_loss(p, q, mine, others)[0], p)


def clustering(rounds: int) -> Result:
    """Time for a pair as their number grows, and the power of it that the time goes with."""
    times = take_turns({f"{batch} x {bank}": clustering_of(batch, bank) for batch, bank in SIZES}, rounds)
    pairs = [batch * bank for batch, bank in SIZES]
    costs = [seconds / number for seconds, number in zip(times.values(), pairs, strict=True)]
    power = np.polyfit(np.log(pairs), np.log(list(times.values())), 1)[0]
    return entry(
        f"clustering loss: time of a pair, {list(times)[-1]} beside {next(iter(times))}",
        costs[-1] / costs[0],
        PAIR_TARGET,
        "most",
        nanoseconds={name: round(1e9 * cost, 1) for name, cost in zip(times, costs, strict=True)},
        power=round(float(power), 3),
    )


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    asked = parser(__doc__)
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--network", action="append", choices=NETWORKS, help="by default all")
    arguments = asked.parse_args()
    torch.set_num_threads(1)
    results = [memory(), clustering(arguments.rounds)]
    for encoder in arguments.network or NETWORKS:
        results += steps(encoder, arguments.rounds)
    finish("training", results, check=arguments.check, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
