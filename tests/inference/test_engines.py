"""Schedulers and workers that are processes of their own, started from the command line in folders of their own."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import LocalCluster
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

import galmorph
from galmorph.errors import RunError
from galmorph.inference.cluster import _LOCAL, ScoringPlugin, scheduler_address

SURVEY = "mock-decals"
LOOPBACK = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}


PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    ["docker/Dockerfile", "docker/Dockerfile.cuda", "inference/slurm/survey.sbatch", "inference/slurm/jobqueue.py"],
)
def test_workers_of_clusters_are_set_as_those_of_one_machine(name):
    text = (PROJECT / name).read_text()
    memory = {key.rpartition(".")[2]: value for key, value in _LOCAL.items() if "environ" in key}
    assert len(memory) == 4
    for key, value in memory.items():
        assert re.search(rf"\b{key}={value}\b", text)
    looks = {key: value for key, value in _LOCAL.items() if not re.search("environ|scheduler|deploy", key)}
    assert len(looks) == 5
    for key, value in looks.items():
        name = key.upper().replace("-", "_").replace(".", "__")
        assert re.search(rf"\bDASK_{name}={value}\b", text)


@pytest.mark.parametrize(
    "name",
    [
        "docker/compose.yaml",
        "inference/slurm/survey.sbatch",
        "inference/slurm/jobqueue.py",
        "inference/kubernetes/cluster.yaml",
    ],
)
def test_schedulers_leave_tries_to_the_run(name):
    text = (PROJECT / name).read_text()
    assert re.search(r"(?i)allowed[_-]failures\W*(value\W*)?0\b", text)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A folder with tiles and a model."""
    folder = tmp_path_factory.mktemp("survey")
    for i in range(5):
        make_tile(folder / "tiles", f"tile{i}", ra=150.0 + i * 128 * 0.262 / 3600, seed=i, size=112, objects=5)
    make_bundle(folder / "model", list(BANDS))
    return folder


@pytest.fixture(scope="module")
def threads():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **LOOPBACK) as local:
        yield local


def classify(out, scheduler, **options):
    return galmorph.classify("tiles", SURVEY, "model", out, scheduler=str(scheduler), **options)


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((out / "catalog").rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def expected(survey, threads, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    galmorph.classify(survey / "tiles", SURVEY, survey / "model", out, scheduler=threads.scheduler_address)
    return digests(out)


class Cluster:
    """Commands of Dask, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.processes = folder, folder / "scheduler.json", []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        where = self.folder / f"process{len(self.processes)}"
        where.mkdir()
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(self.file)]
        with (where / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=where, stderr=log)
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        process = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + 120
        while not (self.file.exists() and self.file.read_text().endswith("}")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    processes = Cluster(tmp_path)
    yield processes
    processes.close()


def test_workers_come_and_go_and_a_lost_scheduler_is_told(
    survey, threads, expected, cluster, tmp_path, monkeypatch, caplog
):
    scheduler = cluster.scheduler()
    # Paths are given as seen from here, and workers stand elsewhere.
    monkeypatch.chdir(survey)
    out = Path(os.path.relpath(tmp_path / "run"))
    said, workers = [], []

    def announce(text):
        said.append(text)
        if "no workers yet" in text:
            workers.append(cluster.worker())

    def come_and_go(done, total, report):
        if done == 1:
            workers.append(cluster.worker())
            workers[0].send_signal(signal.SIGTERM)

    result = classify(out, cluster.file, announce=announce, progress=come_and_go)
    assert said[-1] == "the scheduler has no workers yet; the run begins when one joins"
    assert len(workers) == 2
    assert workers[0].wait(60) is not None
    assert not result.report.rejected_tiles
    assert digests(out) == expected

    # Without the scheduler, a run ends in words, and goes on elsewhere.
    other = tmp_path / "other"
    with pytest.raises(RunError, match="the Dask scheduler is gone; start one and give the same command again"):
        classify(other, cluster.file, progress=lambda *_: scheduler.kill())
    assert not (other / "catalog").exists()
    assert "Traceback" not in caplog.text
    assert classify(other, threads.scheduler_address).report.resumed >= 1
    assert digests(other) == expected


def test_a_scheduler_is_given_by_address_or_file(tmp_path):
    assert scheduler_address("tcp://host:8786") == "tcp://host:8786"
    assert scheduler_address("host:8786") == "host:8786"
    file = tmp_path / "scheduler.json"
    with pytest.raises(RunError, match=r"scheduler\.json does not exist.*dask scheduler --scheduler-file"):
        scheduler_address(str(file))
    file.write_text(json.dumps({"address": "tls://10.0.0.1:1"}))
    assert scheduler_address(str(file)) == "tls://10.0.0.1:1"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_file_that_is_of_no_scheduler_is_told(tmp_path, content):
    file = tmp_path / "scheduler"
    file.write_text(content)
    with pytest.raises(RunError, match="is not the file of a Dask scheduler"):
        scheduler_address(str(file))


def test_the_dashboard_is_announced(survey, threads, tmp_path, monkeypatch):
    monkeypatch.chdir(survey)
    said = []
    classify(tmp_path / "run", threads.scheduler_address, announce=said.append)
    port = threads.scheduler.services["dashboard"].port
    assert [bool(re.fullmatch(rf"dashboard: http://.*:{port}/status", text)) for text in said].count(True) == 1


def test_a_worker_that_cannot_load_the_model_leaves_and_costs_no_tile(survey, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(survey)
    broken, original = [], ScoringPlugin._load

    def load(self, worker):
        if worker.address in broken:
            raise RunError("the model is on no disk of this machine")
        return original(self, worker)

    monkeypatch.setattr(ScoringPlugin, "_load", load)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **LOOPBACK) as local:

        def lose_a_disk(*_):
            broken.extend([] if broken else [local.workers[0].address])

        result = classify(tmp_path / "run", local.scheduler_address, progress=lose_a_disk)
        left = [address for address in broken if address in local.scheduler.workers]
    assert not result.report.rejected_tiles
    assert digests(tmp_path / "run") == expected
    assert not left or not result.report.retried


def test_a_worker_with_another_version_is_refused(survey, threads, tmp_path, monkeypatch):
    monkeypatch.chdir(survey)
    original = ScoringPlugin.__init__

    def init(self, *arguments):
        original(self, *arguments)
        self._version = "0.0.1"

    monkeypatch.setattr(ScoringPlugin, "__init__", init)
    with pytest.raises(RunError, match=r"worker .* on .*: galmorph is .* there and 0\.0\.1 where the run was started"):
        classify(tmp_path / "run", threads.scheduler_address)


def test_two_runs_share_a_scheduler(survey, threads, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(survey)

    def another_run(done, total, report):
        if done == 1:
            classify(tmp_path / "second", threads.scheduler_address)

    classify(tmp_path / "first", threads.scheduler_address, progress=another_run)
    assert digests(tmp_path / "first") == digests(tmp_path / "second") == expected
    # The model does not stay in the memory of a cluster that goes on.
    assert not [name for worker in threads.workers.values() for name in worker.plugins if name.startswith("galmorph-")]
