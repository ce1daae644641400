"""What a bundle keeps of its training for later releases: a sample of objects, and facts about the images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutout_set import CutoutSet
from galmorph.imaging import measured_columns
from galmorph.reference import ROWS, SOURCE, TARGET, ReferenceSample

Float32 = NDArray[np.float32]
Rows = NDArray[np.intp]


def chosen_rows(rows: Rows, most: int = ROWS) -> Rows:
    """Some of the rows, the same ones each time, in their order."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def sample_domain(
    domain: str, cutouts: CutoutSet, rows: Rows, names: NDArray[np.str_] | None, logits: Float32, features: Float32
) -> ReferenceSample:
    """Objects of one domain.

    Parameters
    ----------
    domain : {"source", "target"}
        Which.
    cutouts : CutoutSet
        The set that they are of.
    rows : ndarray of int
        Which objects of it, shape ``(n,)``.
    names : ndarray of str or None
        Their true classes; None where nothing may be said of them.
    logits, features : ndarray of float32
        What the model says of them, shapes ``(n, K)`` and ``(n, d)``.

    Returns
    -------
    ReferenceSample
        With those measurements that the set has.
    """
    wanted = ["radius", "snr", *measured_columns(cutouts.meta["bands"])]
    measured = cutouts.labels[[name for name in wanted if name in cutouts.labels]].iloc[rows].reset_index(drop=True)
    label = np.full(len(rows), "") if names is None else names
    return ReferenceSample(
        np.full(len(rows), domain), label, logits, features, pd.DataFrame(measured).astype(np.float32)
    )


def images_facts(source: CutoutSet, target: CutoutSet | None) -> dict[str, Mapping[str, Any]]:
    """What is known of the images of each domain: pixel scale, and noise, seeing and sharpness where the set tells."""
    sets = {SOURCE: source} | ({TARGET: target} if target is not None else {})
    return {
        name: {
            "survey": each.meta["survey"],
            "pixel_scale": each.meta["pixel_scale"],
            "imaging": each.meta.get("imaging"),
        }
        for name, each in sets.items()
    }
