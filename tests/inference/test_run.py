"""A whole run on small tiles: what comes out, what is set aside, and what a run survives."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from distributed import Client, LocalCluster, default_client
from make_bundle import make_bundle
from make_releases import legacysurvey
from make_sky import BANDS, make_tile
from make_tiles import make_wcs, write_bands

import galmorph
from galmorph import pipeline
from galmorph.detection import DetectionConfig
from galmorph.errors import BundleError, GalmorphError, RunError
from galmorph.inference import run
from galmorph.inference.config import RunConfig
from galmorph.inference.journal import INPUTS, POSITIONS, Account, Journal, Reject
from galmorph.inference.task import TileReport
from galmorph.surveys import Rejected, find, load_survey

SURVEY = "mock-decals"

LOOPBACK = {
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "worker_dashboard_address": "127.0.0.1:0",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model", list(BANDS))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Four tiles side by side; neighbours overlap by a fifth."""
    folder = tmp_path_factory.mktemp("tiles")
    for i in range(4):
        make_tile(folder, f"tile{i}", ra=150.0 + i * 128 * 0.262 / 3600, seed=i)
    return folder


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(n_workers=1, threads_per_worker=1, **LOOPBACK) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def finished(tiles, bundle, scheduler, tmp_path_factory):
    """A run that nothing disturbed."""
    return galmorph.classify(tiles, SURVEY, bundle, tmp_path_factory.mktemp("run") / "run", scheduler=scheduler)


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(tiles: Path, bundle, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "galmorph", "classify", str(tiles), "--survey", SURVEY,
        "--model", str(bundle.path), "--out", str(out), *more,
    ]  # fmt: skip


def test_everything_detected_is_scored_or_rejected(finished):
    report = finished.report
    assert report.tiles == 4
    assert report.detected == report.scored + report.rejected
    assert report.scored > 20
    assert not report.rejected_tiles
    rows = finished.catalog.to_pandas()
    assert len(rows) == report.scored == sum(pq.read_metadata(part).num_rows for part in report.parts)
    probabilities = rows[[f"p_{name}" for name in finished.catalog.classes]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def booked(
    folder, tile: str, sources: str, rejected: str = "", detected: int | None = None, warnings: tuple[str, ...] = ()
) -> Journal:
    """A journal in which a tile has a row for each letter of `sources` and a reject for each of `rejected`."""
    journal = Journal(folder)
    count = len(sources) + len(rejected) if detected is None else detected
    rejects = [Reject(tile, "object", "no data", number, name) for number, name in enumerate(rejected)]
    rows = pa.table({"source_id": pa.array(list(sources), pa.string())})
    account = Account(tile, count, len(sources), len(rejected), warnings=warnings)
    journal.write_tile(tile, rows, rejects, account)
    return journal


def balance(journal, *tiles, **options):
    defaults = {"unusable": [], "reports": {}, "begin": 0.0}
    return run._balance(journal, keys={tile: tile for tile in tiles}, **defaults | options)


def test_the_books_are_added_up_from_the_files(tmp_path):
    journal = booked(tmp_path, "two", "abc", "de", warnings=("odd",))
    booked(tmp_path, "one", "", "f")
    set_aside = Account("bad", tile_rejected=True)
    journal.write_rejected_tile("bad", "no WCS", set_aside)
    unusable = [Rejected("junk.fits", tmp_path / "junk.fits", "no image")]
    journal.write_rejects(INPUTS, [Reject("junk.fits", "input", "no image")])
    journal.write_rejects(POSITIONS, [Reject("", "position", "lies in no tile", None, name) for name in "xyz"])
    reports = {
        "two": TileReport("two", Account("two"), seconds={"read": 1.0, "cut": 2.0}, attempts=2),
        "bad": TileReport("bad", set_aside, seconds={"read": 0.5}),
    }
    found = balance(journal, "two", "one", "bad", unusable=unusable, reports=reports)
    assert (found.tiles, found.resumed, found.detected, found.scored, found.rejected) == (4, 1, 6, 3, 3)
    assert found.rejected_tiles == {"junk.fits": "no image", "bad": "no WCS"}
    assert found.rejected_positions == 3
    assert found.parts == [journal.part("one"), journal.part("two")]
    assert (found.retried, found.warnings, found.seconds) == ({"two": 2}, {"two": ("odd",)}, {"read": 1.5, "cut": 2.0})
    assert json.loads((tmp_path / "report.json").read_text())["detected"] == 6


@pytest.mark.parametrize("detected", [2, 4])
def test_books_that_do_not_add_up_are_an_error(tmp_path, detected):
    journal = booked(tmp_path, "t", "ab", "c", detected)
    with pytest.raises(RunError, match=f"tile t: {detected} objects detected, 2 scored and 1 rejected"):
        balance(journal, "t")


def test_a_tile_without_record_of_this_run_is_an_error(tmp_path):
    journal = booked(tmp_path, "t", "ab")
    for keys in ({"t": "another"}, {"t": "t", "u": "u"}):
        with pytest.raises(RunError, match="left no record in"):
            run._balance(journal, [], keys, {}, 0.0)


def test_what_is_not_done_is_pending_and_what_was_set_aside_when_asked_for(tmp_path):
    journal = booked(tmp_path, "done", "ab", "c")
    booked(tmp_path, "stale", "a")
    journal.write_rejected_tile("bad", "no WCS", Account("bad", tile_rejected=True))
    journal.write_rejected_tile("unlucky", "no memory", Account("unlucky", tile_rejected=True, final=False))
    ledger = SimpleNamespace(key=lambda name: "new" if name == "stale" else name)

    def pending(*names, retry_rejected=False):
        sources = [SimpleNamespace(name=name) for name in names]
        return [source.name for source in run._pending(journal, sources, ledger, retry_rejected)]

    assert pending("done", "stale", "bad", "unlucky", "fresh") == ["stale", "unlucky", "fresh"]
    assert pending("done", "bad", "unlucky", retry_rejected=True) == ["bad", "unlucky"]
    with pytest.raises(RunError, match="2 tiles that are not done yet, such as stale"):
        pending("done", "stale", "bad", "fresh", retry_rejected=True)


def test_one_identifier_for_two_positions_is_told_with_what_to_do():
    positions = pd.DataFrame({"source_id": list("abb"), "ra": [1.0, 2.0, 3.0], "dec": 0.0})
    with pytest.raises(RunError, match=r"1 rows of .* the identifier of another, such as 'b'.*; expected .* Give them"):
        run._check_positions(positions)


def test_positions_without_a_row_are_those_in_no_tile_now(tmp_path):
    positions = pd.DataFrame({"source_id": list("abcd"), "ra": [1.0, 2.0, 3.0, 4.0], "dec": 0.0})

    def outside(journal):
        run._reject_positions_outside(journal, positions)
        rejects = journal.rejects().to_pandas().query("kind == 'position'")
        assert rejects["ra"].tolist() == positions.set_index("source_id")["ra"].loc[rejects["source_id"]].tolist()
        return rejects["source_id"].tolist()

    assert outside(booked(tmp_path, "one", "a", "b")) == ["c", "d"]
    assert outside(booked(tmp_path, "two", "c")) == ["d"]
    assert outside(booked(tmp_path, "three", "d")) == []


def test_fluxes_grow_with_the_band(finished):
    rows = finished.catalog.to_pandas()
    bright = rows[rows["snr"] > 50]
    assert len(bright) > 10
    assert (bright["flux_z"] / bright["flux_g"]).median() == pytest.approx(3.0, rel=0.05)
    assert (bright["flux_r"] / bright["flux_g"]).median() == pytest.approx(2.0, rel=0.05)


def test_the_run_records_what_decided_its_rows(finished, bundle):
    record = json.loads((finished.report.folder / "run.json").read_text())
    assert record["config"]["model_sha256"] == bundle.sha256
    assert record["config"]["survey"]["name"] == SURVEY
    assert set(record["tiles"]) == {f"tile{i}" for i in range(4)}
    assert all(len(tile["files"]) == 3 for tile in record["tiles"].values())
    assert (finished.report.folder / "run.toml").exists()


def test_a_second_call_does_nothing_again_and_gives_the_same_bytes(finished, tiles, bundle, scheduler):
    before = digests(finished.path)
    again = galmorph.classify(tiles, SURVEY, bundle, finished.report.folder, scheduler=scheduler)
    assert again.report.resumed == 4
    assert again.report.scored == finished.report.scored
    assert digests(again.path) == before


def test_two_workers_give_the_same_bytes(finished, tiles, bundle, tmp_path):
    other = galmorph.classify(tiles, SURVEY, bundle, tmp_path / "run", workers=2)
    assert digests(other.path) == digests(finished.path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(finished, tiles, bundle, tmp_path, workers):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(tiles, bundle, out, "--workers", str(workers)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("parts/*.parquet")):
        assert process.poll() is None, "the run ended before a part appeared"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("parts/*.parquet")))
    assert not (out / "catalog").exists()
    result = subprocess.run(
        command(tiles, bundle, out, "--workers", str(workers)), capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    assert f"{done} done before" in " ".join(result.stderr.split())
    assert digests(out / "catalog") == digests(finished.path)


def test_an_interrupted_run_says_how_to_go_on(tiles, bundle, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(tiles, bundle, out, "--workers", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - one thread
    )
    while not list(out.glob("parts/*.parquet")):
        assert process.poll() is None, "the run ended before a part appeared"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # to all its processes, as a terminal does
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said


def test_other_settings_are_refused_in_the_same_folder(finished, tiles, bundle, scheduler):
    with pytest.raises(RunError, match="embedding was False and is True"):
        galmorph.classify(tiles, SURVEY, bundle, finished.report.folder, scheduler=scheduler, embedding=True)
    other = DetectionConfig(deblend_levels=16)
    with pytest.raises(RunError, match=r"detection\.deblend_levels was 32 and is 16\. Give"):
        galmorph.classify(tiles, SURVEY, bundle, finished.report.folder, scheduler=scheduler, detection=other)


def test_a_model_of_another_survey_is_told(bundle):
    told = []
    for name, target, words in (
        (SURVEY, None, []),
        ("sdss", {"facts": {"survey": SURVEY}}, []),
        ("sdss", None, ["was trained on sdss, and these tiles are of mock-decals"]),
        ("sdss", {"facts": {"survey": "kids"}}, ["was trained on sdss and kids, and these tiles are of mock-decals"]),
    ):
        training = {**bundle.manifest.training, "target": target}
        known = replace(bundle, manifest=bundle.manifest.model_copy(update={"survey": name, "training": training}))
        pipeline._note_survey(known, load_survey(SURVEY), told.append)
        assert [word in line for word, line in zip(words, told, strict=True)] == [True] * len(words)
        told.clear()


def test_settings_that_are_equal_are_one_run(tiles, bundle, scheduler, tmp_path):
    def call(detection, folder="run"):
        arguments = {"scheduler": scheduler, "detection": detection}
        return galmorph.classify(tiles / "tile0-*", SURVEY, bundle, tmp_path / folder, **arguments)

    first = call(DetectionConfig(threshold=4, deblend_levels=np.int64(16)))
    again = call(DetectionConfig(threshold=np.float32(4), deblend_contrast=0.02, deblend_levels=16.0))
    assert (first.report.resumed, again.report.resumed) == (0, 1)
    assert digests(call(DetectionConfig(threshold=4.0, deblend_levels=16), "other").path) == digests(first.path)
    # A run that was begun with numbers written otherwise keeps them, and what it has done.
    before = DetectionConfig(threshold=4.0)
    object.__setattr__(before, "threshold", 4)
    call(before, "before")
    assert '"threshold": 4,' in (tmp_path / "before" / "run.json").read_text()
    for threshold in (4, 4.0):
        assert call(DetectionConfig(threshold=threshold), "before").report.resumed == 1


def test_equal_settings_have_one_digest():
    def digest(survey=None, **detection):
        return RunConfig(survey or load_survey(SURVEY), "m", "0", DetectionConfig(**detection)).digest()

    # Of runs begun with floats, and so by the command line, it is what it was.
    as_it_was = {"significance": 5.0, "threshold": 3.0, "min_area": 1.0, "kernel": 1.0, "deblend_contrast": 0.02,
                 "deblend_levels": 32, "background_box": 90.0, "default_radius": 4.0}  # fmt: skip
    assert json.dumps(asdict(DetectionConfig())) == json.dumps(as_it_was)
    for name, value in as_it_was.items():
        if float(value).is_integer():
            assert digest(**{name: int(value)}) == digest(**{name: float(value)}) == digest()
    assert digest(deblend_contrast=-0.0) == digest(deblend_contrast=0)
    survey = load_survey(SURVEY)
    ints = replace(survey, pixel_scale=1, zero_point=dict.fromkeys("grz", 22), seeing=dict.fromkeys("grz", 1))
    floats = replace(survey, pixel_scale=1.0, zero_point=dict.fromkeys("grz", 22.0), seeing=dict.fromkeys("grz", 1.0))
    assert ints == floats
    assert digest(ints) == digest(floats) != digest()


def test_another_model_is_refused_in_the_same_folder(finished, tiles, scheduler, tmp_path):
    other = make_bundle(tmp_path / "model", list(BANDS), classes=["a", "b"])
    with pytest.raises(RunError, match="model_sha256 was"):
        galmorph.classify(tiles, SURVEY, other, finished.report.folder, scheduler=scheduler)


def test_a_run_cannot_lose_tiles(finished, tiles, bundle, scheduler):
    with pytest.raises(RunError, match=r"tile0.*not among the tiles given now"):
        galmorph.classify(sorted(tiles.glob("tile[123]*")), SURVEY, bundle, finished.report.folder, scheduler=scheduler)


def test_a_run_says_that_a_tile_was_lost_to_a_second_one_of_its_name(tmp_path, bundle, scheduler):
    for i, folder in enumerate("ab"):
        make_tile(tmp_path / folder, "tile", seed=i)
    galmorph.classify(tmp_path / "a", SURVEY, bundle, tmp_path / "run", scheduler=scheduler)
    with pytest.raises(RunError, match=r"tile \(1 in all\) .* now \(several are called tile, .*: give one of them\)"):
        galmorph.classify([tmp_path / "a", tmp_path / "b"], SURVEY, bundle, tmp_path / "run", scheduler=scheduler)


def test_a_folder_of_something_else_is_left_alone(tiles, bundle, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="holds no run"):
        galmorph.classify(tiles, SURVEY, bundle, tmp_path)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory, bundle, scheduler):
    """One good tile among bad ones; then the torn tile is replaced and the run goes on."""
    folder = tmp_path_factory.mktemp("troubled")
    make_tile(folder, "good", seed=1)
    for path in make_tile(folder, "torn", seed=2):
        path.write_bytes(path.read_bytes()[:9000])
    make_tile(folder, "lonely", seed=3)[0].unlink()
    for path in make_tile(folder, "flat", seed=4):
        with fits.open(path, mode="update") as hdus:
            for hdu in hdus[1:]:
                for key in ("CTYPE1", "CTYPE2"):
                    del hdu.header[key]
    out = tmp_path_factory.mktemp("run") / "run"
    first = galmorph.classify(folder, SURVEY, bundle, out, scheduler=scheduler)
    rejects = pq.read_table(out / "rejects" / "torn.parquet").to_pylist()
    make_tile(folder, "torn", ra=150.1, seed=2)
    second = galmorph.classify(folder, SURVEY, bundle, out, scheduler=scheduler)
    return first, rejects, second


def test_bad_tiles_do_not_stop_a_run(troubled):
    first, rejects, _ = troubled
    assert first.report.scored > 5
    assert set(first.report.rejected_tiles) >= {"torn", "flat"}
    assert len(first.report.rejected_tiles) == 3
    assert rejects[0]["kind"] == "tile"
    assert "torn-" in rejects[0]["reason"]
    assert "WCS" in first.report.rejected_tiles["flat"]
    assert any("lonely" in name and "lonely-g.fits" in reason for name, reason in first.report.rejected_tiles.items())


def test_a_tile_that_was_replaced_is_done_again(troubled):
    first, _, second = troubled
    assert second.report.resumed == 2  # the good tile, and the one without a WCS, which has not changed
    assert "torn" not in second.report.rejected_tiles
    assert second.report.scored > first.report.scored


def test_what_is_odd_about_a_tile_is_in_the_report(tmp_path, bundle, scheduler):
    scale = load_survey(SURVEY).pixel_scale
    row = np.random.default_rng(0).normal(size=(1, 60)).astype(np.float32)
    planes = {band: row if band == "r" else np.full_like(row, np.nan) for band in BANDS}
    write_bands(tmp_path / "tiles", planes, make_wcs(row.shape, scale), name="row")
    report = galmorph.classify(tmp_path / "tiles", SURVEY, bundle, tmp_path / "run", scheduler=scheduler).report
    assert [line.split(":")[0] for line in report.warnings["row"]] == [
        "no valid pixel in g, z",
        "no pixel is sky in all detection bands",
    ]
    again = galmorph.classify(tmp_path / "tiles", SURVEY, bundle, tmp_path / "run", scheduler=scheduler).report
    assert (again.resumed, again.warnings) == (1, report.warnings)


def test_no_tile_at_all_is_an_error(tmp_path, bundle):
    (tmp_path / "notes.fits").write_text("no FITS")
    with pytest.raises(RunError, match="no usable tile of survey mock-decals among the inputs"):
        galmorph.classify(tmp_path / "notes.fits", SURVEY, bundle, tmp_path / "run")


def test_inputs_of_one_name_are_all_counted(tmp_path, bundle, scheduler):
    make_tile(tmp_path / "a", "tile", seed=1)
    make_tile(tmp_path / "b", "tile", seed=2)[0].unlink()
    inputs = [tmp_path / "a", tmp_path / "b"]
    for name in "cd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.fits").write_text("no FITS")
        inputs.append(tmp_path / name / "notes.fits")
    report = galmorph.classify(inputs, SURVEY, bundle, tmp_path / "run", scheduler=scheduler).report
    assert report.tiles == 4
    assert set(report.rejected_tiles) == {str(tmp_path / name) for name in ("b/tile", "c/notes.fits", "d/notes.fits")}


def test_no_tile_is_left_of_two_of_one_name(tmp_path, bundle, scheduler):
    for path in make_tile(tmp_path / "a", "tile", seed=1):
        path.write_bytes(path.read_bytes()[:9000])
    make_tile(tmp_path / "b", "tile", seed=2)[0].unlink()
    with pytest.raises(RunError, match="no usable tile of survey mock-decals"):
        galmorph.classify([tmp_path / "a", tmp_path / "b"], SURVEY, bundle, tmp_path / "run", scheduler=scheduler)


def test_names_that_are_no_unicode_are_told(tmp_path, bundle, scheduler):
    folder = tmp_path / "tiles"
    make_tile(folder, "good", seed=1)
    for name, seed in ((b"torn\xef", 2), (b"lonely\xef", 3)):
        for path in make_tile(tmp_path / "made", "tile", seed=seed):
            content = path.read_bytes()[: 9000 if seed == 2 else None]
            (folder / path.name.replace("tile", os.fsdecode(name))).write_bytes(content)
    (folder / os.fsdecode(b"lonely\xef-g.fits")).unlink()
    told = galmorph.classify(folder, SURVEY, bundle, tmp_path / "run", scheduler=scheduler).report.rejected_tiles
    assert len(told) == 2
    assert "no image of band g" in told[r"lonely\xef"]
    (torn,) = (reason for name, reason in told.items() if name.startswith("torn"))
    assert r"torn\xef-g.fits is damaged, incomplete or not FITS" in torn


def test_a_model_of_other_bands_is_refused_before_anything_starts(tiles, tmp_path):
    other = make_bundle(tmp_path / "model", ["g", "r", "i"])
    with pytest.raises(BundleError, match=r"needs the bands g, r, i, and i is not among"):
        galmorph.classify(tiles, SURVEY, other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "words"), [({"workers": 0}, "at least 1"), ({"device": "cuba"}, "device must be")])
def test_what_this_machine_cannot_do_is_told_before_anything_is_begun(tiles, bundle, tmp_path, options, words):
    with pytest.raises(RunError, match=words):
        galmorph.classify(tiles, SURVEY, bundle, tmp_path / "run", **options)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_device_that_is_not_there_is_an_error(tiles, bundle, scheduler, tmp_path):
    with pytest.raises(RunError, match="no CUDA provider"):
        galmorph.classify(tiles, SURVEY, bundle, tmp_path / "run", scheduler=scheduler, device="cuda:0")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:9", "Start one with: dask scheduler"),
        ("tls://127.0.0.1:9", "check your TLS configuration"),
        ("host://127.0.0.1:9", "unknown address scheme"),
    ],
)
def test_no_scheduler_is_an_error(tiles, bundle, tmp_path, address, reason):
    with pytest.raises(RunError, match=f"no Dask scheduler answers at {address} .*{reason}") as raised:
        galmorph.classify(tiles, SURVEY, bundle, tmp_path / "run", scheduler=address)
    # What was raised keeps the client that could not connect. Were it open, the garbage collector would close it, and
    # wait for ever where it does so while another one starts.
    with pytest.raises(ValueError, match="No clients found"):
        default_client()
    assert dask.config.get("scheduler", None) is None
    del raised


def test_given_positions_are_measured_and_all_accounted_for(finished, tiles, bundle, scheduler, tmp_path):
    rows = finished.catalog.to_pandas()
    chosen = rows[rows["primary"] & (rows["snr"] > 50)].iloc[:5]
    table = pd.DataFrame(
        {"id": [f"s{i}" for i in range(6)], "ra": [*chosen["ra"], 10.0], "dec": [*chosen["dec"], 80.0]}
    )
    table.to_csv(tmp_path / "positions.csv", index=False)
    result = galmorph.classify(
        tiles, SURVEY, bundle, tmp_path / "run", positions=tmp_path / "positions.csv", scheduler=scheduler
    )
    measured = result.catalog.to_pandas()
    measured = measured[measured["primary"]].sort_values("source_id")
    assert measured["source_id"].tolist() == ["s0", "s1", "s2", "s3", "s4"]
    np.testing.assert_allclose(measured["radius"], chosen["radius"], rtol=0.05)
    assert result.report.rejected_positions == 1
    outside = pq.read_table(tmp_path / "run" / "rejects" / ".positions.parquet").to_pylist()
    assert [(row["source_id"], row["kind"]) for row in outside] == [("s5", "position")]
    again = galmorph.classify(
        tiles, SURVEY, bundle, tmp_path / "run", positions=tmp_path / "positions.csv", scheduler=scheduler
    )
    assert again.report.rejected_positions == 1
    assert pq.read_table(tmp_path / "run" / "rejects" / ".positions.parquet").to_pylist() == outside


@pytest.mark.parametrize("given", [False, True])
def test_a_part_that_has_rotted_is_told_and_made_again(tiles, bundle, scheduler, tmp_path, given):
    pd.DataFrame({"id": ["a"], "ra": [150.0], "dec": [2.0]}).to_csv(tmp_path / "p.csv", index=False)
    options = {"scheduler": scheduler, "positions": tmp_path / "p.csv" if given else None}
    tile = tiles / "tile0-g.fits"
    first = galmorph.classify(tile, SURVEY, bundle, tmp_path / "run", **options)
    before = digests(first.path)
    (part,) = first.report.parts
    content = part.read_bytes()
    part.write_bytes(content[:4] + bytes(1500) + content[1504:])
    with pytest.raises(GalmorphError, match=r"tile0\.parquet .*Remove it and give the .* again: its tile is done anew"):
        galmorph.classify(tile, SURVEY, bundle, tmp_path / "run", **options)
    part.unlink()
    assert digests(galmorph.classify(tile, SURVEY, bundle, tmp_path / "run", **options).path) == before


def test_positions_with_an_identifier_twice_are_refused(tiles, bundle, tmp_path):
    pd.DataFrame({"id": ["a", "a"], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(RunError, match="such as 'a'"):
        galmorph.classify(tiles, SURVEY, bundle, tmp_path / "run", positions=tmp_path / "p.csv")


def test_features_are_kept_when_asked_for(tiles, bundle, scheduler, tmp_path):
    tile = sorted(tiles.glob("tile0*"))
    result = galmorph.classify(tile, SURVEY, bundle, tmp_path / "run", scheduler=scheduler, embedding=True)
    embedding = result.catalog.query("SELECT embedding FROM catalog").column("embedding")
    assert len(embedding[0].as_py()) == bundle.manifest.features


def test_workers_are_told_the_paths_as_they_were_given(tiles, bundle, scheduler, tmp_path, monkeypatch):
    (tmp_path / "disk7").mkdir()
    shared = tmp_path / "shared"
    shared.symlink_to(tmp_path / "disk7")
    shutil.copytree(bundle.path, shared / "model")
    told, original = [], run.ScoringPlugin
    monkeypatch.setattr(run, "ScoringPlugin", lambda *given: told.extend(given) or original(*given))
    monkeypatch.chdir(tmp_path)
    galmorph.classify(tiles / "tile0-g.fits", SURVEY, "shared/model", "shared/run", scheduler=scheduler)
    assert [path for path in told if isinstance(path, Path)] == [shared / "model", shared / "run"]


def test_a_run_that_took_tables_for_tiles_goes_on_without_them(bundle, scheduler, tmp_path, monkeypatch):
    legacysurvey(tmp_path / "south")
    table, out = tmp_path / "south" / "tractor-1234p567.fits", tmp_path / "run"
    Table({"ra": [1.0], "dec": [2.0]}).write(table)
    with monkeypatch.context() as patched:
        patched.setattr(find, "may_be_tile", lambda path, survey: find._layout_of(path, survey) is not None)
        before = galmorph.classify(tmp_path / "south", "legacysurvey", bundle, out, scheduler=scheduler).report
    assert set(before.rejected_tiles) == {"tractor-1234p567"}
    report = galmorph.classify(tmp_path / "south", "legacysurvey", bundle, out, scheduler=scheduler).report
    assert (report.tiles, report.resumed, report.rejected_tiles) == (1, 1, {})
    named = galmorph.classify([tmp_path / "south", table], "legacysurvey", bundle, out, scheduler=scheduler).report
    assert set(named.rejected_tiles) == {"tractor-1234p567"}


def test_the_release_can_be_named(tiles, bundle, scheduler, tmp_path):
    tile = sorted(tiles.glob("tile0*"))
    result = galmorph.classify(tile, load_survey(SURVEY), bundle, tmp_path / "run", scheduler=scheduler, release="dr2")
    assert set(result.catalog.to_pandas(["release"])["release"]) == {"dr2"}


def test_a_lost_worker_costs_nothing(tiles, bundle, tmp_path, finished):
    with LocalCluster(n_workers=1, threads_per_worker=1, **LOOPBACK) as cluster:
        killed = []

        def kill_once(done, total, report):
            if not killed:
                with Client(cluster.scheduler_address) as client:
                    (pid,) = client.run(os.getpid).values()
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        result = galmorph.classify(
            tiles, SURVEY, bundle, tmp_path / "run", scheduler=cluster.scheduler_address, progress=kill_once
        )
    assert killed
    assert digests(result.path) == digests(finished.path)
