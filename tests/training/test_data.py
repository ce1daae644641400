import numpy as np
import pandas as pd
import pytest
from make_cutouts import make_cutouts
from PIL import Image

from galmorph.errors import DataError
from galmorph.training.data import PRIVATE, UNLABELLED, read_source
from galmorph.training.options import Source

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


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(4):
        Image.fromarray(rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)).save(tmp_path / f"{n}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,a\n3.png,\n")
    return tmp_path


def test_folder_of_pictures(pictures):
    dataset = read_source(Source(path=pictures, kind="folder", classes=("a", "b"), bands=("red", "green", "blue")))
    assert dataset.images.shape == (4, 3, 10, 10)
    expected = np.asarray(Image.open(pictures / "1.png"))[:, :, 2]
    np.testing.assert_array_equal(dataset.images[1, 2], expected)
    assert dataset.labels.tolist() == [0, 1, 0, UNLABELLED]
    assert dataset.object_ids.tolist() == ["0", "1", "2", "3"]
    assert dataset.facts == {"bands": ["red", "green", "blue"]}


def test_folder_resizes_and_takes_object_identifiers(pictures):
    (pictures / "other.csv").write_text("file,label,object_id\n0.png,a,x\n1.png,b,y\n2.png,a,x\n")
    source = Source(path=pictures, kind="folder", classes=("a", "b"), labels=pictures / "other.csv", size=6)
    dataset = read_source(source)
    assert dataset.images.shape == (3, 3, 6, 6)
    assert dataset.object_ids.tolist() == ["x", "y", "x"]


def test_changed_pictures_have_another_digest(pictures):
    source = Source(path=pictures, kind="folder", classes=("a", "b"))
    before = read_source(source).digests
    Image.new("RGB", (10, 10)).save(pictures / "0.png")
    assert read_source(source).digests != before


def test_broken_pictures_and_tables(pictures):
    source = Source(path=pictures, kind="folder", classes=("a", "b"))
    Image.new("RGB", (11, 11)).save(pictures / "0.png")
    with pytest.raises(DataError, match="differ in shape"):
        read_source(source)
    Image.new("RGB", (11, 10)).save(pictures / "0.png")
    with pytest.raises(DataError, match=r"0\.png must be square, is 10 x 11; set source\.size"):
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
        ("y.npy", np.array([0, 1, 0.5, 0, 1]), "expected 5 whole numbers, got float64"),
        ("y.npy", np.array([0, 1, 2, 0, 1]), "run from 0 to 2, source.classes names 2 classes"),
        ("x.npy", np.zeros((5, 4, 4, 2)), r"must have the shape \(n, bands, N, N\)"),
        ("x.npy", np.array([{}] * 5, dtype=object), "cannot read .*x.npy"),
    ],
)
def test_arrays_that_do_not_fit(arrays, name, content, message):
    np.save(arrays.path.parent / name, content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_source(arrays)
