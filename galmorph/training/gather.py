"""What the processes of a training on several devices have to share."""

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, distributed


def is_first() -> bool:
    """Whether this is the process that writes files: the only one, or of several the first.

    Known from the environment, so that it holds before the processes are joined.
    """
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def gather(values: Tensor) -> Tensor:
    """The rows of all processes, one after another; the rows themselves where there is one process.

    Parameters
    ----------
    values : Tensor
        The same shape on every process.

    Returns
    -------
    Tensor
        Without gradient; the first axis is as many times longer as there are processes.
    """
    values = values.detach()
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)
