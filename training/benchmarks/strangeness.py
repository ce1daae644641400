"""Which score tells objects of unknown classes best: areas under the ROC curve of several, on kept predictions.

    python training/benchmarks/strangeness.py KEPT

takes what ``adaptation.py run … --keep KEPT`` left of the simulated shifts, which are all that a choice may be made on,
and writes ``strangeness.jsonl`` beside the results, a line for each network; lines of others stay. With ``--tried``
nothing is written; lines with what was tried and not taken are printed: distances between features at the deviations
that are usual in their domain, the target's taken from unlabelled images. ``depths.py`` has what needs more of a
network than it gives.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import renew_lines
from experiments import ABLATION, REHEARSAL, Experiment
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from galmorph.scores import anomaly, energy, entropy, neighbour_distance, softmax
from galmorph.training.calibrate import fit_reference, fit_temperature

Float = NDArray[np.floating]


def mahalanobis(features: Float, known: Float, labels: NDArray[np.intp]) -> Float:
    """Squared distance from the nearest class, with one covariance within classes (Lee et al. 2018)."""
    means = np.stack([known[labels == k].mean(axis=0) for k in np.unique(labels)]).astype(np.float64)
    covariance, _ = ledoit_wolf(known - means[np.searchsorted(np.unique(labels), labels)], assume_centered=True)
    precision = np.linalg.inv(covariance + 1e-9 * np.eye(len(covariance)))
    offsets = features[:, None] - means
    return np.asarray(np.einsum("nki,ij,nkj->nk", offsets, precision, offsets, optimize=True).min(axis=1))


#: No feature counts as less variable than this share of the most variable one.
LEAST_SPREAD = 0.1


def classes_of(experiment: Experiment, saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.intp]]:
    """Classes of the source's training and validation images."""
    return {
        part: np.array([experiment.classes.index(name) for name in saved[f"{part}_names"]])
        for part in ("fitted", "valid")
    }


def areas(experiment: Experiment, saved: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Area under the ROC curve of each score, unknown objects against known ones of the target."""
    labels = classes_of(experiment, saved)
    temperature = fit_temperature(saved["valid_logits"], labels["valid"])
    usual = entropy(softmax(saved["valid_logits"], temperature))
    reference = fit_reference(saved["fitted_features"], saved["valid_features"], usual, len(experiment.classes))
    logits, features = saved["target_logits"], saved["target_features"]
    entropies = entropy(softmax(logits, temperature))
    unknown = ~np.isin(saved["target_names"], experiment.classes)
    scores = {
        "entropy": entropies,
        "energy": energy(logits, temperature),
        "Mahalanobis": mahalanobis(features, saved["fitted_features"], labels["fitted"]),
        "neighbours": neighbour_distance(features, reference.directions),
        "entropy and neighbours": anomaly(entropies, features, reference),
    }
    return {name: float(roc_auc_score(unknown, values)) for name, values in scores.items()}


def tried(experiment: Experiment, saved: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Area under the ROC curve of the anomaly score, and of the same with features in units of what is usual."""
    labels, count = classes_of(experiment, saved), len(experiment.classes)
    temperature = fit_temperature(saved["valid_logits"], labels["valid"])
    usual = entropy(softmax(saved["valid_logits"], temperature))
    entropies = entropy(softmax(saved["target_logits"], temperature))
    fitted, other = (saved[f"{part}_features"].astype(np.float64) for part in ("fitted", "target_train"))
    answers = softmax(saved["target_train_logits"], temperature)
    shares = np.bincount(labels["fitted"], minlength=count) / len(fitted)
    even = np.full(len(fitted), 1 / len(fitted))
    source = _moments(fitted, even)
    nothing = (np.zeros(fitted.shape[1]), np.ones(fitted.shape[1]))
    targets = {
        "now": (nothing, nothing),
        "source's units": (source, source),
        "own units": (source, _moments(other, np.full(len(other), 1 / len(other)))),
        # As if the classes that are answered were as frequent as in the source.
        "own units, source's mix": (source, _moments(other, answers @ (shares / (answers.sum(axis=0) + 1e-9)))),
    }
    unknown = ~np.isin(saved["target_names"], experiment.classes)
    found = {}
    for name, ((centre, scale), (target_centre, target_scale)) in targets.items():
        known = [(saved[f"{part}_features"] - centre) / scale for part in ("fitted", "valid")]
        reference = fit_reference(*known, usual, count)
        values = anomaly(entropies, (saved["target_features"] - target_centre) / target_scale, reference)
        found[name] = float(roc_auc_score(unknown, values))
    return found


def _moments(features: Float, weights: Float) -> tuple[Float, Float]:
    """Mean and deviation of each feature, of weighted images."""
    mean = weights @ features
    spread = np.sqrt(np.maximum(weights @ features**2 - mean**2, 0))
    return mean, np.maximum(spread, LEAST_SPREAD * spread.max())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tried", action="store_true", help="print what was tried instead")
    given = parser.parse_args()
    folder, look = given.folder, tried if given.tried else areas
    lines = []
    for name, experiment in {**ABLATION, **REHEARSAL}.items():
        for path in sorted(folder.glob(f"{name}-*.npz")) if experiment.private else ():
            with np.load(path) as saved:
                if len(np.unique(np.isin(saved["target_names"], experiment.classes))) < 2:
                    continue
                found = look(experiment, saved)
                facts = json.loads(str(saved["facts"]))
            rounded = {score: round(value, 4) for score, value in found.items()}
            lines.append({"experiment": name, "method": facts["method"], "seed": facts["seed"], "auroc": rounded})
    if given.tried:
        print("".join(json.dumps(line) + "\n" for line in lines), end="")
    else:
        renew_lines("strangeness", lines)


if __name__ == "__main__":
    main()
