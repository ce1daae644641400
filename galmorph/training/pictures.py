"""Read pictures (JPEG, PNG) as planes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from galmorph.errors import DataError


def list_pictures(folder: Path) -> list[Path]:
    """Pictures in a folder, by name.

    Parameters
    ----------
    folder : Path
        Folders within it are not looked into.

    Returns
    -------
    list of Path
        Files with a suffix of a picture.

    Raises
    ------
    DataError
        If there is none.
    """
    known = Image.registered_extensions()
    files = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in known)
    if not files:
        raise DataError(f"{folder} holds no picture; give the folder that they lie in")
    return files


def read_picture(path: Path, size: int | None = None) -> NDArray[np.float32]:
    """One picture, values as stored.

    Parameters
    ----------
    path : Path
        The file.
    size : int, optional
        Pixels a side to resize to.

    Returns
    -------
    ndarray of float32
        Shape ``(bands, N, N)``: one band for a grey picture, else red, green and blue.

    Raises
    ------
    DataError
        If it cannot be read or is not square.
    """
    try:
        with Image.open(path) as file:
            image: Image.Image = file
            if image.mode not in ("L", "RGB"):
                image = image.convert("RGB")
            if size is not None:
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.float32)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"cannot read the image {path}: {error}. Repair it or take it out of the table") from error
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if planes.shape[1] != planes.shape[2]:
        raise DataError(f"{path} must be square, is {planes.shape[1]} x {planes.shape[2]}; set source.size")
    return np.ascontiguousarray(planes)
