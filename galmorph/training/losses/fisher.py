"""Fisher loss: classes compact and far apart (DeepMerge II, equation 10 and section 2.2)."""

from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.precision import full_precision

#: Smallest trace of the scatter between classes that is divided by.
SMALLEST = 1e-6


@full_precision
def class_centroids(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean features of each class in a batch.

    Parameters
    ----------
    features : Tensor
        Shape ``(n, d)``.
    labels : Tensor of int
        Shape ``(n,)``.
    classes : int
        K.

    Returns
    -------
    centroids : Tensor
        Shape ``(K, d)``; 0 for classes that are not in the batch.
    present : Tensor of bool
        Which are, shape ``(K,)``.
    """
    members = functional.one_hot(labels, classes).to(features.dtype)
    counts = members.sum(dim=0)
    return (members.T @ features) / counts.clamp(min=1)[:, None], counts > 0


@full_precision
def fisher_ratio(
    features: Tensor,
    labels: Tensor,
    centroids: Tensor,
    present: Tensor,
    within: float = 1.0,
    between: float = 1.0,
) -> Tensor:
    """``within tr(S_w) / (between tr(S_b))``.

    ``tr(S_w)`` is the sum over samples of the squared distance to the centroid of their class; ``tr(S_b)`` the
    sum over classes of the squared distance of the centroid to the mean of centroids.

    Parameters
    ----------
    features : Tensor
        Of labelled images, shape ``(n, d)``.
    labels : Tensor of int
        Shape ``(n,)``.
    centroids : Tensor
        From `class_centroids`, or learned; shape ``(K, d)``.
    present : Tensor of bool
        Classes that count, shape ``(K,)``.
    within, between : float
        The paper's weights of the two traces.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, if fewer than two classes count or there is no sample.
    """
    if not len(features) or int(present.sum()) < 2:
        return 0.0 * (features.sum() + centroids.sum())
    counted = centroids[present]
    scatter_within = ((features - centroids[labels]) ** 2).sum()
    scatter_between = ((counted - counted.mean(dim=0)) ** 2).sum()
    return within * scatter_within / (between * scatter_between.clamp(min=SMALLEST))
