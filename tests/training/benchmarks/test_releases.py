"""The pieces of the rehearsals of releases; the rehearsals themselves take hours."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_bundle import make_bundle
from make_cutouts import make_cutouts

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.label_tables import read_label_table

SCRIPTS = Path(__file__).parents[3] / "training" / "benchmarks"


@pytest.fixture(scope="module")
def releases():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import releases

        yield releases
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture
def data(tmp_path):
    """Two sets as the mocks are, by name."""
    for number, name in enumerate(("y1", "y10")):
        cutouts = read_cutout_set(make_cutouts(tmp_path / name, each=150, size=8, seed=number))
        words = np.repeat(["spiral", "elliptical", "merger"], 200)
        table = cutouts.labels.assign(label=words, ra=np.arange(600) / 10, dec=1.0)
        write_cutout_set(tmp_path / name, np.array(cutouts.images), table, cutouts.meta)
    return tmp_path


def test_twenty_are_spoiled(releases):
    assert len(releases.SPOILED_DATA) + len(releases.SPOILED_CALIBRATION) == 20


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_labels_are_shuffled(releases, data, share):
    releases.shuffled(share, 1)(data / "y1", data / "out")
    before, after = (read_cutout_set(data / name) for name in ("y1", "out"))
    assert after.labels["label"].value_counts().to_dict() == before.labels["label"].value_counts().to_dict()
    # Of those that are shuffled a third finds its own class again.
    moved = (before.labels["label"] != after.labels["label"]).mean()
    assert moved == pytest.approx(share * 2 / 3, abs=0.06)
    np.testing.assert_array_equal(before.images, after.images)


def test_bands_are_reordered(releases, data):
    releases.reordered((2, 1, 0))(data / "y1", data / "out")
    before, after = (read_cutout_set(data / name) for name in ("y1", "out"))
    np.testing.assert_array_equal(after.images[:, 0], before.images[:, 2])
    assert after.meta["bands"] == before.meta["bands"]


def test_a_calibration_is_broken(releases, tmp_path):
    bundle = make_bundle(tmp_path / "model", ["g", "r"])
    broken = load_bundle(releases.spoil_calibration(bundle.path, tmp_path / "broken", 10.0, 0.5)).manifest
    assert broken.temperature == 10 * bundle.manifest.temperature
    assert broken.unknown.threshold == 0.5 * bundle.manifest.unknown.threshold


def test_the_person_is_right_nine_times_in_ten(releases, data):
    rehearsal = releases.REHEARSALS["y1-y10"]
    table = read_label_table(releases.person(data, "y10", rehearsal.classes, data / "labels.csv"), rehearsal.classes)
    assert len(table) == releases.LABELS
    true = read_cutout_set(data / "y10").labels.set_index("object_id")["label"]
    # A guess is right in a third of the cases.
    right = (table["label"].to_numpy() == true[table["object_id"]].to_numpy()).mean()
    assert right == pytest.approx(0.9 + 0.1 / 3, abs=0.04)


def test_a_release_is_described(releases, data):
    tiles = data / "y10-survey" / "tiles"
    tiles.mkdir(parents=True)
    for name in ("a", "b"):
        for band in "gri":
            (tiles / f"{name}-{band}.fits.fz").touch()
    release = releases.describe("y1-y10", data, data, 1, 10)
    assert [Path(file).name for file in release.tiles.inputs] == ["a-g.fits.fz", "a-i.fits.fz", "a-r.fits.fz"]
    assert release.adapt.recipe == data / "recipe.toml"
    assert release.register.promote


def test_a_catalogue_is_measured_on_the_tiles_that_it_has(releases, data, monkeypatch):
    truth = pd.DataFrame(
        {
            "ra": [10.0, 10.1, 10.2, 10.3], "dec": 0.0, "tile": ["a", "a", "a", "b"],
            "fine_class": ["tight_spiral", "round_smooth", "star", "merging"],
            "label": ["tight_spiral", "round_smooth", "", "merging"],
        }
    )  # fmt: skip
    (data / "y10-survey").mkdir()
    truth.to_parquet(data / "y10-survey" / "truth.parquet")
    rows = pd.DataFrame({"ra": [10.0, 10.1], "dec": 0.0, "tile": "a", "label": ["spiral", "merger"], "unknown": False,
                         "entropy": 0.1, "energy": 0.1, "anomaly_score": 0.1, "primary": True})  # fmt: skip

    class Opened:
        def to_pandas(self):
            return rows

    monkeypatch.setattr(releases.galmorph, "open_catalog", lambda _: Opened())
    found = releases.accuracy(data, data, "y10", releases.REHEARSALS["y1-y10"])
    assert found["objects"] == 2
    assert found["accuracy"] == 0.5
