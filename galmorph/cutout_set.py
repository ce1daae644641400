"""Labelled (and unlabelled) cutouts on disk: one array, one table, one description.

A set is a folder with ``images.npy`` (float32, ``(n, bands, N, N)``), ``labels.parquet`` (a row per image, in the same
order) and ``dataset.json`` (what they are). Images are surface brightness in nanomaggies per square arcsec, as a survey
run gives a model, or pixel values of somebody else's scale, such as pictures: a model of those sees no survey tile.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutouts import Framing
from galmorph.digests import file_sha256
from galmorph.errors import ConfigError, DataError

IMAGES, LABELS, DESCRIPTION = "images.npy", "labels.parquet", "dataset.json"
#: What was left out of a set, and why; beside it where there is any.
REJECTS = "rejects.csv"

#: Columns that every table of labels has. An empty label means unlabelled.
REQUIRED_COLUMNS = ("object_id", "label")

#: What the description has to say.
REQUIRED_FACTS = ("survey", "bands", "pixel_scale", "framing", "unit")

#: Unit of calibrated cutouts, and what stands in its place where a pixel's value has none.
UNIT: Final = "nanomaggies arcsec-2"
PIXEL_VALUES: Final = "pixel values"


@dataclass(frozen=True)
class CutoutSet:
    """Cutouts with their labels.

    Parameters
    ----------
    images : ndarray of float32
        Memory-mapped, shape ``(n, bands, N, N)``.
    labels : pandas.DataFrame
        A row per image; at least `object_id` and `label`, text without blanks around it, empty where there is none.
    meta : dict
        Survey, bands, pixel scale in arcsec, framing, unit, and whatever else the maker recorded.
    path : Path
        Folder of the set.
    """

    images: NDArray[np.float32]
    labels: pd.DataFrame
    meta: dict[str, Any]
    path: Path

    def digests(self) -> dict[str, str]:
        """SHA-256 of the three files, by name."""
        return {name: file_sha256(self.path / name) for name in (IMAGES, LABELS, DESCRIPTION)}


def write_cutout_set(path: Path, images: NDArray[np.float32], labels: pd.DataFrame, meta: Mapping[str, Any]) -> None:
    """Write a set of cutouts.

    Parameters
    ----------
    path : Path
        Folder to make; files of an earlier set in it are replaced once all of this one are written.
    images : ndarray of float32
        Shape ``(n, bands, N, N)``.
    labels : pandas.DataFrame
        `n` rows with at least `object_id` and `label`.
    meta : mapping
        JSON-able facts, at least those of `REQUIRED_FACTS`.

    Raises
    ------
    DataError
        If rows and images differ in number, a column, an identifier or a fact is missing, or a fact cannot be one.
    """
    _check(path, images, labels, meta)
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path, prefix=".new-") as scratch:
        new = Path(scratch)
        _write_images(new / IMAGES, images)
        labels.to_parquet(new / LABELS, index=False)
        (new / DESCRIPTION).write_text(json.dumps(dict(meta), indent=2, sort_keys=True) + "\n")
        # Without a description it is no set: stopped in between, no images stand beside the labels of others.
        (path / DESCRIPTION).unlink(missing_ok=True)
        for name in (IMAGES, LABELS, DESCRIPTION):
            (new / name).replace(path / name)


def refuse_other_folder(path: Path) -> None:
    """Fail where a folder holds something and no set of cutouts, before anything is written into it.

    Parameters
    ----------
    path : Path
        Folder that a set is to be written into; it need not be there.

    Raises
    ------
    DataError
        If it holds other things.
    """
    if path.is_dir() and not (path / DESCRIPTION).is_file():
        # Writing a set may have been stopped in between.
        own = {IMAGES, LABELS, REJECTS}
        others = sorted(
            entry.name for entry in path.iterdir() if not entry.name.startswith(".") and entry.name not in own
        )
        if others:
            raise DataError(
                f"{path} is not empty and holds no set of cutouts, but {', '.join(others[:3])}"
                f"{f' and {len(others) - 3} more' if len(others) > 3 else ''}. Choose another folder"
            )


def _write_images(path: Path, images: NDArray[np.float32]) -> None:
    """Write a ``.npy`` file, image by image: numpy.save does not tell a full disk from other faults."""
    header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": images.shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for image in images:
            file.write(np.ascontiguousarray(image).data)


def read_cutout_set(path: Path) -> CutoutSet:
    """Read a set of cutouts; images stay on disk until they are used.

    Parameters
    ----------
    path : Path
        Folder of the set.

    Returns
    -------
    CutoutSet
        The set.

    Raises
    ------
    DataError
        If a file is missing, cannot be read or does not fit the others.
    """
    path = Path(path)
    missing = [name for name in (IMAGES, LABELS, DESCRIPTION) if not (path / name).is_file()]
    if missing:
        raise DataError(
            f"{path} is not a set of cutouts: it lacks {', '.join(missing)}. `galmorph mock` makes such a folder."
        )
    try:
        images = np.load(path / IMAGES, mmap_mode="r", allow_pickle=False)
        labels = pd.read_parquet(path / LABELS)
        meta = json.loads((path / DESCRIPTION).read_text())
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a set of cutouts: {error}. Make it again.") from error
    _check(path, images, labels, meta)
    words = labels["label"]
    # As text whatever wrote the table: categories, integers and blanks too.
    labels["label"] = words.astype("str").str.strip().where(words.notna(), "")
    return CutoutSet(images, labels, meta, path)


def _check(path: Path, images: NDArray[np.float32], labels: pd.DataFrame, meta: Mapping[str, Any]) -> None:
    """Raise a DataError unless images, labels and description fit together."""
    if images.ndim != 4 or images.shape[2] != images.shape[3] or images.dtype != np.float32:
        raise DataError(f"{path}: images must be float32 of shape (n, bands, N, N), got {images.dtype} {images.shape}")
    absent = [name for name in REQUIRED_COLUMNS if name not in labels] + [
        fact for fact in REQUIRED_FACTS if fact not in meta
    ]
    if absent:
        raise DataError(
            f"{path}: labels need columns {REQUIRED_COLUMNS} and the description {REQUIRED_FACTS}; missing: {absent}"
        )
    nameless = labels["object_id"].isna() | (labels["object_id"].astype(str) == "")
    if nameless.any():
        raise DataError(
            f"{path}: {nameless.sum()} rows of labels have no object_id, the first is row {nameless.argmax()}; each "
            "needs the identifier of what it shows"
        )
    if problem := _problem(meta):
        raise DataError(f"{path}: the description's {problem}. Make the set again, or correct {DESCRIPTION}")
    if meta["unit"] not in (UNIT, PIXEL_VALUES):
        raise DataError(f"{path}: the unit must be {UNIT!r} or {PIXEL_VALUES!r}, got {meta['unit']!r}")
    if len(labels) != len(images):
        raise DataError(
            f"{path}: {len(labels)} rows of labels for {len(images)} images; there must be one row for each"
        )
    if len(meta["bands"]) != images.shape[1]:
        raise DataError(f"{path}: images have {images.shape[1]} bands, the description names {meta['bands']}")


def _problem(meta: Mapping[str, Any]) -> str:
    """What a model of the set could not go by, in words; empty if all is well."""
    bands, scale = meta["bands"], meta["pixel_scale"]
    if not isinstance(bands, list | tuple) or not all(isinstance(band, str) for band in bands):
        return f"bands must be a list of words, got {bands!r}"
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < np.inf:
        return f"pixel_scale must be arcsec, more than 0, got {scale!r}"
    try:
        Framing(**meta["framing"])
    except (TypeError, ConfigError) as error:
        return f"framing is none, {error}; got {meta['framing']!r}"
    return ""
