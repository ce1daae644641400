"""The images of DeepMerge II (Ćiprijanović et al. 2021; Zenodo 4507941): mergers and others, two domains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.training.data import load_array
from galmorph.training.importers.arrays import as_float, images_of
from galmorph.training.importers.convert import Faults, Images, Imported, convert, refuse_unusable
from galmorph.training.options import SplitOptions
from galmorph.training.pictures import is_blank
from galmorph.training.split import split_objects

#: Of label 0 and of label 1.
CLASSES = ("non_merger", "merger")

#: The paper's 70 : 10 : 20, as in its recipes.
DIVISION = SplitOptions(train=0.7, validation=0.1, test=0.2)

#: File name in ``{}`` of images (X) and labels (y), and bands, of each experiment's domains.
FILES = {
    "sim_sim": {
        "source": ("SimSim_SOURCE_{}_Illustris2_pristine.npy", ("F814W", "F356W", "F160W")),
        "target": ("SimSim_TARGET_{}_Illustris2_noisy.npy", ("F814W", "F356W", "F160W")),
    },
    "sim_real": {
        "source": ("SimReal_SOURCE_{}_Illustris0.npy", ("i", "r", "g")),
        "target": ("SimReal_TARGET_{}_postmergers_SDSS.npy", ("i", "r", "g")),
    },
}


def import_deepmerge(
    folder: Path,
    out: Path,
    *,
    experiment: Literal["sim_sim", "sim_real"],
    standardise: bool = False,
    faults: Faults = "refuse",
) -> dict[str, Imported]:
    """Convert both domains of an experiment, to ``OUT/source`` and ``OUT/target``.

    In ``sim_sim`` image `i` of both domains is the same galaxy, pristine and noisy, so both have one identifier and
    fall into one part. In ``sim_real`` the published images contain augmented copies of a few mergers that nothing
    identifies: what is measured on a test part of that source is better than it should be, by how much is not known.

    Parameters
    ----------
    folder : Path
        Where the ``.npy`` files are.
    out : Path
        Folder to make.
    experiment : {"sim_sim", "sim_real"}
        Simulated pristine to noisy at z = 2, or simulated to SDSS at z = 0.
    standardise : bool
        Subtract from each band its domain's mean and divide by the standard deviation, as the authors' code does; but
        of the objects that the recipes of the paper train on, and not of the test images too. Without it the domains of
        ``sim_real`` are in different units.
    faults : {"refuse", "skip"}
        See `convert`.

    Returns
    -------
    dict of Imported
        Of ``source`` and ``target``.

    Raises
    ------
    DataError
        If a file is missing or is not of this layout, or in ``sim_sim`` the domains do not show the same galaxies.
    """
    arrays = {domain: _load(Path(folder), name) for domain, (name, _) in FILES[experiment].items()}
    if experiment == "sim_sim" and not np.array_equal(arrays["source"][1], arrays["target"][1], equal_nan=True):
        raise DataError(
            f"{folder}: labels of the pristine and of the noisy images differ, so image i of both cannot be one "
            "galaxy, and its pristine and noisy images could not be kept in one part. Download both pairs again"
        )
    described = {}
    for domain, (images, labels) in arrays.items():
        prefix = experiment if experiment == "sim_sim" else f"{experiment}-{domain}"
        names = [f"{FILES[experiment][domain][0].format('X')} image {n}" for n in range(len(labels))]
        table = pd.DataFrame(
            {
                "object_id": [f"{prefix}-{n}" for n in range(len(labels))],
                "name": names,
                "label": pd.Series([CLASSES[int(k)] if k in (0, 1) else None for k in labels.tolist()], dtype=object),
            }
        )
        read = as_float(images)
        if standardise:
            read = _standardised(read, np.flatnonzero(_trained_on(table["object_id"].to_numpy(dtype=np.str_))))
        described[domain] = Images(table, read, f"deepmerge-{experiment}-{domain}", FILES[experiment][domain][1])
    if faults == "refuse":
        # Both, before one is written beside nothing or beside another import's.
        for each in described.values():
            refuse_unusable(each)
    return {domain: convert(each, Path(out) / domain, faults=faults) for domain, each in described.items()}


def _trained_on(ids: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Objects of the training part, whose place in a division depends on identifiers alone."""
    return np.asarray(split_objects(ids, np.full(len(ids), ""), DIVISION) == "train")


def _standardised(
    read: Callable[[int], NDArray[np.float32]], rows: NDArray[np.intp]
) -> Callable[[int], NDArray[np.float32]]:
    """Reader of images with mean 0 and standard deviation 1 in each band, over those rows."""
    number, total, squares = 0, np.zeros(3), np.zeros(3)
    for row in rows.tolist():
        image = read(row).astype(np.float64)
        if np.isfinite(image).all() and not is_blank(image):
            number += image[0].size
            total += image.sum(axis=(1, 2))
            squares += (image**2).sum(axis=(1, 2))
    mean = total / max(1, number)
    spread = np.sqrt(np.maximum(squares / max(1, number) - mean**2, 0))
    if not (spread > 0).all():
        raise DataError(f"the {len(rows)} images of the training part cannot be standardised: a band has no spread")
    shift, scale = mean[:, None, None].astype(np.float32), spread[:, None, None].astype(np.float32)
    return lambda row: (read(row) - shift) / scale


def _load(folder: Path, name: str) -> tuple[NDArray[np.generic], NDArray[Any]]:
    """Images and labels of a domain; one that is neither 0 nor 1 is missing."""
    images = images_of(folder / name.format("X"))
    labels = load_array(folder / name.format("y")).reshape(-1)
    if images.shape[1] != 3 or len(labels) != len(images) or not np.isin(labels, (0, 1)).any():
        raise DataError(
            f"{folder / name.format('X')}: expected images (n, 3, N, N) and as many labels 0 or 1, got {images.shape} "
            f"and {labels.shape} of {np.unique(labels)[:5].tolist()}"
        )
    return images, labels
