"""Two samples of objects as a model sees them, set beside each other. Arrays in, numbers out.

Two surveys' lists of objects differ by what was chosen long before they differ by how it looks. So objects are compared
in equal numbers of each brightness and size, and for their looks also of each class that the model gives them; changes
of the mix of classes are seen by the scores alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, norm

from galmorph.metrics import discrepancy, separation, stability

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

#: Bins of brightness and of size in which equal numbers are taken of both samples.
BRIGHTNESS_BINS, SIZE_BINS = 5, 3
#: Most objects of each sample in a test of their looks.
TESTED = 500
#: Fewest comparable objects of the whole, and of a part of the sky that is looked at by itself.
FEWEST, FEWEST_REGION = 50, 100


@dataclass(frozen=True)
class Seen:
    """Objects as a model sees them.

    Parameters
    ----------
    probabilities : ndarray of float
        Shape ``(n, K)``.
    entropy, energy, anomaly : ndarray of float
        Scores, shape ``(n,)``.
    unknown : ndarray of bool
        Whether the model calls them unknown.
    features : ndarray of float or None
        Shape ``(n, d)``; None where they were not kept.
    brightness : ndarray of float or None
        Magnitude in a band that both samples have, shape ``(n,)``; None where it was not measured.
    size : ndarray of float or None
        Half-light radius in arcsec, shape ``(n,)``; None where it was not measured.
    right : ndarray of float or None
        1 where the label is known and right, 0 where it is known and wrong, NaN where it is not known.
    """

    probabilities: Float64
    entropy: Float64
    energy: Float64
    anomaly: Float64
    unknown: Bool
    features: NDArray[np.floating] | None = None
    brightness: Float64 | None = None
    size: Float64 | None = None
    right: Float64 | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def take(self, rows: NDArray[Any]) -> "Seen":
        """Some of the objects."""
        kept: Any = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kept = {name: None if values is None else values[rows] for name, values in kept.items()}
        return Seen(**kept)

    def looks(self, features: bool) -> Float64:
        """What tells how objects look to the model, a row each: its features, or else its scores."""
        if features and self.features is not None:
            return self.features.astype(np.float64)
        return np.column_stack([self.probabilities, self.entropy, self.energy, self.anomaly])


@dataclass(frozen=True)
class Shift:
    """How far one sample is from another.

    Parameters
    ----------
    objects : int
        Objects of the new sample.
    comparable : int
        Objects of each sample that have a counterpart of like brightness and size in the other.
    beyond : float
        Share of the new objects that are brighter, fainter, larger or smaller than any that the model was made on.
    basis : {"features", "scores"}
        What looks were compared by.
    discrepancy, discrepancy_p : float
        Squared maximum mean discrepancy of the looks and its p-value.
    auc, auc_p : float
        How well a classifier tells the looks apart, and its p-value.
    stability, stability_p : dict of str to float
        Population stability index of each class's probability, and the p-value of a two-sample Kolmogorov-Smirnov test.
    shares : dict of str to tuple of float
        Share of each label before and now.
    unknown : tuple of float
        Share of unknown objects before and now.
    unknown_p : float
        Its p-value.
    accuracy : tuple of float
        Accuracy before, measured on known labels, and now, estimated without a label: changed as much as the share of
        objects more confident than a threshold, above which there are before as many of those with known labels as are
        right (Garg et al. 2022). NaN without known labels.
    confident : tuple of float
        That share of all comparable objects before and now, those without known label among them.
    """

    objects: int
    comparable: int
    beyond: float
    basis: Literal["features", "scores"]
    discrepancy: float
    discrepancy_p: float
    auc: float
    auc_p: float
    stability: Mapping[str, float]
    stability_p: Mapping[str, float]
    shares: Mapping[str, tuple[float, float]]
    unknown: tuple[float, float]
    unknown_p: float
    accuracy: tuple[float, float]
    confident: tuple[float, float]


@dataclass(frozen=True)
class View:
    """What a picture of a drift shows.

    Parameters
    ----------
    before, now : Seen
        Comparable objects of both samples.
    points_before, points_now : ndarray of float
        Their looks in two dimensions, shape ``(n, 2)``.
    """

    before: Seen
    now: Seen
    points_before: Float64
    points_now: Float64


def compare(
    before: Seen, now: Seen, classes: Sequence[str], *, use_features: bool = True, seed: int = 0
) -> tuple[Shift | None, View | None]:
    """Set a sample of objects beside another.

    Parameters
    ----------
    before, now : Seen
        The samples.
    classes : sequence of str
        Classes of the model.
    use_features : bool
        Compare looks by the features, where both samples have them, and else by the scores.
    seed : int
        Of everything random.

    Returns
    -------
    shift : Shift or None
        None if fewer than `FEWEST` objects are comparable.
    view : View or None
        What was compared.
    """
    rng = np.random.default_rng(seed)
    cell_before, cell_now = _cells(before, now)
    matched = _matched(cell_before, cell_now, rng)
    if len(matched[0]) < FEWEST:
        return None, None
    first, second = before.take(matched[0]), now.take(matched[1])
    alike = _matched(_by_label(cell_before, before), _by_label(cell_now, now), rng, TESTED)
    basis = use_features and before.features is not None and now.features is not None
    looks = _scaled(before.take(alike[0]).looks(basis), now.take(alike[1]).looks(basis))
    apart = (discrepancy(*looks, seed=seed), separation(*looks, seed=seed)) if len(alike[0]) >= FEWEST else None
    accuracy, confident = _accuracy(first, second)
    columns = {name: (first.probabilities[:, k], second.probabilities[:, k]) for k, name in enumerate(classes)}
    shift = Shift(
        objects=len(now),
        comparable=len(matched[0]),
        beyond=float((cell_now < 0).mean()),
        basis="features" if basis else "scores",
        discrepancy=apart[0].squared if apart else np.nan,
        discrepancy_p=apart[0].p_value if apart else np.nan,
        auc=apart[1].auc if apart else np.nan,
        auc_p=apart[1].p_value if apart else np.nan,
        stability={name: stability(*pair) for name, pair in columns.items()},
        stability_p={name: float(ks_2samp(*pair).pvalue) for name, pair in columns.items()},
        shares={name: (_share(first, k), _share(second, k)) for k, name in enumerate(classes)},
        unknown=(float(first.unknown.mean()), float(second.unknown.mean())),
        unknown_p=_proportions(first.unknown, second.unknown),
        accuracy=accuracy,
        confident=confident,
    )
    return shift, View(first, second, *_plane(*looks))


def _cells(before: Seen, now: Seen) -> tuple[Int64, Int64]:
    """Bin of brightness and size of each object; -1 beyond what both were measured for."""
    cells = [np.zeros(len(each), dtype=np.int64) for each in (before, now)]
    for name, bins in (("brightness", BRIGHTNESS_BINS), ("size", SIZE_BINS)):
        values = [cast("Float64 | None", getattr(each, name)) for each in (before, now)]
        if values[0] is None or values[1] is None or not np.isfinite(values[0]).any():
            continue
        edges = np.nanquantile(values[0], np.linspace(0, 1, bins + 1))
        for cell, each in zip(cells, values, strict=True):
            assert each is not None  # noqa: S101 - both are checked above
            place = np.clip(np.searchsorted(edges, each, side="right") - 1, 0, bins - 1)
            inside = (each >= edges[0]) & (each <= edges[-1])
            cell[:] = np.where(inside & (cell >= 0), cell * bins + place, -1)
    return cells[0], cells[1]


def _by_label(cell: Int64, sample: Seen) -> Int64:
    """Bins of brightness and size divided by the label too."""
    classes = sample.probabilities.shape[1]
    return np.where(cell < 0, -1, cell * classes + sample.probabilities.argmax(axis=1))


def _matched(
    before: Int64, now: Int64, rng: np.random.Generator, most: int | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both samples, as many of each cell of the one as of the other."""
    rows: tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]] = ([], [])
    for cell in np.intersect1d(before[before >= 0], now[now >= 0]):
        here = [rng.permutation(np.flatnonzero(each == cell)) for each in (before, now)]
        count = min(len(each) for each in here)
        for kept, each in zip(rows, here, strict=True):
            kept.append(each[:count])
    if not rows[0]:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    first, second = (np.concatenate(kept) for kept in rows)
    chosen = rng.permutation(len(first))[:most]
    return first[chosen], second[chosen]


def _scaled(before: Float64, now: Float64) -> tuple[Float64, Float64]:
    """Both in units of the first one's spread."""
    if not len(before):
        return before, now
    centre, spread = before.mean(axis=0), before.std(axis=0)
    spread = np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, np.inf)
    return (before - centre) / spread, (now - centre) / spread


def _plane(before: Float64, now: Float64) -> tuple[Float64, Float64]:
    """Looks along the two main axes of the first sample and the second together."""
    if not len(before):
        return before.reshape(0, 2), now.reshape(0, 2)
    joined = np.concatenate([before, now])
    axes = np.linalg.svd(joined - joined.mean(axis=0), full_matrices=False)[2][:2].T
    return before @ axes, now @ axes


def _share(sample: Seen, k: int) -> float:
    return float((sample.probabilities.argmax(axis=1) == k).mean())


def _proportions(first: Bool, second: Bool) -> float:
    """Two-sided p-value that two shares are one (pooled normal approximation, one object added to each kind)."""
    n, m = len(first) + 2, len(second) + 2
    shares = (first.sum() + 1) / n, (second.sum() + 1) / m
    pooled = (first.sum() + second.sum() + 2) / (n + m)
    return float(2 * norm.sf(abs(shares[0] - shares[1]) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))))


def _accuracy(before: Seen, now: Seen) -> tuple[tuple[float, float], tuple[float, float]]:
    """Accuracy before and an estimate of what it is now, and the shares of confident objects that it is made of."""
    if before.right is None or not np.isfinite(before.right).any():
        return (np.nan, np.nan), (np.nan, np.nan)
    known = np.isfinite(before.right)
    accuracy = float(before.right[known].mean())
    threshold = float(np.quantile(before.probabilities.max(axis=1)[known], 1 - accuracy))
    # Of both samples all objects: now nobody knows which of them are of no class of the model.
    own, others = (float((each.probabilities.max(axis=1) >= threshold).mean()) for each in (before, now))
    return (accuracy, float(np.clip(accuracy + others - own, 0, 1))), (own, others)
