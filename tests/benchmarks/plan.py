"""The prediction of `galmorph plan` beside the run that it predicts, for tiles with more and with fewer galaxies.

Each ratio is the larger of prediction over truth and truth over prediction.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil
from common.outcome import entry, finish, parser

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from make_crowded import make_crowded

import galmorph
from galmorph.demo import SURVEY, data_folder
from galmorph.inference.measure import peak_memory
from galmorph.pipeline import plan

TILES, SIDE = 24, 700
SAMPLE = 6
WORKERS = 2
TARGET = 1.25


def make_survey(folder: Path) -> Path:
    """Tiles side by side, no two alike."""
    for i in range(TILES):
        make_crowded(folder, f"tile{i:02d}", SIDE, 60 + 10 * (i * 7 % TILES), ra=150 + i * SIDE * 0.262 / 3600, seed=i)
    return folder


def main() -> None:
    """Predict, run, compare, and with ``--check`` fail when a prediction is off by more than the target."""
    check = parser(__doc__).parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        tiles = make_survey(Path(scratch) / "tiles")
        model = data_folder() / "model"
        predicted = plan(tiles, SURVEY, model, sample=SAMPLE, workers=WORKERS)
        out = Path(scratch) / "run"
        memory = 0

        def look(*_: object) -> None:
            nonlocal memory
            memory = max(memory, *map(peak_memory, psutil.Process().children(recursive=True)))

        begin = time.perf_counter()
        result = galmorph.classify(tiles, SURVEY, model, out, workers=WORKERS, progress=look)
        seconds = time.perf_counter() - begin
        disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    results = []
    for name, told, true in (
        ("time", predicted.seconds(), seconds),
        ("memory", predicted.memory, memory),
        ("disk", predicted.disk, disk),
        ("objects", predicted.objects, result.report.detected),
    ):
        results.append(entry(name, max(told / true, true / told), TARGET, "most", predicted=told, was=true))
    finish("plan", results, check=check, tiles=TILES, sample=SAMPLE)


if __name__ == "__main__":
    main()
