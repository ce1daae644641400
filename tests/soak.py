"""Kill runs at random times, with SIGKILL, and look at what comes out in the end.

Each round makes a run in a new folder, kills something of it some times (the client, a worker, the scheduler, all of
them), starts again what a supervisor or a user would, with the same command, and lets it finish. Then catalogue, parts
and rejects must be those of a run that nothing disturbed, byte by byte, with no object twice and none lost.

Processes are forked from this one, which has loaded the libraries: so that kills fall on the work of a run and not on
its imports. Workers of a local cluster are Dask's own.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "data"))

import numpy as np
import psutil
import pyarrow.parquet as pq
from distributed.cli import dask_scheduler, dask_worker
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

from galmorph.cli import main as galmorph_main

TILES = 16
#: The last tile is torn: it is set aside, and the command ends with 3.
SET_ASIDE = 3
#: Seconds after which a call counts as hanging.
PATIENCE = 900.0
#: Calls after which a run that does not come to an end counts as failed.
MOST_CALLS = 30


class SoakError(Exception):
    """A run did not survive."""


@dataclass(frozen=True)
class Kill:
    """What was killed, and when: ``start``, ``tiles`` or ``catalogue``, with so many parts on disk."""

    target: str
    phase: str
    parts: int


#: Loaded before anything is forked.
PRELOADED = ("galmorph.catalogs.write", "galmorph.cli.classify", "galmorph.inference.cluster", "onnxruntime")


def forked(log: Path, call: Callable[[], object]) -> int:
    """Process that makes a call, in a session of its own."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        call()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int | None:
    """Exit code of a child, negative for a signal; None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def kill(pid: int) -> None:
    """End a child at once and wait for it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def is_worker(process: psutil.Process) -> bool:
    """If a process is a worker of Dask's, and alive."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


class Local:
    """The cluster of one call: scheduler and client are one process."""

    name, targets = "local", ("client", "group", "worker")

    def __init__(self, folder: Path) -> None:
        self.options = ["--workers", "2"]

    def ensure(self) -> None:
        """Nothing to start."""

    def strike(self, target: str, client: int) -> bool:
        """Kill; return if the client is among the dead."""
        if target == "worker":
            for worker in filter(is_worker, psutil.Process(client).children(recursive=True)):
                worker.kill()
                break
            return False
        if target == "group":
            for child in psutil.Process(client).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        kill(client)
        return True

    def close(self) -> None:
        """Nothing to end."""


class Separate:
    """A scheduler and two workers, processes of their own, in folders of their own."""

    name, targets = "separate", ("client", "worker", "scheduler", "all")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._scheduler: int | None = None
        self._workers: list[int] = []
        self.options = ["--scheduler", str(self._file)]

    def ensure(self) -> None:
        """Start what is not there."""
        if self._scheduler is None:
            self._file.unlink(missing_ok=True)
            options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file)]
            self._scheduler = forked(
                self._folder / "scheduler.log", lambda: dask_scheduler.main(options, standalone_mode=False)
            )
            wait_until(self._readable, "the scheduler to start")
        self._workers = [pid for pid in self._workers if ended(pid) is None]
        while len(self._workers) < 2:
            folder = Path(tempfile.mkdtemp(dir=self._folder, prefix="worker-"))
            self._workers.append(forked(self._folder / "worker.log", lambda: self._work(folder)))  # noqa: B023

    def _readable(self) -> bool:
        try:
            return "address" in json.loads(self._file.read_text())
        except (OSError, ValueError):
            return False

    def _work(self, folder: Path) -> None:
        os.chdir(folder)
        options = ["--scheduler-file", str(self._file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        dask_worker.main(options, standalone_mode=False)

    def strike(self, target: str, client: int) -> bool:
        """Kill; return if the client is among the dead."""
        if target in ("worker", "all"):
            kill(self._workers.pop(0))
        if target in ("scheduler", "all"):
            assert self._scheduler is not None
            kill(self._scheduler)
            self._scheduler = None
            for pid in self._workers:  # they would leave by themselves, some time later
                kill(pid)
            self._workers = []
        if target in ("client", "all"):
            kill(client)
            return True
        return False

    def close(self) -> None:
        """End what was started."""
        for pid in [*self._workers, *([self._scheduler] if self._scheduler else [])]:
            kill(pid)


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for something."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise SoakError(f"waited {patience:.0f} s for {what}")
        time.sleep(0.005)


def digests(out: Path) -> dict[str, str]:
    """Digest of each file of catalogue, parts and rejects."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("catalog", "parts", "rejects")
        for path in sorted((out / name).rglob("*"))
        if path.is_file()
    }


def phase(out: Path) -> tuple[str, int]:
    """How far a run is."""
    parts = len(list((out / "parts").glob("[!.]*.parquet")))
    if not parts and not (out / "run.json").exists():
        return "start", 0
    return ("catalogue" if parts == TILES - 1 and list((out / "rejects").glob("[!.]*")) else "tiles"), parts


class Soak:
    """A survey, a model, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for i in range(TILES):
            paths = make_tile(folder / "tiles", f"tile{i:02}", ra=150.0 + i * 128 * 0.262 / 3600, seed=i)
        paths[0].write_bytes(paths[0].read_bytes()[:9000])
        make_bundle(folder / "model", list(BANDS))
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, str] = {}

    def start(self, cluster: Local | Separate, out: Path) -> int:
        """Call the command."""
        arguments = ["classify", str(self.folder / "tiles"), "--survey", "mock-decals"]
        arguments += ["--model", str(self.folder / "model"), "--out", str(out), *cluster.options]
        return forked(out.with_suffix(".log"), lambda: galmorph_main(arguments))

    def finish(self, client: int, out: Path) -> int:
        """Wait for a call that is left alone; its exit code, if it ended as it should."""
        codes: list[int] = []

        def over() -> bool:
            code = ended(client)
            codes.extend([] if code is None else [code])
            return code is not None

        wait_until(over, f"a call to end, see {out.with_suffix('.log')}")
        said = out.with_suffix(".log").read_text(errors="replace")
        if codes[0] not in (2, SET_ASIDE) or "Traceback" in said or "defect of galmorph" in said:
            raise SoakError(f"a call ended with {codes[0]}:\n{said[-3000:]}")
        return codes[0]

    def undisturbed(self, cluster: Local | Separate) -> None:
        """Run once in peace, to know how long it takes and what comes out."""
        out = self.folder / f"undisturbed-{cluster.name}"
        cluster.ensure()
        begin = time.monotonic()
        if self.finish(self.start(cluster, out), out) != SET_ASIDE:
            raise SoakError(out.with_suffix(".log").read_text())
        self.seconds[cluster.name] = time.monotonic() - begin
        found = digests(out)
        if self.expected and found != self.expected:
            raise SoakError("clusters of two kinds give two catalogues")
        self.expected = found

    def round(self, cluster: Local | Separate, rng: np.random.Generator, wanted: int, out: Path) -> dict[str, object]:
        """One run with some kills."""
        kills: list[Kill] = []
        begin, calls, code = time.monotonic(), 0, 2
        while code != SET_ASIDE or self._set_aside(out) != 1:
            if (calls := calls + 1) > MOST_CALLS:
                raise SoakError(f"{out}: no end after {MOST_CALLS} calls")
            cluster.ensure()
            client = self.start(cluster, out)
            dead = False
            while len(kills) < wanted and not dead and self._wait(client, out, rng, self.seconds[cluster.name]):
                target = str(rng.choice(cluster.targets))
                kills.append(Kill(target, *phase(out)))
                dead = cluster.strike(target, client)
                if not dead:
                    cluster.ensure()
            code = 2 if dead else self.finish(client, out)
        result = {"cluster": cluster.name, "kills": [asdict(item) for item in kills], "calls": calls}
        return result | self._verdict(out) | {"seconds": round(time.monotonic() - begin, 1)}

    def _wait(self, client: int, out: Path, rng: np.random.Generator, seconds: float) -> bool:
        """Wait for a random moment of a run; False if it ended before."""
        parts = int(rng.integers(-TILES // 4, TILES + TILES // 4))
        moments = self._moments(out, max(parts, 0), rng.uniform(0, seconds / (2 if parts < 0 else 8)))
        for _ in moments:
            # The child is left to be waited for by whoever ends it.
            if os.waitid(os.P_PID, client, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
            time.sleep(0.002)
        return os.waitid(os.P_PID, client, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def _moments(self, out: Path, parts: int, delay: float) -> Iterator[None]:
        while phase(out)[1] < min(parts, TILES - 1):
            yield
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline:
            yield

    def _set_aside(self, out: Path) -> int:
        return len(json.loads((out / "report.json").read_text())["rejected_tiles"])

    def _verdict(self, out: Path) -> dict[str, object]:
        """Compare with the undisturbed run."""
        found = digests(out)
        ids = [
            i
            for part in sorted((out / "parts").glob("*.parquet"))
            for i in pq.read_table(part)["object_id"].to_pylist()
        ]
        rows = pq.read_table(out / "catalog" / "dataset", columns=["object_id"])["object_id"].to_pylist()
        left = [path.name for path in out.rglob(".*.tmp")]
        return {
            "identical": found == self.expected,
            "rows": len(rows),
            "twice": len(rows) - len(set(rows)),
            "lost": len(set(ids) - set(rows)),
            "left_behind": len(left),
        }


def main() -> None:
    """Rounds until enough was killed; one line of JSON for each, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, help="file that the lines are added to")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    for module in PRELOADED:
        importlib.import_module(module)
    rng = np.random.default_rng(arguments.seed)
    rounds: list[dict[str, object]] = []
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        clusters = [kind(Path(tempfile.mkdtemp(dir=folder))) for kind in (Local, Separate)]
        try:
            soak = Soak(folder)
            for cluster in clusters:
                soak.undisturbed(cluster)
            while sum(counts.values()) < arguments.kills:
                cluster = clusters[len(rounds) % 2]
                out = folder / f"round{len(rounds)}"
                result = {"seed": arguments.seed, "round": len(rounds)}
                result |= soak.round(cluster, rng, int(rng.integers(2, 7)), out)
                rounds.append(result)
                counts.update(f"{cluster.name} {item['target']}" for item in result["kills"])
                line = json.dumps(result)
                print(line, flush=True)
                if arguments.results:
                    with arguments.results.open("a") as file:
                        file.write(line + "\n")
                if not healthy(result):
                    raise SoakError(f"round {result['round']} is not as an undisturbed run; see {out}")
                shutil.rmtree(out)
        except SoakError:
            shutil.copytree(folder, Path.cwd() / "soak-failure", dirs_exist_ok=True)
            raise
        finally:
            for cluster in clusters:
                cluster.close()
    print(json.dumps({"benchmark": "soak", "rounds": len(rounds), "kills": dict(sorted(counts.items()))}))


def healthy(result: dict[str, object]) -> bool:
    """If a run survived."""
    return result["identical"] is True and not (result["twice"] or result["lost"] or result["left_behind"])


if __name__ == "__main__":
    main()
