"""What a bundle decides, fitted without a label of the target: temperature, threshold, reference, statistics."""

import logging
import math
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from galmorph.metrics import best_h_score, negative_log_likelihood
from galmorph.scores import (
    LEAST_USUAL,
    USUAL_SCORE,
    FeatureReference,
    Scores,
    UnknownScore,
    directions_of,
    entropy,
    neighbour_distance,
    score,
    softmax,
)
from galmorph.training.options import ExportOptions

logger = logging.getLogger(__name__)

Float = NDArray[np.floating]

#: Temperatures between which the best one is sought.
TEMPERATURES = (0.05, 20.0)

#: Largest share of a target's images that is believed to be unknown.
MOST_UNKNOWN = 0.5

#: Least harmonic mean of the shares on their own sides at which strangers count as told; half is what chance has.
TOLD = 0.65

#: Scores of which one may tell strangers best.
SCORES: tuple[UnknownScore, ...] = get_args(UnknownScore)

#: Training images that the reference of features holds.
REFERENCE_IMAGES = 2000

#: Quantiles in the table of statistics.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Calibration:
    """What turns logits and features into scores.

    Parameters
    ----------
    temperature : float
        Divides logits.
    reference : FeatureReference
        Known objects in feature space.
    unknown_score : {"entropy", "energy", "anomaly_score"}
        The score that decides what is unknown.
    threshold : float
        An object is unknown above it.
    """

    temperature: float
    reference: FeatureReference
    unknown_score: UnknownScore
    threshold: float

    def score(self, logits: Float, features: Float) -> Scores:
        """Scores of objects; see `galmorph.scores.score`."""
        return score(
            logits,
            features,
            self.reference,
            temperature=self.temperature,
            unknown_score=self.unknown_score,
            threshold=self.threshold,
        )


def calibrate(
    fitted: Float,
    logits: Float,
    features: Float,
    labels: NDArray[np.integer],
    options: ExportOptions,
    target: tuple[Float, Float] | None = None,
    strangers: tuple[Float, Float] | None = None,
) -> Calibration:
    """Fit temperature, reference and threshold.

    The threshold lets a chosen share of known objects of the source pass as unknown. A model is less sure of the target
    than of the source, known objects included; there no more than half are called unknown, see `least_threshold`. With
    strangers it lies where they are told from the images that they were made of, if they can be, see `between`; and it
    may be the score that tells them best.

    Parameters
    ----------
    fitted : ndarray of float
        Features of training images, shape ``(t, d)``.
    logits, features : ndarray of float
        Of validation images of known classes, shapes ``(n, K)`` and ``(n, d)``.
    labels : ndarray of int
        Their classes, shape ``(n,)``.
    options : ExportOptions
        Which score decides, and which share of known objects it may call unknown.
    target : tuple of ndarray, optional
        Logits and features of unlabelled images of the target, shapes ``(m, K)`` and ``(m, d)``.
    strangers : tuple of ndarray, optional
        The same of strangers made of images of the target, or without a target of validation images, see
        `galmorph.training.strangers`. Read where `ExportOptions.threshold` asks for them.

    Returns
    -------
    Calibration
        No label of an unknown class has had a part in it.
    """
    temperature = fit_temperature(logits, labels)
    reference = fit_reference(fitted, features, entropy(softmax(logits, temperature)), logits.shape[1])
    usual: UnknownScore = USUAL_SCORE
    names = SCORES
    if options.unknown_score != "strangers":
        usual, names = options.unknown_score, (options.unknown_score,)
    free = Calibration(temperature, reference, usual, math.inf)
    known = free.score(logits, features)
    seen = known if target is None else free.score(*target)
    if options.threshold == "strangers":
        if strangers is not None:
            made = free.score(*strangers)
            told = {name: between(getattr(seen, name), getattr(made, name)) for name in names}
            best = max(names, key=lambda name: told[name].mean)
            if told[best].mean >= TOLD:
                return replace(free, unknown_score=best, threshold=told[best].threshold)
        logger.warning(
            "strangers cannot be told from the images that they were made of: the threshold is by "
            "export.false_unknown_rate"
        )
    threshold = fit_threshold(getattr(known, usual), options.false_unknown_rate)
    if target is not None and (least := least_threshold(getattr(seen, usual))) > threshold:
        logger.warning(
            "more than half of the target's images would be called unknown at the threshold by "
            "export.false_unknown_rate: it is raised until half are"
        )
        threshold = least
    return replace(free, threshold=threshold)


def fit_temperature(logits: Float, labels: NDArray[np.integer]) -> float:
    """Temperature of the smallest negative log-likelihood (Guo et al. 2017, section 4.2).

    Where every image is right the likelihood has no maximum: it grows with ever lower temperatures, at which whatever
    the network sees later would be certain. Of `n` such images the right class counts `(n + 1) / (n + 2)` and the
    others share the rest, which is what is known of it after `n` right answers (Platt 1999, section 2.2); a network
    that is surer keeps its own confidence, against which no image speaks.

    Parameters
    ----------
    logits : ndarray of float
        Of validation images, shape ``(n, K)``.
    labels : ndarray of int
        Their classes, shape ``(n,)``.

    Returns
    -------
    float
        Within `TEMPERATURES`.
    """
    images, classes = logits.shape
    sure = classes > 1 and bool((logits.argmax(axis=1) == labels).all())
    targets = np.full((images, classes), 1 / (images + 2) / max(1, classes - 1))
    targets[np.arange(images), labels] = (images + 1) / (images + 2)

    def loss(log_t: float) -> float:
        temperature = float(np.exp(log_t))
        if not sure:
            return float(negative_log_likelihood(softmax(logits, temperature), labels))
        return float(-(targets * log_softmax(logits / temperature, axis=1)).sum(axis=1).mean())

    least, most = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(least, 0.0 if sure else most), method="bounded")
    return float(np.exp(found.x))


def fit_threshold(values: Float, rate: float) -> float:
    """Threshold that at most a share `rate` of known objects exceeds.

    Parameters
    ----------
    values : ndarray of float
        Unknown score of known validation images, shape ``(n,)``.
    rate : float
        Share.

    Returns
    -------
    float
        One of the scores.
    """
    return float(np.quantile(np.asarray(values, dtype=np.float64), 1 - rate, method="higher"))


def least_threshold(values: Float) -> float:
    """The threshold that `MOST_UNKNOWN` of a target's images exceed, and no more.

    Parameters
    ----------
    values : ndarray of float
        Unknown scores of unlabelled images, shape ``(n,)``; those that are not finite do not count.

    Returns
    -------
    float
        One of the scores; minus infinity if there is none.
    """
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return fit_threshold(values, MOST_UNKNOWN) if values.size else -math.inf


class Told(NamedTuple):
    """How well images and strangers made of them are told apart by a score.

    Parameters
    ----------
    mean : float
        Largest harmonic mean of the share of the images below a threshold and the share of strangers above it; 0 if
        there is nothing to tell.
    threshold : float
        The score at which it is reached, one of those given.
    """

    mean: float
    threshold: float


def between(values: Float, strangers: Float) -> Told:
    """Where images and strangers made of them are told apart best.

    What counts is the H-score, were the ones all known and the others all unknown.

    Parameters
    ----------
    values : ndarray of float
        Unknown scores of images, shape ``(n,)``.
    strangers : ndarray of float
        Of strangers, shape ``(m,)``.

    Returns
    -------
    Told
    """
    made = np.repeat([0, 1], [len(values), len(strangers)])
    mean, place = best_h_score(np.concatenate([values, strangers]), made == 0, made, classes=1)
    return Told(float(np.nan_to_num(mean)), float(place))


def fit_reference(features: Float, valid_features: Float, valid_entropies: Float, classes: int) -> FeatureReference:
    """Known objects that others are compared with, and what is usual.

    Parameters
    ----------
    features : ndarray of float
        Of training images, shape ``(n, d)``; some of them are kept, the same ones each time.
    valid_features, valid_entropies : ndarray of float
        Of validation images of known classes, shapes ``(m, d)`` and ``(m,)``, ``m`` not 0.
    classes : int
        K.

    Returns
    -------
    FeatureReference
        With at most `REFERENCE_IMAGES` directions, rounded to float16.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(features))[:REFERENCE_IMAGES])
    directions = directions_of(features[chosen]).astype(np.float16).astype(np.float64)
    distance = float(np.mean(neighbour_distance(valid_features, directions)))
    usual = float(np.mean(valid_entropies))
    return FeatureReference(directions, max(distance, LEAST_USUAL), max(usual, LEAST_USUAL * math.log(max(classes, 2))))


def statistics(scores: Scores, features: Float, classes: tuple[str, ...]) -> pd.DataFrame:
    """Distributions of scores and features, for a later survey to be compared with.

    Parameters
    ----------
    scores : Scores
        Of validation images of known classes.
    features : ndarray of float
        Shape ``(n, d)``.
    classes : tuple of str
        Known classes.

    Returns
    -------
    pandas.DataFrame
        A row for each quantity: `quantity`, `n`, `mean`, `std` and quantiles `q01` to `q99`.
    """
    quantities = {
        "entropy": scores.entropy,
        "energy": scores.energy,
        "anomaly_score": scores.anomaly_score,
        "confidence": scores.confidence,
    }
    quantities |= {f"p_{name}": scores.probabilities[:, k] for k, name in enumerate(classes)}
    quantities |= {f"feature_{j}": features[:, j].astype(np.float64) for j in range(features.shape[1])}
    rows = []
    for name, values in quantities.items():
        levels = np.quantile(values, QUANTILES)
        row = {"quantity": name, "n": len(values), "mean": values.mean(), "std": values.std()}
        rows.append(row | {f"q{100 * q:02.0f}": level for q, level in zip(QUANTILES, levels, strict=True)})
    return pd.DataFrame(rows)
