"""A folder of pictures and a table."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from galmorph.errors import DataError
from galmorph.training.importers.convert import Faults, Images, Imported, convert
from galmorph.training.pictures import read_picture

#: Bands of a colour picture.
COLOURS = ("red", "green", "blue")


def import_pictures(
    folder: Path,
    out: Path,
    *,
    labels: Path | None = None,
    survey: str = "pictures",
    bands: Sequence[str] = COLOURS,
    pixel_scale: float = 1.0,
    drop: Collection[str] = (),
    most: int | None = None,
    angle: float | None = None,
    size: int | None = None,
    unlabelled: bool = False,
    faults: Faults = "refuse",
    same_objects_as: Path | None = None,
) -> Imported:
    """Convert a folder of pictures.

    Parameters
    ----------
    folder : Path
        Where the pictures are.
    out : Path
        Folder to make.
    labels : Path, optional
        CSV with `file`, `label` and perhaps `object_id`, `ra` and `dec`; ``FOLDER/labels.csv`` unless given.
    survey : str
        What to call the survey.
    bands : sequence of str
        Names of the bands.
    pixel_scale : float
        Arcsec per pixel before resizing; 1 if it is not known.
    unlabelled : bool
        A row without a label is an unlabelled image; otherwise it is a fault.
    drop, most, angle, size, faults, same_objects_as
        See `convert`.

    Returns
    -------
    Imported
        Counts, and what was left out.

    Raises
    ------
    DataError
        If the table or, with faults refused, a picture cannot be used.
    """
    folder = Path(folder)
    path = labels or folder / "labels.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the table of labels {path}: {error}") from error
    missing = [column for column in ("file", "label") if column not in table]
    if missing or table.empty:
        raise DataError(f"{path} needs a row per image with columns file and label; it has {list(table.columns)}")
    if "object_id" not in table:
        table["object_id"] = [Path(name).stem for name in table["file"]]
    for name in {"ra", "dec"} & set(table.columns):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    words = [name or ("" if unlabelled else None) for name in table["label"].tolist()]
    files = table["file"].tolist()
    table = table.assign(name=files, label=pd.Series(words, dtype=object))
    described = Images(table, lambda row: read_picture(folder / files[row]), survey, tuple(bands), pixel_scale)
    return convert(
        described,
        Path(out),
        drop=drop,
        most=most,
        angle=angle,
        size=size,
        faults=faults,
        same_objects_as=same_objects_as,
    )
