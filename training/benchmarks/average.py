"""What an average of the weights is worth: the same trainings with ``fit.average`` and without, on labelled data alone.

    python training/benchmarks/average.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on digits, on mock galaxies and on SDSS galaxies made worse (of SDSS the same
galaxies in source and target, each in one part). The average reaches back over an epoch. `wander` is how far the
accuracy on the source's validation part moves from one epoch to the next in the last 40 % of them: the standard
deviation of the differences over the root of 2, so that it compares with that of the accuracy itself.
"""

import dataclasses
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import asked_of_trial, measure, train_and_look
from experiments import TRIALS, TRIED, Experiment

from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.folder import METRICS
from galmorph.training.history import read_history

#: Share of the epochs that `wander` is taken of, at the end.
LATE = 0.4


def wander(accuracies: list[float]) -> float:
    """How far the accuracy of late epochs moves from one to the next; see above."""
    late = accuracies[int((1 - LATE) * len(accuracies)) :]
    return float(np.diff(late).std() / math.sqrt(2))


def with_average(experiment: Experiment, data: Path) -> Experiment:
    """The experiment with an average over an epoch."""
    recipe = experiment.recipe("source_only", 0, data)
    steps = len(part_rows(read_source(recipe.source), recipe)["train"]) // recipe.fit.batch_size
    fit = {**experiment.settings.get("fit", {}), "average": 1 - 1 / steps}
    return dataclasses.replace(experiment, settings={**experiment.settings, "fit": fit})


def one(experiment: Experiment, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train, and measure what was kept."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "training"
        saved = train_and_look(experiment, method, seed, data, out)
        history = read_history(out / METRICS)
    line = measure(experiment, saved)
    kept = history[line["epoch"]]
    return {
        "epoch": line["epoch"],
        "valid_accuracy": round(kept["valid_accuracy"], 4),
        "wander": round(wander([row["valid_accuracy"] for row in history]), 4),
        "source_accuracy": line["source"]["accuracy"],
        "target_recall": line["target"]["mean_recall"],
        "h_score": line["target"]["h_score"],
    }


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, experiment in TRIALS.items():
            for method in TRIED:
                for averaged in (False, True):
                    case = with_average(experiment, data) if averaged else experiment
                    found = one(case, method, seed, data)
                    facts = {"case": name, "method": method, "seed": seed, "averaged": averaged}
                    print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
