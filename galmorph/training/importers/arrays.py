"""NumPy files as images that are read one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.training.data import load_array


def images_of(path: Path) -> NDArray[Any]:
    """Images of a ``.npy`` file, left on disk until they are used.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    ndarray
        Memory-mapped, shape ``(n, bands, N, N)``.

    Raises
    ------
    DataError
        If it cannot be read, or has other axes.
    """
    array = load_array(path)
    if array.ndim != 4:
        raise DataError(f"{path} must hold images (n, bands, N, N), has the shape {array.shape}")
    return array


def as_float(images: NDArray[Any]) -> Callable[[int], NDArray[np.float32]]:
    """Reader of the images of an array ``(n, bands, N, N)``, for `Images`."""
    return lambda row: np.asarray(images[row], dtype=np.float32)
