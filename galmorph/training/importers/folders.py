"""A folder for each class, full of pictures: Office-31 (Saenko et al. 2010), and whatever else lies so."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from galmorph.errors import DataError
from galmorph.training.importers.convert import Faults, Images, Imported, convert
from galmorph.training.importers.pictures import COLOURS
from galmorph.training.pictures import pictures_in, read_picture

logger = logging.getLogger(__name__)

#: Pixels a side, as in DeepAstroUDA.
SIZE = 256


def import_folders(
    folder: Path,
    out: Path,
    *,
    survey: str = "",
    bands: Sequence[str] = COLOURS,
    size: int = SIZE,
    drop: Collection[str] = (),
    most: int | None = None,
    faults: Faults = "refuse",
) -> Imported:
    """Convert a folder with a folder of pictures for each class, called by the class: ``amazon/images/mug/1.jpg``.

    Folders without pictures are passed over, with a warning.

    Parameters
    ----------
    folder : Path
        Where the folders of the classes are.
    out : Path
        Folder to make.
    survey : str
        What to call the set, and its objects: pictures of one class and file name in two sets of different names are
        different objects. By default the name of the folder.
    bands : sequence of str
        Names of the bands.
    size : int
        Pixels a side to bring pictures of any shape to.
    drop, most, faults
        See `convert`.

    Returns
    -------
    Imported
        Counts, and what was left out.

    Raises
    ------
    DataError
        If there is no such folder, no folder in it holds a picture, or with faults refused a picture cannot be used.
    """
    folder = Path(folder)
    survey = survey or folder.resolve().name
    classes = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise DataError(f"{folder} holds no folders; give the one that has a folder of pictures for each class")
    pictures = {path: pictures_in(path) for path in classes}
    files = [file for path in classes for file in pictures[path]]
    if not files:
        raise DataError(
            f"none of the {len(classes)} folders in {folder}, as {classes[0].name}, holds a picture; give the one that "
            "has a folder of pictures for each class"
        )
    for path in classes:
        if not pictures[path]:
            logger.warning("%s holds no picture and is passed over", path)
    labels = [file.parent.name for file in files]
    table = pd.DataFrame(
        {
            "object_id": [f"{survey}-{label}-{file.stem}" for label, file in zip(labels, files, strict=True)],
            "name": [str(file) for file in files],
            "label": pd.Series(labels, dtype=object),
        }
    )
    # No sky, no scale: sets of one size are of one framing, whatever the pictures measured.
    images = Images(table, lambda row: read_picture(files[row], size), survey, tuple(bands), pixel_scale=None)
    return convert(images, Path(out), drop=drop, most=most, faults=faults)
