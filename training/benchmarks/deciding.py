"""Which score should decide what is unknown, and how many known objects it may call so, on labelled data alone.

    python training/benchmarks/deciding.py DATA [--seeds 0 1 2]

trains on shifts that were simulated on labelled images, with the target's noise in the views as by default, and prints
for each network, score and share of the source's known validation objects that may be called unknown a line of JSON:
the area under the ROC curve, recalls of known and unknown classes and their H-score at the threshold that is fitted
without a label of the target, and the H-score at the best one. Score and share by default were chosen here.
"""

import dataclasses
import itertools
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

#: Shares of the source's known validation objects that may be called unknown, and methods.
RATES = (0.05, 0.1, 0.15, 0.2, 0.3)
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
                for score, rate in itertools.product(get_args(UnknownScore), RATES):
                    found = measure(noisy, saved, unknown_score=score, false_unknown_rate=rate)["target"]
                    facts = {"case": name, "method": method, "seed": seed, "score": score, "rate": rate}
                    measures = ("known_recall", "unknown_recall", "h_score", "oracle_h_score")
                    numbers = {key: found[key] for key in measures}
                    print(json.dumps(facts | {"auroc": found[AREAS[score]]} | numbers), flush=True)


if __name__ == "__main__":
    main()
