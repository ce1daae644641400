"""NumPy files as images that are read one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import DataError


def load_array(path: Path, axes: int | None = None) -> NDArray[Any]:
    """A ``.npy`` file, left on disk until it is used; nothing is unpickled.

    Parameters
    ----------
    path : Path
        The file.
    axes : int, optional
        How many axes it has to have.

    Returns
    -------
    ndarray
        Memory-mapped.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} as a .npy array: {error}") from error
    if axes is not None and array.ndim != axes:
        raise DataError(f"{path} must have {axes} axes, has the shape {array.shape}")
    return array


def as_float(images: NDArray[Any]) -> Callable[[int], NDArray[np.float32]]:
    """Reader of the images of an array ``(n, bands, N, N)``, for `Images`."""
    return lambda row: np.asarray(images[row], dtype=np.float32)
