"""Train every method on every experiment, several seeds each, and write what came of it.

    python training/benchmarks/adaptation.py run DATA [EXPERIMENT…] --keep KEPT [--seeds 0 1 2 3 4] [--methods …]
    python training/benchmarks/adaptation.py again --keep KEPT

reads the sets below DATA (see the files beside this one for how to make them), and adds a line for each training
to ``docs/benchmarks/adaptation/EXPERIMENT.jsonl``; what is there is not done again. What the networks said stays in
KEPT, and the second command takes the measures of it anew. Nothing of the target's labels is used but for the measures,
which are of its test part. ``table.py`` makes the page of the lines. For EXPERIMENT a group can be given: table,
longer, ablation, hostile or rehearsal.
"""

import argparse
import dataclasses
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments import (
    ABLATION,
    EXPERIMENTS,
    HOSTILE,
    LONGER,
    NOISY,
    REHEARSAL,
    STRANGERS,
    SUPERVISED,
    TABLE,
    Experiment,
)
from numpy.typing import NDArray
from tqdm import tqdm

from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.scores import UnknownScore
from galmorph.training.calibrate import calibrate
from galmorph.training.data import read_source
from galmorph.training.domain_norm import Domain
from galmorph.training.domains import part_rows, read_domains
from galmorph.training.evaluation import summarise
from galmorph.training.fit import load_training, train
from galmorph.training.guarded import predict
from galmorph.training.options import ExportOptions
from galmorph.training.split import split_objects, split_target
from galmorph.training.strangers import draw_strangers

#: What a network said of the parts of the data.
Predictions = dict[str, NDArray[Any]]

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "adaptation"


def _names(cutouts: CutoutSet) -> NDArray[np.str_]:
    return cutouts.labels["label"].to_numpy(dtype=np.str_)


def _ids(cutouts: CutoutSet) -> NDArray[np.str_]:
    return cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)


def train_and_look(experiment: Experiment, method: str, seed: int, data: Path, out: Path) -> Predictions:
    """Train once, and let the network look at all images that a measure is taken of.

    Returns
    -------
    dict of ndarray
        Logits, features and names of the parts, and what a line says beside the measures.
    """
    started = time.perf_counter()
    recipe = experiment.recipe(method, seed, data)
    if NOISY in method and recipe.target is None:
        # The twin of a method that adapts: it sees no target but has its noise, in numbers.
        noise = read_domains(experiment.recipe(method.replace("source_only", "mmd"), seed, data)).noise
        recipe = dataclasses.replace(recipe, views=dataclasses.replace(recipe.views, noise=tuple(noise)))
    result = train(recipe, out, progress=False)
    seconds = round(time.perf_counter() - started, 1)
    module, _ = load_training(result.checkpoint)
    source = read_source(recipe.source)
    rows = part_rows(source, recipe)
    source_parts = split_objects(source.object_ids, source.names, recipe.split)
    target = read_cutout_set(data / experiment.target)
    test = read_cutout_set(data / (experiment.test or experiment.target))
    parts = split_target(_ids(target), source.object_ids, source_parts, recipe.split)
    seen = np.flatnonzero(parts == "train")
    tested = np.arange(len(test.labels)) if experiment.test else np.flatnonzero(parts == "test")
    saved: Predictions = {
        "facts": np.array(json.dumps({"method": method, "seed": seed, "seconds": seconds, "epoch": result.best_epoch}))
    }
    looks = [
        ("fitted", source.images, source.names, rows["train"]),
        ("valid", source.images, source.names, rows["validation"]),
        ("source", source.images, source.names, rows["test"]),
        ("target", test.images, _names(test), tested),
        ("target_train", target.images, _names(target), seen),
    ]
    for part, place, wanted in (
        ("source", experiment.more_known, experiment.classes if method != SUPERVISED else ()),
        ("target", experiment.more_private, experiment.private),
    ):
        if place and wanted:
            more = read_cutout_set(data / place)
            looks.append((part, more.images, _names(more), np.flatnonzero(np.isin(_names(more), wanted))))
    for part, images, names, chosen in looks:
        domain: Domain = "target" if part.startswith("target") else "source"
        logits, features = predict(module, images, chosen, domain)
        for kind, values in (("logits", logits), ("features", features), ("names", names[chosen])):
            key = f"{part}_{kind}"
            saved[key] = np.concatenate([saved[key], values]) if key in saved else values
    if recipe.method.weights.get("strangers"):
        made = draw_strangers(target.images, seen)
        logits, features = predict(module, made, np.arange(len(made)), "target")
        saved |= {"strangers_logits": logits, "strangers_features": features}
    return saved


def measure(experiment: Experiment, saved: Mapping[str, NDArray[Any]], **changes: Any) -> dict[str, Any]:
    """The line of the results that follows from what a network said.

    Every method gets what the target's images say without labels, those that do not adapt too; one that trained with
    strangers its score and its threshold by those of the target's images. `changes` are other export options.
    """

    def answers(part: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return saved[f"{part}_logits"], saved[f"{part}_features"]

    def labels(part: str) -> NDArray[np.intp]:
        return np.array([experiment.classes.index(name) for name in saved[f"{part}_names"]])

    fitted, valid = answers("fitted")[1], answers("valid")
    made = answers("strangers") if "strangers_logits" in saved else None
    options = ExportOptions() if made is None else ExportOptions(threshold=STRANGERS, unknown_score=STRANGERS)
    options = dataclasses.replace(options, **changes)
    calibration = calibrate(fitted, *valid, labels("valid"), options, answers("target_train"), made)
    line: dict[str, Any] = json.loads(str(saved["facts"])) | {"unknown_score": calibration.unknown_score}
    for domain in ("source", "target"):
        scores = calibration.score(*answers(domain))
        line[domain] = _numbers(scores, saved[f"{domain}_names"], experiment.classes, calibration.unknown_score)
    return line


def _numbers(scores: Any, names: NDArray[np.str_], classes: tuple[str, ...], decides: UnknownScore) -> dict[str, Any]:
    """The measures that the table shows."""
    found = summarise(scores, names, classes, model="", data="", part="test")
    numbers: dict[str, Any] = {key: found.known[key] for key in ("accuracy", "mean_recall", "auc", "calibration_error")}
    if set(names) - set(classes):
        numbers |= {key: found.unknown[key] for key in ("known_recall", "unknown_recall", "h_score", "mean_accuracy")}
        numbers["auroc"] = found.unknown["auroc"]["all"]["entropy"]
        numbers["auroc_energy"] = found.unknown["auroc"]["all"]["energy"]
        numbers["auroc_anomaly"] = found.unknown["auroc"]["all"]["anomaly_score"]
        numbers["oracle_h_score"] = found.unknown["oracle_h_score"][decides]
    return {key: None if value is None else round(value, 4) for key, value in numbers.items()}


def _job(name: str, method: str, seed: int, data: Path, keep: Path) -> dict[str, Any]:
    """In a process of its own: one training with one thread."""
    quietly()
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        saved = train_and_look(EXPERIMENTS[name], method, seed, data, Path(scratch) / "training")
    np.savez(keep / f"{name}-{method.replace('/', '+')}-{seed}.npz", **saved)  # type: ignore[arg-type]
    return measure(EXPERIMENTS[name], saved)


def again(keep: Path, results: Path) -> None:
    """Take all measures anew of what is kept; lines of other programs stay."""
    for name, experiment in EXPERIMENTS.items():
        lines = {(line["method"], line["seed"]): line for line in read_lines(name, results)}
        for path in sorted(keep.glob(f"{name}-*.npz")):
            with np.load(path) as saved:
                line = measure(experiment, saved)
            lines[line["method"], line["seed"]] = line
        if lines:
            (results / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines.values()))


def read_lines(name: str, results: Path = RESULTS) -> list[dict[str, Any]]:
    """What has been measured of an experiment."""
    path = results / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def renew_lines(name: str, lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write lines of models into a file of the results, in place of those of the same models; others stay."""
    known = {(line["experiment"], line["method"], line["seed"]): line for line in [*read_lines(name), *lines]}
    (RESULTS / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in known.values()))
    return list(known.values())


def run(
    names: Sequence[str],
    data: Path,
    seeds: Sequence[int],
    methods: Sequence[str] | None,
    workers: int,
    keep: Path,
    results: Path,
) -> None:
    """Do what has not been done, seed by seed, so that a run that is stopped has something of everything."""
    results.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    for seed in seeds:
        jobs = []
        for name in names:
            done = {(line["method"], line["seed"]) for line in read_lines(name, results)}
            bound = (SUPERVISED,) if name in {**TABLE, **LONGER} else ()
            wanted = methods or (*EXPERIMENTS[name].methods, *bound)
            jobs += [(name, method, seed) for method in wanted if (method, seed) not in done]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(_job, *job, data.resolve(), keep): job for job in jobs}
            try:
                for future in tqdm(as_completed(futures), f"seed {seed}", len(futures), unit="training"):
                    with (results / f"{futures[future][0]}.jsonl").open("a") as file:
                        file.write(json.dumps(future.result()) + "\n")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def quietly() -> None:
    """Of a script of trials: one thread, and nothing said but its lines."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("galmorph").setLevel(logging.ERROR)


def asked_of_trial(about: str | None) -> tuple[Path, list[int]]:
    """Folder of data and seeds that a script of trials is asked for, which is quiet from then on."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    quietly()
    return given.data.resolve(), given.seeds


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run")
    runner.add_argument("data", type=Path)
    runner.add_argument("experiments", nargs="*", metavar="EXPERIMENT", default=["table"])
    runner.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    runner.add_argument("--methods", nargs="+")
    runner.add_argument("--workers", type=int, default=2)
    measurer = verbs.add_parser("again")
    for each in (runner, measurer):
        each.add_argument("--keep", type=Path, required=True, help="folder for the predictions of each training")
        each.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.verb == "again":
        again(given.keep, given.results)
        return
    groups = {"table": TABLE, "ablation": ABLATION, "hostile": HOSTILE, "rehearsal": REHEARSAL, "longer": LONGER}
    names = [name for given_name in given.experiments for name in groups.get(given_name, [given_name])]
    run(names, given.data, given.seeds, given.methods, given.workers, given.keep, given.results)


if __name__ == "__main__":
    main()
