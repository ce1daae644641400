"""What the loss that keeps classes from vanishing is worth to DeepAstroUDA, on labelled data alone.

    python training/benchmarks/balance.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on the simulated shifts, with weights of the loss from 0 upwards and with half
or a fifth of a class's share as the least. On SDSS galaxies made worse (the same galaxies in source and target, each in
one part) with strangers and a longer training clustering draws the target to one class; in another mix, of these and of
the mock galaxies, some classes truly have few.
"""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, FEW_CLASSES, LONGER_BY, REHEARSAL, TRIALS, Experiment, lengthened

#: Weights, and the least part of a class's share (`method.least_share`).
SETTINGS = ((0.0, 0.5), (0.3, 0.5), (1.0, 0.5), (0.3, 0.2))
CASES = {**{name: (case, 0.0) for name, case in ABLATION.items()}, "LSST mock": (FEW_CLASSES, 0.0)}
MIX = dataclasses.replace(TRIALS["SDSS"], target="hostile/simsdss_mix", test="hostile/simsdss_mix")
CASES |= {"SDSS, longer": (lengthened(TRIALS["SDSS"], LONGER_BY, 45.0), 0.5), "SDSS, another mix": (MIX, 0.0)}
CASES |= {"mock galaxies, another mix": (REHEARSAL["hostile-simgalaxies-mix"], 0.0)}
SHOWN = ("accuracy", "h_score", "oracle_h_score", "auroc", "auroc_anomaly")


def weighed(experiment: Experiment, balance: float, least: float, strangers: float) -> Experiment:
    """The same with these losses."""
    method = {"weights": {"balance": balance, "strangers": strangers}, "least_share": least}
    return dataclasses.replace(experiment, settings={**experiment.settings, "method": method})


def one(experiment: Experiment, seed: int, data: Path) -> dict[str, Any]:
    """Train, and measure what was kept."""
    with tempfile.TemporaryDirectory() as scratch:
        line = measure(experiment, train_and_look(experiment, "deepastrouda", seed, data, Path(scratch) / "training"))
    return {"source_accuracy": line["source"]["accuracy"]} | {key: line["target"].get(key) for key in SHOWN}


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, (experiment, strangers) in CASES.items():
            for weight, least in SETTINGS:
                facts = {"case": name, "balance": weight, "least_share": least, "seed": seed}
                print(json.dumps(facts | one(weighed(experiment, weight, least, strangers), seed, data)), flush=True)


if __name__ == "__main__":
    main()
