"""Which score tells objects of unknown classes best: areas under the ROC curve of several, on kept predictions.

    python training/benchmarks/strangeness.py KEPT [EXPERIMENT…]

takes what ``adaptation.py run … --keep KEPT`` left, and prints a line for each network. By default of the simulated
shifts alone, which are all that a choice may be made on.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from experiments import ABLATION, EXPERIMENTS, REHEARSAL, Experiment
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


def areas(experiment: Experiment, saved: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Area under the ROC curve of each score, unknown objects against known ones of the target."""
    labels = {
        part: np.array([experiment.classes.index(name) for name in saved[f"{part}_names"]])
        for part in ("fitted", "valid")
    }
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("experiments", nargs="*", default=[*ABLATION, *REHEARSAL])
    given = parser.parse_args()
    rows = []
    for name in given.experiments:
        experiment = EXPERIMENTS[name]
        for path in sorted(given.folder.glob(f"{name}-*.npz")) if experiment.private else ():
            with np.load(path) as saved:
                rows.append(areas(experiment, saved))
            if len(rows) == 1:
                print("| network | " + " | ".join(rows[0]) + " |\n|---" + "|---" * len(rows[0]) + "|")
            print(f"| {path.stem} | " + " | ".join(f"{value:.3f}" for value in rows[-1].values()) + " |")
    if rows:
        print("| **mean** | " + " | ".join(f"{np.mean([row[key] for row in rows]):.3f}" for key in rows[0]) + " |")


if __name__ == "__main__":
    main()
