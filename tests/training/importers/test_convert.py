"""What all importers share: faults by name, sizes, identifiers, and that the result trains."""

import shutil

import numpy as np
import pandas as pd
import pytest
from make_recipe import tiny_recipe
from PIL import Image

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import BundleError, DataError
from galmorph.training.evaluate import evaluate
from galmorph.training.export import export
from galmorph.training.fit import train
from galmorph.training.importers import import_pictures, same_objects


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(6):
        Image.fromarray(rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    rows = [f"{n}.png,{'ab'[n % 2]}" for n in range(6)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return folder


def replace(pictures, old, new):
    path = pictures / "labels.csv"
    path.write_text(path.read_text().replace(old, new))


def with_identifiers(pictures, letters):
    path = pictures / "labels.csv"
    head, *rows = path.read_text().split()
    path.write_text("\n".join([f"{head},object_id", *map(",".join, zip(rows, letters, strict=True))]))


def test_values_are_those_of_the_files(pictures, tmp_path):
    result = import_pictures(pictures, tmp_path / "set", survey="sdss", pixel_scale=0.4)
    cutouts = read_cutout_set(tmp_path / "set")
    assert result.counts == {"a": 3, "b": 3}
    assert cutouts.meta["survey"] == "sdss"
    assert cutouts.meta["framing"]["angle"] == pytest.approx(4.0)
    np.testing.assert_array_equal(cutouts.images[3], np.moveaxis(np.asarray(Image.open(pictures / "3.png")), -1, 0))
    assert (tmp_path / "set" / "rejects.csv").read_text().split() == ["name,reason"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "2.png").write_bytes(b"\x89PNG broken"), r"cannot read the image .*2\.png"),
        (lambda folder: (folder / "2.png").unlink(), r"cannot read the image .*2\.png"),
        (lambda folder: Image.new("RGB", (10, 10)).save(folder / "2.png"), r"2\.png is blank: every value is 0"),
        (lambda folder: replace(folder, "2.png,a", "2.png,"), r"2\.png has no label"),
        (lambda folder: Image.new("L", (10, 10)).save(folder / "2.png"), r"2\.png: the number of its bands is 1, and"),
        (lambda folder: with_identifiers(folder, "01 345"), r"2\.png has no object_id"),
    ],
)
def test_faults_are_named_and_refused_or_skipped(pictures, tmp_path, spoil, reason):
    spoil(pictures)
    with pytest.raises(DataError, match=reason):
        import_pictures(pictures, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    result = import_pictures(pictures, tmp_path / "set", faults="skip")
    assert result.counts == {"a": 2, "b": 3}
    assert list(result.faults) == ["2.png"]
    rejects = pd.read_csv(tmp_path / "set" / "rejects.csv")
    assert rejects["name"].tolist() == ["2.png"]
    assert read_cutout_set(tmp_path / "set").labels["object_id"].tolist() == ["0", "1", "3", "4", "5"]


def test_all_faults_are_told_at_once_before_anything_is_framed(pictures, tmp_path, monkeypatch):
    for n in (1, 2, 4, 5):
        (pictures / f"{n}.png").write_bytes(b"broken")
    monkeypatch.setattr("galmorph.training.importers.centred.frame_object", lambda *_: pytest.fail("framed in vain"))
    with pytest.raises(DataError, match=r"4 of 6 images cannot be used: .*1\.png.*2\.png.*4\.png.*; and 1 more"):
        import_pictures(pictures, tmp_path / "set", factor=1.0, size=8)


def test_faults_of_one_name_in_two_folders_are_told_apart(pictures, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(pictures, other)
    for folder in (pictures, other):
        replace(folder, "2.png,a", "2.png,")
    result = import_pictures([pictures, other], tmp_path / "set", faults="skip")
    assert result.counts == {"a": 4, "b": 6}
    assert list(result.faults) == ["2.png (image 2)", "2.png (image 8)"]
    assert len(pd.read_csv(tmp_path / "set" / "rejects.csv")) == 2


def test_blanks_around_labels_do_not_count_and_a_picture_has_one_row(pictures, tmp_path):
    replace(pictures, "0.png,a", "0.png, a ")
    assert import_pictures(pictures, tmp_path / "set").counts == {"a": 3, "b": 3}
    replace(pictures, "2.png,a", "2.png,  ")
    with pytest.raises(DataError, match=r"2\.png has no label"):
        import_pictures(pictures, tmp_path / "set")
    replace(pictures, "2.png,  ", "3.png,a")
    with pytest.raises(DataError, match=r"labels\.csv: 1 pictures stand in more than one row, such as 3\.png"):
        import_pictures(pictures, tmp_path / "set")


def test_grey_pictures_are_of_one_band(pictures, tmp_path):
    for n in range(6):
        Image.open(pictures / f"{n}.png").convert("L").save(pictures / f"{n}.png")
    import_pictures(pictures, tmp_path / "set", bands=["r"])
    assert read_cutout_set(tmp_path / "set").images.shape == (6, 1, 10, 10)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": -3}, {"angle": np.nan}, {"angle": 0.0}, {"most": 0}])
def test_numbers_that_make_no_sense(pictures, tmp_path, options):
    (name,) = options
    with pytest.raises(DataError, match=rf"{name} must be more than 0"):
        import_pictures(pictures, tmp_path / "set", **options)


@pytest.mark.parametrize(
    ("ra", "dec", "wrong"), [("10:00:00", "2.0", "ra .* has '10:00:00'"), ("150.0", "120", "dec .* has '120'")]
)
def test_positions_are_degrees(pictures, tmp_path, ra, dec, wrong):
    (pictures / "labels.csv").write_text(f"file,label,ra,dec\n0.png,a,,\n1.png,b,{ra},{dec}\n")
    with pytest.raises(DataError, match=rf"labels\.csv: {wrong}"):
        import_pictures(pictures, tmp_path / "set")


def test_unlabelled_on_purpose(pictures, tmp_path):
    replace(pictures, "2.png,a", "2.png,")
    result = import_pictures(pictures, tmp_path / "set", unlabelled=True)
    assert result.counts == {"": 1, "a": 2, "b": 3}


def test_a_table_without_labels_is_one_of_unlabelled_images(pictures, tmp_path):
    (pictures / "labels.csv").write_text("file,votes\n0.png,0.7\n1.png,0.2\n")
    with pytest.raises(DataError, match=r"labels\.csv needs a row per image with columns file and label; it has"):
        import_pictures(pictures, tmp_path / "set")
    assert import_pictures(pictures, tmp_path / "set", unlabelled=True).counts == {"": 2}


def test_a_folder_of_folders_is_told_where_pictures_may_be(pictures, tmp_path):
    with pytest.raises(DataError, match=rf"holds no picture; .* perhaps {tmp_path / pictures.name}"):
        import_pictures(tmp_path, tmp_path / "set", unlabelled=True)


def test_shapes_differ_unless_a_size_is_set(pictures, tmp_path):
    Image.fromarray(np.arange(432, dtype=np.uint8).reshape(12, 12, 3)).save(pictures / "5.png")
    with pytest.raises(DataError, match=r"5\.png has the shape \(3, 12, 12\).*resize them \(size\)"):
        import_pictures(pictures, tmp_path / "set")
    import_pictures(pictures, tmp_path / "set", size=6)
    cutouts = read_cutout_set(tmp_path / "set")
    assert cutouts.images.shape == (6, 3, 6, 6)
    # No scale is known, and of several sizes none could be declared.
    assert (cutouts.meta["pixel_scale"], cutouts.meta["framing"]["angle"]) == (1.0, 6.0)


def test_pictures_of_several_sizes_at_one_scale_show_several_angles(pictures, tmp_path):
    Image.fromarray(np.arange(432, dtype=np.uint8).reshape(12, 12, 3)).save(pictures / "0.png")
    with pytest.raises(DataError, match=r"1\.png has 10 pixels a side, and others have not"):
        import_pictures(pictures, tmp_path / "set", size=6, pixel_scale=0.5)
    import_pictures(pictures, tmp_path / "set", size=4, pixel_scale=0.5, angle=4.0)
    meta = read_cutout_set(tmp_path / "set").meta
    assert (meta["pixel_scale"], meta["framing"]["angle"]) == (1.0, 4.0)


def test_pictures_without_a_row_are_told(pictures, tmp_path, caplog):
    shutil.copy(pictures / "0.png", pictures / "stray.png")
    import_pictures(pictures, tmp_path / "set")
    assert caplog.messages == [
        f"{pictures / 'labels.csv'}: 1 pictures in {pictures} have no row, such as stray.png, and are left out"
    ]


def test_a_table_may_name_pictures_by_whole_paths(pictures, tmp_path, caplog):
    table = pd.read_csv(pictures / "labels.csv")
    table["file"] = [str(pictures / name) if row % 2 else f"./{name}" for row, name in enumerate(table["file"])]
    table.to_csv(pictures / "labels.csv", index=False)
    assert import_pictures(pictures, tmp_path / "set").counts == {"a": 3, "b": 3}
    assert caplog.messages == []


def test_columns_that_are_nearly_called_as_expected_are_told(pictures, tmp_path, caplog):
    with_identifiers(pictures, "stuvwx")
    replace(pictures, "object_id", "Object_ID")
    import_pictures(pictures, tmp_path / "set")
    assert caplog.messages == [f"{pictures / 'labels.csv'}: the column 'Object_ID' is not read; call it object_id"]
    replace(pictures, "label,", " Label,")
    with pytest.raises(DataError, match="needs a row per image with columns file and label"):
        import_pictures(pictures, tmp_path / "set")
    assert caplog.messages[1].endswith("the column ' Label' is not read; call it label")


def test_a_table_without_a_row_is_told(pictures, tmp_path):
    (pictures / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match="needs a row per image, and has none"):
        import_pictures(pictures, tmp_path / "set")


def test_labels_that_differ_in_capitals_alone_are_told(pictures, tmp_path, caplog):
    replace(pictures, "0.png,a", "0.png,A")
    assert import_pictures(pictures, tmp_path / "set").counts == {"A": 1, "a": 2, "b": 3}
    assert caplog.messages == [
        "the labels A, a differ in capitals or spaces alone, and are classes of their own; if they mean the same, "
        "correct the table"
    ]


def test_a_folder_or_a_table_that_is_not_there_is_told(pictures, tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder; expected one with pictures and a table"):
        import_pictures(tmp_path / "nowhere", tmp_path / "set")
    (pictures / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"cannot read the table of labels .* or say --unlabelled"):
        import_pictures(pictures, tmp_path / "set")


def test_a_folder_of_other_things_is_left_alone(pictures, tmp_path):
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"precious is not empty and holds no set of cutouts, but thesis\.txt"):
        import_pictures(pictures, other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]
    # One's own is made anew, also if that was stopped half-way.
    import_pictures(pictures, tmp_path / "set")
    (tmp_path / "set" / "dataset.json").unlink()
    assert import_pictures(pictures, tmp_path / "set").counts == {"a": 3, "b": 3}


def test_a_picture_of_one_colour_is_blank(pictures, tmp_path):
    Image.new("RGB", (10, 10), (9, 9, 30)).save(pictures / "2.png")
    with pytest.raises(DataError, match=r"2\.png is blank: every value is 9, 9, 30"):
        import_pictures(pictures, tmp_path / "set")


def test_those_that_are_skipped_make_room_for_others(pictures, tmp_path):
    whole = import_pictures(pictures, tmp_path / "set", most=1)
    ids = read_cutout_set(tmp_path / "set").labels.set_index("label")["object_id"]
    for name in ids:
        (pictures / f"{name}.png").write_bytes(b"broken")
    spoilt = import_pictures(pictures, tmp_path / "set", most=1, faults="skip")
    assert spoilt.counts == whole.counts == {"a": 1, "b": 1}
    assert sorted(spoilt.faults) == sorted(f"{name}.png" for name in ids)
    assert not {*read_cutout_set(tmp_path / "set").labels["object_id"]} & {*ids}


def test_nothing_left(pictures, tmp_path):
    with pytest.raises(DataError, match=r"no image of pictures is left .*: all were dropped"):
        import_pictures(pictures, tmp_path / "set", drop=("a", "b"))


def test_objects_of_two_surveys_are_known_by_position():
    first = pd.DataFrame({"object_id": ["x", "y"], "ra": [10.0, 20.0], "dec": [0.0, 0.0]})
    second = pd.DataFrame({"object_id": [7, 8, 9], "ra": [20.0003, 10.0, 30.0], "dec": [0.0, 0.001, 0.0]})
    assert same_objects(second, first) == ["y", "8", "9"]
    with pytest.raises(DataError, match="matched by ra and dec"):
        same_objects(second, first.drop(columns="dec"))


def test_all_images_of_an_object_take_one_identifier():
    first = pd.DataFrame({"object_id": ["S1", "S1", "S2"], "ra": [10.0, 10.0, 20.0], "dec": 0.0})
    arcsec = 1 / 3600
    second = pd.DataFrame(
        {
            # Two images of one object, of which one is too far off; two names for another; and one far from all.
            "object_id": ["g", "g", "a", "b", "c"],
            "ra": [10.0, 10.0 + 2.5 * arcsec, 20.0, 20.0 + arcsec, 30.0],
            "dec": 0.0,
        }
    )
    assert same_objects(second, first) == ["S1", "S1", "S2", "S2", "c"]
    assert same_objects(second, first.iloc[:0]) == second["object_id"].tolist()


def test_rounded_numbers_are_no_identifiers(pictures, tmp_path):
    with_identifiers(pictures, ["5.877e+17", "5.877e+17", "5.878e+17", "3", "4", "5"])
    with pytest.raises(DataError, match=r"rounded numbers more than once, such as 5\.877e\+17"):
        import_pictures(pictures, tmp_path / "set", survey="sdss")
    assert not (tmp_path / "set").exists()


def test_identifiers_of_another_set_are_taken_over(pictures, tmp_path):
    table = pd.read_csv(pictures / "labels.csv").assign(ra=[float(n) for n in range(6)], dec=0.0)
    table.to_csv(pictures / "labels.csv", index=False)
    import_pictures(pictures, tmp_path / "first")
    table.assign(object_id=[f"other-{n}" for n in range(6)], ra=table["ra"] + 3).to_csv(
        pictures / "second.csv", index=False
    )
    import_pictures(pictures, tmp_path / "second", labels=pictures / "second.csv", same_objects_as=tmp_path / "first")
    ids = read_cutout_set(tmp_path / "second").labels["object_id"].tolist()
    assert ids == ["3", "4", "5", "other-3", "other-4", "other-5"]


def test_an_import_trains_and_its_bundle_sees_no_tile(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = ["file,label"]
    for n in range(60):
        Image.fromarray((rng.integers(0, 60, (16, 16, 3)) + 120 * (n % 2)).astype(np.uint8)).save(folder / f"{n}.png")
        rows.append(f"{n}.png,{'ab'[n % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    import_pictures(folder, tmp_path / "set")
    recipe = tiny_recipe(
        tmp_path / "set",
        source={"class_map": "", "classes": ["a", "b"], "private": []},
        stretch={"kind": "linear", "low": 0.0, "high": 255.0},
        split={"stratified": True},
        fit={"epochs": 3},
    )
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    bundle = load_bundle(export(result.checkpoint, tmp_path / "bundle"))
    assert bundle.manifest.unit == "pixel values"
    card = (bundle.path / "README.md").read_text()
    assert "in pixel values, which no survey's tiles have" in " ".join(card.split())
    assert "pixels that count as 1 arcsec (1 before resizing, if the scale was not known)" in card
    assert "nanomaggies" not in card
    assert evaluate(bundle.path, tmp_path / "set", part="all", resamples=0).objects == {"a": 30, "b": 30}
    with pytest.raises(BundleError, match="trained on pixel values"):
        bundle.check_survey("survey x", ["red", "green", "blue"], 1.0)


def test_a_label_to_leave_out_that_no_image_has_is_told(pictures, tmp_path, caplog):
    made = import_pictures(pictures, tmp_path / "set", drop=["a", "c"])
    assert made.dropped == {"a": 3}
    assert "no image is labelled c, which was to be left out; the labels are a, b" in caplog.text
