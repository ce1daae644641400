"""What to set where the target has the source's classes and no others, on labelled data alone.

    python training/benchmarks/shared.py DATA [--seeds 0 1 2]

trains on ten digits made worse, and made bolder and slanted: DeepAstroUDA with several weights of clustering and of
neighbours, and minimum class confusion at two temperatures; prints for each training a line of JSON with the accuracies
on source and target. MCC's default temperature was chosen here, and the weight that decision 9 gives for such targets.
"""

import dataclasses
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, DIGIT_VIEWS

#: With the target's noise in the views, as by default.
_WORSE = ABLATION["simulated-digits-closed"]
_WORSE = dataclasses.replace(_WORSE, settings={**_WORSE.settings, "views": DIGIT_VIEWS})
CASES = {"worse": _WORSE, "bolder": dataclasses.replace(_WORSE, target="simulated/strokes_target")}
TRIED: list[tuple[str, dict[str, Any]]] = [
    *(("mcc", {"confusion_temperature": temperature}) for temperature in (1.0, 2.5)),
    *(
        ("deepastrouda", {"weights": {"clustering": clustering, "neighbourhood": neighbourhood}})
        for clustering, neighbourhood in itertools.product((1.0, 3.0, 10.0, 30.0), (0.0, 0.1))
    ),
]


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed, (name, experiment), (method, settings) in itertools.product(seeds, CASES.items(), TRIED):
        one = dataclasses.replace(experiment, settings={**experiment.settings, "method": settings})
        with tempfile.TemporaryDirectory() as scratch:
            line = measure(one, train_and_look(one, method, seed, data, Path(scratch) / "training"))
        found = {domain: line[domain]["accuracy"] for domain in ("source", "target")}
        print(json.dumps({"case": name, "method": method, **settings, "seed": seed, **found}), flush=True)


if __name__ == "__main__":
    main()
