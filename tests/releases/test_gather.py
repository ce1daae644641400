import json
import shutil

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from make_bundle import files, manifest
from make_sky import BANDS, make_tile
from PIL import Image

import galmorph
from galmorph.bundle import write_bundle
from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.errors import ConfigError, DataError
from galmorph.label_tables import read_label_table
from galmorph.releases.gather import gather
from galmorph.releases.gathering import _with_labels
from galmorph.releases.known import identities_of, parts_of, people_on
from galmorph.training.options import SplitOptions
from galmorph.training.split import split_objects

#: Of distributed, where the disk is busy.
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

SURVEY = "mock-decals"
SPLIT = {"train": 0.6, "validation": 0.2, "test": 0.2, "salt": "s"}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A run over two tiles, and the bundle of a model that was trained on a set with three objects of them."""
    folder = tmp_path_factory.mktemp("release")
    for i in range(2):
        make_tile(folder / "tiles", f"tile{i}", ra=150.0 + i * 0.02, seed=i)
    known = _known(folder)
    training = {"recipe": {"split": SPLIT, "source": {"class_map": ""}}, "data": known.digests(), "target": None}
    bundle = write_bundle(folder / "model", manifest(list(BANDS), training=training), files(3, 16, 4))
    addresses = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", **addresses) as cluster:
        galmorph.classify(
            folder / "tiles", SURVEY, bundle, folder / "run", scheduler=cluster.scheduler_address, embedding=True
        )
    return folder, bundle


def _known(folder):
    """Three objects of the first tile in an earlier set, by where the tile was drawn with them."""
    from make_sky import tile_wcs

    rng = np.random.default_rng(0)
    x, y = rng.uniform(8, 152, 8), rng.uniform(8, 152, 8)
    ra, dec = tile_wcs(150.0, 2.0, 160).pixel_to_world_values(x, y)
    labels = pd.DataFrame(
        {"object_id": [f"old{n}" for n in range(8)], "label": ["spiral", "", "merger"] + [""] * 5, "ra": ra, "dec": dec}
    )
    meta = {
        "survey": SURVEY,
        "bands": list(BANDS),
        "pixel_scale": 0.262,
        "framing": {"size": 64},
        "unit": "nanomaggies arcsec-2",
    }
    write_cutout_set(folder / "known", np.zeros((8, 3, 16, 16), np.float32), labels, meta)
    return read_cutout_set(folder / "known")


@pytest.fixture(scope="module")
def rows(release):
    folder, _ = release
    frame = galmorph.open_catalog(folder / "run" / "catalog").to_pandas()
    return frame[frame["primary"]].reset_index(drop=True)


def test_objects_keep_identifiers_labels_and_parts(release, rows, tmp_path, capsys):
    folder, bundle = release
    old = read_cutout_set(folder / "known").labels
    far = rows.iloc[[int(rows["ra"].argmax())]]
    people = pd.DataFrame(
        {
            "object_id": [str(far["object_id"].iloc[0]), "named otherwise"],
            "ra": [far["ra"].iloc[0], old["ra"][0]],
            "dec": [far["dec"].iloc[0], old["dec"][0]],
            "label": ["star", "elliptical"],
            "who": "ann",
            "when": "2026-03-01",
        }
    )
    people.to_csv(tmp_path / "people.csv", index=False)
    main(
        [
            *("gather", str(folder / "run"), "--against", str(bundle.path), "--out", str(tmp_path / "set")),
            *("--known", str(folder / "known"), "--labels", str(tmp_path / "people.csv"), "--count", "100"),
            *("--old-catalog", str(folder / "run"), "--vet", "4"),
        ]
    )
    assert "with a label from: " in capsys.readouterr().out
    made = read_cutout_set(tmp_path / "set")
    table = made.labels.set_index("object_id")
    assert made.images.shape == (len(table), 3, 16, 16)
    assert made.meta["gathered_for"] == "tiny"
    # By its identifier, and by its position over what the training set says.
    assert table.loc[str(far["object_id"].iloc[0]), ["label", "label_source", "who"]].tolist() == [
        "star",
        "people",
        "ann",
    ]
    kept = [name for name in old["object_id"] if name in table.index]
    assert len(kept) >= 3
    if "old0" in kept:
        assert table.loc["old0", ["label", "label_source"]].tolist() == ["elliptical", "people"]
    if "old2" in kept:
        assert table.loc["old2", ["label", "label_source"]].tolist() == ["merger", "training"]
    parts = split_objects(old["object_id"].to_numpy(str), np.full(8, ""), SplitOptions(**SPLIT))
    where = dict(zip(old["object_id"], parts, strict=True))
    assert {name: table.loc[name, "part"] for name in kept} == {name: where[name] for name in kept}
    # The old catalogue is this one: every object finds itself.
    own = rows.set_index(rows["object_id"].astype(str))
    assert (table["old_label"] == own.loc[table["catalog_id"], "label"].to_numpy()).all()
    listed = pd.read_csv(tmp_path / "set" / "to_vet.csv", dtype=str, keep_default_na=False)
    assert len(listed) == 4
    assert set(listed["object_id"]) <= set(table.index[table["label"] == ""])
    assert read_label_table(tmp_path / "set" / "to_vet.csv").empty
    with Image.open(tmp_path / "set" / "to_vet.jpg") as picture:
        assert picture.width == 10 * 100 + 4
        assert picture.height >= 96 * (1 + (len(listed) - 1) // 10)
        assert np.asarray(picture.convert("L")).std() > 5
    filled = listed.assign(label="spiral", who="bob", when="2026-03-02T00:00:00Z")
    filled.to_csv(tmp_path / "filled.csv", index=False)
    again = gather(
        folder / "run", bundle, tmp_path / "set", count=100, known=[folder / "known"], labels=[tmp_path / "filled.csv"]
    )
    found = read_cutout_set(again.path).labels.set_index("object_id")
    assert (found.loc[listed["object_id"], "label"] == "spiral").all()
    assert not (again.path / "to_vet.csv").exists()
    assert not (again.path / "to_vet.jpg").exists()


def verdicts_of(objects, **changes):
    """What ann says of objects, as a table of labels has it."""
    table = objects[["object_id", "ra", "dec"]].assign(
        object_id=objects["object_id"].astype(str),
        label=[f"L{n}" for n in range(len(objects))],
        who="ann",
        when=pd.Timestamp("2026-03-01", tz="UTC"),
    )
    return table.assign(**changes).reset_index(drop=True)


def test_labels_are_of_objects_where_people_looked(rows, caplog):
    # An earlier release has one object less at the head of its list: each identifier is the next one's there.
    earlier = verdicts_of(rows.iloc[1:], object_id=rows["object_id"].astype(str).to_numpy()[:-1])
    found = people_on(rows, earlier, identities_of(rows, []))
    assert found["label"].tolist() == ["", *earlier["label"]]
    told = f"{len(earlier)} of {len(earlier)} labels name an object more than 3 arcsec from where the person looked"
    assert told in caplog.text


def test_two_objects_of_one_identifier_keep_their_labels(rows):
    twice = verdicts_of(rows.iloc[:2], object_id="17", who=["ann", "bob"])
    found = people_on(rows, twice, identities_of(rows, []))
    assert found["label"].tolist()[:3] == ["L0", "L1", ""]
    # And one object of two identifiers has one, the last that she gave.
    again = verdicts_of(rows.iloc[[0, 0]], object_id=["17", "18"])
    again.loc[0, "when"] += pd.Timedelta(days=1)
    assert people_on(rows, again, identities_of(rows, []))["label"].tolist()[:2] == ["L0", ""]


@pytest.mark.parametrize(("arcsec", "label"), [(0.9, "L0"), (2.9, "L0"), (3.1, "")])
def test_an_identifier_counts_within_a_few_arcsec(rows, arcsec, label, caplog):
    alone = rows.iloc[[0]].reset_index(drop=True)
    moved = verdicts_of(alone, dec=alone["dec"] + arcsec / 3600)
    assert people_on(alone, moved, identities_of(alone, []))["label"].tolist() == [label]
    assert ("1 of 1 labels are of no object here" in caplog.text) == (not label)


def test_the_object_where_people_looked_goes_before_a_neighbour_of_that_identifier(rows):
    pair = rows.iloc[[0, 0]].reset_index(drop=True).assign(object_id=[1, 2])
    pair.loc[1, "dec"] += 2 / 3600
    at_the_second = verdicts_of(pair.iloc[[1]], object_id="1")
    assert people_on(pair, at_the_second, identities_of(pair, []))["label"].tolist() == ["", "L0"]


@pytest.mark.parametrize("positions", [True, False])
def test_a_set_that_is_there_gets_labels_where_people_looked(release, tmp_path, positions):
    given = read_cutout_set(release[0] / "known")
    earlier = verdicts_of(given.labels.iloc[1:], object_id=given.labels["object_id"].to_numpy()[:-1])
    if not positions:
        write_cutout_set(
            tmp_path / "bare", np.asarray(given.images), given.labels.drop(columns=["ra", "dec"]), given.meta
        )
        given = read_cutout_set(tmp_path / "bare")
    _with_labels(given, earlier, tmp_path / "set")
    # Without positions nobody can tell, and the identifier is believed.
    labels = [f"L{n}" for n in range(len(earlier))]
    assert read_cutout_set(tmp_path / "set").labels["label"].tolist() == (["", *labels] if positions else [*labels, ""])


def test_another_object_of_a_known_identifier_is_not_taken_for_it(release, rows):
    known = read_cutout_set(release[0] / "known")
    plain = identities_of(rows, [known])
    old = plain.index[plain["known"]][0]
    other = plain.index[~plain["known"]][0]
    # The catalogue of the new release has the known object's identifier elsewhere.
    ids = rows["object_id"].astype(str).astype(object)
    ids[other] = plain["object_id"][old]
    found = identities_of(rows.assign(object_id=ids), [known])
    assert found["object_id"][old] == plain["object_id"][old]
    assert found["object_id"][other] == f"{plain['object_id'][old]}+"
    assert found["object_id"].is_unique


def test_a_catalogues_label_is_trusted_only_when_asked_and_only_to_learn_from(release, tmp_path):
    folder, bundle = release
    made = gather(folder / "run", bundle, tmp_path / "set", old_catalog=folder / "run" / "catalog", trust=0.01)
    table = read_cutout_set(made.path).labels
    sure = (table["part"] == "train") & ~table["old_unknown"]
    assert sure.any()
    assert (table.loc[sure, "label_source"] == "catalogue").all()
    assert (table.loc[sure, "label"] == table.loc[sure, "old_label"]).all()
    assert (table.loc[~sure, "label"] == "").all()


def test_a_smaller_sample_is_the_same_each_time(release, tmp_path):
    folder, bundle = release
    ids = [
        read_cutout_set(gather(folder / "run", bundle, tmp_path / f"set{n}", count=4, seed=3).path).labels["object_id"]
        for n in range(2)
    ]
    assert ids[0].tolist() == ids[1].tolist()
    assert len(ids[0]) == 4


def test_what_people_filled_in_is_not_replaced(release, tmp_path):
    folder, bundle = release
    made = gather(folder / "run", bundle, tmp_path / "set", count=6, vet=3)
    gather(folder / "run", bundle, tmp_path / "set", count=6, vet=3)  # nobody has filled anything in yet
    listed = pd.read_csv(made.to_vet, dtype=str)
    listed.loc[1, ["label", "who", "when"]] = ["spiral", "ann", "2026-03-01T12:00:00Z"]
    listed.to_csv(made.to_vet, index=False)
    for labels in ([], [made.to_vet]):
        with pytest.raises(DataError, match=r"holds to_vet\.csv with labels filled in: move that"):
            gather(folder / "run", bundle, tmp_path / "set", count=6, labels=labels)
    assert pd.read_csv(made.to_vet, dtype=str).equals(listed)
    made.to_vet.rename(tmp_path / "ann.csv")
    again = gather(folder / "run", bundle, tmp_path / "set", count=6, labels=[tmp_path / "ann.csv"])
    assert again.labelled == {"people": 1}
    (again.path / "notes.txt").write_text("look at the third")
    with pytest.raises(DataError, match=r"holds notes\.txt"):
        gather(folder / "run", bundle, again.path, count=6)
    with pytest.raises(DataError, match="is not a set of cutouts"):
        gather(folder / "run", bundle, tmp_path, count=6)


def test_objects_of_tiles_that_are_gone_are_told(release, rows, tmp_path, caplog):
    folder, bundle = release
    shutil.copytree(folder / "run", tmp_path / "run")
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace(str(folder / "tiles" / "tile1"), str(folder / "gone" / "tile1")))
    made = gather(tmp_path / "run", bundle, tmp_path / "set", count=4)
    assert made.images == 4
    away = int((rows["tile"] == "tile1").sum())
    assert f"{away} of {len(rows)} objects are left out: the files of tile1 are not any more" in caplog.text
    record.write_text(record.read_text().replace(str(folder / "tiles"), str(folder / "gone")))
    with pytest.raises(DataError, match="are not there any more, so that nothing can be cut out"):
        gather(tmp_path / "run", bundle, tmp_path / "other", count=4)


def test_sets_and_settings_that_do_not_fit(release, tmp_path):
    folder, bundle = release
    with pytest.raises(ConfigError, match="count of at least 1"):
        gather(folder / "run", bundle, tmp_path / "set", count=0)
    known = read_cutout_set(folder / "known")
    ids = np.array(["a", "b"])
    changed = bundle.manifest.model_copy(update={"training": bundle.manifest.training | {"data": {}}})
    with pytest.raises(DataError, match="none of the sets that model tiny was trained on"):
        parts_of(ids, [known], type(bundle)(bundle.path, changed, "", bundle.reference))
    stratified = {"recipe": {"split": SPLIT | {"stratified": True}, "source": {}}}
    strict = bundle.manifest.model_copy(update={"training": stratified})
    with pytest.raises(DataError, match=r"exact shares of classes .*--known"):
        parts_of(ids, [], type(bundle)(bundle.path, strict, "", bundle.reference))
    bare = json.loads((known.path / "dataset.json").read_text())
    write_cutout_set(tmp_path / "bare", np.asarray(known.images), known.labels.drop(columns=["ra", "dec"]), bare)
    with pytest.raises(DataError, match="does not tell the positions"):
        gather(folder / "run", bundle, tmp_path / "set", known=[tmp_path / "bare"])
