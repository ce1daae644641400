"""Correlation alignment (Deep CORAL, Sun & Saenko 2016)."""

from torch import Tensor

from galmorph.training.losses.precision import full_precision


@full_precision
def coral(source: Tensor, target: Tensor) -> Tensor:
    """``|C_s - C_t|_F^2 / (4 d^2)`` with the unbiased covariances of features (equation 1).

    Parameters
    ----------
    source, target : Tensor
        Features, shapes ``(n, d)`` and ``(m, d)``.

    Returns
    -------
    Tensor
        A scalar; 0, with a gradient of 0, if a domain has fewer than two samples.
    """
    if len(source) < 2 or len(target) < 2:
        return 0.0 * (source.sum() + target.sum())
    difference = _covariance(source) - _covariance(target)
    return (difference**2).sum() / (4 * source.shape[1] ** 2)


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)
