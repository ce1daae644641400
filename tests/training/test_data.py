import cv2
import numpy as np
import pandas as pd
import pytest
from make_cutouts import make_cutouts
from PIL import Image

from galmorph.errors import DataError
from galmorph.training.data import PRIVATE, UNLABELLED, read_source
from galmorph.training.options import Source
from galmorph.training.pictures import read_picture

CLASSES = ("elliptical", "edge_on", "merger")


def test_cutouts_with_class_map(cutouts):
    dataset = read_source(Source(path=cutouts, classes=CLASSES, private=("lens",), class_map="shape"))
    assert dataset.counts() == {"edge_on": 40, "elliptical": 40, "lens": 40, "merger": 40}
    assert set(dataset.labels[dataset.names == "lens"]) == {PRIVATE}
    assert set(dataset.labels[dataset.names == "merger"]) == {2}
    assert isinstance(dataset.images, np.memmap)
    assert dataset.facts["survey"] == "blobs"


def test_unlabelled_cutouts_are_kept_apart(tmp_path):
    path = make_cutouts(tmp_path / "set", each=2)
    labels = pd.read_parquet(path / "labels.parquet")
    labels.loc[0, "label"] = ""
    labels.to_parquet(path / "labels.parquet")
    dataset = read_source(Source(path=path, classes=CLASSES, private=("lens",), class_map="shape"))
    assert dataset.labels[0] == UNLABELLED


def test_class_that_the_recipe_does_not_name(cutouts):
    with pytest.raises(DataError, match=r"holds the classes lens, which the recipe does not name.*source\.private"):
        read_source(Source(path=cutouts, classes=CLASSES, class_map="shape"))


def test_class_that_the_data_does_not_have(cutouts):
    with pytest.raises(DataError, match="has no image of ring"):
        read_source(Source(path=cutouts, classes=(*CLASSES, "ring"), private=("lens",), class_map="shape"))


def test_objects_with_two_labels_are_told(tmp_path, caplog):
    path = make_cutouts(tmp_path / "set", each=2)
    labels = pd.read_parquet(path / "labels.parquet")
    labels.loc[1, "object_id"] = labels.loc[0, "object_id"]
    labels.to_parquet(path / "labels.parquet")
    source = Source(path=path, classes=CLASSES, private=("lens",), class_map="shape")
    read_source(source)
    assert not caplog.records
    labels.loc[4, "object_id"] = labels.loc[0, "object_id"]
    labels.to_parquet(path / "labels.parquet")
    read_source(source)
    assert "images of 1 objects have different labels, as of 0-0 (elliptical, merger)" in caplog.text


def picture(shape, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8))


@pytest.fixture
def pictures(tmp_path):
    for n in range(4):
        picture((10, 10), seed=n).save(tmp_path / f"{n}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n")
    return tmp_path


def test_folder_of_pictures(pictures):
    dataset = read_source(Source(path=pictures, kind="folder", classes=("a", "b"), bands=("red", "green", "blue")))
    assert dataset.images.shape == (4, 3, 10, 10)
    expected = np.asarray(Image.open(pictures / "1.png"))[:, :, 2]
    np.testing.assert_array_equal(dataset.images[1, 2], expected)
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert dataset.rejects == {}
    assert dataset.object_ids.tolist() == ["0", "1", "2", "3"]
    assert dataset.facts == {"bands": ["red", "green", "blue"]}


def test_folder_resizes_and_takes_object_identifiers(pictures):
    (pictures / "other.csv").write_text("file,label,object_id\n0.png,a,x\n1.png,b,y\n2.png,a,x\n")
    source = Source(path=pictures, kind="folder", classes=("a", "b"), labels=pictures / "other.csv", size=6)
    dataset = read_source(source)
    assert dataset.images.shape == (3, 3, 6, 6)
    assert dataset.object_ids.tolist() == ["x", "y", "x"]
    (pictures / "other.csv").write_text("file,label,object_id\n0.png,a,\n1.png,b,\n2.png,a,x\n")
    with pytest.raises(DataError, match=r"other\.csv: 2 rows have no object_id, such as that of 0\.png"):
        read_source(Source(path=pictures, kind="folder", classes=("a", "b"), labels=pictures / "other.csv"))


def test_blanks_around_labels_do_not_count_and_a_picture_has_one_row(pictures):
    table, source = pictures / "labels.csv", Source(path=pictures, kind="folder", classes=("a", "b"))
    table.write_text("file,label\n0.png, a\n1.png,b \n2.png,a\n")
    assert read_source(source).names.tolist() == ["a", "b", "a"]
    table.write_text("file,label\n0.png,a\n1.png,b\n0.png,b\n")
    with pytest.raises(DataError, match=r"labels\.csv: 1 pictures stand in more than one row, such as 0\.png"):
        read_source(source)


def test_changed_pictures_have_another_digest(pictures):
    source = Source(path=pictures, kind="folder", classes=("a", "b"))
    before = read_source(source).digests
    picture((10, 10), seed=9).save(pictures / "0.png")
    assert read_source(source).digests != before


def test_broken_pictures_and_tables(pictures):
    source = Source(path=pictures, kind="folder", classes=("a", "b"))
    picture((11, 11)).save(pictures / "0.png")
    with pytest.raises(DataError, match="differ in shape"):
        read_source(source)
    picture((10, 11)).save(pictures / "0.png")
    with pytest.raises(DataError, match=r"0\.png must be square, is 10 x 11; crop it"):
        read_source(source)
    (pictures / "0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"cannot read the image .*0\.png"):
        read_source(source)
    (pictures / "labels.csv").write_text("name,class\n0.png,a\n")
    with pytest.raises(DataError, match=r"columns file and label; it has \['name', 'class'\]"):
        read_source(source)
    (pictures / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"cannot read the table of labels .*labels\.csv"):
        read_source(source)


@pytest.fixture
def faulty(pictures):
    """A folder with a picture that is cut off, one that is blank, one without a label, and two good ones."""
    whole = (pictures / "0.png").read_bytes()
    (pictures / "0.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (10, 10), 7).save(pictures / "1.png")
    picture((10, 10), seed=4).save(pictures / "4.png")
    rows = ["0.png,a,o0", "1.png,b,o1", "2.png,,o2", "3.png,b,o3", "4.png,a,o4", "missing.png,a,o5"]
    (pictures / "labels.csv").write_text("file,label,object_id\n" + "\n".join(rows))
    return pictures


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.png,a", r"cannot read the image .*0\.png.*source\.faults = 'skip'"),
        ("1.png,b", r"1\.png is blank: every value is 7"),
        ("2.png,", r"2\.png has no label"),
        ("missing.png,a", r"cannot read the image .*missing\.png"),
    ],
)
def test_a_faulty_picture_is_named(faulty, row, message):
    (faulty / "labels.csv").write_text(f"file,label\n3.png,b\n4.png,a\n{row}\n")
    with pytest.raises(DataError, match=message):
        read_source(Source(path=faulty, kind="folder", classes=("a", "b")))


def test_faulty_pictures_can_be_left_out(faulty, caplog):
    dataset = read_source(Source(path=faulty, kind="folder", classes=("a", "b"), faults="skip"))
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.object_ids.tolist() == ["o3", "o4"]
    np.testing.assert_array_equal(dataset.images[1], np.moveaxis(np.asarray(picture((10, 10), seed=4)), -1, 0))
    words = {"0.png": "cannot read", "1.png": "is blank", "2.png": "has no label", "missing.png": "cannot read"}
    assert [path.rpartition("/")[2] for path in dataset.rejects] == list(words)
    assert all(word in reason for word, reason in zip(words.values(), dataset.rejects.values(), strict=True))
    assert "source: 4 of 6 images are left out" in caplog.text


def test_nothing_but_faults(faulty):
    (faulty / "labels.csv").write_text("file,label\n1.png,a\n2.png,\n")
    with pytest.raises(DataError, match=r"source: none of 2 images can be used: .*1\.png is blank.*; .*2\.png has no"):
        read_source(Source(path=faulty, kind="folder", classes=("a", "b"), faults="skip"))


@pytest.fixture
def arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5 * 2 * 4 * 4, dtype=np.float64).reshape(5, 2, 4, 4))
    np.save(tmp_path / "y.npy", np.array([0, 1, 1, 0, 1]))
    return Source(path=tmp_path / "x.npy", labels=tmp_path / "y.npy", kind="arrays", classes=("no", "yes"))


def test_pair_of_arrays(arrays):
    dataset = read_source(arrays)
    assert dataset.images.dtype == np.float32
    assert dataset.images[4, 1, 3, 3] == 159
    assert dataset.names.tolist() == ["no", "yes", "yes", "no", "yes"]
    assert len(set(dataset.object_ids)) == 5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("y.npy", np.array([0, 1]), "expected 5 whole numbers, got int64"),
        ("y.npy", np.array([0, 1, 0.5, 0, 1]), "expected whole numbers; 1 are none, as that of image 2, 0.5"),
        ("y.npy", np.array([0, 1, 2, 0, 1]), "run from 0 to 2, source.classes names 2 classes"),
        ("x.npy", np.zeros((5, 4, 4, 2)), r"must have the shape \(n, bands, N, N\)"),
        ("y.npy", np.array(["no", "yes", "no", "no", "yes"]), "y.npy must be one .npy array of numbers, holds <U3"),
        ("x.npy", np.zeros((5, 2, 4, 4), dtype=complex), "x.npy must be one .npy array of numbers, holds complex128"),
        ("x.npy", np.array([{}] * 5, dtype=object), "cannot read .*x.npy"),
    ],
)
def test_arrays_that_do_not_fit(arrays, name, content, message):
    np.save(arrays.path.parent / name, content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_source(arrays)


def test_several_arrays_in_one_file_are_none(arrays):
    with arrays.path.open("wb") as file:
        np.savez(file, a=np.zeros((5, 2, 4, 4)), b=np.zeros(5))
    with pytest.raises(DataError, match="holds several arrays"):
        read_source(arrays)


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32"])
def test_pictures_of_more_than_8_bits_keep_their_values(tmp_path, kind):
    stored = (np.arange(4096).reshape(64, 64) * 10 / (40960 if kind == "float32" else 1)).astype(kind)
    Image.fromarray(stored).save(tmp_path / "deep.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.tif"), stored[None].astype(np.float32))
    halved = read_picture(tmp_path / "deep.tif", size=32)
    assert halved.shape == (1, 32, 32)
    assert halved.mean() == pytest.approx(stored.mean(), rel=0.01)


@pytest.mark.parametrize("bands", [3, 4])
def test_colours_of_16_bits_are_not_cut_to_8(tmp_path, bands):
    cv2.imwrite(str(tmp_path / "deep.png"), np.arange(64 * bands, dtype=np.uint16).reshape(8, 8, bands))
    with pytest.raises(DataError, match=r"deep\.png: it has 16 bits a colour, of which 8 would be lost"):
        read_picture(tmp_path / "deep.png")


def test_pictures_that_are_not_finite_are_refused(tmp_path):
    stored = np.ones((8, 8), dtype=np.float32)
    stored[2, 2] = np.nan
    Image.fromarray(stored).save(tmp_path / "nan.tif")
    with pytest.raises(DataError, match=r"nan\.tif holds values that are not finite"):
        read_picture(tmp_path / "nan.tif")
