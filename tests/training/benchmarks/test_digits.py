import gzip
import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from galmorph.cutout_set import PIXEL_VALUES, read_cutout_set
from galmorph.errors import DataError

SCRIPT = Path(__file__).parents[3] / "training" / "benchmarks" / "digits.py"


@pytest.fixture(scope="module")
def digits():
    spec = importlib.util.spec_from_file_location("digits", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mass_centre(images):
    rows, columns = np.mgrid[: images.shape[-2], : images.shape[-1]]
    mass = images.sum(axis=(-2, -1))
    return np.stack([(images * rows).sum(axis=(-2, -1)) / mass, (images * columns).sum(axis=(-2, -1)) / mass])


def box(images):
    """Rows and columns that a digit takes."""
    ink = images > 0.2
    return np.array([ink.any(axis=-1).sum(axis=-1).mean(), ink.any(axis=-2).sum(axis=-1).mean()])


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    mnist = rng.integers(0, 256, (20, 785))
    mnist[:, -1] = np.arange(20) % 10
    with gzip.open(tmp_path / "mnist_5k.csv.gz", "wt") as file:
        pd.DataFrame(mnist).to_csv(file, header=False, index=False)
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        for part, n in (("train", 20), ("test", 10)):
            file[f"{part}/data"] = rng.random((n, 256)).astype(np.float32)
            file[f"{part}/target"] = np.arange(n, dtype=np.int32) % 10
    return tmp_path


def test_closed_and_open_sets(digits, files):
    made = digits.make_digits(files, files / "out")
    assert made["mnist"].counts == {str(digit): 2 for digit in range(10)}
    assert made["usps"].counts == {str(digit): 3 for digit in range(10)}
    assert made["mnist_0to5"].counts == {str(digit): 2 for digit in range(6)}
    assert made["usps_0to5"].dropped == dict.fromkeys("6789", 3)
    usps, known = read_cutout_set(files / "out" / "usps"), read_cutout_set(files / "out" / "usps_0to5")
    assert usps.meta["unit"] == PIXEL_VALUES
    assert usps.images.shape == (30, 1, 28, 28)
    assert set(known.labels["object_id"]) < set(usps.labels["object_id"])
    mnist = read_cutout_set(files / "out" / "mnist")
    expected = pd.read_csv(files / "mnist_5k.csv.gz", header=None).to_numpy()[3, :-1].reshape(28, 28) / 255
    np.testing.assert_allclose(mnist.images[3, 0], expected, atol=1e-6)


def test_a_digit_is_centred_by_its_mass(digits):
    image = np.zeros((16, 16), dtype=np.float32)
    image[2:14, 2:8] = 1  # left of the middle
    frame = digits.to_mnist_frame(image)
    assert frame.shape == (28, 28)
    np.testing.assert_allclose(mass_centre(frame), 14, atol=0.5)
    assert frame.sum() == pytest.approx(image.sum() * (20 / 16) ** 2, rel=0.05)


def test_other_tables_are_refused(digits, files):
    pd.DataFrame(np.zeros((3, 65))).to_csv(files / "mnist_5k.csv.gz", header=False, index=False)
    with pytest.raises(DataError, match="expected 784 pixels and a digit in each row, got 65 columns"):
        digits.make_digits(files, files / "out")


@pytest.mark.real
def test_real_digits_have_one_geometry(digits, real_data, tmp_path):
    made = digits.make_digits(real_data / "digits", tmp_path)
    assert made["mnist"].counts == {str(digit): 500 for digit in range(10)}
    assert sum(made["usps"].counts.values()) == 9298
    mnist, usps = (np.asarray(read_cutout_set(tmp_path / name).images[:, 0]) for name in ("mnist", "usps"))
    np.testing.assert_allclose(mass_centre(usps).mean(axis=1), mass_centre(mnist).mean(axis=1), atol=0.15)
    np.testing.assert_allclose(box(usps), box(mnist), rtol=0.15)
    assert (usps.min(), mnist.min()) == (0, 0)
    np.testing.assert_allclose([usps.max(), mnist.max()], 1)
