"""What a run folder tells of its images: pictures of rows, and features of a new image as the run would make them."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from distributed import LocalCluster
from make_bundle import make_bundle
from make_sky import BANDS, make_tile
from PIL import Image

import galmorph
from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.detection import DetectionConfig
from galmorph.errors import DataError, RunError
from galmorph.inference.records import tile_records
from galmorph.run_folder import draw_rows, features_of_image, open_run
from galmorph.surveys import find_tiles, load_survey, survey_names

SURVEY = "mock-decals"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over two tiles, with embeddings, and its bundle."""
    folder = tmp_path_factory.mktemp("run")
    bundle = make_bundle(folder / "model", list(BANDS))
    for i in range(2):
        make_tile(folder / "tiles", f"tile{i}", ra=150.0 + i * 128 * 0.262 / 3600, seed=i)
    addresses = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", **addresses) as cluster:
        address = cluster.scheduler_address
        galmorph.classify(folder / "tiles", SURVEY, bundle, folder / "run", scheduler=address, embedding=True)
    return folder


@pytest.mark.parametrize("name", [name for name in survey_names() if name != "generic"])
def test_a_recorded_profile_is_the_profile(name, tmp_path):
    survey = load_survey(name)
    document = {"config": {"survey": survey.to_dict(), "detection": {"threshold": 2.0}}, "tiles": {}}
    (tmp_path / "run.json").write_text(json.dumps(document))
    opened = open_run(tmp_path)
    assert opened.survey == survey
    assert opened.detection == DetectionConfig(threshold=2.0)


def test_the_tiles_of_a_run_are_found_again(run):
    for path in (run / "run", run / "run" / "catalog"):
        assert [source.name for source in open_run(path).sources] == ["tile0", "tile1"]


def test_tiles_that_are_links_into_a_store_are_found_again(tmp_path):
    for i, path in enumerate(make_tile(tmp_path / "tiles", "tile0")):
        path.rename(tmp_path / f"{i}.bin")
        path.symlink_to(tmp_path / f"{i}.bin")
    survey = load_survey(SURVEY)
    sources, _ = find_tiles([tmp_path / "tiles"], survey)
    settings = {"survey": survey.to_dict(), "detection": {}}
    (tmp_path / "run.json").write_text(json.dumps({"config": settings, "tiles": tile_records(sources, {})}))
    assert open_run(tmp_path).sources == tuple(sources)


def test_features_of_an_image_are_those_of_the_run(run):
    """The object nearest to the centre of a tile, given as an image, finds itself in the catalogue."""
    survey, bundle = load_survey(SURVEY), load_bundle(run / "model")
    features = features_of_image(run / "tiles" / "tile1-g.fits", bundle, survey, DetectionConfig())
    catalog = galmorph.open_catalog(run / "run" / "catalog")
    rows = catalog.to_pandas(["tile", "x", "y", "embedding", "object_id"])
    rows = rows[rows["tile"] == "tile1"]
    middle = rows.loc[np.hypot(rows["x"] - 79.5, rows["y"] - 79.5).idxmin()]
    np.testing.assert_allclose(features[0], middle["embedding"], rtol=2e-3)  # float16 in the catalogue
    found = catalog.similar(features=features, top=3)
    assert found["similarity"][0].as_py() == pytest.approx(1, abs=1e-4)


def test_the_command_draws_what_it_found(run, tmp_path, capsys):
    catalog, image = run / "run" / "catalog", run / "tiles" / "tile0-r.fits"
    main(
        ["catalog", "similar", str(catalog), "--to-image", str(image), "--model", str(run / "model"), "--top", "6",
         "--mosaic", str(tmp_path / "m.png"), "--format", "csv"]
    )  # fmt: skip
    assert len(capsys.readouterr().out.splitlines()) == 7
    with Image.open(tmp_path / "m.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert picture.width > 5 * 128
    assert pixels[:128, :128].std() > 5


def test_what_cannot_be_an_example_is_told_in_words(run, tmp_path, capsys):
    survey, bundle = load_survey(SURVEY), load_bundle(run / "model")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.txt is not one image of survey mock-decals"):
        features_of_image(tmp_path / "notes.txt", bundle, survey, DetectionConfig())
    make_tile(tmp_path / "blank", "blank", objects=0)
    with pytest.raises(DataError, match="shows no object"):
        features_of_image(tmp_path / "blank" / "blank-g.fits", bundle, survey, DetectionConfig())
    other = make_bundle(tmp_path / "other", list(BANDS), classes=["a", "b"])
    image = str(run / "tiles" / "tile0-r.fits")
    for options, words in (
        (["--to-image", image], "needs the model that made the catalogue"),
        (["--to-image", image, "--model", str(other.path)], "is not the model that the catalogue was made with"),
    ):
        with pytest.raises(SystemExit):
            main(["catalog", "similar", str(run / "run" / "catalog"), *options])
        assert words in capsys.readouterr().err


def test_pictures_need_rows_and_tiles(run, tmp_path):
    rows = galmorph.open_catalog(run / "run" / "catalog").candidates("unknown", 3)
    with pytest.raises(DataError, match="no rows to show"):
        draw_rows(open_run(run / "run"), rows.slice(0, 0), [], tmp_path / "m.png")
    shutil.copytree(run / "run", tmp_path / "run")
    record = (tmp_path / "run" / "run.json").read_text().replace(str(run / "tiles"), str(tmp_path / "gone"))
    (tmp_path / "run" / "run.json").write_text(record)
    row = pa.table({"tile": ["tile0"], "x": [10.0], "y": [10.0], "radius": [2.0]})
    with pytest.raises(DataError, match=r"^the files of tile tile0 are not any more where .*run.json says"):
        draw_rows(open_run(tmp_path / "run"), row, ["a"], tmp_path / "m.png")
    with pytest.raises(RunError, match="lies in no run folder"):
        open_run(tmp_path / "nothing" / "catalog")
