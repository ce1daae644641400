"""Galaxy10 DECaLS (Leung & Bovy; Walmsley et al. 2022; Zenodo 10845026)."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.taxonomy import GALAXY10_CLASSES, GALAXY10_LEFT_OUT
from galmorph.training.importers.convert import Faults, Images, Imported, convert

#: In the order of the last axis.
BANDS = ("g", "r", "z")

#: Columns of the table beside the images.
COLUMNS = ("ans", "ra", "dec", "redshift", "pxscale")


def import_galaxy10(
    path: Path,
    out: Path,
    *,
    drop: Collection[str] = (GALAXY10_LEFT_OUT,),
    size: int | None = None,
    faults: Faults = "refuse",
    same_objects_as: Path | None = None,
) -> Imported:
    """Convert ``Galaxy10_DECals.h5``.

    Parameters
    ----------
    path : Path
        The file: `images` (n, N, N, 3) of bytes, `ans`, `ra`, `dec`, `redshift`, `pxscale`.
    out : Path
        Folder to make.
    drop : collection of str
        Classes to leave out; by default the one that is not among DeepAstroUDA's nine.
    size, faults, same_objects_as
        See `convert`.

    Returns
    -------
    Imported
        Counts.

    Raises
    ------
    DataError
        If the file is not of this layout.
    """
    try:
        with h5py.File(path) as file:
            table = pd.DataFrame({name: file[name][:] for name in COLUMNS})
            images = file["images"]
            shape = images.shape
            if len(shape) != 4 or shape[3] != len(BANDS) or len(table) != shape[0] or not len(table):
                raise DataError(f"{path}: expected images (n, N, N, 3) and as many answers, got {shape}")
            return convert(
                Images(_rows(path, table), _reader(images), "decals", BANDS, float(table["pxscale"].median())),
                Path(out),
                drop=drop,
                size=size,
                faults=faults,
                same_objects_as=same_objects_as,
            )
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not Galaxy10 DECaLS in HDF5: {error}. Download it again") from error


def _rows(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Rows with names, labels and identifiers; the set has no identifier but the place in the file."""
    known = table["ans"].between(0, len(GALAXY10_CLASSES) - 1)
    labels = [GALAXY10_CLASSES[int(k)] if ok else None for k, ok in zip(table["ans"], known, strict=True)]
    return pd.DataFrame(
        {
            "object_id": [f"galaxy10-{n}" for n in range(len(table))],
            "name": [f"{Path(path).name} image {n}" for n in range(len(table))],
            "label": pd.Series(labels, dtype=object),
            "ra": table["ra"],
            "dec": table["dec"],
            "redshift": table["redshift"],
        }
    )


def _reader(images: Any) -> Any:
    def read(row: int) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.moveaxis(images[row], -1, 0), dtype=np.float32)

    return read
