"""How well a model seems to suit a target, told without any of its labels.

Such numbers can compare settings of one method; none of them can promise that a model is right.
"""

import math

import numpy as np
from numpy.typing import NDArray

from galmorph.scores import entropy

#: Divides cosines in the soft neighbourhood density (Saito et al. 2021, section 3.2).
TEMPERATURE = 0.05

#: Images compared with all others at a time.
BLOCK = 1024

Float64 = NDArray[np.float64]


def neighbourhood_density(probabilities: NDArray[np.floating], temperature: float = TEMPERATURE) -> float:
    """Soft neighbourhood density: larger where each image has many others near it (Saito et al. 2021, equation 3).

    Mean entropy of the softmax over an image's cosines with all others. It also grows when a model calls everything one
    class: look at the shares of classes too.

    Parameters
    ----------
    probabilities : ndarray of float
        Of unlabelled images, shape ``(n, K)``.
    temperature : float
        Divides cosines.

    Returns
    -------
    float
        From 0 to ``ln(n - 1)``, NaN for fewer than two images.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if len(p) < 2:
        return float("nan")
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    total = 0.0
    for start in range(0, len(p), BLOCK):
        logits = p[start : start + BLOCK] @ p.T / temperature
        logits[np.arange(len(logits)), start + np.arange(len(logits))] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        weights /= weights.sum(axis=1, keepdims=True)
        total += float(entropy(weights).sum())
    return total / len(p)


def mutual_information(probabilities: NDArray[np.floating]) -> float:
    """Information between image and predicted class: larger where a model is sure, and uses all classes.

    Entropy of the mean prediction less the mean entropy (Bridle et al. 1991; Krause et al. 2010). It prefers classes in
    equal shares, and being sure of unknown objects too.

    Parameters
    ----------
    probabilities : ndarray of float
        Of unlabelled images, shape ``(n, K)``.

    Returns
    -------
    float
        In nats, from 0 to ``ln(K)``; NaN without images.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not len(p):
        return float("nan")
    return float(entropy(p.mean(axis=0, keepdims=True))[0] - entropy(p).mean())


def separated_density(probabilities: NDArray[np.floating], temperature: float = TEMPERATURE) -> float:
    """Neighbourhood density that a model cannot have by calling everything one class, or by having nothing to say.

    Each as a share of the largest that it can be, `neighbourhood_density` times `mutual_information`, which is 0 in
    both cases.

    Parameters
    ----------
    probabilities : ndarray of float
        Of unlabelled images, shape ``(n, K)``.
    temperature : float
        Divides cosines.

    Returns
    -------
    float
        From 0 to 1; NaN for fewer than three images or two classes.
    """
    images, classes = probabilities.shape
    if images < 3 or classes < 2:
        return float("nan")
    density = neighbourhood_density(probabilities, temperature) / math.log(images - 1)
    return density * mutual_information(probabilities) / math.log(classes)
