"""From logits and features to what the catalogue says of an object. Arrays in, arrays out."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, xlogy

Float64 = NDArray[np.float64]

#: Scores by which an object can be called unknown; each is larger for objects less like the known classes.
UnknownScore = Literal["entropy", "energy", "anomaly_score"]

#: The score by which it is called so unless a recipe names another.
USUAL_SCORE: Final = "anomaly_score"

#: Nearest reference objects that an object is compared with, and objects compared at a time.
NEIGHBOURS, CHUNK = 5, 1024

#: Least that counts as usual: of the entropy as a share of ln K, and of the distance. A network may be sure of all.
LEAST_USUAL = 1e-3


@dataclass(frozen=True)
class FeatureReference:
    """Known objects in feature space, and what is usual among others of their classes.

    Parameters
    ----------
    directions : ndarray of float
        Feature vectors of known objects, of length 1. Shape ``(m, d)``.
    distance : float
        Mean distance of other known objects from these, see `neighbour_distance`.
    entropy : float
        Mean entropy of other known objects, in nats.
    """

    directions: Float64
    distance: float
    entropy: float


@dataclass(frozen=True)
class Scores:
    """Scores of `n` objects over `K` classes.

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``, rows sum to 1.
    label : ndarray of int
        Index of the most probable class, shape ``(n,)``.
    confidence : ndarray of float
        Probability of that class.
    entropy : ndarray of float
        Shannon entropy in nats, from 0 to ``ln K``.
    energy : ndarray of float
        Free energy; larger (less negative) for objects less like the training set.
    anomaly_score : ndarray of float
        How strange prediction and features are together; 1 on average for known objects of the source.
    unknown : ndarray of bool
        Where the bundle's unknown score lies above its threshold, or is not a number.
    """

    probabilities: Float64
    label: NDArray[np.int64]
    confidence: Float64
    entropy: Float64
    energy: Float64
    anomaly_score: Float64
    unknown: NDArray[np.bool_]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> Float64:
    """Class probabilities, ``exp(z / T) / sum exp(z / T)``.

    Parameters
    ----------
    logits : ndarray of float
        Shape ``(n, K)``.
    temperature : float
        Divides the logits (Guo et al. 2017); positive.

    Returns
    -------
    ndarray of float64
        Shape ``(n, K)``.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    # Written with logsumexp, which scipy computes without overflow for any finite logits.
    return np.asarray(np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True)))


def entropy(probabilities: NDArray[np.floating]) -> Float64:
    """Shannon entropy ``H = -sum p ln p`` in nats (DeepAstroUDA, section 2.3), with ``0 ln 0 = 0``.

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.

    Returns
    -------
    ndarray of float64
        Shape ``(n,)``, from 0 to ``ln K``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    # The sum of a certain prediction is -0.0; adding 0.0 makes it 0.0.
    return np.asarray(-xlogy(p, p).sum(axis=1) + 0.0)


def energy(logits: NDArray[np.floating], temperature: float = 1.0) -> Float64:
    """Free energy ``E = -T ln sum exp(z / T)`` (Liu et al. 2020, equation 4).

    Parameters
    ----------
    logits : ndarray of float
        Shape ``(n, K)``.
    temperature : float
        Positive.

    Returns
    -------
    ndarray of float64
        Shape ``(n,)``.
    """
    return np.asarray(-temperature * logsumexp(np.asarray(logits, dtype=np.float64) / temperature, axis=1))


def neighbour_distance(features: NDArray[np.floating], directions: NDArray[np.floating]) -> Float64:
    """Mean cosine distance ``1 - cos`` from the `NEIGHBOURS` nearest of given directions (after Sun et al. 2022).

    Parameters
    ----------
    features : ndarray of float
        Shape ``(n, d)``. A vector of zeros is at a right angle to everything.
    directions : ndarray of float
        Vectors of length 1, shape ``(m, d)``.

    Returns
    -------
    ndarray of float64
        Shape ``(n,)``, from 0 to 2; 1 where there is no neighbour at all.
    """
    count = min(NEIGHBOURS, len(directions))
    if count == 0:
        return np.ones(len(features))
    distances = np.empty(len(features))
    for start in range(0, len(features), CHUNK):
        cosines = directions_of(features[start : start + CHUNK]) @ np.asarray(directions, dtype=np.float64).T
        nearest = np.partition(cosines, -count, axis=1)[:, -count:]
        distances[start : start + CHUNK] = 1 - nearest.mean(axis=1)
    return np.maximum(distances, 0.0)


def directions_of(features: NDArray[np.floating]) -> Float64:
    """Feature vectors scaled to length 1, shape ``(n, d)``; zeros stay."""
    f = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(f, axis=1, keepdims=True)
    return np.asarray(np.divide(f, lengths, out=np.zeros_like(f), where=lengths > 0))


def anomaly(entropies: Float64, features: NDArray[np.floating], reference: FeatureReference) -> Float64:
    """How strange objects are: mean of entropy and of distance in feature space, each in units of its usual value.

    Parameters
    ----------
    entropies : ndarray of float
        In nats, shape ``(n,)``.
    features : ndarray of float
        Shape ``(n, d)``.
    reference : FeatureReference
        Known objects, and what is usual.

    Returns
    -------
    ndarray of float64
        Shape ``(n,)``; 1 is usual.
    """
    distances = neighbour_distance(features, reference.directions)
    return np.asarray((entropies / reference.entropy + distances / reference.distance) / 2)


def score(
    logits: NDArray[np.floating],
    features: NDArray[np.floating],
    reference: FeatureReference,
    *,
    temperature: float,
    unknown_score: UnknownScore,
    threshold: float,
) -> Scores:
    """Everything the catalogue says of `n` objects.

    Parameters
    ----------
    logits : ndarray of float
        Shape ``(n, K)``.
    features : ndarray of float
        Shape ``(n, d)``.
    reference : FeatureReference
        Known objects in feature space.
    temperature : float
        Calibrates probabilities, entropy and energy.
    unknown_score : {"entropy", "energy", "anomaly_score"}
        The score that decides what is unknown.
    threshold : float
        An object is unknown when its score is larger, or not a number.

    Returns
    -------
    Scores
        Of all objects, in order.
    """
    probabilities = softmax(logits, temperature)
    entropies = entropy(probabilities)
    values = {
        "entropy": entropies,
        "energy": energy(logits, temperature),
        "anomaly_score": anomaly(entropies, features, reference),
    }
    return Scores(
        probabilities=probabilities,
        label=probabilities.argmax(axis=1),
        confidence=probabilities.max(axis=1),
        # "Not at most" and not "larger": a score that is no number must not pass for a known object.
        unknown=~(values[unknown_score] <= threshold),
        **values,
    )
