"""What longer trainings on every orientation are worth where the target differs, on labelled data alone.

    python training/benchmarks/longer.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on mock galaxies made worse, lenses unknown, with strangers, and on those of the
LSST mock, mergers unknown, without (of two classes strangers tell nothing), where the source is seen as noisy as the
target: with the steps of the table, with more, and with more and tilted views. Which of these the table's longer
trainings have was chosen here.
"""

import dataclasses
import json
import tempfile
from itertools import product
from pathlib import Path

from adaptation import asked_of_trial, measure, train_and_look
from experiments import FEW_CLASSES, LONGER_BY, STRANGERS, TRIALS, lengthened

#: Times as many steps, and the largest tilt in degrees.
SETTINGS = ((1, 0.0), (LONGER_BY, 0.0), (LONGER_BY, 45.0))
METHODS = ("source_only", "dance", "deepastrouda")
CASES = {
    "mock galaxies": (TRIALS["mock galaxies"], tuple(f"{name}/{STRANGERS}" for name in METHODS)),
    "LSST mock galaxies": (dataclasses.replace(FEW_CLASSES, settings={"fit": FEW_CLASSES.settings["fit"]}), METHODS),
}
SHOWN = ("accuracy", "h_score", "oracle_h_score", "auroc", "auroc_anomaly")


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    every = product(seeds, CASES.items(), SETTINGS)
    for seed, (case, (plain, methods)), (times, tilt) in every:
        experiment = lengthened(plain, times, tilt)
        for method in methods:
            with tempfile.TemporaryDirectory() as scratch:
                line = measure(experiment, train_and_look(experiment, method, seed, data, Path(scratch) / "out"))
            facts = {"case": case, "times": times, "tilt": tilt, "method": method, "seed": seed}
            found = {"source_accuracy": line["source"]["accuracy"]} | {key: line["target"][key] for key in SHOWN}
            print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
