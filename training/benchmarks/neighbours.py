"""What neighbours in feature space add to DeepAstroUDA, on labelled data alone.

    python training/benchmarks/neighbours.py DATA [--seeds 0 1 2 3]

prints a line of JSON for each training, with and without neighbourhood clustering, and of DANCE: of two classes with
several weights of it; of more classes with and without the target's noise in the views; and of galaxies with strangers
too, and where no class may vanish from the answers. Measures are of the target's test part, and of all its images,
whose labels nothing sees: a test part has few of what is unknown. The defaults were chosen here.
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, ADDED, AS_THEY_ARE, BALANCED, FEW_CLASSES, STRANGERS, TRIALS, Experiment
from table import AREAS

WEIGHTS, OF_TWO = (0.0, 0.1), (0.0, 0.05, 0.1, 0.2, 0.4)


def noisy(experiment: Experiment) -> Experiment:
    """The same with the target's noise in the views, as by default."""
    views = {key: value for key, value in experiment.settings.get("views", {}).items() if key not in AS_THEY_ARE}
    return dataclasses.replace(experiment, settings={**experiment.settings, "views": views})


#: Experiments, and weights of neighbourhood clustering.
CASES: Mapping[str, tuple[Experiment, tuple[float, ...]]] = {
    "two classes": (FEW_CLASSES, OF_TWO),
    "two classes, noise of the target": (noisy(FEW_CLASSES), OF_TWO),
    **{name: (experiment, WEIGHTS) for name, experiment in ABLATION.items()},
    **{f"{name}, noise of the target": (noisy(one), WEIGHTS) for name, one in ABLATION.items() if one.private},
    "SDSS, noise of the target": (noisy(TRIALS["SDSS"]), WEIGHTS),
    **{
        f"nine classes of galaxies, noise of the target, {added}": (
            dataclasses.replace(ABLATION["simulated-galaxies"], settings=ADDED[added]),
            WEIGHTS,
        )
        for added in (STRANGERS, f"{BALANCED}-{STRANGERS}")
    },
}


def of_all(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What a network said of all the target's images in place of those of its test part."""
    kinds = ("logits", "features", "names")
    return {**saved} | {
        f"target_{kind}": np.concatenate([saved[f"target_{kind}"], saved[f"target_train_{kind}"]]) for kind in kinds
    }


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, (experiment, weights) in CASES.items():
            given = experiment.settings.get("method", {}).get("weights", {})
            tried = [("deepastrouda", given | {"neighbourhood": weight}) for weight in weights]
            for method, chosen in [*tried, ("dance", given)]:
                settings = {**experiment.settings, "method": {"weights": chosen}}
                one = dataclasses.replace(experiment, settings=settings)
                with tempfile.TemporaryDirectory() as scratch:
                    saved = train_and_look(one, method, seed, data, Path(scratch) / "training")
                facts = {"case": name, "method": method, **chosen, "seed": seed}
                for part, answers in (("test", saved), ("all", of_all(saved))):
                    line = measure(one, answers)
                    found = {key: line["target"].get(key) for key in ("accuracy", "h_score", "auroc")}
                    found["auroc_deciding"] = line["target"].get(AREAS[line["unknown_score"]])
                    facts[part] = found
                print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
