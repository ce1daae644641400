"""Whether adaptation did harm, by signs that need no label of the target.

Adaptation can make a model worse, and nobody who has no target labels sees it. What can be seen without them, when the
adapted model stands beside one trained on the source alone, is weighed here.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from galmorph.scores import softmax
from galmorph.training.calibrate import fit_temperature
from galmorph.training.options import GuardOptions

Float = NDArray[np.floating]
Int = NDArray[np.integer]

#: Images that the validity of clusters is computed on: it takes all pairs of them.
CLUSTERED = 1000

#: Neighbours of an image that are asked for the same answer.
NEIGHBOURS = 10

#: Fewest target images that the source-only model is sure of for their classes to tell something.
FEWEST_SURE = 10

#: Standard errors by which recall on the source has to have fallen beyond its limit.
CERTAIN = 2.0

#: A class that the source or the source-only model's answers hold in a smaller share than this may vanish.
RARE = 0.02


@dataclass(frozen=True)
class Answers:
    """What a model says.

    Parameters
    ----------
    valid_logits : ndarray of float
        Of the source's validation images, shape ``(n, K)``.
    target_logits : ndarray of float
        Of images of the target, shape ``(m, K)``.
    target_features : ndarray of float
        Of the same, shape ``(m, d)``.
    """

    valid_logits: Float
    target_logits: Float
    target_features: Float


@dataclass(frozen=True)
class Signs:
    """What can be seen without labels of the target.

    Parameters
    ----------
    images : int
        Target images seen in training.
    source_change : float
        Mean of per-class recalls on the source's validation images, adapted less source-only.
    source_error : float
        Standard error of it, from the images on which the two models differ.
    sure : float
        Share of target images of which the source-only model is sure (its calibrated confidence is at least
        `GuardOptions.sure`).
    agreement : float
        Share of those that the adapted model gives the same class; NaN if there are none.
    smallest_class : float
        The class that lost most: its share of the adapted model's answers, over the smaller of its shares among the
        source-only model's answers and in the source.
    moved : float
        Total variation between the two models' shares of classes on the target.
    clusters_change : float
        Silhouette of the adapted model's classes on the target less that of the source-only model's, both in the
        features of both models, each scaled to unit variance.
    confidence_change : float
        Mean confidence on the target, calibrated on the source, adapted less source-only.
    likelihood_change : float
        Mean log-probability of the right class on the source's validation images, calibrated there, adapted less
        source-only. NaN in a verdict of before it was looked at, as the next.
    away : float
        Total variation between the shares of classes in the source and among the adapted model's answers on the target,
        less the same of the source-only model's answers.
    neighbours_change : float
        Share of the target images' neighbours that have the same answer, mean of the classes, by the adapted model's
        answers less the same by the source-only model's; neighbours are those in the source-only model's features.
    """

    images: int
    source_change: float
    source_error: float
    sure: float
    agreement: float
    smallest_class: float
    moved: float
    clusters_change: float
    confidence_change: float
    likelihood_change: float = math.nan
    away: float = math.nan
    neighbours_change: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """What the guard concludes.

    Parameters
    ----------
    shipped : {"adapted", "source_only"}
        Which model goes on.
    reasons : tuple of str
        Signs of harm in words; empty if there are none.
    signs : Signs
        The numbers.
    target : mapping of str to str
        Digests of the unlabelled images that one of the two models was adapted to, as a training records them.
    """

    shipped: Literal["adapted", "source_only"]
    reasons: tuple[str, ...]
    signs: Signs
    target: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; what is not a number is None."""
        signs = {key: value if math.isfinite(value) else None for key, value in asdict(self.signs).items()}
        return {"shipped": self.shipped, "reasons": list(self.reasons), "signs": signs, "target": dict(self.target)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Verdict":
        """Undo `to_dict`."""
        signs: dict[str, Any] = {key: math.nan if value is None else value for key, value in values["signs"].items()}
        return cls(values["shipped"], tuple(values["reasons"]), Signs(**signs), values.get("target", {}))


def observe_signs(plain: Answers, adapted: Answers, labels: Int, images: int, sure: float = 0.9) -> Signs:
    """Compare an adapted model with one trained on the source alone.

    Parameters
    ----------
    plain, adapted : Answers
        Of the source-only and of the adapted model, on the same images.
    labels : ndarray of int
        Classes of the source's validation images, shape ``(n,)``.
    images : int
        Target images seen in training.
    sure : float
        Calibrated confidence from which the source-only model counts as sure.

    Returns
    -------
    Signs
        The numbers.
    """
    classes = plain.valid_logits.shape[1]
    temperatures = [fit_temperature(each.valid_logits, labels) for each in (plain, adapted)]
    before, after = (softmax(each.target_logits, t) for each, t in zip((plain, adapted), temperatures, strict=True))
    likelihoods = [
        float(log_softmax(each.valid_logits / t, axis=1)[np.arange(len(labels)), labels].mean())
        for each, t in zip((plain, adapted), temperatures, strict=True)
    ]
    was, now = before.argmax(axis=1), after.argmax(axis=1)
    certain = before.max(axis=1) >= sure
    shares = [np.bincount(each, minlength=classes) / len(each) for each in (was, now, labels)]
    expected = np.minimum(shares[0], shares[2])
    lasting = expected >= RARE
    space = np.hstack([_scaled(each.target_features) for each in (plain, adapted)])
    change, error = recall_change(plain.valid_logits.argmax(axis=1), adapted.valid_logits.argmax(axis=1), labels)
    return Signs(
        images=images,
        source_change=change,
        source_error=error,
        sure=float(certain.mean()),
        agreement=float((was == now)[certain].mean()) if certain.any() else math.nan,
        smallest_class=float((shares[1][lasting] / expected[lasting]).min()) if lasting.any() else 1.0,
        moved=total_variation(shares[0], shares[1]),
        clusters_change=_silhouette(space, now) - _silhouette(space, was),
        confidence_change=float(after.max(axis=1).mean() - before.max(axis=1).mean()),
        likelihood_change=likelihoods[1] - likelihoods[0],
        away=total_variation(shares[1], shares[2]) - total_variation(shares[0], shares[2]),
        neighbours_change=neighbours_agree(plain.target_features, now) - neighbours_agree(plain.target_features, was),
    )


def judge(signs: Signs, options: GuardOptions) -> Verdict:
    """Weigh the signs.

    Parameters
    ----------
    signs : Signs
        From `observe_signs`.
    options : GuardOptions
        The limits.

    Returns
    -------
    Verdict
        With a reason in words for each limit that is passed.
    """
    reasons = []
    if signs.images < options.least_images:
        reasons.append(
            f"{signs.images} target images are too few to adapt to; at least {options.least_images} are wanted"
        )
    if signs.source_change + CERTAIN * signs.source_error < -options.source_drop:
        reasons.append(
            f"mean recall on the source's validation images fell by {-signs.source_change:.3f} "
            f"(± {signs.source_error:.3f})"
        )
    if signs.likelihood_change < -options.likelihood_drop:
        reasons.append(
            "the log-probability of the right class on the source's validation images fell by "
            f"{-signs.likelihood_change:.3f}"
        )
    if signs.agreement < options.agreement and signs.sure * signs.images >= FEWEST_SURE:
        reasons.append(
            f"of the target images of which the source-only model is sure ({signs.sure:.0%}), "
            f"{1 - signs.agreement:.0%} changed class"
        )
    if signs.smallest_class < options.smallest_class:
        reasons.append(
            "a class has all but vanished from the answers on the target: "
            f"{signs.smallest_class:.2f} of what was expected is left"
        )
    if signs.away > options.away:
        reasons.append(
            "the shares of the classes among the answers on the target moved away from the source's: "
            f"the total variation grew by {signs.away:.3f}"
        )
    if signs.clusters_change < -options.clusters_drop:
        reasons.append(
            "the target's images cluster less by the adapted model's classes: their silhouette fell by "
            f"{-signs.clusters_change:.3f}"
        )
    if signs.neighbours_change < -options.neighbours_drop:
        reasons.append(
            "the target's images agree less with their neighbours: the share of these with the same class fell by "
            f"{-signs.neighbours_change:.3f}"
        )
    return Verdict("source_only" if reasons else "adapted", tuple(reasons), signs)


def recall_change(was: Int, now: Int, labels: Int) -> tuple[float, float]:
    """Change of the mean of per-class recalls from one model's answers to another's, and its standard error.

    The few images of a rare class may all change, which would leave no variance: one of them counts as if it might not.

    Parameters
    ----------
    was, now : ndarray of int
        Classes that the two say, shape ``(n,)``.
    labels : ndarray of int
        True classes, shape ``(n,)``.

    Returns
    -------
    change, error : float
        Of the classes that there are.
    """
    change = (now == labels).astype(float) - (was == labels)
    groups = [change[labels == label] for label in np.unique(labels)]
    variances = [max(group.var(), abs(group.mean()) / len(group)) / len(group) for group in groups]
    return float(np.mean([group.mean() for group in groups])), float(np.sqrt(np.sum(variances)) / len(groups))


def total_variation(shares: Float, others: Float) -> float:
    """Share of objects that would have to change class for one mix of classes to become another.

    Parameters
    ----------
    shares, others : ndarray of float
        Shares of the classes, shape ``(K,)``, of sum 1.

    Returns
    -------
    float
        Between 0 and 1.
    """
    return float(np.abs(shares - others).sum() / 2)


def neighbours_agree(space: Float, said: Int) -> float:
    """Share of an image's neighbours with the same answer, mean of the classes.

    Parameters
    ----------
    space : ndarray of float
        Features, shape ``(n, d)``.
    said : ndarray of int
        Answers, shape ``(n,)``.

    Returns
    -------
    float
        Between 0 and 1; 1 for fewer than two images.
    """
    if len(space) < 2:
        return 1.0
    count = min(NEIGHBOURS, len(space) - 1)
    near = NearestNeighbors(n_neighbors=count + 1).fit(space).kneighbors(space, return_distance=False)[:, 1:]
    same = (said[near] == said[:, None]).mean(axis=1)
    return float(np.mean([same[said == name].mean() for name in np.unique(said)]))


def _scaled(features: Float) -> Float:
    """Features about their mean, with a total variance of 1."""
    centred = features - features.mean(axis=0)
    return np.asarray(centred / max(float(np.sqrt(centred.var(axis=0).sum())), 1e-12))


def _silhouette(space: Float, labels: Int) -> float:
    """Mean silhouette of a labelling; 0 if it has one class only, or as many as images."""
    chosen = np.random.default_rng(0).permutation(len(labels))[:CLUSTERED]
    present = len(np.unique(labels[chosen]))
    if not 1 < present < len(chosen):
        return 0.0
    return float(silhouette_score(space[chosen], labels[chosen]))
