"""Folders of pictures, with tables of labels or without."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from galmorph.errors import DataError
from galmorph.table_files import UNREADABLE
from galmorph.training.importers.centred import framed
from galmorph.training.importers.convert import Faults, Images, Imported, convert, degrees
from galmorph.training.pictures import check_columns, pictures_in, read_picture, refuse_twice

logger = logging.getLogger(__name__)

#: Bands of a colour picture.
COLOURS = ("red", "green", "blue")


def import_pictures(
    folders: Path | Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    survey: str = "pictures",
    bands: Sequence[str] = COLOURS,
    pixel_scale: float = 1.0,
    drop: Collection[str] = (),
    most: int | None = None,
    angle: float | None = None,
    factor: float | None = None,
    size: int | None = None,
    unlabelled: bool = False,
    faults: Faults = "refuse",
    same_objects_as: Path | None = None,
) -> Imported:
    """Convert pictures.

    Parameters
    ----------
    folders : Path or sequence of Path
        Where the pictures are; of several folders one set is made.
    out : Path
        Folder to make.
    labels : Path, optional
        CSV with `file`, `label` and perhaps `object_id`, `ra` and `dec`; ``labels.csv`` in each folder unless given.
    survey : str
        What to call the survey.
    bands : sequence of str
        Names of the bands.
    pixel_scale : float
        Arcsec per pixel before resizing; 1 if it is not known.
    unlabelled : bool
        A row without a label is an unlabelled image; otherwise it is a fault. A table may lack the column then, and a
        folder without a table is taken whole.
    factor : float, optional
        Frame the object at the centre, measured as in a survey run, by this many of its radii to each side; needs
        `size`. Surveys' images then show galaxies alike whatever the zoom.
    drop, most, angle, size, faults, same_objects_as
        See `convert`.

    Returns
    -------
    Imported
        Counts, and what was left out.

    Raises
    ------
    DataError
        If the table or, with faults refused, a picture cannot be used, or the choice of framing makes no sense.
    """
    folders = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
    if labels is not None and len(folders) != 1:
        raise DataError(f"one table of labels was given for {len(folders)} folders; put a labels.csv in each of them")
    tables = [_table(folder, labels or folder / "labels.csv", unlabelled) for folder in folders]
    table = pd.concat(tables, ignore_index=True)
    if len(folders) > 1 and (twice := table["object_id"][table["object_id"].duplicated()].tolist()):
        logger.warning("%d identifiers are in more than one folder, such as %s: one object each", len(twice), twice[0])
    files = table.pop("path").tolist()
    described = Images(table, lambda row: read_picture(files[row]), survey, tuple(bands), pixel_scale)
    return convert(
        framed(described, factor, size, angle),
        Path(out),
        drop=drop,
        most=most,
        angle=angle,
        size=size,
        faults=faults,
        same_objects_as=same_objects_as,
    )


def _table(folder: Path, path: Path, unlabelled: bool) -> pd.DataFrame:
    """A row per picture of a folder, with `path` beside what `convert` needs."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with pictures and a table of their labels, labels.csv")
    if unlabelled and not path.is_file():
        known = Image.registered_extensions()
        names = sorted(file.name for file in folder.glob("*") if file.suffix.lower() in known)
        if not names:
            within = sorted(file.name for file in folder.glob("*") if file.is_dir())
            raise DataError(
                f"{folder} holds no picture; give the folder with the images"
                + (f", perhaps {' or '.join(str(folder / name) for name in within[:3])}" if within else "")
            )
        table = pd.DataFrame({"file": names, "label": ""})
    else:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except UNREADABLE as error:
            raise DataError(
                f"cannot read the table of labels {path}: {error}. Name another with --labels, or say --unlabelled "
                "where there are none"
            ) from error
        if unlabelled and "label" not in table:
            table["label"] = ""
    check_columns(table, path, ("object_id", "ra", "dec"))
    if "object_id" not in table:
        table["object_id"] = [Path(name).stem for name in table["file"]]
    refuse_twice(table, path)
    # A table may name its pictures by whole paths too.
    named = {(folder / name).resolve() for name in table["file"]}
    if others := [file.name for file in pictures_in(folder) if file.resolve() not in named]:
        logger.warning(
            "%s: %d pictures in %s have no row, such as %s, and are left out", path, len(others), folder, others[0]
        )
    table = degrees(table, path)
    words = [name.strip() or ("" if unlabelled else None) for name in table["label"].tolist()]
    files = table["file"].tolist()
    paths = [folder / name for name in files]
    return table.assign(name=files, label=pd.Series(words, dtype=object), path=pd.Series(paths, dtype=object))
