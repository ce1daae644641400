"""Galaxy10 DECaLS (Leung & Bovy; Walmsley et al. 2022; Zenodo 10845026)."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError, GalmorphError
from galmorph.taxonomy import GALAXY10_CLASSES, GALAXY10_LEFT_OUT
from galmorph.training.importers.centred import framed
from galmorph.training.importers.convert import Faults, Images, Imported, convert
from galmorph.training.importers.pictures import COLOURS
from galmorph.training.pictures import list_pictures, read_picture

#: In the order of the last axis: the images are colour pictures of the survey's viewer, which shows z as red, r as
#: green and g as blue. Their values are stretched, no fluxes.
BANDS = COLOURS

#: Label of pictures that are added.
LENS = "lens"

#: Columns of the table beside the images.
COLUMNS = ("ans", "ra", "dec", "redshift", "pxscale")


def import_galaxy10(
    path: Path,
    out: Path,
    *,
    bands: Sequence[str] = BANDS,
    lenses: Path | None = None,
    drop: Collection[str] = (GALAXY10_LEFT_OUT,),
    most: int | None = None,
    angle: float | None = None,
    factor: float | None = None,
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
    bands : sequence of str
        What to call the bands: a set that adapts to this one has to use the same words.
    lenses : Path, optional
        Folder of pictures of gravitational lenses, of the same pixel scale and size, which the set does not have and
        DeepAstroUDA adds as its unknown class.
    drop : collection of str
        Classes to leave out; by default the one that is not among DeepAstroUDA's nine.
    factor
        See `galmorph.training.importers.pictures.import_pictures`.
    most, angle, size, faults, same_objects_as
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
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist or is no file; expected Galaxy10_DECals.h5")
    try:
        with h5py.File(path) as file:
            table = pd.DataFrame({name: file[name][:] for name in COLUMNS})
            images = file["images"]
            shape = images.shape
            square = len(shape) == 4 and shape[1] == shape[2] and shape[3] == len(BANDS)
            if not square or len(table) != shape[0] or not len(table):
                raise DataError(f"{path}: expected images (n, N, N, 3) and as many answers, got {shape}")
            scale = float(table["pxscale"].median())
            if not scale > 0 or not np.allclose(table["pxscale"], scale, rtol=0.01):
                raise DataError(
                    f"{path}: pxscale, arcsec per pixel, is to be one number, and has a median of {scale} and others "
                    f"from {table['pxscale'].min()} to {table['pxscale'].max()}. Download the file again"
                )
            more = [] if lenses is None else list_pictures(Path(lenses))
            rows = pd.concat([_rows(path, table), _lens_rows(more)], ignore_index=True) if more else _rows(path, table)
            described = Images(rows, _reader(images, more), "decals", tuple(bands), scale)
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
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        # What names another file went wrong in writing.
        if isinstance(error, GalmorphError) or getattr(error, "filename", None) not in (None, str(path)):
            raise
        raise DataError(f"{path} is not Galaxy10 DECaLS in HDF5: {error}. Download it again") from error


def _rows(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Rows with names, labels and identifiers; the set has no identifier but the place in the file."""
    known = table["ans"].between(0, len(GALAXY10_CLASSES) - 1) & (table["ans"] % 1 == 0)
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


def _lens_rows(files: Sequence[Path]) -> pd.DataFrame:
    """Rows of pictures of lenses."""
    return pd.DataFrame(
        {
            "object_id": [f"lens-{file.stem}" for file in files],
            "name": [str(file) for file in files],
            "label": pd.Series([LENS] * len(files), dtype=object),
        }
    )


def _reader(images: Any, more: Sequence[Path]) -> Callable[[int], NDArray[np.float32]]:
    """Reader of the file's images, and of pictures after them."""

    def read(row: int) -> NDArray[np.float32]:
        if row >= len(images):
            return read_picture(more[row - len(images)])
        return np.ascontiguousarray(np.moveaxis(images[row], -1, 0), dtype=np.float32)

    return read
