"""Which score should decide what is unknown, on labelled data alone.

    python training/benchmarks/deciding.py DATA [--seeds 0 1 2]

trains on shifts that were simulated on labelled images, with the target's noise in the views as by default, and prints
for each network and score a line of JSON: the area under the ROC curve, and H-scores at the threshold that is fitted
without a label of the target and at the best one. The score that decides by default was chosen here.
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, AS_THEY_ARE, SMALL, TRIALS, TWINS, Experiment
from table import AREAS
from thresholds import CASES as OTHERS

from galmorph.scores import UnknownScore

METHODS = (TWINS[0], "dance", "ovanet", "deepastrouda")


def _of_two(experiment: Experiment, *known: str, **changes: Any) -> Experiment:
    """The same with two known classes; those that were known beside them are unknown too."""
    private = tuple(name for name in (*experiment.classes, *experiment.private) if name not in known)
    return dataclasses.replace(experiment, classes=known, private=private, **changes)


_GALAXIES, _SDSS = ABLATION["simulated-galaxies"], TRIALS["SDSS"]
CASES: Mapping[str, Experiment] = {
    **OTHERS,
    "SDSS": _SDSS,
    "SDSS, two classes": _of_two(_SDSS, "spiral", "elliptical"),
    "mock galaxies, two classes": _of_two(
        _GALAXIES,
        "round_smooth",
        "tight_spiral",
        # As many steps with a fifth of the images.
        epochs=60,
        settings={**_GALAXIES.settings, "fit": SMALL},
    ),
}


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, experiment in CASES.items():
            views = {key: value for key, value in experiment.settings["views"].items() if key not in AS_THEY_ARE}
            noisy = dataclasses.replace(experiment, settings={**experiment.settings, "views": views})
            for method in METHODS:
                with tempfile.TemporaryDirectory() as scratch:
                    saved = train_and_look(noisy, method, seed, data, Path(scratch) / "training")
                for score in get_args(UnknownScore):
                    found = measure(noisy, saved, score)["target"]
                    facts = {"case": name, "method": method, "seed": seed, "score": score}
                    numbers = {key: found[key] for key in ("h_score", "oracle_h_score")}
                    print(json.dumps(facts | {"auroc": found[AREAS[score]]} | numbers), flush=True)


if __name__ == "__main__":
    main()
