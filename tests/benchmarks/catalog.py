"""Building a catalogue and asking it, beside plain pyarrow, pandas, LSDB, numpy and astropy on the same rows.

Rows are drawn from the distributions of a real run, by default the demonstration's, as densely on the sky as there.
The questions are asked of the largest catalogue from a Python process that has asked one before; opening the catalogue
is part of each. What grows with what is measured on all sizes.
"""

import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy.coordinates import SkyCoord, match_coordinates_sky
from common.outcome import Result, entry, finish, parser

import galmorph
from galmorph.catalogs import crossmatch, open_catalog, write_catalog
from galmorph.catalogs.regions import cone
from galmorph.catalogs.similarity import find_similar
from galmorph.demo import SURVEY, data_folder

CLASSES = ("elliptical", "spiral", "edge_on", "merger", "star")
BANDS = ("g", "r", "z")
PER_TILE = 5_000
LENGTH = 128
#: Side of a tile in degrees, for ten thousand rows on a square degree, and the corner of the first.
TILE, CORNER = 0.7, (10.0, -20.0)
#: Tiles in a row of the survey.
ACROSS = 60
LENSES = 33_000
CENTRE = (13.3, -18.4)
RADII = (0.1, 0.3, 1.0, 3.0)
#: Rows from which the targets for the cone hold: a smaller catalogue leaves less unread.
FULL = 10_000_000

#: The last one is used: wall time, unless that of the processor is asked for.
clocks: list[Callable[[], float]] = [time.perf_counter]


def fastest(call: Callable[[], object], repeats: int = 3) -> float:
    """Least time of several calls, by the clock that was asked for."""
    times = []
    for _ in range(repeats):
        start = clocks[-1]()
        call()
        times.append(clocks[-1]() - start)
    return min(times)


def synthetic_parts(folder: Path, rows: int, run: Path, embedding: int = 0) -> list[Path]:
    """Parts of tiles whose rows are drawn from those of a run; positions fill their tiles evenly."""
    source = pa.concat_tables([pq.read_table(path) for path in sorted(run.glob("parts/*.parquet"))])
    source = source.replace_schema_metadata(None)
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for tile in range(-(-rows // PER_TILE)):
        n = min(PER_TILE, rows - tile * PER_TILE)
        drawn = source.take(pa.array(rng.integers(0, source.num_rows, n)))
        name = f"t{tile:06d}"
        replaced = {
            "object_id": pa.array(tile * PER_TILE + np.arange(n)),
            "ra": pa.array(CORNER[0] + TILE * (tile % ACROSS) + rng.uniform(0, TILE, n)),
            "dec": pa.array(CORNER[1] + TILE * (tile // ACROSS) + rng.uniform(0, TILE, n)),
            "tile": pa.array([name] * n),
            "number": pa.array(np.arange(1, n + 1)),
            "anomaly_score": pa.array(drawn["anomaly_score"].to_numpy() * rng.uniform(0.98, 1.02, n)),
        }
        for column, values in replaced.items():
            place = drawn.column_names.index(column)
            drawn = drawn.set_column(place, column, values.cast(drawn.schema.field(column).type))
        if embedding:
            vectors = rng.standard_normal((n, embedding), dtype=np.float32).astype(np.float16)
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), embedding)
            drawn = drawn.append_column("embedding", column)
        paths.append(folder / f"{name}.parquet")
        if not paths[-1].exists():
            pq.write_table(drawn, paths[-1])
    return paths


def build(parts: Sequence[Path], out: Path) -> tuple[float, float]:
    """Seconds and peak memory (GB) of writing the catalogue."""
    start = time.perf_counter()
    write_catalog(parts, out, provenance={"seeing": {"r": 1.2}}, classes=CLASSES, bands=BANDS)
    return time.perf_counter() - start, _peak()


def build_plain(parts: Sequence[Path], out: Path) -> tuple[float, float]:
    """The same of pyarrow reading part after part and writing one file, in the order in which they come."""
    start = time.perf_counter()
    with pq.ParquetWriter(out, pq.read_schema(parts[0]), compression="zstd", compression_level=3) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))
    return time.perf_counter() - start, _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def apart(call: Callable[..., tuple[float, float]], *arguments: object) -> tuple[float, float]:
    """What a function gives in a process of its own, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments)


def cones(path: Path, rows: int) -> list[Result]:
    """A cone of one degree, beside pandas reading the columns whole and LSDB's cone search."""
    import lsdb

    columns = ["object_id", "ra", "dec", "label"]
    ra, dec, radius = *CENTRE, 1.0

    def with_pandas() -> int:
        frame = pd.read_parquet(path / "dataset", columns=columns, partitioning=None)
        centre = np.radians(ra), np.radians(dec)
        a, d = np.radians(frame["ra"].to_numpy()), np.radians(frame["dec"].to_numpy())
        cosine = np.sin(d) * np.sin(centre[1]) + np.cos(d) * np.cos(centre[1]) * np.cos(a - centre[0])
        return int((cosine >= np.cos(np.radians(radius))).sum())

    def with_lsdb() -> int:
        return len(lsdb.open_catalog(path, columns=columns).cone_search(ra, dec, radius * 3600).compute())

    counts = {ask_cone(path, radius), with_pandas(), with_lsdb()}
    if len(counts) != 1:
        raise SystemExit(f"the three cone searches find different numbers of rows: {sorted(counts)}")
    found, seconds = counts.pop(), fastest(lambda: ask_cone(path, radius), 7)
    slow = fastest(with_pandas), fastest(with_lsdb)
    targets, facts = (10, 2) if rows >= FULL else (2, 2), {"seconds": round(seconds, 4)}
    return [
        entry(f"cone of 1 degree ({found} rows): faster than pandas by", slow[0] / seconds, targets[0], **facts),
        entry("cone of 1 degree: faster than LSDB by", slow[1] / seconds, targets[1], **facts),
    ]


def ask_cone(path: Path, radius: float) -> int:
    """Rows of a cone, four columns of them."""
    sql = "SELECT object_id, ra, dec, label FROM catalog"
    return open_catalog(path).query(sql, within=[cone(*CENTRE, radius)]).num_rows


def best(path: Path) -> Result:
    """The thousand best lens candidates, beside two seconds."""
    seconds = fastest(lambda: open_catalog(path).candidates("lens", 1000))
    return entry("thousand best lens candidates: share of 2 s", seconds / 2, 1.0, "most", seconds=round(seconds, 4))


def first_byte(path: Path) -> Result:
    """From the start of the command `galmorph catalog info` to the first byte that it prints."""

    def ask() -> None:
        command = [sys.executable, "-m", "galmorph", "catalog", "info", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            first.append(time.perf_counter())
            process.stdout.read()

    seconds = []
    for _ in range(3):
        first: list[float] = []
        start = time.perf_counter()
        ask()
        seconds.append(first[0] - start)
    return entry("first byte of catalog info: share of 1 s", min(seconds), 1.0, "most", seconds=round(min(seconds), 4))


def likeness(path: Path, rows: int) -> Result:
    """Likeness to one example, beside numpy on the column as pyarrow reads it."""
    files = open_catalog(path).files
    example = np.random.default_rng(2).standard_normal(LENGTH)

    def ours() -> list[int]:
        return find_similar(files, example, 20)["object_id"].to_pylist()

    def bare() -> list[int]:
        table = pa.concat_tables(
            [pq.read_table(file, columns=["object_id", "primary", "embedding"], partitioning=None) for file in files]
        )
        matrix = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, LENGTH).astype(np.float32)
        cosine = matrix @ (example / np.linalg.norm(example)).astype(np.float32) / np.linalg.norm(matrix, axis=1)
        cosine[~table["primary"].to_numpy()] = -2
        chosen = np.argpartition(-cosine, 20)[:20]
        return table["object_id"].to_numpy()[chosen[np.argsort(-cosine[chosen])]].tolist()

    if ours() != bare():
        raise SystemExit("likeness and numpy find different objects")
    seconds = fastest(ours)
    name = f"likeness over {rows} embeddings of {LENGTH}: time beside numpy"
    return entry(name, seconds / fastest(bare), 1.5, "most", seconds=round(seconds, 4))


def matching(path: Path, folder: Path, lenses: Path | None) -> Result:
    """Crossmatch with a list of lenses, beside astropy on all positions of the catalogue."""
    listed = folder / (lenses.name if lenses is not None else "lenses.csv")
    if lenses is not None:
        shutil.copy(lenses, listed)
    else:
        rng = np.random.default_rng(3)
        dec = np.degrees(np.arcsin(rng.uniform(-1, 1, LENSES)))
        pd.DataFrame({"ra": rng.uniform(0, 360, LENSES), "dec": dec}).to_csv(listed, index=False)

    def with_astropy() -> int:
        ours = pd.read_parquet(path / "dataset", columns=["ra", "dec", "primary"], partitioning=None).query("primary")
        theirs = pd.read_csv(listed)
        names = ("RA [deg]", "DEC [deg]") if "RA [deg]" in theirs else ("ra", "dec")
        catalog = SkyCoord(ours["ra"], ours["dec"], unit="deg")
        entries = SkyCoord(theirs[names[0]], theirs[names[1]], unit="deg")
        return int((match_coordinates_sky(entries, catalog)[1] <= 3 * units.arcsec).sum())

    if (found := crossmatch(path, listed, 3.0).matched) != with_astropy():
        raise SystemExit("crossmatch and astropy find different numbers of pairs")
    seconds = fastest(lambda: crossmatch(path, listed, 3.0))
    name = f"crossmatch with lenses ({found} found): faster than astropy by"
    return entry(name, fastest(with_astropy, 1) / seconds, 2, seconds=round(seconds, 4))


def growth(path: Path, rows: int) -> dict[str, object]:
    """Seconds of cones of growing radius, and the rows that they hold."""
    asked = [(radius, ask_cone(path, radius), fastest(lambda r=radius: ask_cone(path, r), 5)) for radius in RADII]
    for radius, found, seconds in asked:
        print(f"{rows} rows, cone of {radius} degrees: {found} rows in {seconds:.3f} s", flush=True)
    return {"rows": rows, "cones": [(radius, found, round(seconds, 4)) for radius, found, seconds in asked]}


def plot(curves: Sequence[dict[str, object]], path: Path) -> None:
    """Time of a cone by the rows that it holds, a line for each size of catalogue."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), dpi=110)
    for curve, colour in zip(curves, ("#96bee6", "#3a6fb0", "#122f6e", "#d64541"), strict=False):
        found, seconds = zip(*[(cone_[1], cone_[2]) for cone_ in curve["cones"]], strict=True)  # type: ignore[attr-defined]
        label = f"{int(str(curve['rows'])) / 1e6:g} million rows"
        axes.plot(found, seconds, marker="o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="rows in the cone", ylabel="seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


def builds(folder: Path, rows: int, run: Path) -> list[Result]:
    """A catalogue of so many rows, with how long it took; one that is there from an earlier call is taken as it is."""
    out, kept = folder / f"catalog-{rows}", folder / f"build-{rows}.json"
    if not kept.exists():
        parts = synthetic_parts(folder / f"parts-{rows}", rows, run)
        seconds, peak = apart(build, parts, out)
        plain, _ = apart(build_plain, parts, folder / "plain.parquet")
        (folder / "plain.parquet").unlink()
        shutil.rmtree(folder / f"parts-{rows}")
        kept.write_text(json.dumps([seconds, peak, plain]))
    seconds, peak, plain = json.loads(kept.read_text())
    name = f"building {rows} rows ({rows / seconds:.0f} rows/s; plain pyarrow {rows / plain:.0f})"
    return [
        entry(f"{name}: time beside plain pyarrow", seconds / plain, None, "most", seconds=round(seconds, 4)),
        entry(f"building {rows} rows: share of 4 GB of memory", peak / 4, 1.0, "most", seconds=round(seconds, 4)),
    ]


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    asked = parser(__doc__)
    asked.add_argument(
        "--rows", type=int, nargs="+", default=[500_000], help="rows of the catalogues, the largest last"
    )
    asked.add_argument("--embeddings", type=int, default=100_000, help="rows of the catalogue with embeddings")
    asked.add_argument("--run", type=Path, help="run folder whose rows are drawn from; the demonstration's by default")
    asked.add_argument("--lenses", type=Path, help="list of lenses; by default as many places evenly on the sky")
    asked.add_argument("--plot", type=Path, help="picture of what grows with what")
    asked.add_argument("--keep", type=Path, help="folder for what is built, used again by the next call")
    asked.add_argument(
        "--processor-time", action="store_true", help="time questions by the processor, for machines under load"
    )
    arguments = asked.parse_args()
    if arguments.processor_time:
        clocks.append(time.process_time)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        run = arguments.run or folder / "run"
        if not run.exists():
            galmorph.classify(data_folder() / "data" / "tiles", SURVEY, data_folder() / "model", run)
        results, curves = [], []
        for rows in arguments.rows:
            results += builds(folder, rows, run)
            curves.append(growth(folder / f"catalog-{rows}", rows))
        path, largest = folder / f"catalog-{arguments.rows[-1]}", arguments.rows[-1]
        results += [*cones(path, largest), best(path), first_byte(path), matching(path, folder, arguments.lenses)]
        if not (folder / "embedded").exists():
            parts = synthetic_parts(folder / "parts", arguments.embeddings, run, LENGTH)
            build(parts, folder / "embedded")
            shutil.rmtree(folder / "parts")
        results.append(likeness(folder / "embedded", arguments.embeddings))
    if arguments.plot:
        plot(curves, arguments.plot)
    finish("catalog", results, check=arguments.check, rows=largest, growth=curves)


if __name__ == "__main__":
    main()
