"""Predictions: by hand for made-up measurements, and through the command on a small survey."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

from galmorph import pipeline
from galmorph.cli import main
from galmorph.errors import BundleError, RunError
from galmorph.inference import measure
from galmorph.inference.plan import Done, Measurement, Plan, _spread, all_file_bytes, choose_sample, predict
from galmorph.pipeline import plan
from galmorph.surveys import Stripe, find_tiles, load_survey


class Source:
    """As much of a tile as a plan looks at."""

    def __init__(self, folder: Path, name: str, size: int, stripe: Stripe | None = None) -> None:
        self.name, self.files, self.stripe = name, (folder / name.partition("@")[0],), stripe
        self.files[0].write_bytes(b"x" * size)


@pytest.fixture
def sources(tmp_path):
    return [Source(tmp_path, f"tile{i}", 1000 * (i + 1)) for i in range(10)]


def test_a_sample_goes_from_small_to_large_whatever_the_order(sources):
    assert [source.name for source in choose_sample(sources, 3)] == ["tile1", "tile5", "tile8"]
    assert choose_sample(sources[::-1], 3) == choose_sample(sources, 3)
    assert choose_sample(sources, 10) == choose_sample(sources, 99) == sources
    with pytest.raises(RunError, match="at least 1 tile, got 0"):
        choose_sample(sources, 0)


#: Two workers, one second for 1000 bytes in each; 3 s until the first pair is done, of which 2 s are the start.
STEADY = Measurement(
    workers=2,
    threads=3,
    in_progress=2,
    files=0.5,
    file_bytes=6000,
    seconds=6.5,
    done=[Done(at, 1000, 1.0) for at in (3.5, 3.5, 4.5, 4.5, 5.5, 5.5)],
    objects=60,
    disk=1200,
    memory=700,
    catalogue=2.0,
    catalogue_per_object=0.01,
    catalogue_disk=500,
    catalogue_disk_per_object=3,
)


def test_a_steady_survey_is_predicted_by_hand(sources):
    plan = predict(STEADY, sources)
    assert (plan.tiles, plan.bytes, plan.sampled) == (10, 55_000, 6)
    # After the first two, four tiles of 1000 bytes in two seconds: half a second for each, with two workers.
    assert plan.work == pytest.approx(55.0)
    # Files: 0.5 s for 6000 of 55,000 bytes. Start: 6.5 - 0.5 - 3. Catalogue: 2 s and 490 objects more.
    assert plan.objects == 550
    assert plan.serial == pytest.approx(0.5 * 55 / 6 + 3.0 + 2.0 + 4.9)
    assert plan.seconds() == pytest.approx(plan.serial + 27.5)
    assert plan.seconds(1) == pytest.approx(plan.serial + 55)
    assert plan.seconds(1000) == plan.seconds(10)
    assert plan.core_hours() == pytest.approx(2 * 3 * plan.seconds() / 3600)
    # Parts go with the bytes of the tiles; the catalogue has what it begins with, and 490 objects more.
    assert (plan.disk, plan.memory, plan.spread) == (11_000 + 500 + 1470, 700, 0)


def test_the_files_of_stripes_are_known_once(tmp_path):
    stripes = [Stripe((i * 25, i * 25 + 25), (0, 100), (100, 9)) for i in range(4)]
    sources = [Source(tmp_path, f"tile{k}@{i}", 6000, stripe) for k in range(4) for i, stripe in enumerate(stripes)]
    assert all_file_bytes(sources) == 24_000
    done = [replace(tile, bytes=1500) for tile in STEADY.done[:3]]
    # Of three of four tiles a stripe each was measured, and their files were read in 6 s: those of all take 8 s.
    plan = predict(replace(STEADY, done=done, in_progress=1, files=6.0, file_bytes=18_000, seconds=12.0), sources)
    start = 12.0 - 6.0 - plan.work / 2 * 4500 / 24_000
    assert plan.serial == pytest.approx(start + 8.0 + 2.0 + 0.01 * (plan.objects - 60))


def test_positions_outside_of_all_tiles_take_their_disk_once(sources):
    more = replace(STEADY, disk=1200 + 5000, disk_once=5000)
    assert predict(more, sources).disk == predict(STEADY, sources).disk + 5000


def test_workers_for_a_deadline(sources):
    plan = predict(STEADY, sources)
    assert plan.workers_for(plan.serial + 27.5) == 2
    assert plan.workers_for(plan.serial + 27.4) == 3
    assert plan.workers_for(1e6) == 1
    for deadline in (plan.serial, plan.serial + 1):  # eleven times a tile's 5.5 s would need more workers than tiles
        with pytest.raises(RunError, match="no number of workers is enough"):
            plan.workers_for(deadline)


def test_a_sample_of_one_tile_counts_everything_as_work(sources):
    measured = Measurement(1, 1, 1, 0.0, 1000, 4.0, [Done(3.0, 1000, 1.0)], objects=1, disk=1, memory=1)
    plan = predict(measured, sources)
    assert (plan.work, plan.serial, plan.spread) == (pytest.approx(4 * 55), 0, math.inf)


def test_tiles_that_differ_make_the_prediction_uncertain(sources):
    done = [Done(1, 1000, 1.0), Done(2, 1000, 3.0)]
    plan = predict(Measurement(1, 1, 1, 0.0, 2000, 3.0, done), sources)
    # Residuals -1 and 1 around the ratio: variance 2, over 2 tiles, by the mean 2, twice.
    assert plan.spread == pytest.approx(2 * math.sqrt(2 / 2) / 2)


@pytest.mark.parametrize(
    ("work", "spread"),
    [
        # 0.1 for a byte, off by 0, 2 and -2: a variance of 4, of three tiles of 20 on average.
        ([10.0, 22.0, 28.0], 2 * math.sqrt(4 / 3) / 20),
        ([10.0, 20.0, 30.0], 0.0),
        ([10.0], math.inf),
        ([0.0, 0.0, 0.0], math.inf),
    ],
)
def test_two_standard_errors_by_hand(work, spread):
    done = [Done(at=float(i), bytes=100 * (i + 1), work=seconds) for i, seconds in enumerate(work)]
    assert _spread(done) == pytest.approx(spread)


def test_nothing_measured_is_told(sources):
    with pytest.raises(RunError, match="no tile of the sample could be measured"):
        predict(Measurement(1, 1, 1, 0.0, 0, 1.0), sources)


def test_the_command_says_what_a_survey_takes(tmp_path, capsys):
    for i in range(3):
        make_tile(tmp_path / "tiles", f"tile{i}", ra=150 + i * 0.1, seed=i, size=112, objects=5)
    make_bundle(tmp_path / "model", list(BANDS))
    arguments = ["plan", str(tmp_path / "tiles"), "--survey", "mock-decals", "--model", str(tmp_path / "model")]
    main([*arguments, "--workers", "1", "--sample", "2", "--deadline", "12h", "--price", "3600"])
    shown = " ".join(capsys.readouterr().out.split())
    sources, _ = find_tiles([tmp_path / "tiles"], load_survey("mock-decals"))
    size = sum(path.stat().st_size for source in sources for path in source.files)
    assert f"tiles 3 ({size / 1e6:.1f} MB), of which 2 were measured" in shown
    assert "for 12.0 h: 1 workers of " in shown
    assert "cost " in shown
    assert "for each worker" in shown
    assert not [path for path in tmp_path.iterdir() if path.name not in ("tiles", "model")]


def test_a_plan_of_no_tiles_has_no_end():
    plan = Plan(1, 1, 1, 1, 1, serial=5.0, work=1.0, spread=0, objects=1, disk=1, memory=1)
    with pytest.raises(RunError, match=r"take 5 s, and a tile 1 s\. Divide the tiles"):
        plan.workers_for(5.5)


def test_on_gpus_a_worker_is_one_of_them(tmp_path, monkeypatch):
    make_tile(tmp_path / "tiles", "tile0")
    bundle = make_bundle(tmp_path / "model", bands=BANDS, size=16)
    monkeypatch.setattr(measure, "settle_device", lambda device, workers: ("cpu", 1))
    assert plan(tmp_path / "tiles", "mock-decals", bundle, workers=None).workers == 1


def test_disk_of_positions_and_bytes_of_files_are_measured(tmp_path, monkeypatch):
    for i in range(2):
        make_tile(tmp_path / "tiles", f"tile{i}", ra=150 + i * 0.1)
    bundle = make_bundle(tmp_path / "model", bands=BANDS, size=16)
    positions = tmp_path / "p.csv"
    positions.write_text("ra,dec\n" + "".join(f"{i / 100},60\n" for i in range(3000)))
    told = []
    monkeypatch.setattr(
        pipeline, "predict", lambda measured, sources: told.append(measured) or predict(measured, sources)
    )
    plan(tmp_path / "tiles", "mock-decals", bundle, sample=1, positions=positions, workers=1)
    (measured,) = told
    assert measured.file_bytes == sum(path.stat().st_size for path in (tmp_path / "tiles").glob("tile1*"))
    assert 3000 < measured.disk_once < measured.disk
    # But for that, the disk is as that of a run on what lies on no tile: nothing to speak of.
    assert measured.disk - measured.disk_once < 40_000


def test_what_is_measured_has_the_precision_of_the_survey(tmp_path):
    make_tile(tmp_path / "tiles", "tile0")
    bundle = make_bundle(tmp_path / "model", bands=BANDS, size=16)
    with pytest.raises(BundleError, match="int8"):
        plan(tmp_path / "tiles", "mock-decals", bundle, precision="int8")
