"""The batch script, with stand-ins for the commands of SLURM."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

SCRIPT = Path(__file__).parents[2] / "inference" / "slurm" / "survey.sbatch"
JOBQUEUE = SCRIPT.with_name("jobqueue.py")

#: Runs what follows the options, as one task.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""

#: A job runs here, as a group of processes that is called by its leader.
SBATCH = """#!/bin/bash
setsid bash -c "$(cat "$1")" < /dev/null > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -KILL -- "${@/#/-}"
"""


@pytest.fixture
def environment(tmp_path):
    """A node of a cluster, and a survey."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (
        ("srun", SRUN),
        ("sbatch", SBATCH),
        ("scancel", SCANCEL),
        ("scontrol", f'#!/bin/bash\necho "$@" >> {tmp_path}/scontrol.log\n'),
    ):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    for i in range(4):
        make_tile(tmp_path / "tiles", f"tile{i}", ra=150.0 + i * 0.1, seed=i, size=112, objects=5)
    make_bundle(tmp_path / "model", list(BANDS))
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from galmorph import tiles\n"
        "from galmorph.inference import task\n"
        "task.read_tile = lambda *given: (time.sleep(2), tiles.read_tile(*given))[1]\n"
    )
    return os.environ | {
        "PATH": os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_JOB_ID": "17",
        "TILES": str(tmp_path / "tiles"),
        "SURVEY": "mock-decals",
        "MODEL": str(tmp_path / "model"),
        "OUT": str(tmp_path / "runs" / "run"),
        "OPTIONS": "--release dr2",
        "DASK_DISTRIBUTED__WORKER__PRELOAD": str(tmp_path / "slow.py"),
    }


def test_before_its_time_is_over_a_job_stops_and_queues_itself_again(environment, tmp_path):
    out = Path(environment["OUT"])
    with (tmp_path / "job.log").open("wb") as log:
        job = subprocess.Popen(["bash", str(SCRIPT)], env=environment, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 200
        while not list(out.glob("parts/*.parquet")):
            assert job.poll() is None, (tmp_path / "job.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "job.log").read_text()
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)  # to the batch script alone, as --signal=B:TERM does
        assert job.wait(100) == 143
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
    said = (tmp_path / "job.log").read_text()
    assert "the same command goes on from there" in said
    assert "defect of galmorph" not in said
    assert (tmp_path / "scontrol.log").read_text().split() == ["requeue", "17"]
    assert not (out / "catalog").exists()
    assert [path.name for path in out.parent.iterdir()] == ["run"]  # the scheduler's file is gone


def test_what_a_job_needs_is_told(environment):
    del environment["MODEL"]
    result = subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, text=True)
    assert result.returncode != 0
    assert "MODEL: model bundle" in result.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_over_many_jobs_stops_and_says_how_to_go_on(environment, tmp_path, number, code):
    out = Path(environment["OUT"])
    arguments = [
        sys.executable, str(JOBQUEUE), environment["TILES"], "--survey", "mock-decals", "--model", environment["MODEL"],
        "--out", str(out), "--cores", "1", "--memory", "2GiB", "--most", "1", "--interface", "lo",
    ]  # fmt: skip
    run = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 200
        while not list(out.glob("parts/*.parquet")):
            assert run.poll() is None, run.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == code, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert not (out / "catalog").exists()
