"""``galmorph gather``: cutouts of a new release to adapt to, with the labels that are known and the parts of the split.

A catalogue of the release, made by the present model, tells where its objects are, how bright, how large and how
uncertain. An object that is known from earlier keeps its identifier, so that it stays in the part of the split that it
was in: nothing that a model has learnt from is ever among what judges the next one.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.bundle import Bundle, load_bundle
from galmorph.catalogs import Catalog, open_catalog
from galmorph.cutout_set import DESCRIPTION, IMAGES, LABELS, REJECTS, read_cutout_set
from galmorph.errors import ConfigError, DataError
from galmorph.label_tables import write_label_table
from galmorph.labelling import make_labelled_cutouts
from galmorph.reference import read_sample
from galmorph.releases.choose import Order, order_for_vetting, sample_evenly, strata
from galmorph.releases.known import answers_of, identities_of, labels_of, parts_of, people_on
from galmorph.releases.labels import read_verdicts
from galmorph.releases.objects import read_rows, seen_of_rows, seen_of_sample
from galmorph.releases.regions import regions_of
from galmorph.render import mosaic, rgb
from galmorph.run_folder import RunFolder, open_run
from galmorph.table_files import read_table

logger = logging.getLogger(__name__)

#: Rows of a catalogue that objects are chosen from; a larger one is sampled by its identifiers.
CANDIDATES = 200_000
#: Bins of brightness, size and entropy that objects are taken from evenly, in each part of the sky.
BINS = (4, 3, 3)
#: List of objects for people to look at, in the folder of the set.
TO_VET = "to_vet.csv"
#: Their pictures, of so many of the first, with the ranks that they have in the list.
PICTURES, PICTURED = "to_vet.jpg", 200


@dataclass(frozen=True)
class Gathered:
    """What `gather` made.

    Parameters
    ----------
    path : Path
        The set of cutouts. Its table has, beside what every set has: `catalog_id` (row of the catalogue), `part` of the
        split, `label_source` (people, training, catalogue or empty), `who`, `when`, `entropy`, and of the old catalogue
        `old_label`, `old_confidence` and `old_unknown`.
    images : int
        Objects.
    labelled : dict of str to int
        How many have a label from where.
    parts : dict of str to int
        How many are in which part.
    to_vet : Path or None
        List of objects for people to look at.
    """

    path: Path
    images: int
    labelled: dict[str, int]
    parts: dict[str, int]
    to_vet: Path | None = None


def gather(
    catalog: str | Path | Catalog,
    against: str | Path | Bundle,
    out: str | Path,
    *,
    count: int = 2000,
    known: Sequence[str | Path] = (),
    labels: Sequence[str | Path] = (),
    old_catalog: str | Path | None = None,
    trust: float | None = None,
    beyond: bool = False,
    vet: int = 0,
    order: Order = "diverse",
    seed: int = 0,
) -> Gathered:
    """Cut objects of a new release out of its tiles.

    Objects are taken evenly from parts of the sky, and in them from bins of brightness, size and entropy; beside them
    all those that a table of labels or a known set has a label for.

    Parameters
    ----------
    catalog : str, Path or Catalog
        Catalogue of the release in its run folder, made by the model.
    against : str, Path or Bundle
        The model, whose bands and framing cutouts have.
    out : str or Path
        Folder of the set to make.
    count : int
        Objects to sample.
    known : sequence of str or Path
        Sets of cutouts that the model was trained on, labelled or not.
    labels : sequence of str or Path
        Tables of labels, see `galmorph.label_tables`; an object is known by its identifier in the catalogue if that
        lies where the person looked, or else by its position.
    old_catalog : str or Path, optional
        Catalogue of the earlier release: what it called an object is written beside it.
    trust : float, optional
        Confidence from which that is taken for a label where there is no other, in the training part only; never unless
        given.
    beyond : bool
        Take objects too that are brighter, fainter, larger or smaller than any that the model was made on.
    vet : int
        Objects without label to list for people to look at, of the validation and test parts too.
    order : {"active", "uncertain", "diverse", "random"}
        How that list is chosen; see `galmorph.releases.choose.order_for_vetting`.
    seed : int
        Of everything random.

    Returns
    -------
    Gathered
        Counts, and where the set is.

    Raises
    ------
    GalmorphError
        If catalogue, bundle, sets or tables cannot be used, a known set is none that the model was trained on, or the
        folder holds what people have put there.
    """
    if count < 1 or vet < 0 or (trust is not None and not 0 < trust <= 1):
        raise ConfigError(
            f"gather needs a count of at least 1, vet of at least 0 and trust in (0, 1]; got {count}, {vet}, {trust}"
        )
    folder = Path(out)
    _refuse_loss(folder)
    bundle = against if isinstance(against, Bundle) else load_bundle(against)
    opened = catalog if isinstance(catalog, Catalog) else _open(Path(catalog))
    run = open_run(opened.path)
    rows, features = _on_tiles(run, *read_rows(opened, CANDIDATES, seed))
    sets = [read_cutout_set(Path(path)) for path in known]
    identity = identities_of(rows, sets)
    people = people_on(rows, read_verdicts(labels, bundle.manifest.classes), identity)
    chosen = choose_rows(rows, bundle, count, identity, people, beyond=beyond, seed=seed)
    table = pd.DataFrame(
        {
            "object_id": identity["object_id"].to_numpy()[chosen],
            "catalog_id": rows["object_id"].to_numpy()[chosen].astype(str),
            "ra": rows["ra"].to_numpy()[chosen],
            "dec": rows["dec"].to_numpy()[chosen],
            "entropy": rows["entropy"].to_numpy(dtype=np.float32)[chosen],
            "suggested": rows["label"].to_numpy(dtype=object)[chosen],
            "place": chosen,
        }
    )
    table["part"] = parts_of(table["object_id"].to_numpy(dtype=np.str_), sets, bundle)
    earlier = None if old_catalog is None else _open(Path(old_catalog))
    table = pd.concat([table, answers_of(table, earlier)], axis=1)
    table = pd.concat([table, labels_of(table, people.iloc[chosen], identity.iloc[chosen], trust)], axis=1)
    made = _cut(run, bundle, table, folder)
    to_vet = _write_to_vet(made, rows, features, bundle, folder, vet, order, seed) if vet else None
    sources = made["label_source"].value_counts()
    return Gathered(
        folder,
        len(made),
        {str(name): int(number) for name, number in sources.items() if name},
        {str(name): int(number) for name, number in made["part"].value_counts().items()},
        to_vet,
    )


def choose_rows(
    rows: pd.DataFrame,
    bundle: Bundle,
    count: int,
    identity: pd.DataFrame,
    people: pd.DataFrame,
    *,
    beyond: bool = False,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Rows of a catalogue to cut out: a sample, and all that have a label from people or a known set.

    Parameters
    ----------
    rows : pandas.DataFrame
        Primary rows of the catalogue.
    bundle : Bundle
        The model.
    count : int
        Size of the sample.
    identity, people : pandas.DataFrame
        See `galmorph.releases.known`, a row for each of `rows`.
    beyond : bool
        Take objects beyond the model's brightness and size too.
    seed : int
        Of the sample.

    Returns
    -------
    ndarray of int
        Sorted places.
    """
    seen = seen_of_rows(rows, None, bundle)
    fit = np.ones(len(rows), dtype=bool)
    sample = read_sample(bundle)
    if sample is not None and not beyond:
        reference = seen_of_sample(sample, bundle)
        for name in ("brightness", "size"):
            values, own = getattr(reference, name), getattr(seen, name)
            if values is not None and own is not None and np.isfinite(values).any():
                fit &= (own >= np.nanmin(values)) & (own <= np.nanmax(values))
    places = np.flatnonzero(fit)
    if not len(places):
        raise DataError(
            "no object of the catalogue is as bright and large as those that the model was made on; "
            "take others too (--beyond), or give another catalogue"
        )
    cells = _cells(rows.iloc[places], seen.take(places))
    sampled = places[sample_evenly(cells, count, seed)]
    labelled = np.flatnonzero((people["label"] != "").to_numpy() | (identity["label"] != "").to_numpy())
    return np.union1d(sampled, labelled)


def _cells(rows: pd.DataFrame, seen: Any) -> NDArray[np.int64]:
    """Stratum of each object: part of the sky, brightness, size, entropy."""
    nothing = np.full(len(rows), np.nan)
    values = [nothing if each is None else each for each in (seen.brightness, seen.size, seen.entropy)]
    _, pixels = regions_of(rows["_healpix_29"].to_numpy())
    _, region = np.unique(pixels, return_inverse=True)
    within = strata(*values, bins=BINS)
    return region * (int(within.max()) + 1) + within


def _refuse_loss(out: Path) -> None:
    """Refuse to replace a folder that is no set of cutouts, or holds what people have put there."""
    if not out.exists():
        return
    read_cutout_set(out)
    own = {IMAGES, LABELS, DESCRIPTION, REJECTS, TO_VET, PICTURES}
    theirs = sorted(path.name for path in out.glob("[!.]*") if path.name not in own)
    if (out / TO_VET).is_file() and (read_table(out / TO_VET)[0]["label"].fillna("") != "").any():
        theirs.append(f"{TO_VET} with labels filled in")
    if theirs:
        raise DataError(
            f"{out} would be replaced by the new set, and it holds {', '.join(theirs)}: move that to another place "
            "first, or give another folder. A list that was filled in is then a table of labels (--labels)"
        )


def _on_tiles(
    run: RunFolder, rows: pd.DataFrame, features: NDArray[np.float32] | None
) -> tuple[pd.DataFrame, NDArray[np.float32] | None]:
    """Rows, with their features, that lie on tiles which are still there."""
    if not run.sources:
        raise DataError(f"the tiles of {run.path} are not there any more, so that nothing can be cut out of them")
    there = rows["tile"].isin([source.name for source in run.sources]).to_numpy()
    if there.all():
        return rows, features
    gone = sorted(set(rows["tile"][~there]))
    logger.warning(
        "%d of %d objects are left out: the files of %s%s are not any more where the run found them",
        np.count_nonzero(~there),
        len(rows),
        gone[0],
        f" and {len(gone) - 1} more tiles" if len(gone) > 1 else "",
    )
    return rows[there].reset_index(drop=True), None if features is None else features[there]


def _cut(run: RunFolder, bundle: Bundle, table: pd.DataFrame, out: Path) -> pd.DataFrame:
    """Make the set in one step, and give its table with the places of its objects among the rows."""
    files = [file for source in run.sources for file in source.files]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        wanted, new = Path(scratch) / "wanted.parquet", Path(scratch) / "set"
        table[["object_id", "ra", "dec", "label"]].to_parquet(wanted, index=False)
        manifest = bundle.manifest
        make_labelled_cutouts(
            files, run.survey, wanted, new, framing=manifest.framing, bands=manifest.bands, detection=run.detection
        )
        extra = ["catalog_id", "part", "label_source", "who", "when", "entropy"]
        extra += ["old_label", "old_confidence", "old_unknown", "suggested", "place"]
        made = pd.read_parquet(new / LABELS).merge(table[["object_id", *extra]], on="object_id", validate="one_to_one")
        made.drop(columns=["suggested", "place"]).to_parquet(new / LABELS, index=False)
        facts = json.loads((new / DESCRIPTION).read_text())
        facts |= {"gathered_for": manifest.name, "release": run.survey.release}
        (new / DESCRIPTION).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
        if out.exists():
            _refuse_loss(out)  # who looks at objects may have put something there meanwhile
            shutil.rmtree(out)
        new.replace(out)
    return made


def _write_to_vet(
    made: pd.DataFrame,
    rows: pd.DataFrame,
    features: NDArray[np.float32] | None,
    bundle: Bundle,
    out: Path,
    count: int,
    order: Order,
    seed: int,
) -> Path:
    """List objects for people to look at, as a table of labels to be filled in, and show the first of them."""
    left = made[made["label"] == ""].reset_index(drop=True)
    places = left["place"].to_numpy()
    looks = seen_of_rows(rows.iloc[places], None if features is None else features[places], bundle).looks(True)
    chosen = order_for_vetting(looks, left["entropy"].to_numpy(), count, order, seed)
    listed = left.iloc[chosen][["object_id", "ra", "dec", "tile", "part", "entropy", "suggested"]]
    listed = listed.assign(label="", who="", when="", rank=np.arange(1, len(chosen) + 1))
    write_label_table(listed, out / TO_VET)
    _show(listed.head(PICTURED), out)
    return out / TO_VET


def _show(listed: pd.DataFrame, out: Path) -> None:
    """Pictures of a list's objects, with their ranks."""
    if listed.empty:
        return
    cutouts = read_cutout_set(out)
    places = pd.Series(np.arange(len(cutouts.labels)), index=cutouts.labels["object_id"].astype(str))
    images = cutouts.images[places[listed["object_id"].astype(str)].to_numpy()]
    captions = [f"{rank}  {label}" for rank, label in zip(listed["rank"], listed["suggested"], strict=True)]
    mosaic(rgb(images, bands=cutouts.meta["bands"]), captions, columns=10, side=96).save(out / PICTURES)


def _open(path: Path) -> Catalog:
    """A catalogue by its folder or its run's."""
    return open_catalog(path / "catalog" if (path / "catalog" / "hats.properties").is_file() else path)
