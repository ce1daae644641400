"""A catalogue beside the truth: what was found, what was called right, what was noticed as unknown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.errors import DataError
from galmorph.metrics import auroc
from galmorph.scores import UnknownScore
from galmorph.sky import unit_vectors

#: Scores of the catalogue that grow with strangeness.
UNKNOWN_SCORES = get_args(UnknownScore)

#: Rows around a true object that come into question.
NEIGHBOURS = 4


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


def match(
    rows: pd.DataFrame, truth: pd.DataFrame, radius: float | NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Catalogue row, or detection, of each true object: one to one, nearest pairs first.

    Parameters
    ----------
    rows, truth : pandas.DataFrame
        Tables with `ra` and `dec` in degrees.
    radius : float or ndarray of float
        Largest separation in arcsec, for all or for each true object.

    Returns
    -------
    place : ndarray of int
        Place in `rows`, -1 where none is near enough. Shape ``(len(truth),)``.
    separation : ndarray of float
        Arcsec, NaN where there is none.
    """
    place, separation = np.full(len(truth), -1, dtype=np.intp), np.full(len(truth), np.nan)
    if len(rows) == 0 or len(truth) == 0:
        return place, separation
    chords, neighbours = cKDTree(_points(rows)).query(_points(truth), k=min(NEIGHBOURS, len(rows)))
    angles = np.degrees(2 * np.arcsin(chords.reshape(len(truth), -1) / 2)) * 3600
    neighbours = neighbours.reshape(angles.shape)
    near = angles <= np.broadcast_to(np.asarray(radius, dtype=float), len(truth))[:, None]
    pairs = sorted((angles[i, k], i, int(neighbours[i, k])) for i, k in np.argwhere(near))
    taken: set[int] = set()
    for angle, i, row in pairs:
        if place[i] < 0 and row not in taken:
            place[i], separation[i] = row, angle
            taken.add(row)
    return place, separation


def compare(rows: pd.DataFrame, truth: pd.DataFrame, classes: Sequence[str], radius: float = 2.0) -> TruthReport:
    """Measure a catalogue against the truth.

    Parameters
    ----------
    rows : pandas.DataFrame
        Primary rows of a catalogue: `ra`, `dec`, `label`, `unknown` and the scores.
    truth : pandas.DataFrame
        `ra`, `dec`, `label` and perhaps `match_radius` in arcsec; rows with an empty label are not counted.
    classes : sequence of str
        Known classes of the model; any other label of the truth is private.
    radius : float
        Match radius in arcsec, where the truth gives none.

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
    radii = truth["match_radius"].to_numpy(dtype=float) if "match_radius" in truth else radius
    place, _ = match(rows, truth, radii)
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
        unknown_auroc={name: float(auroc(found[name].to_numpy(dtype=float), private)) for name in UNKNOWN_SCORES},
        unknown_recall=_mean(flagged[private]),
        false_unknown=_mean(flagged[~private]),
    )


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _points(table: pd.DataFrame) -> NDArray[np.float64]:
    return unit_vectors(table["ra"].to_numpy(dtype=float), table["dec"].to_numpy(dtype=float))
