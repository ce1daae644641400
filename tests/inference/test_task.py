"""One tile: what of it is scored, what is rejected and why, and what the rows say."""

import hashlib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from make_bundle import make_bundle
from make_sky import BANDS, make_tile, tile_wcs

from galmorph import flags
from galmorph.cutouts import Cutouts, field_cutouts
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import RunError, TileUnavailableError
from galmorph.inference.config import run_config
from galmorph.inference.journal import Account, Journal
from galmorph.inference.line import Line
from galmorph.inference.records import tile_record
from galmorph.inference.task import MASKED_FRACTION, _flags, object_ids, process_tile
from galmorph.sky import pixel_to_sky
from galmorph.surveys import find_tiles, load_survey
from galmorph.tiles import read_tile

SIZE = 160


class Session:
    """Answers without a graph: logits that tell objects apart, and for those in `odd` one number that is none."""

    def __init__(self, odd=()):
        self.line, self.batch, self.seen, self.odd, self.images = Line(), 2, 0, dict(odd), []

    def predict(self, images):
        self.images.extend(images)
        numbers = np.arange(self.seen, self.seen + len(images))
        self.seen += len(images)
        logits = np.stack([numbers, -numbers, numbers * 0, numbers * 0 + 1], axis=1).astype(np.float32)
        features = np.tile(numbers[:, None] + 1, (1, 2 * images.shape[1])).astype(np.float32)
        for number, (where, value) in self.odd.items():
            {"logits": logits, "features": features}[where][numbers == number, 2] = value
        return logits, features


@pytest.fixture
def run(tmp_path):
    """What `process_tile` takes, of a tile of which a quarter has no data, and four positions on it and one beside."""
    files = make_tile(tmp_path / "tiles", "t", size=SIZE)
    for path in files:
        with fits.open(path, mode="update") as hdus:
            hdus["INVVAR"].data[:80, :80] = 0
    survey, bundle = load_survey("mock-decals"), make_bundle(tmp_path / "model", list(BANDS))
    (source,), _ = find_tiles([tmp_path / "tiles"], survey)
    x, y = np.array([110.0, 40.0, 120.0, 130.0, 500.0]), np.array([110.0, 40.0, 50.0, 120.0, 80.0])
    ra, dec = pixel_to_sky(tile_wcs(150.0, 2.0, SIZE), x, y)
    positions = pd.DataFrame({"source_id": list("abcde"), "ra": ra, "dec": dec, "radius": 4.0})
    config = run_config(bundle, survey, DetectionConfig(), None, embedding=True)
    return source, tile_record(source, {}), config, bundle, Journal(tmp_path / "run"), positions


def process(run, session):
    source, record, config, bundle, journal, positions = run
    return process_tile(source, "key", record, config, bundle, session, journal, positions)


def test_what_is_measured_is_scored_or_rejected_with_the_reason(run):
    report = process(run, Session({0: ("logits", np.nan), 3: ("features", np.inf)}))
    assert report.account == Account("key", detected=4, scored=1, rejected=3) == run[4].account("t")
    assert report.reason == ""
    rows = pq.read_table(run[4].part("t")).to_pylist()
    assert [(row["source_id"], row["number"], row["embedding"][0]) for row in rows] == [("c", 3, 3.0)]
    assert rows[0]["label"] == "elliptical"  # the largest of the third object's logits 2, -2, 0, 1
    no_scores, no_data = "the model gave no finite scores for the cutout", "no pixel of the cutout has valid data"
    rejects = pq.read_table(run[4].reject_file("t")).to_pandas()
    assert rejects["source_id"].tolist() == ["a", "b", "d"]
    assert rejects["number"].tolist() == [1, 2, 4]
    assert rejects["reason"].tolist() == [no_scores, no_data, no_scores]
    assert (rejects["kind"] == "object").all()
    for name in ("ra", "dec"):
        np.testing.assert_allclose(rejects[name], run[5][name].iloc[[0, 1, 3]], atol=1e-9)


def test_rows_hold_what_was_measured_and_scored(run):
    source, record, config, bundle, journal, _ = run
    process((source, record, config, bundle, journal, None), Session())
    rows = pq.read_table(journal.part("t")).to_pandas()
    tile = read_tile(source, config.survey)
    field = extract(tile, config.detection)
    objects, cutouts = field.objects, field_cutouts(field, tile, slice(None), bundle.manifest.framing)
    assert len(rows) == len(objects) > 3
    scores = bundle.score(*Session().predict(cutouts.images))
    measured = ["ra", "dec", "x", "y", "radius", "half_light_radius", "ellipticity", "position_angle", "snr"]
    measured += [f"{name}_{band}" for name in ("flux", "flux_err") for band in BANDS]
    expected = {name: objects[name] for name in ("number", "source_id", *measured)}
    expected |= {"edge_distance": tile.edge_distance(objects["x"], objects["y"]), "cutout_side": cutouts.side}
    expected |= {name: getattr(cutouts, name) for name in ("bad_fraction", "off_edge_fraction")}
    expected |= {f"p_{name}": scores.probabilities[:, k] for k, name in enumerate(bundle.manifest.classes)}
    expected |= {
        name: getattr(scores, name) for name in ("confidence", "entropy", "energy", "unknown", "anomaly_score")
    }
    expected |= {"label": np.array(bundle.manifest.classes)[scores.label], "object_id": object_ids(
        config.survey.name, config.survey.release, "t", objects["number"].to_numpy()
    )}  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_array_equal(rows[name], np.asarray(values).astype(rows[name].to_numpy().dtype), name)
    told = {"survey": "mock-decals", "release": config.survey.release, "tile": "t", "model": "tiny"}
    assert all((rows[name] == value).all() for name, value in told.items())
    assert set(rows) == {*expected, *told, "flags", "embedding"}


def test_a_model_sees_its_own_bands_in_its_own_order(run, tmp_path):
    source, record, config, _, journal, _ = run
    session = Session()
    report = process((source, record, config, make_bundle(tmp_path / "two", ["z", "g"]), journal, None), session)
    assert report.account.scored == len(session.images) > 3
    z, g = np.sum([image for image in session.images if image.sum() > 1], axis=(0, 2, 3))
    assert z / g == pytest.approx(3, rel=0.02)  # as `make_tile` has them


def test_embeddings_of_features_beyond_16_bits_are_the_largest_of_them(run):
    process(run, Session({2: ("features", -1e6)}))
    rows = pq.read_table(run[4].part("t")).to_pylist()
    assert [row["embedding"][2] for row in rows] == [1.0, -65504.0, 4.0]


def test_a_tile_without_objects_is_done(run):
    source, record, config, bundle, journal, positions = run
    report = process((source, record, config, bundle, journal, positions.iloc[4:]), Session())
    assert report.account == Account("key") == journal.account("t")
    assert pq.read_table(journal.part("t")).num_rows == 0


def test_a_model_that_fails_is_no_fault_of_the_tile(run, monkeypatch):
    session = Session()
    monkeypatch.setattr(session, "predict", lambda images: 1 / 0)
    with pytest.raises(RunError, match="scoring failed: division by zero"):
        process(run, session)
    assert run[4].account("t") is None


def test_files_that_change_under_way_are_no_fault_of_the_tile(run):
    run[1]["files"][1]["mtime_ns"] += 1
    with pytest.raises(TileUnavailableError, match=r"t-r\.fits has changed while the run was under way"):
        process(run, Session())
    assert run[4].account("t") is None


def test_flags_of_cutouts_join_those_of_detection():
    few = MASKED_FRACTION
    cutouts = Cutouts(
        images=np.zeros((6, 1, 1, 1), np.float32),
        side=np.ones(6),
        limited=np.array([0, 0, 0, 0, 1, 0], dtype=bool),
        bad_fraction=np.array([0, 0, few * 1.01, few * 0.99, 0, 0], dtype=np.float32),
        off_edge_fraction=np.array([0, 1e-6, 0, 0, 0, 0], dtype=np.float32),
        missing_band=np.array([0, 0, 0, 1, 0, 0], dtype=bool),
        empty=np.zeros(6, dtype=bool),
    )
    detection = np.array([0, 0, 0, 0, 0, flags.BLENDED], dtype=np.int32)
    assert _flags(detection + flags.LOW_SN, cutouts).tolist() == [
        flags.LOW_SN | bit
        for bit in (0, flags.EDGE, flags.MASKED, flags.MISSING_BAND, flags.SIZE_LIMITED, flags.BLENDED)
    ]
    assert detection.tolist() == [0, 0, 0, 0, 0, flags.BLENDED]


def test_identifiers_are_those_of_survey_release_tile_and_number():
    digest = hashlib.blake2b(b"des\0dr2\0DES0001\x0012", digest_size=8).digest()
    (found,) = object_ids("des", "dr2", "DES0001", np.array([12]))
    assert found == int.from_bytes(digest, "big") // 2
    names = [("des", "dr2", "t"), ("de", "sdr2", "t"), ("des", "dr", "2t"), ("des", "dr2", "t1")]
    every = np.concatenate([object_ids(*name, np.arange(1, 2001)) for name in names])
    assert len(np.unique(every)) == len(every)
    assert (every >= 0).all()
