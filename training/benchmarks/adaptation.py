"""Train every method on every experiment, several seeds each, and write what came of it.

    python training/benchmarks/adaptation.py run DATA [EXPERIMENT…] [--seeds 0 1 2 3 4] [--methods …] [--workers 2]

reads the sets below DATA (see the files beside this one for how to make them), and adds a line for each training
to ``docs/benchmarks/adaptation/EXPERIMENT.jsonl``; what is there is not done again. Nothing of the target's labels is
used but for the measures, which are of its test part. ``table.py`` makes the page of the lines. For EXPERIMENT a group
can be given: table, ablation, hostile or rehearsal.
"""

import argparse
import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from experiments import ABLATION, EXPERIMENTS, HOSTILE, REHEARSAL, SUPERVISED, TABLE, Experiment
from numpy.typing import NDArray
from tqdm import tqdm

from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.training.calibrate import calibrate, fit_reference
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.evaluation import summarise
from galmorph.training.fit import load_training, train
from galmorph.training.guarded import predict
from galmorph.training.split import split_objects, split_target

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "adaptation"


def _names(cutouts: CutoutSet) -> NDArray[np.str_]:
    return cutouts.labels["label"].fillna("").astype(str).to_numpy(dtype=np.str_)


def _ids(cutouts: CutoutSet) -> NDArray[np.str_]:
    return cutouts.labels["object_id"].astype(str).to_numpy(dtype=np.str_)


def measure(experiment: Experiment, method: str, seed: int, data: Path, out: Path) -> dict[str, Any]:
    """Train and measure once.

    Returns
    -------
    dict
        The line of the results.
    """
    started = time.perf_counter()
    recipe = experiment.recipe(method, seed, data)
    result = train(recipe, out, progress=False)
    seconds = time.perf_counter() - started
    module, _ = load_training(result.checkpoint)
    source = read_source(recipe.source)
    rows = part_rows(source, recipe)
    _, features = predict(module, source.images, rows["train"], "source")
    reference = fit_reference(features, source.labels[rows["train"]], len(source.classes))
    valid = predict(module, source.images, rows["validation"], "source")
    labels = source.labels[rows["validation"]]
    source_parts = split_objects(source.object_ids, source.names, recipe.split)
    target, test = (
        read_cutout_set(data / experiment.target),
        read_cutout_set(data / (experiment.test or experiment.target)),
    )
    parts = split_target(_ids(target), source.object_ids, source_parts, recipe.split)
    tested = np.flatnonzero(parts == "test") if not experiment.test else np.arange(len(test.labels))
    # Every method gets what the target's images say without labels, those that do not adapt too.
    seen = predict(module, target.images, np.flatnonzero(parts == "train"), "target")
    calibration = calibrate(reference, *valid, labels, recipe.export, seen)
    line: dict[str, Any] = {"method": method, "seed": seed, "seconds": round(seconds, 1), "epoch": result.best_epoch}
    saved = {"valid_logits": valid[0], "valid_features": valid[1], "valid_labels": labels}
    for domain, images, names, chosen in (
        ("source", source.images, source.names, rows["test"]),
        ("target", test.images, _names(test), tested),
        ("target_train", target.images, _names(target), np.flatnonzero(parts == "train")),
    ):
        logits, features = predict(module, images, chosen, "source" if domain == "source" else "target")
        saved |= {f"{domain}_logits": logits, f"{domain}_features": features, f"{domain}_names": names[chosen]}
        if domain != "target_train":
            line[domain] = _numbers(calibration.score(logits, features), names[chosen], source.classes)
    np.savez(out / "predictions.npz", **saved)
    return line


def _numbers(scores: Any, names: NDArray[np.str_], classes: tuple[str, ...]) -> dict[str, Any]:
    """The measures that the table shows."""
    found = summarise(scores, names, classes, model="", data="", part="test")
    numbers: dict[str, Any] = {key: found.known[key] for key in ("accuracy", "mean_recall", "auc", "calibration_error")}
    if set(names) - set(classes):
        numbers |= {key: found.unknown[key] for key in ("known_recall", "unknown_recall", "h_score", "mean_accuracy")}
        numbers["auroc"] = found.unknown["auroc"]["all"]["entropy"]
        numbers["auroc_energy"] = found.unknown["auroc"]["all"]["energy"]
        numbers["auroc_anomaly"] = found.unknown["auroc"]["all"]["anomaly_score"]
        numbers["oracle_h_score"] = found.unknown["oracle_h_score"]["entropy"]
    return {key: None if value is None else round(value, 4) for key, value in numbers.items()}


def _job(name: str, method: str, seed: int, data: Path, keep: Path | None) -> dict[str, Any]:
    """In a process of its own: one training with one thread."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("galmorph").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "training"
        line = measure(EXPERIMENTS[name], method, seed, data, out)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            kept = f"{name}-{method.replace('/', '+')}-{seed}"
            shutil.copy(out / "predictions.npz", keep / f"{kept}.npz")
            shutil.copy(out / "metrics.csv", keep / f"{kept}.csv")
    return line


def read_lines(name: str, results: Path = RESULTS) -> list[dict[str, Any]]:
    """What has been measured of an experiment."""
    path = results / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def run(
    names: Sequence[str],
    data: Path,
    seeds: Sequence[int],
    methods: Sequence[str] | None,
    workers: int,
    keep: Path | None,
    results: Path,
) -> None:
    """Do what has not been done, seed by seed, so that a run that is stopped has something of everything."""
    jobs = []
    for seed in seeds:
        for name in names:
            done = {(line["method"], line["seed"]) for line in read_lines(name, results)}
            bound = (SUPERVISED,) if name in TABLE else ()
            wanted = methods or (*EXPERIMENTS[name].methods, *bound)
            jobs += [(name, method, seed) for method in wanted if (method, seed) not in done]
    results.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=20) as pool:
        futures = {pool.submit(_job, *job, data.resolve(), keep): job for job in jobs}
        try:
            for future in tqdm(as_completed(futures), total=len(futures), unit="training"):
                with (results / f"{futures[future][0]}.jsonl").open("a") as file:
                    file.write(json.dumps(future.result()) + "\n")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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
    runner.add_argument("--keep", type=Path, help="folder for the predictions of each training")
    runner.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    groups = {"table": TABLE, "ablation": ABLATION, "hostile": HOSTILE, "rehearsal": REHEARSAL}
    names = [name for given_name in given.experiments for name in groups.get(given_name, [given_name])]
    run(names, given.data, given.seeds, given.methods, given.workers, given.keep, given.results)


if __name__ == "__main__":
    main()
