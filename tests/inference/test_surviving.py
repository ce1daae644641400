"""What a run survives: dying workers, full memory and disks, files that go away, signals, faults of libraries."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import sep
from astropy.io import fits
from distributed import LocalCluster
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

import galmorph
from galmorph import fits_planes
from galmorph.cli import main
from galmorph.errors import FolderError, RunError
from galmorph.inference import cluster, journal, patience, records, task

SURVEY = "mock-decals"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model", list(BANDS))


@pytest.fixture
def tiles(tmp_path):
    for i in range(3):
        make_tile(tmp_path / "tiles", f"tile{i}", ra=150.0 + i * 0.1, seed=i)
    return tmp_path / "tiles"


@pytest.fixture(scope="module")
def threads():
    """A cluster in this process, whose faults can be made here."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False,
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as local:  # fmt: skip
        yield local.scheduler_address


def run(tiles, bundle, out, scheduler, **options):
    return galmorph.classify(tiles, SURVEY, bundle, out, scheduler=scheduler, **options)


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "catalog").rglob("*.parquet"))}


def failing(monkeypatch, where, name, error, tile="tile1", times=99):
    """Let a function fail for one tile, some times; return the list of its calls for that tile."""
    original, calls = getattr(where, name), []

    def wrapped(first, *others, **options):
        if getattr(first, "name", "") == tile:
            calls.append(tile)
            if len(calls) <= times:
                raise error
        return original(first, *others, **options)

    monkeypatch.setattr(where, name, wrapped)
    return calls


def command(tiles, bundle, out, *more):
    return [
        sys.executable, "-m", "galmorph", "classify", str(tiles), "--survey", SURVEY,
        "--model", str(bundle.path), "--out", str(out), "--workers", "1", *more,
    ]  # fmt: skip


def call(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=280, **options)


def words(text: str) -> str:
    """Text of a screen without its line breaks."""
    return " ".join(text.split())


# --- tried again, then set aside --------------------------------------------------------------------------------------


def test_a_fault_that_passes_leaves_no_trace_in_the_catalogue(tiles, bundle, threads, tmp_path, monkeypatch):
    undisturbed = run(tiles, bundle, tmp_path / "undisturbed", threads)
    calls = failing(monkeypatch, cluster, "process_tile", MemoryError(), times=2)
    result = run(tiles, bundle, tmp_path / "run", threads)
    assert len(calls) == 3
    assert result.report.retried == {"tile1": 3}
    assert not result.report.rejected_tiles
    assert content(tmp_path / "run") == content(tmp_path / "undisturbed")
    assert undisturbed.report.retried == {}


def test_memory_that_opencv_lacked_is_tried_again(tiles, bundle, threads, tmp_path, monkeypatch):
    with pytest.raises(cv2.error) as lack:
        cv2.resize(np.zeros((10, 10), np.uint8), (2**30, 2**30))
    calls = failing(monkeypatch, task, "extract", lack.value, times=2)
    report = run(tiles, bundle, tmp_path / "run", threads).report
    assert len(calls) == 3
    assert report.retried == {"tile1": 3}
    assert not report.rejected_tiles
    # Its other faults are the tile's.
    with pytest.raises(cv2.error) as fault:
        cv2.resize(np.zeros((0, 0), np.uint8), (3, 3))
    calls = failing(monkeypatch, task, "extract", fault.value)
    assert set(run(tiles, bundle, tmp_path / "other", threads).report.rejected_tiles) == {"tile1"}
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "the tile needs more memory than a worker has: use fewer workers"),
        (OSError(errno.EIO, "Input/output error"), "processing stopped: OSError: "),
        (RunError("scoring failed: the device is gone"), "scoring failed: the device is gone"),
    ],
)
def test_a_fault_that_stays_sets_the_tile_aside_and_the_run_goes_on(
    tiles, bundle, threads, tmp_path, monkeypatch, error, reason
):
    with monkeypatch.context() as patch:
        calls = failing(patch, cluster, "process_tile", error)
        first = run(tiles, bundle, tmp_path / "run", threads).report
    assert len(calls) == 3
    assert set(first.rejected_tiles) == {"tile1"}
    assert reason in first.rejected_tiles["tile1"]
    assert first.rejected_tiles["tile1"].endswith("(tried 3 times)")
    assert first.scored > 5
    # The machine was to blame, so the next call tries again of its own accord.
    second = run(tiles, bundle, tmp_path / "run", threads).report
    assert not second.rejected_tiles
    assert (second.resumed, second.tiles) == (2, 3)


@pytest.mark.parametrize("error", [Exception("internal error: aperture"), ValueError("no convergence"), KeyError(3)])
def test_what_a_tile_makes_a_library_stumble_over_rejects_the_tile(
    tiles, bundle, threads, tmp_path, monkeypatch, error
):
    calls = failing(monkeypatch, task, "extract", error)
    report = run(tiles, bundle, tmp_path / "run", threads).report
    assert len(calls) == 1
    assert set(report.rejected_tiles) == {"tile1"}
    reason = report.rejected_tiles["tile1"]
    assert "tile1-g.fits: the objects of tile tile1 cannot be measured" in reason
    assert str(error) in reason
    assert "Traceback" not in reason
    assert report.scored > 5


@pytest.mark.parametrize("name", ["kron_radius", "sum_ellipse", "flux_radius", "Background", "extract"])
def test_faults_of_sep_reject_the_tile(tiles, bundle, threads, tmp_path, monkeypatch, name):
    def fail(*_, **__):
        raise Exception("invalid aperture parameters")

    monkeypatch.setattr(sep, name, fail)
    with pytest.raises(RunError, match=r"no usable tile .*invalid aperture parameters"):
        run(tiles, bundle, tmp_path / "run", threads)
    rejects = [row for file in (tmp_path / "run" / "rejects").glob("*") for row in pq.read_table(file).to_pylist()]
    assert sorted(row["tile"] for row in rejects) == ["tile0", "tile1", "tile2"]


# --- only those that were set aside -----------------------------------------------------------------------------------


def test_only_what_was_set_aside_is_tried_again(tiles, bundle, threads, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        failing(patch, task, "extract", ValueError("a defect"))
        run(tiles, bundle, tmp_path / "run", threads)
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "parts").iterdir()}
    # The tile is to blame, by the first call: a further one leaves it alone ...
    again = run(tiles, bundle, tmp_path / "run", threads).report
    assert (again.resumed, set(again.rejected_tiles)) == (3, {"tile1"})
    # ... and this one does it, and no other.
    done = run(tiles, bundle, tmp_path / "run", threads, retry_rejected=True).report
    assert (done.resumed, done.rejected_tiles) == (2, {})
    assert all(path.stat().st_mtime_ns == time for path, time in parts.items())
    assert run(tiles, bundle, tmp_path / "run", threads, retry_rejected=True).report.resumed == 3


def test_there_has_to_be_a_finished_run_to_retry(tiles, bundle, threads, tmp_path):
    with pytest.raises(RunError, match="holds no run, and so no tiles that were set aside"):
        run(tiles, bundle, tmp_path / "run", threads, retry_rejected=True)
    run(tiles, bundle, tmp_path / "run", threads)
    make_tile(tiles, "tile3", ra=150.4, seed=3)
    with pytest.raises(RunError, match="1 tiles that are not done yet, such as tile3"):
        run(tiles, bundle, tmp_path / "run", threads, retry_rejected=True)


def test_the_command_says_by_summary_and_exit_code_what_was_set_aside(tiles, bundle, tmp_path, capsys):
    good = (tiles / "tile1-r.fits").read_bytes()
    (tiles / "tile1-r.fits").write_bytes(good[:9000])
    with pytest.raises(SystemExit) as stop:
        main(command(tiles, bundle, tmp_path / "run")[3:])
    shown = capsys.readouterr()
    assert stop.value.code == 3
    assert "catalogue: " in shown.out
    said = words(shown.err)
    assert "3 tiles (0 done before, 1 set aside)" in said
    assert "set aside tile1: " in said
    assert "tile1-r.fits is damaged, incomplete or not FITS" in said
    assert "the same command with --retry-rejected" in said
    (tiles / "tile1-r.fits").write_bytes(good)
    main([*command(tiles, bundle, tmp_path / "run")[3:], "--retry-rejected"])
    assert "3 tiles (2 done before, 0 set aside)" in words(capsys.readouterr().err)


# --- workers and memory -----------------------------------------------------------------------------------------------


def preloaded(tmp_path: Path, code: str) -> dict[str, str]:
    """Environment in which every worker process runs some code before it starts."""
    path = tmp_path / "preloaded.py"
    path.write_text(code)
    return os.environ | {"DASK_DISTRIBUTED__WORKER__PRELOAD": str(path)}


def test_a_tile_that_kills_its_worker_each_time_is_set_aside(tiles, bundle, tmp_path):
    environment = preloaded(
        tmp_path,
        "import os, signal\n"
        "from galmorph import tiles\n"
        "from galmorph.inference import task\n"
        "def read_tile(source, survey):\n"
        "    if source.name == 'tile1':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return tiles.read_tile(source, survey)\n"
        "task.read_tile = read_tile\n",
    )
    result = call(command(tiles, bundle, tmp_path / "run"), env=environment)
    assert result.returncode == 3, result.stderr
    said = words(result.stderr)
    assert "3 tiles (0 done before, 1 set aside)" in said
    assert "set aside tile1: the worker process that had the tile was killed" in said
    assert "(tried 3 times)" in said
    assert "Traceback" not in said
    assert sorted(path.stem for path in (tmp_path / "run" / "parts").iterdir()) == ["tile0", "tile2"]


def test_a_tile_that_needs_more_memory_than_there_is_is_set_aside(tiles, bundle, tmp_path):
    # 2.7 GB of zeros that take no place on the disk.
    size = 26_000
    path = tiles / "tile1-g.fits"
    header = fits.getheader(path, "IMAGE")
    header["NAXIS1"] = header["NAXIS2"] = size
    head = fits.PrimaryHDU().header.tostring() + header.tostring()
    path.write_text(head)
    os.truncate(path, len(head) + -(-4 * size**2 // 2880) * 2880)
    limit = 2**31
    environment = preloaded(
        tmp_path,
        "import resource, re\n"
        "used = 1024 * int(re.search(r'VmSize:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {limit}, used + {limit}))\n",
    )
    result = call(command(tiles, bundle, tmp_path / "run"), env=environment)
    assert result.returncode == 3, result.stderr
    said = words(result.stderr)
    assert "set aside tile1: " in said
    assert "more memory than" in said or "was killed, most likely for want of memory" in said
    assert sorted(path.stem for path in (tmp_path / "run" / "parts").iterdir()) == ["tile0", "tile2"], said
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_a_run_in_words_and_leaves_nothing_half_written(
    tiles, bundle, threads, tmp_path, monkeypatch
):
    written, original = [], journal.os.fsync

    def fsync(number):
        written.append(number)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(number)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", fsync)
        with pytest.raises(FolderError, match=r"cannot be written: No space left on device\. Free space"):
            run(tiles, bundle, tmp_path / "run", threads)
    assert not list((tmp_path / "run").rglob("*.tmp"))
    report = run(tiles, bundle, tmp_path / "run", threads).report
    assert not report.rejected_tiles
    assert report.resumed >= 1


def mounted(options: str, folder: Path, rest: list[str], before: str = "") -> subprocess.CompletedProcess[str]:
    """Call a command where a folder is a disk of its own, in a name space of its own."""
    if shutil.which("unshare") is None or call(["unshare", "-rm", "true"]).returncode:
        pytest.skip("this machine does not let a user mount a disk (unshare -rm)")
    script = f'mount -t tmpfs -o {options} tmpfs "$0" && {before or "true"} && exec "$@"'
    return call(["unshare", "-rm", "sh", "-c", script, str(folder), *rest])


def test_a_small_disk_that_fills_up(tiles, bundle, tmp_path):
    (tmp_path / "disk").mkdir()
    result = mounted("size=24k", tmp_path / "disk", command(tiles, bundle, tmp_path / "disk" / "run"))
    assert result.returncode in (2, 3), result.stderr
    assert "No space left on device" in words(result.stderr)
    assert "Traceback" not in result.stderr
    assert "defect of galmorph" not in result.stderr


def test_a_read_only_disk(tiles, bundle, tmp_path):
    (tmp_path / "disk").mkdir()
    result = mounted("ro", tmp_path / "disk", command(tiles, bundle, tmp_path / "disk" / "run"))
    assert result.returncode == 2
    assert "\ngalmorph: " in f"\n{result.stderr}"
    assert "cannot be written: Read-only file system" in words(result.stderr)
    assert "defect of galmorph" not in result.stderr


def test_tiles_are_read_from_a_read_only_disk(tiles, bundle, tmp_path):
    # Mount the tiles' folder over itself, for reading only.
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    if shutil.which("unshare") is None or call(["unshare", "-rm", "true"]).returncode:
        pytest.skip("this machine does not let a user mount a disk (unshare -rm)")
    result = call(["unshare", "-rm", "sh", "-c", script, str(tiles), *command(tiles, bundle, tmp_path / "run")])
    assert result.returncode == 0, result.stderr


# --- files that go away or change -------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tile_that_vanishes_is_set_aside_until_it_is_back(tiles, bundle, threads, tmp_path, monkeypatch, when):
    away, original = tmp_path / "away.fits", task.read_tile

    def read_tile(source, survey):
        if source.name == "tile1" and (tiles / "tile1-z.fits").exists():
            tile = original(source, survey) if when == "after" else None
            (tiles / "tile1-z.fits").rename(away)
            return tile or original(source, survey)
        return original(source, survey)

    with monkeypatch.context() as patch:
        patch.setattr(task, "read_tile", read_tile)
        report = run(tiles, bundle, tmp_path / "run", threads).report
    assert set(report.rejected_tiles) == {"tile1"}
    assert "tile1-z.fits" in report.rejected_tiles["tile1"]
    away.rename(tiles / "tile1-z.fits")
    assert not run(tiles, bundle, tmp_path / "run", threads).report.rejected_tiles


def test_a_tile_that_is_replaced_while_it_is_read_is_read_again(tiles, bundle, threads, tmp_path, monkeypatch):
    original, replaced = task.read_tile, []

    def read_tile(source, survey):
        tile = original(source, survey)
        if source.name == "tile1" and not replaced:
            replaced.append(source.name)
            make_tile(tiles, "tile1", ra=150.1, seed=77, objects=12)
        return tile

    monkeypatch.setattr(task, "read_tile", read_tile)
    result = run(tiles, bundle, tmp_path / "run", threads)
    assert result.report.retried == {"tile1": 2}
    assert not result.report.rejected_tiles
    monkeypatch.undo()
    # What was recorded is the new tile: nothing is left to do, and a run of its own finds the same.
    assert run(tiles, bundle, tmp_path / "run", threads).report.resumed == 3
    run(tiles, bundle, tmp_path / "other", threads)
    assert content(tmp_path / "run") == content(tmp_path / "other")


def test_a_tile_that_is_gone_before_it_is_known_is_set_aside(tiles, bundle, threads, tmp_path, monkeypatch):
    original = galmorph.pipeline.find_tiles

    def find_tiles(inputs, survey):
        found = original(inputs, survey)
        (tiles / "tile2-r.fits").rename(tmp_path / "away.fits")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(galmorph.pipeline, "find_tiles", find_tiles)
        report = run(tiles, bundle, tmp_path / "run", threads).report
    assert set(report.rejected_tiles) == {"tile2"}
    assert "tile2-r.fits cannot be read: No such file" in report.rejected_tiles["tile2"]
    (tmp_path / "away.fits").rename(tiles / "tile2-r.fits")
    report = run(tiles, bundle, tmp_path / "run", threads).report
    assert (report.resumed, report.rejected_tiles) == (2, {})


@pytest.mark.parametrize(("where", "name"), [(records, "file_sha256"), (fits_planes, "read_planes")])
def test_a_file_on_a_disk_that_hangs_in_its_middle_is_set_aside_and_the_run_goes_on(
    tiles, bundle, threads, tmp_path, monkeypatch, where, name
):
    original, held, seen = getattr(where, name), threading.Event(), []

    def read(path, *given):
        if path.name != "tile1-r.fits":
            return original(path, *given)
        seen.append(path)
        with path.open("rb") as file:
            file.read(4000)
            held.wait(60)
        raise OSError("came too late")

    with monkeypatch.context() as patch:
        patch.setattr(patience, "PATIENCE", 0.5)
        patch.setattr(galmorph.tiles if where is fits_planes else where, name, read)
        report = run(tiles, bundle, tmp_path / "run", threads).report
    held.set()
    # When the files are read to know them, or, three times, on a worker.
    assert len(seen) == (3 if where is fits_planes else 1)
    assert set(report.rejected_tiles) == {"tile1"}
    reason = report.rejected_tiles["tile1"]
    assert "tile1-r.fits" in reason
    assert "cannot be read" in reason
    assert "nothing came for 0 s, the disk is slow or hangs" in reason
    assert report.scored > 5
    assert not run(tiles, bundle, tmp_path / "run", threads).report.rejected_tiles


# --- signals and progress ---------------------------------------------------------------------------------------------


def of_group(group):
    """Processes of a group that still run; who ended and was not waited for does not."""
    found = []
    for process in psutil.process_iter(["status", "cmdline"]):
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["cmdline"])
    return found


@pytest.mark.parametrize("whole_group", [False, True])
def test_sigterm_ends_a_run_and_says_how_to_go_on(tiles, bundle, tmp_path, whole_group):
    out = tmp_path / "run"
    environment = preloaded(
        tmp_path,
        "import time\n"
        "from galmorph import tiles\n"
        "from galmorph.inference import task\n"
        "task.read_tile = lambda *given: (time.sleep(2), tiles.read_tile(*given))[1]\n",
    )
    process = subprocess.Popen(
        command(tiles, bundle, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob("parts/*.parquet")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    # Batch systems give some tens of seconds between SIGTERM and SIGKILL.
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while left := of_group(process.pid):  # no worker is left behind
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert not (out / "catalog").exists()
    assert call(command(tiles, bundle, out)).returncode == 0


def test_progress_of_knowing_the_files_is_told_in_bytes(tiles, bundle, threads, tmp_path):
    told = []
    run(tiles, bundle, tmp_path / "run", threads, hashing=lambda done, total: told.append((done, total)))
    sizes = [sum(path.stat().st_size for path in tiles.glob(f"tile{i}-*")) for i in range(3)]
    assert told == [(sum(sizes[: i + 1]), sum(sizes)) for i in range(3)]
