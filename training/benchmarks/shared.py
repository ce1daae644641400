"""Weights of DeepAstroUDA where the target has the source's classes and no others, on labelled data alone.

    python training/benchmarks/shared.py DATA [--seeds 0 1 2]

trains on ten digits made worse, and made bolder and slanted, with several weights of clustering and of neighbours, and
with MCC, the best of other methods on closed digits; prints for each training a line of JSON with the accuracies on
source and target. The weight that decision 9 gives for such targets was chosen here.
"""

import dataclasses
import itertools
import json
import tempfile
from pathlib import Path

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, DIGIT_VIEWS

#: With the target's noise in the views, as by default.
_WORSE = ABLATION["simulated-digits-closed"]
_WORSE = dataclasses.replace(_WORSE, settings={**_WORSE.settings, "views": DIGIT_VIEWS})
CASES = {"worse": _WORSE, "bolder": dataclasses.replace(_WORSE, target="simulated/strokes_target")}
WEIGHTS = [
    {"clustering": clustering, "neighbourhood": neighbourhood}
    for clustering, neighbourhood in itertools.product((1.0, 3.0, 10.0, 30.0), (0.0, 0.1))
]


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    tried = [("mcc", {}), *(("deepastrouda", weights) for weights in WEIGHTS)]
    for seed, (name, experiment), (method, weights) in itertools.product(seeds, CASES.items(), tried):
        one = dataclasses.replace(experiment, settings={**experiment.settings, "method": {"weights": weights}})
        with tempfile.TemporaryDirectory() as scratch:
            line = measure(one, train_and_look(one, method, seed, data, Path(scratch) / "training"))
        found = {domain: line[domain]["accuracy"] for domain in ("source", "target")}
        print(json.dumps({"case": name, "method": method, **weights, "seed": seed, **found}), flush=True)


if __name__ == "__main__":
    main()
