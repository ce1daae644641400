"""What longer trainings on every orientation are worth where the target differs, on labelled data alone.

    python training/benchmarks/longer.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on mock galaxies made worse, lenses unknown, with strangers: with the steps of
the table, with more, and with more and tilted views. Which of these the table's longer trainings have was chosen here.
"""

import json
import tempfile
from pathlib import Path

from adaptation import asked_of_trial, measure, train_and_look
from experiments import LONGER_BY, STRANGERS, TRIALS, lengthened

#: Times as many steps, and the largest tilt in degrees.
SETTINGS = ((1, 0.0), (LONGER_BY, 0.0), (LONGER_BY, 45.0))
METHODS = tuple(f"{name}/{STRANGERS}" for name in ("source_only", "dance", "deepastrouda"))
SHOWN = ("accuracy", "h_score", "oracle_h_score", "auroc", "auroc_anomaly")


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for times, tilt in SETTINGS:
            experiment = lengthened(TRIALS["mock galaxies"], times, tilt)
            for method in METHODS:
                with tempfile.TemporaryDirectory() as scratch:
                    line = measure(experiment, train_and_look(experiment, method, seed, data, Path(scratch) / "out"))
                facts = {"times": times, "tilt": tilt, "method": method, "seed": seed}
                found = {"source_accuracy": line["source"]["accuracy"]} | {key: line["target"][key] for key in SHOWN}
                print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
