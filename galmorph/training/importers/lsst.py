"""The LSST mocks of DeepAstroUDA (Ćiprijanović et al. 2022; Zenodo 5514180): one and ten years of the survey."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from galmorph.errors import DataError
from galmorph.training.data import load_array
from galmorph.training.importers.arrays import images_of
from galmorph.training.importers.convert import Faults, Images, Imported, convert

#: In the order of the one-hot labels.
CLASSES = ("spiral", "elliptical", "merger")
BANDS = ("g", "r", "i")
PARTS = ("train", "valid", "test")

#: Of LSST's camera, arcsec.
PIXEL_SCALE = 0.2


def import_lsst(
    folder: Path,
    out: Path,
    *,
    year: Literal["Y1", "Y10"],
    drop: Collection[str] = (),
    faults: Faults = "refuse",
) -> Imported:
    """Convert one depth; the other one shows the same galaxies, and has the same identifiers.

    The paper's mergers are augmented, and nothing in the files tells which images are copies of one: what is measured
    on a test part of mergers may be better than it should be, by how much is not known.

    Pixel values stay what they are: ``stretch.kind = "percentile"`` in a recipe is the published normalisation,
    with its numbers fitted on the training part.

    Parameters
    ----------
    folder : Path
        Where ``images_{Y1,Y10}_{train,valid,test}.npy`` and ``labels_{train,valid,test}.npy`` are.
    out : Path
        Folder to make.
    year : {"Y1", "Y10"}
        Noise of one or of ten years.
    drop : collection of str
        Classes to leave out: ``("merger",)`` where mergers are to be private to the target.
    faults : {"refuse", "skip"}
        See `convert`.

    Returns
    -------
    Imported
        Counts.

    Raises
    ------
    DataError
        If a file is missing or is not of this layout.
    """
    folder = Path(folder)
    stacks, tables = [], []
    for part in PARTS:
        path = folder / f"images_{year}_{part}.npy"
        images, hot = images_of(path), load_array(folder / f"labels_{part}.npy")
        if images.shape[1] != len(BANDS) or hot.shape != (len(images), len(CLASSES)):
            raise DataError(
                f"{path}: expected images (n, 3, N, N) and labels (n, 3), got {images.shape} and {hot.shape}"
            )
        single = ((hot == 0).sum(axis=1) == len(CLASSES) - 1) & (hot.max(axis=1) > 0)
        labels = [CLASSES[k] if one else None for k, one in zip(np.argmax(hot, axis=1), single, strict=True)]
        stacks.append(images)
        tables.append(
            pd.DataFrame(
                {
                    "object_id": [f"lsst-{part}-{n}" for n in range(len(images))],
                    "name": [f"{path.name} image {n}" for n in range(len(images))],
                    "label": pd.Series(labels, dtype=object),
                    "published_part": part,
                }
            )
        )
    first = np.cumsum([0, *map(len, stacks)])

    def read(row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        number = int(np.searchsorted(first, row, side="right")) - 1
        return np.asarray(stacks[number][row - first[number]], dtype=np.float32)

    table = pd.concat(tables, ignore_index=True)
    return convert(Images(table, read, f"lsst-{year.lower()}", BANDS, PIXEL_SCALE), Path(out), drop=drop, faults=faults)
