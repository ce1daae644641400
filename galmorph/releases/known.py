"""What is known of the objects of a release from earlier: identifier, part of the split, and labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.bundle import Bundle
from galmorph.catalogs import Catalog
from galmorph.cutout_set import CutoutSet
from galmorph.errors import DataError
from galmorph.releases.labels import NEAR, RADIUS, separations, settle_on
from galmorph.taxonomy import map_labels
from galmorph.training.options import SplitOptions
from galmorph.training.split import split_objects, split_target
from galmorph.truth import match

#: At the end of an identifier that an object of a known set has.
MARK = "+"
#: Where a label comes from.
PEOPLE, TRAINING, CATALOGUE = "people", "training", "catalogue"


def identities_of(rows: pd.DataFrame, sets: Sequence[CutoutSet]) -> pd.DataFrame:
    """Identifier of each object, that of a known set where it is in one, and its label there.

    An object that has the identifier of another one in a known set, as later releases of a survey give it, gets it with
    a `MARK`: what was learned of the other is not of this one.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of a catalogue, `n` of them.
    sets : sequence of CutoutSet
        Known sets, the first that has an object counts.

    Returns
    -------
    pandas.DataFrame
        `n` rows: `object_id`, `label` (empty where there is none), and `known`, whether it is in a set.

    Raises
    ------
    DataError
        If a set does not tell the positions of its objects.
    """
    ids = rows["object_id"].astype(str).to_numpy(dtype=object)
    names = np.full(len(rows), "", dtype=object)
    taken = np.zeros(len(rows), dtype=bool)
    for each in sets:
        table = each.labels
        if not {"ra", "dec"} <= set(table.columns):
            raise DataError(
                f"{each.path} does not tell the positions of its objects (columns ra and dec), so that nobody can say "
                "which of them are in the release: make it with `galmorph cutouts` from tiles"
            )
        unique = table.drop_duplicates("object_id").reset_index(drop=True)
        place, _ = match(rows, unique, RADIUS)
        found = (place >= 0) & ~taken[place]
        ids[place[found]] = unique["object_id"].astype(str).to_numpy(dtype=object)[found]
        names[place[found]] = unique["label"].to_numpy(dtype=object)[found]
        taken[place[found]] = True
    if sets:
        _mark(ids, rows, taken, sets)
    return pd.DataFrame({"object_id": ids, "label": names, "known": taken})


def _mark(ids: NDArray[np.object_], rows: pd.DataFrame, taken: NDArray[np.bool_], sets: Sequence[CutoutSet]) -> None:
    """Mark identifiers of objects that are in no set where another object of one has them."""
    known = pd.concat([each.labels[["object_id", "ra", "dec"]] for each in sets])
    known = known.drop_duplicates("object_id")
    known.index = pd.Index(known["object_id"].astype(str), dtype=object)
    while True:
        alike = np.flatnonzero(~taken & np.isin(ids, known.index))
        there = known.iloc[known.index.get_indexer(pd.Index(ids[alike]))]
        apart = separations(rows.iloc[alike], there) > NEAR
        others = alike[apart | np.isin(ids[alike], ids[taken])]
        if not len(others):
            return
        ids[others] = ids[others] + MARK


def parts_of(object_ids: NDArray[np.str_], sets: Sequence[CutoutSet], bundle: Bundle) -> NDArray[np.str_]:
    """Part of the split of each object: the one that it was in, or else by its identifier.

    Parameters
    ----------
    object_ids : ndarray of str
        Shape ``(n,)``.
    sets : sequence of CutoutSet
        Sets that the model was trained on.
    bundle : Bundle
        The model, whose recipe says how objects were divided.

    Returns
    -------
    ndarray of str
        ``train``, ``validation`` or ``test``. Shape ``(n,)``.

    Raises
    ------
    DataError
        If a set is none of those that the model was trained on, or the division needs one that is not given.
    """
    training = bundle.manifest.training
    recipe = training.get("recipe", {})
    options = SplitOptions(**recipe["split"]) if "split" in recipe else SplitOptions()
    source_ids, source_parts = np.empty(0, np.str_), np.empty(0, np.str_)
    target_digests = (training.get("target") or {}).get("digests")
    for each in sets:
        digests = each.digests()
        if digests == training.get("data"):
            raw = each.labels["label"].tolist()
            words = map_labels(raw, recipe["source"]["class_map"]) if recipe["source"].get("class_map") else raw
            source_ids = each.labels["object_id"].astype(str).to_numpy(dtype=np.str_)
            source_parts = split_objects(source_ids, np.array(words, dtype=np.str_), options)
        elif digests != target_digests:
            raise DataError(
                f"{each.path} is none of the sets that model {bundle.manifest.name} was trained on (its digests "
                "differ), so that nobody can say in which part its objects were. Give the sets of that training, "
                "unchanged"
            )
    if options.stratified and not len(source_ids):
        raise DataError(
            f"model {bundle.manifest.name} was trained with exact shares of classes (split.stratified), so that an "
            "object's part depends on the whole labelled set: give that set (--known)"
        )
    return split_target(object_ids, source_ids, source_parts, options)


def people_on(rows: pd.DataFrame, verdicts: pd.DataFrame, identity: pd.DataFrame) -> pd.DataFrame:
    """What people say of each object: by its identifier here or in a known set if they looked there, or by its place.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of a catalogue, `n` of them.
    verdicts : pandas.DataFrame
        Of `galmorph.releases.labels.read_verdicts`.
    identity : pandas.DataFrame
        Of `identities_of`.

    Returns
    -------
    pandas.DataFrame
        `n` rows: `label`, `who` and `when`, empty where nobody says anything.
    """
    result = pd.DataFrame({"label": "", "who": "", "when": ""}, index=np.arange(len(rows)))
    settled = settle_on(rows, verdicts, [rows["object_id"], identity["object_id"]])
    when = settled["when"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, values in (("label", settled["label"]), ("who", settled["who"]), ("when", when)):
        result.loc[settled["place"], name] = values.to_numpy(dtype=object)
    return result


def answers_of(table: pd.DataFrame, earlier: Catalog | None) -> pd.DataFrame:
    """What an earlier catalogue says of objects, by position.

    Parameters
    ----------
    table : pandas.DataFrame
        Objects with `ra` and `dec` in degrees.
    earlier : Catalog or None
        The catalogue, if there is one.

    Returns
    -------
    pandas.DataFrame
        A row each: `old_label`, `old_confidence` and `old_unknown`; empty, NaN and False where it has none.
    """
    result = pd.DataFrame(
        {"old_label": "", "old_confidence": np.float32(np.nan), "old_unknown": False}, index=table.index
    )
    if earlier is None:
        return result
    columns = ["ra", "dec", "label", "confidence", "unknown", "primary"]
    old = earlier.to_pandas(columns)
    old = old[old["primary"]].reset_index(drop=True)
    place, _ = match(old, table, RADIUS)
    found = place >= 0
    for name in ("label", "confidence", "unknown"):
        result.loc[found, f"old_{name}"] = old[name].to_numpy()[place[found]]
    return result


def labels_of(table: pd.DataFrame, people: pd.DataFrame, identity: pd.DataFrame, trust: float | None) -> pd.DataFrame:
    """Label of each object and where it is from: people go before the training, and the training before a catalogue.

    Parameters
    ----------
    table : pandas.DataFrame
        Objects with their `part` of the split, and what `answers_of` gives.
    people, identity : pandas.DataFrame
        Of `people_on` and `identities_of`, a row each.
    trust : float or None
        Confidence from which the earlier catalogue is believed, in the training part only; None never does.

    Returns
    -------
    pandas.DataFrame
        A row each: `label`, `label_source`, `who` and `when`.
    """
    label, source = (np.full(len(table), "", dtype=object) for _ in range(2))
    trusted = np.zeros(len(table), dtype=bool)
    if trust is not None:
        # What a model said is nothing to judge a model by.
        trusted = (
            (table["old_confidence"] >= trust) & ~table["old_unknown"].astype(bool) & (table["part"] == "train")
        ).to_numpy()
    for chosen, values, name in (
        (trusted, table["old_label"].to_numpy(dtype=object), CATALOGUE),
        ((identity["label"] != "").to_numpy(), identity["label"].to_numpy(dtype=object), TRAINING),
        ((people["label"] != "").to_numpy(), people["label"].to_numpy(dtype=object), PEOPLE),
    ):
        label[chosen], source[chosen] = values[chosen], name
    who, when = (people[name].to_numpy(dtype=object) for name in ("who", "when"))
    return pd.DataFrame({"label": label, "label_source": source, "who": who, "when": when}, index=table.index)
