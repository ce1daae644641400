"""Building a catalogue and asking it, beside plain pyarrow, pandas, LSDB, numpy and astropy on the same rows.

Rows are drawn from the distributions of a real run, by default that of the demonstration, on strips of sky.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy.coordinates import SkyCoord, match_coordinates_sky

import galmorph
from galmorph.catalogs import crossmatch, open_catalog, write_catalog
from galmorph.catalogs.regions import cone
from galmorph.catalogs.similarity import find_similar
from galmorph.demo import SURVEY, data_folder

CLASSES = ("elliptical", "spiral", "edge_on", "merger", "star")
BANDS = ("g", "r", "z")
PER_TILE = 5_000
LENGTH = 128
#: Side of a tile in degrees, and the corner of the first.
TILE, CORNER = 0.25, (10.0, -20.0)
#: Tiles in a row of the survey.
ACROSS = 120
LENSES = 33_000


def fastest(call: Callable[[], object], repeats: int = 3) -> float:
    """Least wall time of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def synthetic_parts(folder: Path, rows: int, run: Path) -> list[Path]:
    """Parts of tiles whose rows are drawn from those of a run; positions fill their tiles evenly."""
    source = pa.concat_tables([pq.read_table(path) for path in sorted(run.glob("parts/*.parquet"))])
    rng = np.random.default_rng(1)
    folder.mkdir()
    paths = []
    for tile in range(-(-rows // PER_TILE)):
        n = min(PER_TILE, rows - tile * PER_TILE)
        drawn = source.take(pa.array(rng.integers(0, source.num_rows, n)))
        name = f"t{tile:06d}"
        dec = CORNER[1] + TILE * (tile // ACROSS) + rng.uniform(0, TILE, n)
        replaced = {
            "object_id": pa.array(tile * PER_TILE + np.arange(n)),
            "ra": pa.array(CORNER[0] + TILE * (tile % ACROSS) + rng.uniform(0, TILE, n)),
            "dec": pa.array(dec),
            "tile": pa.array([name] * n),
            "number": pa.array(np.arange(1, n + 1)),
        }
        for column, values in replaced.items():
            place = drawn.column_names.index(column)
            drawn = drawn.set_column(place, column, values.cast(drawn.schema.field(column).type))
        vectors = rng.standard_normal((n, LENGTH), dtype=np.float32).astype(np.float16)
        embedding = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), LENGTH)
        drawn = drawn.append_column("embedding", embedding)
        paths.append(folder / f"{name}.parquet")
        pq.write_table(drawn.replace_schema_metadata(None), paths[-1])
    return paths


def building(parts: list[Path], folder: Path) -> dict[str, object]:
    """Writing the catalogue, beside sorting all rows and writing one plain file."""
    out = folder / "catalog"
    start = time.perf_counter()
    write_catalog(parts, out, provenance={"seeing": {"r": 1.2}}, classes=CLASSES, bands=BANDS)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    table = pa.concat_tables([pq.read_table(path) for path in parts]).sort_by(
        [("dec", "ascending"), ("ra", "ascending")]
    )
    pq.write_table(table, folder / "plain.parquet", compression="zstd", compression_level=3)
    plain = time.perf_counter() - start
    return entry("building: time beside pyarrow sorting and writing one file", ours / plain, 4.0, ours, "most")


def cones(path: Path) -> list[dict[str, object]]:
    """A cone of one degree, beside pandas reading the columns whole and LSDB's cone search."""
    import lsdb

    columns = ["object_id", "ra", "dec", "label"]
    ra, dec, radius = 13.3, -19.2, 1.0
    sql = f"SELECT {', '.join(columns)} FROM catalog"

    def with_pandas() -> int:
        frame = pd.read_parquet(path / "dataset", columns=columns, partitioning=None)
        centre = np.radians(ra), np.radians(dec)
        a, d = np.radians(frame["ra"].to_numpy()), np.radians(frame["dec"].to_numpy())
        cosine = np.sin(d) * np.sin(centre[1]) + np.cos(d) * np.cos(centre[1]) * np.cos(a - centre[0])
        return int((cosine >= np.cos(np.radians(radius))).sum())

    def ours() -> int:
        return open_catalog(path).query(sql, within=[cone(ra, dec, radius)]).num_rows

    def with_lsdb() -> int:
        return len(lsdb.open_catalog(path, columns=columns).cone_search(ra, dec, radius * 3600).compute())

    counts = {ours(), with_pandas(), with_lsdb()}
    if len(counts) != 1:
        raise SystemExit(f"the three cone searches find different numbers of rows: {sorted(counts)}")
    found, seconds = counts.pop(), fastest(ours)
    return [
        entry(
            f"cone of 1 degree ({found} rows): faster than pandas by",
            fastest(with_pandas) / seconds,
            10,
            seconds,
        ),
        entry("cone of 1 degree: faster than LSDB by", fastest(with_lsdb) / seconds, 2, seconds),
    ]


def best(path: Path) -> dict[str, object]:
    """The thousand best lens candidates, beside two seconds."""
    seconds = fastest(lambda: open_catalog(path).candidates("lens", 1000))
    return entry("thousand best lens candidates: share of 2 s", seconds / 2, 1.0, seconds, "most")


def likeness(path: Path, rows: int) -> dict[str, object]:
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
    return entry(name, seconds / fastest(bare), 1.5, seconds, "most")


def matching(path: Path, folder: Path, lenses: Path | None) -> dict[str, object]:
    """Crossmatch with a list of lenses, beside astropy on all positions of the catalogue."""
    listed = folder / "lenses.csv"
    if lenses is not None:
        shutil.copy(lenses, folder / lenses.name)
        listed = folder / lenses.name
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
    return entry(
        f"crossmatch with lenses ({found} found): faster than astropy by", fastest(with_astropy) / seconds, 2, seconds
    )


def entry(name: str, ratio: float, target: float, seconds: float, kind: str = "least") -> dict[str, object]:
    """One line of the result; `kind` says if the ratio may be at most or has to be at least the target."""
    print(f"{name}: {ratio:.2f} (target {kind} {target:g}), {seconds:.3f} s", flush=True)
    return {"name": name, "ratio": round(ratio, 3), "target": target, "kind": kind, "seconds": round(seconds, 4)}


def met(result: dict[str, object]) -> bool:
    """If a result meets its target."""
    ratio, target = float(str(result["ratio"])), float(str(result["target"]))
    return ratio <= target if result["kind"] == "most" else ratio >= target


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the catalogue")
    parser.add_argument("--run", type=Path, help="run folder whose rows are drawn from; the demonstration's by default")
    parser.add_argument("--lenses", type=Path, help="list of lenses; by default as many places evenly on the sky")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = arguments.run
        if run is None:
            run = folder / "run"
            galmorph.classify(data_folder() / "data" / "tiles", SURVEY, data_folder() / "model", run)
        parts = synthetic_parts(folder / "parts", arguments.rows, run)
        results = [building(parts, folder)]
        path = folder / "catalog"
        results += cones(path, arguments.rows)
        results += [
            best(path),
            likeness(path, arguments.rows),
            matching(path, folder, arguments.rows, arguments.lenses),
        ]
    print(json.dumps({"benchmark": "catalog", "rows": arguments.rows, "results": results}))
    sys.exit(arguments.check and not all(met(result) for result in results))


if __name__ == "__main__":
    main()
