"""What neighbours in feature space add to DeepAstroUDA, on labelled data alone.

    python training/benchmarks/neighbours.py DATA [--seeds 0 1 2]

prints a line of JSON for each training: of two classes, where nothing but the most probable one can be compared, with
several weights of neighbourhood clustering, without and with the target's noise in the views, and DANCE beside it; of
more classes with and without, and of galaxies with strangers too, and where no class may vanish from the answers. The
defaults were chosen here.
"""

import dataclasses
import json
import tempfile
from pathlib import Path

from adaptation import asked_of_trial, measure, train_and_look
from experiments import ABLATION, ADDED, BALANCED, FEW_CLASSES, STRANGERS
from table import AREAS

_AS_BY_DEFAULT = dataclasses.replace(FEW_CLASSES, settings={"fit": FEW_CLASSES.settings["fit"]})
#: Experiments, and weights of neighbourhood clustering.
CASES = {
    "two classes": (FEW_CLASSES, (0.0, 0.05, 0.1, 0.2, 0.4)),
    "two classes, noise of the target": (_AS_BY_DEFAULT, (0.0, 0.05, 0.1, 0.2, 0.4)),
    **{
        f"nine classes of galaxies, noise of the target, {added}": (
            dataclasses.replace(ABLATION["simulated-galaxies"], settings=ADDED[added]),
            (0.0, 0.1),
        )
        for added in (STRANGERS, f"{BALANCED}-{STRANGERS}")
    },
} | {name: (experiment, (0.0, 0.1)) for name, experiment in ABLATION.items()}


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
                    line = measure(one, train_and_look(one, method, seed, data, Path(scratch) / "training"))
                facts = {"case": name, "method": method, **chosen, "seed": seed}
                found = {key: line["target"].get(key) for key in ("accuracy", "h_score", "auroc")}
                found["auroc_deciding"] = line["target"].get(AREAS[line["unknown_score"]])
                print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
