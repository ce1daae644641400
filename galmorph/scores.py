"""From logits and features to what the catalogue says of an object. Arrays in, arrays out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, xlogy

Float64 = NDArray[np.float64]

#: Scores by which an object can be called unknown; each is larger for objects less like the known classes.
UnknownScore = Literal["entropy", "energy", "anomaly_score"]


@dataclass(frozen=True)
class FeatureReference:
    """Where the known classes lie in feature space.

    Parameters
    ----------
    means : ndarray of float
        Mean feature vector of each class, shape ``(K, d)``.
    precision : ndarray of float
        Inverse of the covariance within classes, shared by all, shape ``(d, d)``.
    """

    means: Float64
    precision: Float64


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
        Distance in feature space from the nearest known class; about 1 for a typical known object.
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


def anomaly(features: NDArray[np.floating], reference: FeatureReference) -> Float64:
    """Distance from the nearest known class, ``min_k sqrt((f - m_k)' P (f - m_k) / d)``.

    The Mahalanobis distance of Lee et al. (2018, equation 2), divided by the square root of the number of
    features so that a typical known object scores about 1 whatever the network.

    Parameters
    ----------
    features : ndarray of float
        Shape ``(n, d)``.
    reference : FeatureReference
        Class means and precision.

    Returns
    -------
    ndarray of float64
        Shape ``(n,)``.
    """
    f = np.asarray(features, dtype=np.float64)
    squared = np.empty((len(f), len(reference.means)))
    for k, mean in enumerate(reference.means):
        offset = f - mean
        squared[:, k] = np.einsum("ni,ij,nj->n", offset, reference.precision, offset, optimize=True)
    return np.asarray(np.sqrt(np.maximum(squared.min(axis=1), 0.0) / f.shape[1]))


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
        Where the known classes lie.
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
    values = {
        "entropy": entropy(probabilities),
        "energy": energy(logits, temperature),
        "anomaly_score": anomaly(features, reference),
    }
    return Scores(
        probabilities=probabilities,
        label=probabilities.argmax(axis=1),
        confidence=probabilities.max(axis=1),
        # "Not at most" and not "larger": a score that is no number must not pass for a known object.
        unknown=~(values[unknown_score] <= threshold),
        **values,
    )
