"""The embedded survey is what its command makes, small, and good enough to show something."""

import numpy as np
import pandas as pd
import pytest

from galmorph.demo import data_folder
from galmorph.mocks.demo_survey import DEMO_SEED, DEMO_SKY
from galmorph.mocks.gallery import draw_gallery
from galmorph.mocks.sky import make_sky, tile_grid
from galmorph.surveys import find_tiles, load_survey
from galmorph.taxonomy import CLASS_MAPS, MOCK_CLASSES
from galmorph.tiles import read_tile

DATA = data_folder() / "data"


@pytest.fixture(scope="module")
def truth():
    return pd.read_parquet(DATA / "truth.parquet")


def test_truth_is_the_sky_that_the_code_draws(truth):
    grid = tile_grid(2, DEMO_SEED, DEMO_SKY)
    sky = make_sky(grid, DEMO_SEED, DEMO_SKY)
    pd.testing.assert_frame_equal(truth[list(sky)], sky, check_dtype=False)
    assert {path.name.split("-")[0] for path in (DATA / "tiles").iterdir()} == {tile.name for tile in grid}


def test_it_is_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 4.2e6


def test_every_class_is_there_and_nearly_all_of_it_detected(truth):
    labelled = truth[truth["label"] != ""]
    assert set(labelled["label"]) == set(CLASS_MAPS["shape"].values())
    assert set(labelled["fine_class"]) == set(MOCK_CLASSES)
    counts = labelled["label"].value_counts()
    assert counts["lens"] >= 20
    assert counts["merger"] >= 20
    assert labelled["detected"].mean() > 0.95
    assert labelled["tiles"].str.contains(",").sum() >= 5


def test_tiles_are_whole_and_their_noise_is_as_they_say():
    survey = load_survey("mock-decals")
    sources, rejected = find_tiles([DATA / "tiles"], survey)
    assert (len(sources), rejected) == (2, [])
    tile = read_tile(sources[0], survey)
    assert tile.image.shape == (3, 1000, 1000)
    assert tile.warnings == ()
    for image, weight in zip(tile.image, tile.weight, strict=True):
        # Where no object adds photons; differences of neighbours see the noise and little else.
        empty = weight > 0.98 * weight.max()
        assert empty.mean() > 0.2
        difference = np.diff(image * np.sqrt(weight), axis=1)[empty[:, 1:] & empty[:, :-1]]
        assert difference.std() / np.sqrt(2) == pytest.approx(1.0, abs=0.03)


def test_gallery_draws_a_row_for_each_class(tmp_path):
    from PIL import Image

    path = draw_gallery(tmp_path, "mock-sdss", tiles=1)
    with Image.open(path) as picture:
        assert picture.size == (9 * 116 + 4, len(MOCK_CLASSES) * (112 + 15 + 4) + 4)
        pixels = np.asarray(picture)
    # The first picture of every row shows something.
    for row in range(len(MOCK_CLASSES)):
        assert pixels[4 + row * 131 : 4 + row * 131 + 112, 4:116].max() > 150
