"""Where the threshold of what is unknown should lie on a target, on labelled data alone.

    python training/benchmarks/thresholds.py DATA [--seeds 0 1]

trains on shifts that were simulated on labelled images, with the target's noise in the views (as by default) and
without, and prints for each a line of JSON: the share of the target that is above the source's threshold, and H-scores
with that threshold, with one no lower than where the target's scores fall into two groups (a mixture of two Gaussians),
with one that no more than half of the target is above, and at the best. Thresholds are of the entropy, and fitted
without a label of the target. The rule was chosen here.
"""

import dataclasses
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import asked_of_trial, train_and_look
from experiments import ABLATION, AS_THEY_ARE, FEW_CLASSES, TWINS, Experiment
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from galmorph.metrics import best_h_score, h_score
from galmorph.scores import entropy, softmax
from galmorph.training.calibrate import fit_temperature, fit_threshold, least_threshold
from galmorph.training.options import ExportOptions

CASES: Mapping[str, Experiment] = {
    **{name: ABLATION[name] for name in ("simulated-digits-open", "simulated-strokes", "simulated-galaxies")},
    "LSST mock galaxies": FEW_CLASSES,
}
#: Methods, and whether the views have the target's noise.
SETTINGS = (
    *((method, True) for method in (TWINS[0], "dance", "ovanet", "deepastrouda")),
    *((method, False) for method in ("dance", "deepastrouda")),
)


def two_groups(values: NDArray[np.float64]) -> float:
    """Where the two Gaussians of a mixture meet, between their means."""
    mixture = GaussianMixture(2, random_state=0).fit(values[:, None])
    lower, higher = np.argsort(mixture.means_[:, 0])
    places = np.linspace(mixture.means_[lower, 0], mixture.means_[higher, 0], 1001)
    beyond = mixture.predict_proba(places[:, None])[:, higher] > 0.5
    return float(places[beyond.argmax()]) if beyond.any() else -math.inf


def compare(saved: Mapping[str, NDArray[Any]], classes: tuple[str, ...]) -> dict[str, float]:
    """H-scores of one network by each rule."""

    def labels(part: str) -> NDArray[np.intp]:
        return np.array([classes.index(name) if name in classes else len(classes) for name in saved[f"{part}_names"]])

    temperature = fit_temperature(saved["valid_logits"], labels("valid"))
    known, seen, asked = (
        entropy(softmax(saved[f"{part}_logits"], temperature)) for part in ("valid", "target_train", "target")
    )
    alone = fit_threshold(known, ExportOptions().false_unknown_rate)
    answers, truth = saved["target_logits"].argmax(axis=1), labels("target")
    rules = {"source": alone, "two groups": max(alone, two_groups(seen)), "half": max(alone, least_threshold(seen))}
    found = {"share": float((seen > alone).mean())}
    for name, threshold in rules.items():
        right = (answers == truth) & (asked <= threshold)
        recalls = [right[truth == k].mean() for k in np.unique(truth[truth < len(classes)])]
        found[name] = float(h_score(np.mean(recalls), (asked > threshold)[truth == len(classes)].mean()))
    return found | {"best": float(best_h_score(asked, answers == truth, truth, len(classes))[0])}


def main() -> None:
    """Command line."""
    data, seeds = asked_of_trial(__doc__)
    for seed in seeds:
        for name, experiment in CASES.items():
            for method, noisy in SETTINGS:
                views = {key: value for key, value in experiment.settings["views"].items() if key not in AS_THEY_ARE}
                settings = {**experiment.settings, "views": views if noisy else experiment.settings["views"]}
                tried = dataclasses.replace(experiment, settings=settings)
                with tempfile.TemporaryDirectory() as scratch:
                    saved = train_and_look(tried, method, seed, data, Path(scratch) / "training")
                facts = {"case": name, "method": method, "noise of the target": noisy, "seed": seed}
                found = {key: round(value, 3) for key, value in compare(saved, experiment.classes).items()}
                print(json.dumps(facts | found), flush=True)


if __name__ == "__main__":
    main()
