"""What adversaries and the Fisher loss are worth at which weight, on labelled data alone.

    python training/benchmarks/aligning.py DATA [--seeds 0 1 2]

prints a line of JSON for each training on digits and mock galaxies that were made worse, where the source is seen as
noisy as the target: adversaries, plain and conditional, and the Fisher loss of `mmd_f`, from the printed weights
downwards, and the network that sees nothing of the target but its noise. The defaults were chosen here.
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, AS_THEY_ARE, TWINS, Experiment

CASES = {name: ABLATION[name] for name in ("simulated-digits-closed", "simulated-galaxies")}
#: Methods, and what is set of them.
SETTINGS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (TWINS[0], {}),
    *(("adversarial", {"weights": {"adversary": weight}}) for weight in (1.0, 0.3, 0.1)),
    *(("cdan", {"weights": {"conditional_adversary": weight}}) for weight in (1.0, 0.3, 0.1)),
    *(("mmd_f", {"fisher": {"within": within}}) for within in (0.01, 0.001, 0.0001)),
)


def with_noise(experiment: Experiment, method: Mapping[str, Any]) -> Experiment:
    """The same with the target's noise in the views, as by default, and with these settings of the method."""
    views = {key: value for key, value in experiment.settings["views"].items() if key not in AS_THEY_ARE}
    settings = {**experiment.settings, "views": views, "method": method}
    return dataclasses.replace(experiment, settings=settings)


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, experiment in CASES.items():
            for method, options in SETTINGS:
                tried = with_noise(experiment, options)
                with tempfile.TemporaryDirectory() as scratch:
                    line = measure(tried, train_and_look(tried, method, seed, data, Path(scratch) / "training"))
                facts = {"case": name, "method": method, **options, "seed": seed}
                found = {domain: line[domain]["accuracy"] for domain in ("source", "target")}
                print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
