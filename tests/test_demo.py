"""The demonstration: what it shows is true, and computed then and there."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial import cKDTree

import galmorph
from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.demo import TOP, data_folder
from galmorph.surveys import find_tiles, load_survey
from galmorph.truth import compare

LARGEST = 5 * 10**6


def size(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demonstration by the command line: its folder and what the screen said."""
    out = tmp_path_factory.mktemp("demo") / "run"
    result = subprocess.run(
        [sys.executable, "-m", "galmorph", "demo", "--out", str(out)],
        capture_output=True, text=True, timeout=240, env=os.environ | {"COLUMNS": "160"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def test_the_embedded_data_is_small():
    assert size(data_folder() / "data") < LARGEST
    assert size(data_folder() / "model") < LARGEST


def test_the_embedded_tiles_are_a_survey():
    sources, unusable = find_tiles([data_folder() / "data" / "tiles"], load_survey("mock-decals"))
    assert len(sources) == 2
    assert not unusable
    assert all(path.name.endswith(".fits.fz") for source in sources for path in source.files)


def test_the_truth_has_every_kind():
    truth = pd.read_parquet(data_folder() / "data" / "truth.parquet")
    assert set(truth["label"]) == {"", "spiral", "elliptical", "edge_on", "merger", "lens", "star"}


def test_the_embedded_model_never_saw_a_lens_and_says_what_it_is():
    bundle = load_bundle(data_folder() / "model")
    assert bundle.manifest.private_classes == ["lens"]
    assert "lens" not in bundle.manifest.classes
    assert re.search(r"demonstration", (bundle.path / "README.md").read_text())
    assert max(bundle.manifest.parity["logits"], bundle.manifest.parity["features"]) < 1e-3
    assert bundle.manifest.training["seed"] < 1000  # seeds from 1000 on are for evaluation


def test_the_screen_shows_what_was_promised(shown):
    out, text = shown
    for wanted in ("primary objects", "best lens candidates", "best merger candidates", "unknown", "lsdb", "duckdb"):
        assert wanted in text, wanted
    assert str(out / "catalog") in text.replace("\n", "")
    assert str(out / "candidates.png") in text.replace("\n", "")
    assert len(re.findall(r"^ *\d+ +-?\d+\.\d+ +\d+\.\d+ +[+-]", text, re.MULTILINE)) == 2 * TOP


def test_the_numbers_are_those_of_catalogue_and_truth(shown):
    out, text = shown
    catalog = galmorph.open_catalog(out / "catalog")
    rows = catalog.query('SELECT ra, dec, label, unknown, entropy, energy, anomaly_score FROM catalog WHERE "primary"')
    truth = pd.read_parquet(data_folder() / "data" / "truth.parquet")
    report = compare(rows.to_pandas(), truth, catalog.classes)
    assert f"{100 * report.completeness:.1f} % detected" in text
    assert f"accuracy {report.accuracy:.3f}" in text
    assert f"entropy {report.unknown_auroc['entropy']:.3f}" in text
    assert report.completeness > 0.9
    assert report.mean_recall > 0.85
    assert max(report.unknown_auroc.values()) > 0.7


def test_overlapping_tiles_give_one_primary_row_each(shown):
    out, _ = shown
    rows = galmorph.open_catalog(out / "catalog").to_pandas()
    primary = rows[rows["primary"]]
    assert 0 < len(rows) - len(primary) < 0.3 * len(rows)
    offsets = np.stack([primary["ra"] * np.cos(np.radians(primary["dec"])), primary["dec"]], axis=1) * 3600
    assert len(cKDTree(offsets).query_pairs(0.9)) == 0


def test_the_picture_shows_twenty_candidates(shown):
    out, _ = shown
    with Image.open(out / "candidates.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert picture.width > 5 * 160
    rows = pixels.shape[0] // 4
    assert all(pixels[i * rows : i * rows + 160].std() > 10 for i in range(4))


def test_a_second_demonstration_is_at_hand_at_once(shown):
    out, _ = shown
    before = (out / "catalog" / "hats.properties").stat().st_size
    main(["demo", "--out", str(out)])
    assert json.loads((out / "report.json").read_text())["resumed"] == 2
    assert (out / "catalog" / "hats.properties").stat().st_size == before
