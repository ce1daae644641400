"""Whether features of several depths, several views or two networks tell unknown classes better than what is shipped.

    python training/benchmarks/depths.py DATA [--seeds 0 1 2]

trains on labelled sets with a class left out: digits and mock galaxies made worse, and SDSS galaxies made worse (the
same galaxies in source and target, each in one part). For each network a line of JSON: areas under the ROC curve,
unknown objects against known ones, of the anomaly score as it is (`now`) and of others, in target and source.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adaptation import asked_of_trial
from experiments import TRIALS, TRIED, Experiment
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from strangeness import mahalanobis
from torch import Tensor, nn

from galmorph.cutout_set import read_cutout_set
from galmorph.scores import directions_of, entropy, neighbour_distance, softmax
from galmorph.training.calibrate import fit_temperature
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.fit import load_training, train
from galmorph.training.split import split_objects, split_target

Float = NDArray[np.float64]

#: Layers of the DeepMerge network whose maps are looked at: the end of each block.
BLOCKS = (3, 7, 11)
BATCH = 128

#: Shifts that stand for views of digits, which cannot be turned.
SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1))


def views(images: Tensor, turned: bool) -> Iterator[Tensor]:
    """Eight views: turned and mirrored, or shifted by a pixel."""
    if turned:
        for quarter in range(4):
            yield (view := torch.rot90(images, quarter, (2, 3)))
            yield view.flip(3)
    else:
        yield from (torch.roll(images, shift, (2, 3)) for shift in SHIFTS)


def look(network: nn.Module, images: NDArray[Any], rows: NDArray[np.intp], turned: bool) -> dict[str, Float]:
    """Logits and features, mean and deviation of each block's maps, logits of the views."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, maps: Tensor) -> None:
            found.setdefault(name, []).append(torch.cat([maps.mean((2, 3)), maps.std((2, 3))], dim=1))

        return hook

    batches = [torch.from_numpy(np.asarray(images[rows[at : at + BATCH]])) for at in range(0, len(rows), BATCH)]
    with torch.inference_mode():
        hooks = [network.encoder[block].register_forward_hook(keep(f"block {block}")) for block in BLOCKS]
        for batch in batches:
            for name, value in zip(("logits", "features"), network(batch), strict=True):
                found.setdefault(name, []).append(value)
        for hook in hooks:
            hook.remove()
        found["views"] = [torch.stack([network(view)[0] for view in views(one, turned)], dim=1) for one in batches]
    return {name: torch.cat(values).numpy().astype(np.float64) for name, values in found.items()}


def seen(experiment: Experiment, method: str, seed: int, data: Path) -> tuple[dict[str, dict[str, Float]], Any]:
    """Train, and what the network gives for each part; classes of the training part."""
    recipe = experiment.recipe(method, seed, data)
    with tempfile.TemporaryDirectory() as scratch:
        module, _ = load_training(train(recipe, Path(scratch) / "training", progress=False).checkpoint)
    source = read_source(recipe.source)
    rows = part_rows(source, recipe)
    target = read_cutout_set(data / experiment.target)
    names = target.labels["label"].to_numpy(dtype=np.str_)
    ids = target.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
    own = split_objects(source.object_ids, source.names, recipe.split)
    tested = split_target(ids, source.object_ids, own, recipe.split) == "test"
    known = np.isin(names, experiment.classes)
    chosen = {
        "fitted": (source.images, rows["train"]),
        "valid": (source.images, rows["validation"]),
        "source known": (source.images, rows["test"]),
        "source unknown": (source.images, np.flatnonzero(np.isin(source.names, experiment.private))),
        "target known": (target.images, np.flatnonzero(tested & known)),
        "target unknown": (target.images, np.flatnonzero(tested & ~known)),
    }
    turned = recipe.views.turn
    parts = {part: look(module.network, *which, turned) for part, which in chosen.items()}
    return parts, (source.labels[rows["train"]], source.labels[rows["validation"]])


def scores(parts: dict[str, dict[str, Float]], labels: Any) -> dict[str, dict[str, Float]]:
    """Each score of each part."""
    temperature = fit_temperature(parts["valid"]["logits"], labels[1])
    result: dict[str, dict[str, Float]] = {}

    def add(name: str, what: Callable[[dict[str, Float]], Float]) -> None:
        result[name] = {part: what(values) for part, values in parts.items() if part != "fitted"}

    def join(name: str, *names: str, deviations: bool = False) -> None:
        def unit(one: str, part: str) -> Float:
            usual = result[one]["valid"]
            return (result[one][part] - usual.mean()) / usual.std() if deviations else result[one][part] / usual.mean()

        result[name] = {part: np.mean([unit(one, part) for one in names], axis=0) for part in result[names[0]]}

    def answers(values: dict[str, Float]) -> Float:
        return np.stack([softmax(values["views"][:, k], temperature) for k in range(len(SHIFTS))])

    fitted = parts["fitted"]
    add("entropy", lambda values: entropy(softmax(values["logits"], temperature)))
    add("neighbours", lambda values: neighbour_distance(values["features"], directions_of(fitted["features"])))
    join("now", "entropy", "neighbours")
    add("entropy of views", lambda values: entropy(answers(values).mean(axis=0)))
    add("views disagree", lambda values: entropy(answers(values).mean(axis=0)) - entropies(answers(values)))
    blocks = [f"block {block}" for block in BLOCKS]
    for block in blocks:
        standard = _standard(fitted[block])
        known = {"neighbours": directions_of(standard(fitted[block])), "Mahalanobis": standard(fitted[block])}
        result[f"{block} neighbours"] = {
            part: neighbour_distance(standard(parts[part][block]), known["neighbours"]) for part in result["now"]
        }
        result[f"{block} Mahalanobis"] = {
            part: np.sqrt(mahalanobis(standard(parts[part][block]), known["Mahalanobis"], labels[0]))
            for part in result["now"]
        }
    for kind in ("neighbours", "Mahalanobis"):
        join(f"blocks, {kind}", *(f"{block} {kind}" for block in blocks))
        join(f"now and blocks, {kind}", "entropy", "neighbours", f"blocks, {kind}")
        join(f"blocks, {kind}, deviations", *(f"{block} {kind}" for block in blocks), deviations=True)
        names = ("entropy", "neighbours", f"blocks, {kind}, deviations")
        join(f"now and blocks, {kind}, deviations", *names, deviations=True)
    return result


def _standard(known: Float) -> Callable[[Float], Float]:
    """To a mean of 0 and a deviation of 1 over known objects."""
    centre, scale = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-9)
    return lambda values: (values - centre) / scale


def entropies(answers: Float) -> Float:
    """Mean entropy of the views' own answers."""
    return np.asarray(np.mean([entropy(one) for one in answers], axis=0))


def areas(result: dict[str, dict[str, Float]]) -> dict[str, dict[str, float]]:
    """Areas under the ROC curve, in source and target."""

    def area(values: dict[str, Float], domain: str) -> float:
        known, unknown = values[f"{domain} known"], values[f"{domain} unknown"]
        truth = np.arange(len(known) + len(unknown)) >= len(known)
        return round(float(roc_auc_score(truth, np.concatenate([known, unknown]))), 4)

    return {name: {domain: area(values, domain) for domain in ("target", "source")} for name, values in result.items()}


def twins(first: dict[str, dict[str, Float]], second: dict[str, dict[str, Float]]) -> dict[str, dict[str, Float]]:
    """The score as it is, of two networks together."""
    one, other = first["now"], second["now"]
    return {"two networks": {part: (one[part] + other[part]) / 2 for part in one}}


def run(data: Path, seeds: Sequence[int]) -> None:
    """All trainings."""
    for seed in seeds:
        for name, experiment in TRIALS.items():
            found = {method: scores(*seen(experiment, method, seed, data)) for method in TRIED}
            both = twins(*(found[method] for method in TRIED))
            for method in TRIED:
                facts = {"case": name, "method": method, "seed": seed}
                print(json.dumps(facts | {"auroc": areas(found[method] | both)}), flush=True)


def main() -> None:
    """Command line."""
    run(*asked_of_trial(__doc__))


if __name__ == "__main__":
    main()
