"""A survey run whose workers are SLURM jobs that come and go with the work, started from a login or a service node.

    pip install 'galmorph-survey[cpu,cluster]'
    python jobqueue.py /survey/tiles --survey legacysurvey --model /survey/model --out /survey/run --most 200

The same command goes on with a run that was stopped.
"""

import argparse
import signal
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster

import galmorph
from galmorph.cli import Terminated
from galmorph.cli.stopping import stop_on_sigterm
from galmorph.errors import GalmorphError


def main() -> None:
    """Start the cluster, run, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", nargs="+")
    parser.add_argument("--survey", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--precision", default="auto", help="int8 where all nodes have VNNI; no worker is there to tell"
    )
    parser.add_argument("--queue", help="partition of SLURM")
    parser.add_argument("--account")
    parser.add_argument("--cores", type=int, default=8, help="cores, and worker processes, of a job")
    parser.add_argument("--memory", default="24GiB", help="memory of a job")
    parser.add_argument("--walltime", default="04:00:00", help="of a job")
    parser.add_argument("--interface", help="network interface that workers and this machine share, such as ib0")
    parser.add_argument("--least", type=int, default=0, help="jobs that are kept")
    parser.add_argument("--most", type=int, default=10, help="jobs at most")
    given = parser.parse_args()
    with SLURMCluster(
        queue=given.queue,
        account=given.account,
        cores=given.cores,
        processes=given.cores,
        memory=given.memory,
        walltime=given.walltime,
        interface=given.interface,
        # Workers keep and share memory as those of a local cluster do, and are not looked at a hundred times a second.
        job_script_prologue=[
            "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMPY_MADVISE_HUGEPAGE=0",
            "export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=134217728 MALLOC_ARENA_MAX=1",
            "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL=500ms",
            "export DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL=500ms",
            "export DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL=2s"
            " DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__DISK=False",
        ],
        death_timeout=300,
        # What goes wrong is in the run's own words and report.
        silence_logs="critical",
        worker_extra_args=["--no-dashboard"],
        scheduler_options={"allowed_failures": 0},
    ) as cluster:
        cluster.adapt(minimum_jobs=given.least, maximum_jobs=given.most)
        result = galmorph.classify(
            given.tiles,
            given.survey,
            given.model,
            given.out,
            scheduler=cluster.scheduler_address,
            precision=given.precision,
            announce=print,
        )
    report = result.report
    print(f"{report.tiles} tiles, {report.detected} objects = {report.scored} scored + {report.rejected} rejected")
    for name, reason in report.rejected_tiles.items():
        print(f"set aside {name}: {reason}", file=sys.stderr)
    print(f"catalogue: {result.path}")
    sys.exit(3 if report.rejected_tiles else 0)


if __name__ == "__main__":
    # dask_jobqueue makes of Ctrl-C a silent end with the exit code 0.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_on_sigterm():
            main()
    except GalmorphError as error:
        sys.exit(f"galmorph: {error}")
    except KeyboardInterrupt as stop:
        print("\nStopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
