"""What strangers are worth: the same trainings with and without them, on labelled data alone.

    python training/benchmarks/strangers.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on mock galaxies of two kinds, on SDSS galaxies made worse (the same galaxies in
source and target, each in one part) and on digits, which strangers are not meant for. `weight` is that of
`galmorph.training.strangers` in the loss; 0 is without. The H-score is at the threshold by strangers where there are
such, and at that by the share of known objects; the oracle's is at the best, chosen by the labels.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import FEW_CLASSES, TRIALS, TRIED, Experiment

from galmorph.training.recipe import Recipe

WEIGHTS = (0.0, 0.2, 0.5)

CASES = {**TRIALS, "LSST mock": FEW_CLASSES}


class WithStrangers(Experiment):
    """An experiment whose methods have a weight for strangers."""

    weight: float = 0.0

    def recipe(self, method: str, seed: int, data: Path) -> Recipe:
        """As of the experiment, with the weight."""
        recipe = super().recipe(method, seed, data)
        weights = {**recipe.method.weights, "strangers": self.weight}
        return dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, weights=weights))


def one(experiment: Experiment, weight: float, method: str, seed: int, data: Path) -> dict[str, Any]:
    """Train, and measure what was kept."""
    changed = WithStrangers(**{field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)})
    object.__setattr__(changed, "weight", weight)
    with tempfile.TemporaryDirectory() as scratch:
        saved = train_and_look(changed, method, seed, data, Path(scratch) / "training")
        line = measure(changed, saved)
        by_share = measure(changed, {key: value for key, value in saved.items() if not key.startswith("strangers")})
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
            for method in TRIED:
                for weight in WEIGHTS:
                    facts = {"case": name, "method": method, "weight": weight, "seed": seed}
                    print(json.dumps(facts | one(experiment, weight, method, seed, data)), flush=True)


if __name__ == "__main__":
    main()
