"""The cutouts that a new model adapts to and is judged on, with the labels that people gave to some of them."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galmorph.bundle import Bundle
from galmorph.cutout_set import DESCRIPTION, IMAGES, LABELS, CutoutSet, read_cutout_set
from galmorph.releases.description import Release
from galmorph.releases.gather import TO_VET, gather
from galmorph.releases.labels import read_verdicts, settle_on
from galmorph.training.recipe import load_recipe


def gather_target(release: Release, present: Bundle, catalog: Path, out: Path) -> dict[str, Any]:
    """Cutouts of a release with the labels that are known of them, as one set.

    Parameters
    ----------
    release : Release
        Where they are from, and tables of labels.
    present : Bundle
        The present model, whose framing and bands they have.
    catalog : Path
        Catalogue of tiles of the release by the present model, in its run folder: what cutouts are sampled from, unless
        the description names a set that is there already.
    out : Path
        Folder to make.

    Returns
    -------
    dict
        `cutouts` (the set), `images`, `labelled`, `digests` of the set's files, and `to_vet`, a list of objects for
        people to look at, if one was asked for.

    Raises
    ------
    DataError
        If cutouts or labels cannot be used.
    """
    options, target = release.gather, out / "target"
    labels = [Path(table) for table in options.labels]
    if not target.is_dir():
        if options.cutouts is not None:
            _with_labels(read_cutout_set(options.cutouts), read_verdicts(labels), target)
        else:
            _sample(release, present, catalog, labels, target)
    made = read_cutout_set(target)
    to_vet = target / TO_VET
    return {
        "cutouts": str(target),
        "images": len(made.labels),
        "labelled": int((made.labels["label"] != "").sum()),
        "digests": made.digests(),
        "to_vet": str(to_vet) if to_vet.is_file() else None,
    }


def _sample(release: Release, present: Bundle, catalog: Path, labels: list[Path], out: Path) -> None:
    """Cutouts from the tiles of a run, under another name first: a set that is there is whole."""
    options = release.gather
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        gather(
            catalog,
            present,
            Path(scratch) / "set",
            count=options.images,
            known=known_sets(release, present),
            labels=labels,
            old_catalog=release.old_catalog,
            vet=options.vet,
            seed=options.seed,
        )
        (Path(scratch) / "set").replace(out)


def known_sets(release: Release, present: Bundle) -> list[Path]:
    """The set that the present model learned from, if it is the recipe's and tells where its objects are.

    Parameters
    ----------
    release : Release
        With the recipe.
    present : Bundle
        The present model.

    Returns
    -------
    list of Path
        One or none.
    """
    source = load_recipe(release.adapt.recipe).source
    if source.kind != "cutouts":
        return []
    cutouts = read_cutout_set(source.path)
    same = cutouts.digests() == present.manifest.training.get("data")
    return [source.path] if same and {"ra", "dec"} <= set(cutouts.labels) else []


def _with_labels(given: CutoutSet, verdicts: pd.DataFrame, out: Path) -> None:
    """The set with people's labels in place of its own, under another name first."""
    ids = given.labels["object_id"].astype(str)
    first = np.flatnonzero(~ids.duplicated())
    objects = given.labels.iloc[first]
    settled = settle_on(objects, verdicts, [objects["object_id"]])
    labels = pd.Series(settled["label"].to_numpy(), index=ids.to_numpy()[first[settled["place"]]])
    named = ids.map(labels).fillna("").astype(str)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        new = Path(scratch) / "set"
        new.mkdir()
        _link(given.path / IMAGES, new / IMAGES)
        shutil.copy(given.path / DESCRIPTION, new / DESCRIPTION)
        given.labels.assign(label=named).to_parquet(new / LABELS, index=False)
        new.replace(out)


def _link(file: Path, place: Path) -> None:
    """The same file in another place, or a copy where the file system has no links."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copy(file, place)
