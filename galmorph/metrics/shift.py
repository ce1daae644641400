"""Whether two samples are of one distribution. Arrays in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from galmorph.errors import MissingExtraError
from galmorph.metrics.ranking import auroc

Float = NDArray[np.floating]
Float64 = NDArray[np.float64]

#: Bins of a probability for the stability index.
BINS = 10
#: Permutations of a test: the smallest p-value is one over this and one.
PERMUTATIONS = 499
#: Widths of the kernels, in units of the median distance between objects.
WIDTHS = (0.25, 0.5, 1.0)
#: Trees of the classifier that tells samples apart, and objects in the smallest of their leaves.
TREES, LEAF = 100, 5


@dataclass(frozen=True)
class Discrepancy:
    """Maximum mean discrepancy of two samples.

    Parameters
    ----------
    squared : float
        Unbiased estimate of its square; about 0, and perhaps negative, for samples of one distribution.
    p_value : float
        Share of permutations, this one included, in which it is as large.
    """

    squared: float
    p_value: float


def discrepancy(first: Float, second: Float, permutations: int = PERMUTATIONS, seed: int = 0) -> Discrepancy:
    """Maximum mean discrepancy with Gaussian kernels, and its permutation test (Gretton et al. 2012, lemma 6).

    Parameters
    ----------
    first, second : ndarray of float
        Samples, shapes ``(n, d)`` and ``(m, d)``, each of two objects or more. Axes should be of like scale.
    permutations : int
        How many.
    seed : int
        Decides them.

    Returns
    -------
    Discrepancy
        With the mean of kernels ``exp(-r² / (2 w² h²))`` of the widths `WIDTHS`, h being the median distance.
    """
    joined = np.concatenate([first, second]).astype(np.float64)
    n, total = len(first), len(joined)
    kernel = _kernel(joined)
    rng = np.random.default_rng(seed)
    # A column for each division of the objects: which of them are called the first sample.
    member = np.zeros((total, permutations + 1))
    member[:n, 0] = 1
    for column in range(1, permutations + 1):
        member[rng.permutation(total)[:n], column] = 1
    values = _squared(kernel, member)
    # Rounding must not make a division that is the same in other words look smaller.
    as_large = values[1:] >= values[0] - 1e-12
    return Discrepancy(float(values[0]), float((1 + as_large.sum()) / (1 + permutations)))


def _kernel(points: Float64) -> Float64:
    """Kernel of all pairs, without a diagonal."""
    centred = points - points.mean(axis=0)
    squares = np.einsum("ij,ij->i", centred, centred)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * centred @ centred.T, 0)
    typical = float(np.median(distances[np.triu_indices(len(points), 1)]))
    scale = typical if typical > 0 else 1.0
    kernel = np.mean([np.exp(-distances / (2 * width**2 * scale)) for width in WIDTHS], axis=0)
    np.fill_diagonal(kernel, 0)
    return np.asarray(kernel)


def _squared(kernel: Float64, member: Float64) -> Float64:
    """U-statistic for each column of memberships."""
    n = member[:, 0].sum()
    m = len(member) - n
    within = kernel @ member
    first = np.einsum("ij,ij->j", member, within)
    across = np.einsum("ij,ij->j", 1 - member, within)
    second = kernel.sum() - first - 2 * across
    return np.asarray(first / (n * (n - 1)) + second / (m * (m - 1)) - 2 * across / (n * m))


@dataclass(frozen=True)
class Separation:
    """How well a classifier tells two samples apart.

    Parameters
    ----------
    auc : float
        Chance that of an object of each it calls the right one the stranger: 0.5 if it sees no difference.
    p_value : float
        Chance of as much if there were none, by the normal approximation to the rank statistic.
    """

    auc: float
    p_value: float


def separation(first: Float, second: Float, seed: int = 0) -> Separation:
    """Tell two samples apart by a random forest, each object by the trees that have not seen it.

    Parameters
    ----------
    first, second : ndarray of float
        Samples, shapes ``(n, d)`` and ``(m, d)``.
    seed : int
        Of the forest.

    Returns
    -------
    Separation
        Area under the ROC curve (Lopez-Paz and Oquab 2017 test with the accuracy instead), and its significance.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise MissingExtraError("Telling samples apart", "scikit-learn", "drift") from error
    n, m = len(first), len(second)
    forest = RandomForestClassifier(
        TREES, min_samples_leaf=LEAF, oob_score=True, class_weight="balanced", random_state=seed
    )
    stranger = np.arange(n + m) >= n
    forest.fit(np.concatenate([first, second]), stranger)
    score = forest.oob_decision_function_[:, 1]
    area = float(auroc(np.nan_to_num(score, nan=0.5), stranger))
    spread = np.sqrt((n + m + 1) / (12 * n * m))
    return Separation(area, float(norm.sf((area - 0.5) / spread)))


def stability(old: NDArray[np.floating], new: NDArray[np.floating]) -> float:
    """Population stability index of a probability, ``sum (q - p) ln(q / p)`` over ten bins of equal width.

    Parameters
    ----------
    old, new : ndarray of float, shape (n,)
        Probabilities.

    Returns
    -------
    float
        0 for the same distribution; NaN without objects. Half an object is added to each bin, so that an empty one does
        not make it infinite.
    """
    if not len(old) or not len(new):
        return float("nan")
    p, q = (
        (np.histogram(np.clip(values, 0, 1), bins=BINS, range=(0, 1))[0] + 0.5) / (len(values) + 0.5 * BINS)
        for values in (old, new)
    )
    return float(((q - p) * np.log(q / p)).sum())
