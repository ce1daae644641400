"""Batches of a dataset's rows, read without copying the set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from galmorph.training.data import Dataset as Images

Batch = tuple[Tensor, Tensor]


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
        """Images ``(n, bands, N, N)`` and labels ``(n,)``; the loader calls it with the indices of a batch."""
        rows = self.rows[indices]
        return torch.from_numpy(self.images.images[rows]), torch.from_numpy(self.images.labels[rows])


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


def _whole(batch: Any) -> Batch:
    """The batch as it is: `Rows` has put it together."""
    images, labels = batch
    return images, labels


def training_batches(
    images: Images, rows: NDArray[np.intp], *, batch_size: int, seed: int, workers: int
) -> DataLoader[Batch]:
    """Shuffled batches; a last one that is not full is left out if there are others.

    Parameters
    ----------
    images : Dataset
        All images.
    rows : ndarray of int
        Rows of the training part.
    batch_size, seed, workers : int
        As in the recipe.

    Returns
    -------
    DataLoader
        Of images and labels.
    """
    return DataLoader(
        Rows(images, rows),
        batch_size=batch_size,
        sampler=EpochShuffle(len(rows), seed),
        collate_fn=_whole,
        # Batch statistics of a handful of images are poor, and those of one do not exist.
        drop_last=len(rows) > batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def ordered_batches(images: Images, rows: NDArray[np.intp], *, batch_size: int, workers: int = 0) -> DataLoader[Batch]:
    """All rows in order; see `training_batches`."""
    return DataLoader(
        Rows(images, rows),
        batch_size=batch_size,
        collate_fn=_whole,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
