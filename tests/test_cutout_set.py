import errno
import json
import resource

import numpy as np
import pandas as pd
import pytest

from galmorph.cutout_set import PIXEL_VALUES, UNIT, read_cutout_set, write_cutout_set
from galmorph.errors import DataError

IMAGES = np.arange(3 * 2 * 4 * 4, dtype=np.float32).reshape(3, 2, 4, 4)
LABELS = pd.DataFrame({"object_id": ["x", "y", "z"], "label": ["a", "", "b"], "ra": [1.0, 2.0, 3.0]})
META = {"survey": "s", "bands": ["g", "r"], "pixel_scale": 0.3, "framing": {"size": 4}, "unit": UNIT, "more": [1]}


@pytest.mark.parametrize("unit", [UNIT, PIXEL_VALUES])
def test_what_is_written_is_read(tmp_path, unit):
    write_cutout_set(tmp_path / "deep" / "set", IMAGES, LABELS, META | {"unit": unit})
    cutouts = read_cutout_set(tmp_path / "deep" / "set")
    np.testing.assert_array_equal(cutouts.images, IMAGES)
    assert isinstance(cutouts.images, np.memmap)
    pd.testing.assert_frame_equal(cutouts.labels, LABELS, check_dtype=False)
    assert cutouts.meta == META | {"unit": unit}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (pd.Categorical(["a", None, "b"]), ["a", "", "b"]),
        ([" a", "  ", "b\t"], ["a", "", "b"]),
        (pd.array([0, None, 1], dtype="Int64"), ["0", "", "1"]),
        ([None, None, None], ["", "", ""]),
    ],
)
def test_labels_are_read_as_words(tmp_path, labels, words):
    write_cutout_set(tmp_path, IMAGES, LABELS.assign(label=labels), META)
    assert read_cutout_set(tmp_path).labels["label"].tolist() == words


def test_any_layout_in_memory_is_written_in_order(tmp_path):
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(IMAGES, 1, -1)), -1, 1)
    write_cutout_set(tmp_path, turned, LABELS, META)
    np.testing.assert_array_equal(read_cutout_set(tmp_path).images, IMAGES)


def test_digests_follow_every_file(tmp_path):
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    before = read_cutout_set(tmp_path).digests()
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    assert read_cutout_set(tmp_path).digests() == before
    write_cutout_set(tmp_path, IMAGES, LABELS, META | {"survey": "t"})
    after = read_cutout_set(tmp_path).digests()
    assert [name for name in after if after[name] != before[name]] == ["dataset.json"]


@pytest.mark.parametrize(
    ("images", "labels", "meta", "message"),
    [
        (IMAGES[:2], LABELS, META, "3 rows of labels for 2 images"),
        (IMAGES[0], LABELS, META, r"must be float32 of shape \(n, bands, N, N\)"),
        (IMAGES[..., :3], LABELS, META, r"must be float32 of shape \(n, bands, N, N\)"),
        (IMAGES.astype(float), LABELS, META, "got float64"),
        (IMAGES, LABELS.drop(columns="label"), META, r"missing: \['label'\]"),
        (IMAGES, LABELS, {k: v for k, v in META.items() if k != "unit"}, r"missing: \['unit'\]"),
        (IMAGES, LABELS, META | {"bands": ["g"]}, "2 bands, the description names"),
        (IMAGES, LABELS.assign(object_id=["x", None, ""]), META, "2 rows of labels have no object_id, .* row 1"),
        (IMAGES, LABELS, META | {"bands": "gr"}, "bands must be a list of words, got 'gr'"),
        (IMAGES, LABELS, META | {"bands": 2}, "bands must be a list of words, got 2"),
        (IMAGES, LABELS, META | {"pixel_scale": "0.2"}, "pixel_scale must be arcsec, more than 0, got '0.2'"),
        (IMAGES, LABELS, META | {"framing": None}, "framing is none, .*; got None"),
        (IMAGES, LABELS, META | {"framing": {"size": 0}}, "framing is none, framing size must be at least 1"),
        (IMAGES, LABELS, META | {"unit": "counts"}, "unit must be 'nanomaggies arcsec-2' or 'pixel values'"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, images, labels, meta, message):
    with pytest.raises(DataError, match=message):
        write_cutout_set(tmp_path / "set", images, labels, meta)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["images.npy", "labels.parquet", "dataset.json"])
def test_missing_and_broken_files(tmp_path, name):
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read as a set of cutouts"):
        read_cutout_set(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"not a set of cutouts: it lacks {name}"):
        read_cutout_set(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    np.save(tmp_path / "images.npy", np.array([{"a": 1}] * 3, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as a set of cutouts"):
        read_cutout_set(tmp_path)


def test_edited_description_is_checked(tmp_path):
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    (tmp_path / "dataset.json").write_text(json.dumps(META | {"bands": ["g", "r", "z"]}))
    with pytest.raises(DataError, match="2 bands"):
        read_cutout_set(tmp_path)


def test_a_set_is_replaced_as_a_whole_or_stays(tmp_path, monkeypatch):
    write_cutout_set(tmp_path, IMAGES, LABELS, META)
    open_elsewhere = read_cutout_set(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", full)
        with pytest.raises(OSError, match="No space left"):
            write_cutout_set(tmp_path, IMAGES[:2], LABELS[:2], META)
    np.testing.assert_array_equal(read_cutout_set(tmp_path).images, IMAGES)
    write_cutout_set(tmp_path, IMAGES[::-1], LABELS[::-1], META)
    np.testing.assert_array_equal(read_cutout_set(tmp_path).images, IMAGES[::-1])
    # What somebody has open, such as a training, is not changed under their hands.
    np.testing.assert_array_equal(open_elsewhere.images, IMAGES)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dataset.json", "images.npy", "labels.parquet"]


def test_images_are_written_as_numpy_writes_them(tmp_path):
    write_cutout_set(tmp_path / "set", IMAGES, LABELS, META)
    np.save(tmp_path / "images.npy", IMAGES)
    assert (tmp_path / "set" / "images.npy").read_bytes() == (tmp_path / "images.npy").read_bytes()


def test_a_full_disk_is_told_as_such(tmp_path):
    images = np.zeros((200, 2, 32, 32), dtype=np.float32)
    labels = pd.DataFrame({"object_id": [str(n) for n in range(200)], "label": ""})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_cutout_set(tmp_path, images, labels, META)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())
