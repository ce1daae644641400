"""A catalogue beside the truth: what was found, what was called right, what was noticed as unknown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.errors import DataError
from galmorph.metrics import auroc
from galmorph.sky import unit_vectors

#: Scores of the catalogue that grow with strangeness.
UNKNOWN_SCORES = ("entropy", "energy", "anomaly_score")


@dataclass(frozen=True)
class TruthReport:
    """A catalogue measured against the truth.

    Parameters
    ----------
    objects : int
        Labelled true objects.
    detected : int
        Those with a catalogue row within the match radius.
    completeness : float
        Their share.
    accuracy : float
        Share of detected objects of known classes whose label is right, whatever the unknown flag says.
    recall : dict
        For each known class the share of its true objects, undetected ones included, that have the right label.
    mean_recall : float
        Mean of these.
    unknown_auroc : dict
        For each score, the probability that an object of a private class scores above one of a known class
        (area under the ROC curve); NaN without objects of both kinds.
    unknown_recall : float
        Share of detected objects of private classes that are flagged unknown; NaN when there are none.
    false_unknown : float
        Share of detected objects of known classes that are flagged unknown.
    """

    objects: int
    detected: int
    completeness: float
    accuracy: float
    recall: dict[str, float]
    mean_recall: float
    unknown_auroc: dict[str, float]
    unknown_recall: float
    false_unknown: float


def match(rows: pd.DataFrame, truth: pd.DataFrame, radius: float) -> NDArray[np.int64]:
    """Nearest catalogue row of each true object.

    Parameters
    ----------
    rows, truth : pandas.DataFrame
        Tables with `ra` and `dec` in degrees.
    radius : float
        Largest separation in arcsec.

    Returns
    -------
    ndarray of int
        Place of the row in `rows`, -1 where none is near enough. Shape ``(len(truth),)``. A row that is nearest to
        several true objects goes to the nearest of them only.
    """
    if len(rows) == 0 or len(truth) == 0:
        return np.full(len(truth), -1)
    # The chord of an angle; for a few arcsec equal to it to 1e-11.
    limit = 2 * np.sin(np.radians(radius / 3600) / 2)
    distance, nearest = cKDTree(_places(rows)).query(_places(truth), distance_upper_bound=limit)
    found = np.where(np.isfinite(distance), nearest, -1).astype(np.int64)
    order = np.argsort(distance, kind="stable")
    taken: set[int] = set()
    for i in order:
        if found[i] in taken:
            found[i] = -1
        elif found[i] >= 0:
            taken.add(int(found[i]))
    return found


def compare(rows: pd.DataFrame, truth: pd.DataFrame, classes: Sequence[str], radius: float = 2.5) -> TruthReport:
    """Measure a catalogue against the truth.

    Parameters
    ----------
    rows : pandas.DataFrame
        Primary rows of a catalogue: `ra`, `dec`, `label`, `unknown` and the scores.
    truth : pandas.DataFrame
        `ra`, `dec`, `label`; rows with an empty label are not counted.
    classes : sequence of str
        Known classes of the model; any other label of the truth is private.
    radius : float
        Match radius in arcsec.

    Returns
    -------
    TruthReport
        The numbers.

    Raises
    ------
    DataError
        If the truth lacks a column.
    """
    lacking = [name for name in ("ra", "dec", "label") if name not in truth]
    if lacking:
        raise DataError(f"the table of truth lacks the column {', '.join(lacking)}; it has {', '.join(truth.columns)}")
    truth = truth[truth["label"] != ""].reset_index(drop=True)
    place = match(rows, truth, radius)
    detected = place >= 0
    found = rows.iloc[place[detected]].reset_index(drop=True)
    true = truth["label"].to_numpy(dtype=object)
    known = np.isin(true, list(classes))
    right = np.zeros(len(truth), dtype=bool)
    right[detected] = found["label"].to_numpy(dtype=object) == true[detected]
    recall = {name: float(right[true == name].mean()) for name in classes if (true == name).any()}
    private = ~known[detected]
    flagged = found["unknown"].to_numpy(dtype=bool)
    return TruthReport(
        objects=len(truth),
        detected=int(detected.sum()),
        completeness=_mean(detected),
        accuracy=_mean(right[detected & known]),
        recall=recall,
        mean_recall=_mean(np.array(list(recall.values()))),
        unknown_auroc={name: auroc(found[name].to_numpy(dtype=float), private) for name in UNKNOWN_SCORES},
        unknown_recall=_mean(flagged[private]),
        false_unknown=_mean(flagged[~private]),
    )


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _places(table: pd.DataFrame) -> NDArray[np.float64]:
    return unit_vectors(table["ra"].to_numpy(dtype=float), table["dec"].to_numpy(dtype=float))
