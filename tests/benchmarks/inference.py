"""A whole run, from tiles on disk to parts on disk, beside nothing but onnxruntime fed with arrays that are ready.

Encoders have random weights, exported by the code of `galmorph.training`; tiles are made here. ``--only`` chooses
among the comparisons: ``run``, ``peers``, ``workers``, ``tiles``, ``memory``. Zoobot brings packages that are not ours:
put it into an environment of its own (``pip install zoobot lightning timm``) and name that one's Python with
``--zoobot``.
"""

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from common.outcome import Result, entry, finish, parser

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from make_bundle import manifest
from make_crowded import make_crowded
from make_sky import BANDS

from galmorph.bundle import Bundle, load_bundle, write_bundle
from galmorph.cutouts import Framing
from galmorph.detection import DetectionConfig
from galmorph.inference.cluster import cores
from galmorph.inference.config import run_config
from galmorph.inference.run import RunReport, run_tiles
from galmorph.surveys import find_tiles, load_survey

SURVEY, CLASSES = "mock-decals", ["elliptical", "spiral", "edge_on", "merger", "star"]
#: Encoders with the side of their cutouts, side and galaxies of a tile that keeps a model busy, and tiles of each core:
#: as many as take minutes, since a survey's run takes hours and its start seconds.
MODELS = {"resnet18": (128, 2000, 1500, 24), "resnet50": (256, 1000, 150, 16)}
SECONDS = 8.0
#: Objects that peers are measured on, each time.
PEERS_OBJECTS = 512
ORDER = ("run", "peers", "workers", "tiles", "memory")


def make_bundle(folder: Path, encoder: str, size: int) -> Bundle:
    """A bundle of an encoder with random weights, in float32 and int8."""
    import torch

    from galmorph.training.compact import quantise
    from galmorph.training.graph import export_graph
    from galmorph.training.networks import build_network
    from galmorph.training.options import NetworkOptions
    from galmorph.training.stretch import Stretch

    torch.manual_seed(0)
    network = build_network(
        NetworkOptions(encoder=encoder), Stretch("asinh", [0.05] * 3, scale=5.0), bands=3, size=size, classes=5
    ).eval()
    graph = export_graph(network, (3, size, size))
    rng = np.random.default_rng(0)
    examples = rng.normal(0, 0.3, (16, 3, size, size)).astype(np.float32)
    features = network.lengths(3, size)[1]
    reference, table = io.BytesIO(), io.BytesIO()
    np.savez(reference, directions=np.eye(features), distance=0.5, entropy=0.1)
    pq.write_table(pa.table({"entropy": [0.1]}), table)
    facts = manifest(
        list(BANDS), size, CLASSES, name=encoder, features=features, framing=Framing(size=size, factor=3.0)
    )
    files = {
        "model.onnx": graph,
        "model.int8.onnx": quantise(graph, examples),
        "reference.npz": reference.getvalue(),
        "reference.parquet": table.getvalue(),
        "README.md": b"# For measurements\n",
    }
    return write_bundle(folder / encoder, facts, files)


def make_tiles(folder: Path, count: int, side: int, objects: int) -> list[Path]:
    """Tiles side by side."""
    for i in range(count):
        make_crowded(folder, f"tile{i:03d}", side, objects, ra=150 + i * side * 0.262 / 3600, seed=i)
    return sorted(folder.glob("*.fz"))


def run(
    tiles: list[Path], bundle: Bundle, folder: Path, workers: int, precision: str = "float32"
) -> tuple[float, RunReport]:
    """Seconds from the first tile's beginning to the last one's end, start of the cluster apart; and the report."""
    survey = load_survey(SURVEY)
    sources, unusable = find_tiles([str(path) for path in tiles], survey)
    config = run_config(bundle, survey, DetectionConfig(), None, False, precision)
    ready: list[float] = []
    start = time.perf_counter()
    # Told when the cluster is there.
    report = run_tiles(
        sources, unusable, bundle, config, folder, workers=workers, device="cpu",
        announce=lambda text: ready.append(time.perf_counter()),
    )  # fmt: skip
    end = time.perf_counter()
    assert not report.rejected_tiles, report.rejected_tiles
    return end - (ready[0] if ready else start), report


FEED = """
import json, sys, time
import numpy as np, onnxruntime as ort
model, size, batch, seconds = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
images = np.random.default_rng(0).normal(0, 0.3, (batch, 3, size, size)).astype(np.float32)
session.run(None, {"image": images})
print("ready", flush=True)
sys.stdin.readline()
done, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    session.run(None, {"image": images})
    done += batch
print(json.dumps(done / (time.perf_counter() - start)))
"""


def bare(model: Path, size: int, batch: int, processes: int, seconds: float = SECONDS) -> float:
    """Images per second of onnxruntime, one process for each core, fed with the same array again and again."""
    command = [sys.executable, "-c", FEED, str(model), str(size), str(batch), str(seconds)]
    feeding = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(processes)]
    for process in feeding:
        process.stdout.readline()
    for process in feeding:
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0].splitlines()[-1]) for process in feeding)


def whole_run(folder: Path, repeats: int) -> list[Result]:
    """Tiles to parts beside scoring alone, on all cores: the median of some rounds."""
    results = []
    for encoder, (size, side, objects, count) in MODELS.items():
        bundle = make_bundle(folder, encoder, size)
        tiles = make_tiles(folder / f"tiles-{encoder}", count * cores(), side, objects)
        alone = {}
        for precision in ("float32", "int8"):
            rounds = [one_round(folder / f"run-{encoder}", tiles, bundle, precision) for _ in range(repeats)]
            alone[precision] = float(np.median([each["bare_per_second"] for each in rounds]))
            ratio = float(np.median([each["ratio"] for each in rounds]))
            name = f"{encoder}@{size} {precision}: whole run beside bare onnxruntime"
            target = 0.9 if precision == "float32" else None
            results.append(entry(name, ratio, target, "least", rounds=rounds))
        name = f"{encoder}@{size}: bare onnxruntime in int8 faster than in float32 by"
        results.append(entry(name, alone["int8"] / alone["float32"], 2.5, "least"))
    return results


def stolen() -> float:
    """Seconds of this machine's cores that its host gave to others, 0 where that is not known."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def one_round(out: Path, tiles: list[Path], bundle: Bundle, precision: str) -> dict[str, Any]:
    """A run, and scoring alone before and after it: the machine is not as fast at all times."""
    feed = (bundle.graph(precision), bundle.manifest.framing.size, bundle.manifest.batch, cores())
    before, clock = bare(*feed), stolen()
    seconds, report = run(tiles, bundle, out, cores(), precision)
    taken = (stolen() - clock) / (seconds * cores())
    shutil.rmtree(out)
    ready, rate = (before + bare(*feed)) / 2, report.detected / seconds
    stages = {name: round(value, 1) for name, value in sorted(report.seconds.items())}
    return {
        "ratio": round(rate / ready, 3),
        "per_second": round(rate, 1),
        "bare_per_second": round(ready, 1),
        "stolen": round(taken, 3),
        "stages": stages,
    }


#: Zoobot's prediction of images that were cut and written as JPEG before, on all cores; prints seconds per image.
ZOOBOT = """
import json, sys, time, warnings, logging
from pathlib import Path
import numpy as np, pandas as pd, timm, torch
from PIL import Image
from torchvision.transforms import v2
from zoobot.pytorch.predictions import predict_on_catalog
from zoobot.pytorch.training.finetune import FinetuneableZoobotClassifier
warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
place, encoder, size, count, cores = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
torch.set_num_threads(cores)
rng = np.random.default_rng(0)
for i in range(count):
    pixels = np.clip(rng.normal(60, 20, (size, size, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(place / f"{i}.jpg", quality=90)
catalog = pd.DataFrame({"id_str": [str(i) for i in range(count)]})
catalog["file_loc"] = [str(place / f"{name}.jpg") for name in catalog["id_str"]]
network = timm.create_model(encoder, pretrained=False, num_classes=0)
model = FinetuneableZoobotClassifier(num_classes=5, encoder=network, prog_bar=False)
transform = v2.Compose([v2.ToImage(), v2.Resize((size, size)), v2.ToDtype(torch.float32, scale=True)])
times = []
for workers in (0, cores):
    start = time.perf_counter()
    predict_on_catalog.predict(
        catalog, model, str(place / "found.csv"), list("abcde"), transform,
        datamodule_kwargs={"batch_size": 64, "num_workers": workers},
        trainer_kwargs={"accelerator": "cpu", "logger": False, "enable_progress_bar": False},
    )
    assert len(pd.read_csv(place / "found.csv")) == count
    times.append((time.perf_counter() - start) / count)
print(json.dumps(min(times)))
"""


def peers(folder: Path, zoobot: str | None) -> list[Result]:
    """A run with the precision that it picks, beside the loop that one would write with torch, timm and Cutout2D.

    And beside Zoobot's prediction on images of which somebody else found the objects, cut them and wrote them down.
    """
    import timm
    import torch
    from astropy.coordinates import SkyCoord
    from astropy.io import fits
    from astropy.nddata import Cutout2D
    from astropy.wcs import WCS

    torch.set_num_threads(cores())
    size, side, objects, count = MODELS["resnet18"]
    bundle = make_bundle(folder, "resnet18", size)
    tiles = make_tiles(folder / "tiles-peers", count * cores(), side, objects)
    rows = catalogue(tiles[: len(BANDS)], bundle, folder / "run-before")
    network = timm.create_model("resnet18", pretrained=False, in_chans=3, num_classes=5).eval()

    def loop(on_sky: bool) -> float:
        """Seconds for an object; reading the tile is spread over all of its objects, as ours is."""
        start = time.perf_counter()
        planes, systems = [], []
        for path in tiles[: len(BANDS)]:
            with fits.open(path) as hdus:
                planes.append(hdus["IMAGE"].data)
                systems.append(WCS(hdus["IMAGE"].header))
        reading = (time.perf_counter() - start) / len(rows)
        start = time.perf_counter()
        chosen = rows.iloc[:PEERS_OBJECTS]
        for first in range(0, len(chosen), 32):
            images = []
            for row in chosen.iloc[first : first + 32].itertuples():
                position = SkyCoord(row.ra, row.dec, unit="deg") if on_sky else (row.x, row.y)
                each = zip(planes, systems if on_sky else [None] * len(planes), strict=True)
                options = {"mode": "partial", "fill_value": 0}
                images.append(
                    np.stack([Cutout2D(plane, position, size, wcs=wcs, **options).data for plane, wcs in each])
                )
            with torch.inference_mode():
                network(torch.from_numpy(np.arcsinh(np.stack(images) / 0.05)))
        return (time.perf_counter() - start) / len(chosen) + reading

    with torch.inference_mode():
        network(torch.zeros(32, len(BANDS), size, size))  # the first call takes longer
    theirs: dict[str, Callable[[], float]] = {
        "torch + timm + Cutout2D by positions on the sky": lambda: loop(True),
        "torch + timm + Cutout2D by positions in pixels": lambda: loop(False),
    }
    if zoobot is None:
        print("Zoobot was not named with --zoobot and is left out")
    else:
        images = folder / "jpeg"
        images.mkdir()
        command = [zoobot, "-c", ZOOBOT, str(images), "resnet18", str(size), str(PEERS_OBJECTS), str(cores())]
        theirs["Zoobot's prediction of cutouts that are there"] = lambda: float(
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
    # Before and after: the machine is not as fast at all times.
    before = {name: measure() for name, measure in theirs.items()}
    seconds, report = run(tiles, bundle, folder / "run-peers", cores(), "int8")
    rate = report.detected / seconds
    results = []
    for name, measure in theirs.items():
        took = (before[name] + measure()) / 2
        facts = {"per_second": round(rate, 1), "their_per_second": round(1 / took, 1)}
        title = f"whole run, int8, detection included: faster than {name} by"
        results.append(entry(title, rate * took, 4, "least", **facts))
    return results


def catalogue(tiles: list[Path], bundle: Bundle, folder: Path) -> pd.DataFrame:
    """Where the objects of a tile are."""
    _, report = run(tiles, bundle, folder, 1, "int8")
    table: pd.DataFrame = pq.read_table(report.parts[0], columns=["x", "y", "ra", "dec"]).to_pandas()
    return table


def scaling(folder: Path) -> list[Result]:
    """Two workers on two cores beside one on one core."""
    size, side, objects, _ = MODELS["resnet18"]
    bundle = make_bundle(folder, "resnet18", size)
    tiles = make_tiles(folder / "tiles-scaling", 10, side, objects // 2)
    allowed = sorted(os.sched_getaffinity(0))
    rates = []
    for count in (1, 2):
        os.sched_setaffinity(0, allowed[:count])
        seconds, report = run(tiles, bundle, folder / f"run-{count}", count, "int8")
        rates.append(report.detected / seconds)
    os.sched_setaffinity(0, allowed)
    facts = {"per_second": [round(rate, 1) for rate in rates]}
    return [entry("two workers: faster than one, a core each, by", rates[1] / rates[0], 1.8, "least", **facts)]


def flat_cost(folder: Path, most: int) -> list[Result]:
    """Cost of an object and peak memory with few and with many tiles; the many are links to a few."""
    size = 64
    bundle = make_bundle(folder, "resnet18", size)
    first = make_tiles(folder / "few", 10, 700, 150)
    costs, peaks = [], []
    for count in (10, most):
        tiles = []
        for i in range(count):
            for path in first[3 * (i % 10) : 3 * (i % 10) + 3]:
                link = folder / f"of-{count}" / f"t{i:03d}-{path.name.rpartition('-')[2]}"
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path)
                tiles.append(link)
        script = Path(__file__)
        command = [
            sys.executable,
            str(script),
            "--one",
            str(tiles[0].parent),
            str(bundle.path),
            str(folder / f"r{count}"),
        ]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        costs.append(told["seconds"] / told["objects"])
        peaks.append(told["peak"])
    facts = {"milliseconds": [round(1000 * cost, 2) for cost in costs], "tiles": [10, most]}
    memory = {"megabytes": [round(peak / 2**20) for peak in peaks], "tiles": [10, most]}
    return [
        entry(f"cost of an object, {most} tiles beside 10", costs[1] / costs[0], 1.1, "most", **facts),
        entry(f"peak memory of a worker, {most} tiles beside 10", peaks[1] / peaks[0], 1.1, "most", **memory),
    ]


def memory(folder: Path) -> list[Result]:
    """Peak memory of a worker with two tiles in progress."""
    bundle = make_bundle(folder, "resnet18", 64)
    results = []
    for side, objects, limit in ((3600, 5000, 1.5), (10000, 5000, 2.0)):
        tiles = make_tiles(folder / f"tiles-{side}", 2 if side < 5000 else 1, side, objects)
        out = folder / f"memory-{side}"
        command = [sys.executable, __file__, "--one", str(tiles[0].parent), str(bundle.path), str(out)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        results.append(
            entry(f"{side} x {side} in three bands: peak GB of a worker", told["peak"] / 1e9, limit, "most",
                  objects=told["objects"], tiles=told["tiles"])
        )  # fmt: skip
    return results


def one_run(tiles: str, bundle: str, out: str) -> None:
    """A run with one worker; prints what it took and the most memory that a process held."""
    seconds, report = run(sorted(Path(tiles).iterdir()), load_bundle(bundle), Path(out), 1, "int8")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "objects": report.detected, "tiles": report.tiles, "peak": peak}))


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    asked = parser(__doc__)
    asked.add_argument("--only", nargs="+", choices=ORDER, default=ORDER, help="comparisons to make")
    asked.add_argument("--zoobot", help="Python of an environment with Zoobot")
    # Of what the machine's other guests take now and then the median knows little.
    asked.add_argument("--rounds", type=int, default=3, help="times that a whole run is measured")
    asked.add_argument("--tiles", type=int, default=200, help="tiles of the longest run")
    asked.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = asked.parse_args()
    if arguments.one:
        one_run(*arguments.one)
        return
    warnings.simplefilter("ignore")
    ort.set_default_logger_severity(3)
    comparisons: dict[str, Callable[[Path], list[Result]]] = {
        "run": lambda folder: whole_run(folder, arguments.rounds),
        "peers": lambda folder: peers(folder, arguments.zoobot),
        "workers": scaling,
        "tiles": lambda folder: flat_cost(folder, arguments.tiles),
        "memory": memory,
    }
    results = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as scratch:
            results += comparisons[name](Path(scratch))
    finish("inference", results, check=arguments.check, cores=cores())


if __name__ == "__main__":
    main()
