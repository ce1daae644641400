"""Read pictures (JPEG, PNG) as planes."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from galmorph.errors import DataError

logger = logging.getLogger(__name__)

#: Reasons that a warning shows.
SHOWN = 3


class Pictures(NamedTuple):
    """Pictures that can be used.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``.
    rows : list of int
        Which of those that were asked for they are.
    rejects : dict of str to str
        Why one was left out, by its path.
    """

    images: NDArray[np.float32]
    rows: list[int]
    rejects: dict[str, str]


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
    files = pictures_in(folder)
    if not files:
        raise DataError(f"{folder} holds no picture; give the folder that they lie in")
    return files


def pictures_in(folder: Path) -> list[Path]:
    """Pictures in a folder, by name, as of `list_pictures`; there may be none."""
    known = Image.registered_extensions()
    return sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in known)


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
        Shape ``(bands, N, N)``: one band for a grey picture, of any number of bits, else red, green and blue.

    Raises
    ------
    DataError
        If it cannot be read as it is, is not square, or holds values that are not finite.
    """
    try:
        with Image.open(path) as file:
            image: Image.Image = file
            if file.mode.startswith("RGB") and any(str(tile[3]).endswith(";16B") for tile in file.tile):
                raise ValueError("it has 16 bits a colour, of which 8 would be lost; make it one of 8 bits, or arrays")
            if image.mode[0] in "IF":
                # More than 8 bits a pixel, which RGB cannot hold.
                image = Image.fromarray(np.asarray(image, dtype=np.float32))
            elif image.mode not in ("L", "RGB"):
                image = image.convert("RGB")
            if size is not None:
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, dtype=np.float32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {path}: {error}. Repair it or take it out") from error
    if not np.isfinite(pixels).all():
        raise DataError(f"the image {path} holds values that are not finite. Repair it or take it out")
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    if planes.shape[1] != planes.shape[2]:
        raise DataError(
            f"{path} must be square, is {planes.shape[1]} x {planes.shape[2]}; crop it, or give a recipe the size to "
            "resize to"
        )
    return np.ascontiguousarray(planes)


def check_columns(table: pd.DataFrame, path: Path, others: Sequence[str]) -> None:
    """Fail where a table of labels lacks a column or has no row; warn of columns that are nearly called as expected.

    Parameters
    ----------
    table : pandas.DataFrame
        The table; `file` and `label` have to be there.
    path : Path
        Where it is from, for the message.
    others : sequence of str
        Columns that are read where they are there.

    Raises
    ------
    DataError
        If it cannot be used.
    """
    needed = ("file", "label")
    for column in map(str, table.columns):
        meant = column.strip().lower()
        if meant in (*needed, *others) and meant not in table:
            logger.warning("%s: the column %r is not read; call it %s", path, column, meant)
    if any(column not in table for column in needed):
        raise DataError(f"{path} needs a row per image with columns file and label; it has {list(table.columns)}")
    if table.empty:
        raise DataError(f"{path} needs a row per image, and has none")


def refuse_twice(table: pd.DataFrame, path: Path) -> None:
    """Fail where a table of labels has a picture, of its column `file`, in more than one row."""
    twice = table["file"][table["file"].duplicated()].unique().tolist()
    if twice:
        raise DataError(
            f"{path}: {len(twice)} pictures stand in more than one row, such as {twice[0]}; expected a row for each. "
            "Leave one of these rows"
        )


def read_pictures(
    paths: Sequence[Path],
    labels: Sequence[str] | None,
    *,
    table: str,
    size: int | None,
    faults: Literal["refuse", "skip"],
) -> Pictures:
    """Pictures of one size.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    labels : sequence of str or None
        Of each; an empty one is a fault. None where labels do not matter.
    table : str
        Table of the recipe, for messages.
    size : int or None
        Pixels a side to resize to.
    faults : {"refuse", "skip"}
        What to do about a picture that is broken or blank, or lacks its label: fail, or leave it out.

    Returns
    -------
    Pictures
        Those that can be used, in order.

    Raises
    ------
    DataError
        If faults are refused and there is one; if pictures differ in shape, or none is left.
    """
    images, rows, rejects = [], [], {}
    for row, path in enumerate(paths):
        try:
            if labels is not None and not labels[row]:
                raise DataError(f"{path} has no label")
            images.append(_not_blank(read_picture(path, size), path))
            rows.append(row)
        except DataError as error:
            if faults == "refuse":
                raise DataError(f"{error}. With {table}.faults = 'skip' such images are left out") from error
            rejects[str(path)] = str(error)
    if not images:
        raise DataError(f"{table}: none of {len(paths)} images can be used: {_first(rejects)}")
    if rejects:
        logger.warning("%s: %d of %d images are left out: %s", table, len(rejects), len(paths), _first(rejects))
    shapes = Counter(image.shape for image in images)
    if len(shapes) > 1:
        raise DataError(
            f"images in {paths[0].parent} differ in shape: {dict(shapes)}. Set {table}.size to resize them; grey and "
            "colour pictures do not go together"
        )
    return Pictures(np.stack(images), rows, rejects)


def _not_blank(image: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if is_blank(image):
        raise DataError(f"{path} is blank: every value is {each_band(image)}")
    return image


def is_blank(image: NDArray[np.floating]) -> bool:
    """Whether nothing is to be seen on an image, shape ``(bands, N, N)``: each band has one value, perhaps its own."""
    return bool((image.min(axis=(1, 2)) == image.max(axis=(1, 2))).all())


def each_band(image: NDArray[np.floating]) -> str:
    """The first value of each band, for a message on a blank image."""
    return ", ".join(f"{value:g}" for value in image[:, 0, 0])


def _first(rejects: dict[str, str]) -> str:
    return "; ".join(list(rejects.values())[:SHOWN])
