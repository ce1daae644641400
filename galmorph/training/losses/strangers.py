"""Even answers for what is of no known class (outlier exposure, Hendrycks et al. 2019)."""

from torch import Tensor
from torch.nn import functional

from galmorph.training.losses.precision import full_precision


@full_precision
def stranger_loss(logits: Tensor, open_logits: Tensor | None = None) -> Tensor:
    """Mean cross-entropy between the even distribution over classes and the answers.

    Parameters
    ----------
    logits : Tensor
        Of images of no known class, shape ``(n, K)``.
    open_logits : Tensor, optional
        Of one classifier for each class against all others, shape ``(n, K, 2)``; each is to say *not of this class*.

    Returns
    -------
    Tensor
        ``mean_nk(-ln p_k)``, and with `open_logits` added ``mean_nk(-ln p_k(is not))``: a scalar, at least ``ln K``; 0
        for an empty batch.
    """
    count = max(1, logits.numel())
    value = -functional.log_softmax(logits, dim=1).sum() / count
    if open_logits is not None:
        value = value - functional.log_softmax(open_logits, dim=2)[:, :, 0].sum() / count
    return value
