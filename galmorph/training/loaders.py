"""Batches of a dataset's rows, read without copying the set."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from galmorph.training.data import Dataset as Images


class Batch(NamedTuple):
    """Images of one domain.

    Parameters
    ----------
    images : Tensor
        Shape ``(n, bands, N, N)``.
    labels : Tensor of int
        Classes, negative where there is none; shape ``(n,)``.
    rows : Tensor of int
        Place of each image in the part it is taken from, shape ``(n,)``.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor


class Pair(NamedTuple):
    """A batch of each domain, of the same size."""

    source: Batch
    target: Batch


class Rows(Dataset[Batch]):
    """Chosen rows of a dataset, fetched a batch at a time.

    Parameters
    ----------
    images : Dataset
        All images, perhaps on disk.
    rows : ndarray of int
        Which.
    """

    def __init__(self, images: Images, rows: NDArray[np.intp]) -> None:
        self.images = images
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """One image and its label, with a leading axis of length 1."""
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """A batch; the loader calls it with the indices of its images."""
        rows = self.rows[indices]
        images, labels = torch.from_numpy(self.images.images[rows]), torch.from_numpy(self.images.labels[rows])
        return Batch(images, labels, torch.tensor(indices))


class PairedRows(Dataset[Pair]):
    """Rows of two domains, fetched a batch of each at a time.

    Parameters
    ----------
    source, target : Rows
        The domains.
    """

    def __init__(self, source: Rows, target: Rows) -> None:
        self.source = source
        self.target = target

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: tuple[int, int]) -> Pair:
        """One image of each domain, with a leading axis of length 1."""
        return self.__getitems__([index])

    def __getitems__(self, indices: list[tuple[int, int]]) -> Pair:
        """A batch of each domain, of pairs of indices."""
        source, target = zip(*indices, strict=True)
        return Pair(self.source.__getitems__(list(source)), self.target.__getitems__(list(target)))


class EpochShuffle(Sampler[int]):
    """An order that depends on seed and epoch only, so that a resumed training sees what it would have seen.

    Parameters
    ----------
    length : int
        Number of rows.
    seed : int
        Seed of the training.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it, on every process."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        return iter(order.tolist())


class PairShuffle(Sampler[tuple[int, int]]):
    """Pairs of indices: the source in the order of `EpochShuffle`, beside it the target.

    An epoch is one pass over the source. Of a larger target another part is seen in each epoch, a smaller one is seen
    several times, each time in another order.

    Parameters
    ----------
    source, target : int
        Number of rows of each.
    seed : int
        Seed of the training.
    """

    def __init__(self, source: int, target: int, seed: int) -> None:
        self.source = EpochShuffle(source, seed)
        self.target = target
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it, on every process."""
        self.source.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.source.epoch, 1])
        rounds = -(-len(self.source) // self.target)
        order = np.concatenate([rng.permutation(self.target) for _ in range(rounds)])
        return zip(self.source, order.tolist(), strict=False)


def _whole(batch: Any) -> Any:
    """The batch as it is: `Rows` has put it together."""
    return batch


def training_batches(
    source: Rows,
    target: Rows | None,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    processes: int = 1,
    epoch: int = 0,
) -> DataLoader[Any]:
    """Shuffled batches; a last one that is not full is left out if there are others.

    Parameters
    ----------
    source : Rows
        The training part of the labelled images.
    target : Rows or None
        That of the unlabelled images, for methods that adapt.
    batch_size, seed, workers : int
        As in the recipe.
    processes : int
        Among which Lightning divides the rows of an epoch.
    epoch : int
        The first of them: Lightning lets loading processes begin before it tells the sampler where a training goes on.

    Returns
    -------
    DataLoader
        Of `Batch`, or with a target of `Pair`.
    """
    rows: Dataset[Any] = source if target is None else PairedRows(source, target)
    sampler = EpochShuffle(len(source), seed) if target is None else PairShuffle(len(source), len(target), seed)
    sampler.set_epoch(epoch)
    return DataLoader(
        rows,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=_whole,
        # Batch statistics of a handful of images are poor, and those of one do not exist.
        drop_last=-(-len(source) // processes) > batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def ordered_batches(rows: Rows, *, batch_size: int, workers: int = 0) -> DataLoader[Batch]:
    """All rows in order; see `training_batches`."""
    return DataLoader(
        rows,
        batch_size=batch_size,
        collate_fn=_whole,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
