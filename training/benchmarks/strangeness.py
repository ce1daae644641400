"""Which score tells objects of unknown classes best: areas under the ROC curve of several, on kept predictions.

    python training/benchmarks/strangeness.py KEPT

takes what ``adaptation.py run … --keep KEPT`` left of the simulated shifts, which are all that a choice may be made on,
and writes ``strangeness.jsonl`` beside the results, a line for each network.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import RESULTS
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
    folder = parser.parse_args().folder
    lines = []
    for name, experiment in {**ABLATION, **REHEARSAL}.items():
        for path in sorted(folder.glob(f"{name}-*.npz")) if experiment.private else ():
            with np.load(path) as saved:
                found = areas(experiment, saved)
                facts = json.loads(str(saved["facts"]))
            rounded = {score: round(value, 4) for score, value in found.items()}
            lines.append({"experiment": name, "method": facts["method"], "seed": facts["seed"], "auroc": rounded})
    (RESULTS / "strangeness.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
