"""What strangers are worth: the same trainings with and without them, on labelled data alone.

    python training/benchmarks/strangers.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on mock galaxies of two kinds, on SDSS galaxies made worse (the same galaxies in
source and target, each in one part) and on digits, which strangers are not meant for. The H-score is by the score and
at the threshold by which strangers are told best, where there are such; beside it that by the entropy, and that at the
threshold by the share of known objects. The oracle's is at the best threshold, chosen by the labels.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import FEW_CLASSES, OPEN, STRANGERS, TRIALS, Experiment

CASES = {**TRIALS, "LSST mock": FEW_CLASSES}
METHODS = ["source_only", "deepastrouda", *(f"{name}/{STRANGERS}" for name in OPEN)]

SHOWN = ("accuracy", "auroc", "auroc_energy", "auroc_anomaly", "h_score", "oracle_h_score")


def one(experiment: Experiment, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train, and measure what was kept."""
    with tempfile.TemporaryDirectory() as scratch:
        saved = train_and_look(experiment, method, seed, data, Path(scratch) / "training")
    line = measure(experiment, saved)
    by_entropy = measure(experiment, saved, "entropy")
    by_share = measure(experiment, {key: value for key, value in saved.items() if not key.startswith(STRANGERS)})
    return {
        "source_accuracy": line["source"]["accuracy"],
        **{key: line["target"][key] for key in SHOWN},
        "unknown_score": line["unknown_score"],
        "h_score_by_entropy": by_entropy["target"]["h_score"],
        "h_score_by_share_of_known": by_share["target"]["h_score"],
    }


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, experiment in CASES.items():
            for method in METHODS:
                facts = {"case": name, "method": method, "seed": seed}
                print(json.dumps(facts | one(experiment, method, seed, data)), flush=True)


if __name__ == "__main__":
    main()
