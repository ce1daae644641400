"""What strangers are worth: the same trainings with and without them, on labelled data alone.

    python training/benchmarks/strangers.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on mock galaxies of two kinds, on SDSS galaxies made worse (the same galaxies in
source and target, each in one part) and on digits, which strangers are not meant for. The H-score is at the threshold
by strangers where there are such, and at that by the share of known objects; the oracle's is at the best, chosen by
the labels.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import FEW_CLASSES, STRANGERS, TRIALS, Experiment

CASES = {**TRIALS, "LSST mock": FEW_CLASSES}
METHODS = [f"{name}{variant}" for name in ("source_only", "deepastrouda") for variant in ("", f"/{STRANGERS}")]


def one(experiment: Experiment, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train, and measure what was kept."""
    with tempfile.TemporaryDirectory() as scratch:
        saved = train_and_look(experiment, method, seed, data, Path(scratch) / "training")
    line = measure(experiment, saved)
    by_share = measure(experiment, {key: value for key, value in saved.items() if not key.startswith(STRANGERS)})
    target = {key: line["target"][key] for key in ("accuracy", "auroc", "auroc_anomaly", "h_score", "oracle_h_score")}
    return {
        "source_accuracy": line["source"]["accuracy"],
        **target,
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
