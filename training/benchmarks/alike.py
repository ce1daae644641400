"""How sure DeepAstroUDA has to be of images to draw them together, on labelled data alone.

    python training/benchmarks/alike.py DATA [--seeds 0 1 2]

prints a line of JSON for each training: of two classes, where nothing but the most probable one can be compared, for
several limits of the entropy; of more classes, where ranks are compared, with the default of two classes and without.
The defaults were chosen here. Neighbours are not clustered: that came later, see ``neighbours.py``.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, FEW_CLASSES

#: Experiments, and limits as fractions of ln K; 1 is none.
CASES = {"two classes": (FEW_CLASSES, (1.0, 0.8, 0.5, 0.25))} | {
    name: (experiment, (1.0, 0.5)) for name, experiment in ABLATION.items()
}


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, (experiment, limits) in CASES.items():
            for limit in limits:
                method = {"weights": {"neighbourhood": 0.0}, "clustering": {"alike_below": limit}}
                tried = dataclasses.replace(experiment, settings={**experiment.settings, "method": method})
                with tempfile.TemporaryDirectory() as scratch:
                    line = measure(tried, train_and_look(tried, "deepastrouda", seed, data, Path(scratch) / "training"))
                found = {key: line["target"].get(key) for key in ("accuracy", "h_score", "auroc")}
                print(json.dumps({"case": name, "alike_below": limit, "seed": seed} | found), flush=True)


if __name__ == "__main__":
    main()
