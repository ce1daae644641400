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


class Collected:
    """What is said of images batch by batch, by all processes, each image once.

    Processes that share images see some twice, so that each has as many.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, ...]] = []

    def add(self, rows: Tensor, *values: Tensor) -> None:
        """Take in a batch.

        Parameters
        ----------
        rows : Tensor of int
            Which images, shape ``(n,)``.
        *values : Tensor
            What is said of them, of ``n`` rows each; as many in each batch.
        """
        self.batches.append((rows, *(value.detach() for value in values)))

    def take(self) -> list[Tensor]:
        """All that was taken in, which is forgotten then.

        Returns
        -------
        list of Tensor
            Each of the values, a row for each image in the order of their numbers; empty if there was no batch.
        """
        if not self.batches:
            return []
        rows, *values = (gather(torch.cat(parts)) for parts in zip(*self.batches, strict=True))
        self.batches = []
        rows, order = rows.sort(stable=True)
        first = order[torch.cat([rows.new_ones(1, dtype=torch.bool), rows[1:] != rows[:-1]])]
        return [value[first] for value in values]
