"""Cutting objects out of a tile, beside nothing but ``cv2.warpAffine``.

One process, one thread, the same planes and positions for both.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from galmorph.cutouts import Cutter, Framing

SIDE = 3000
OBJECTS = 500
REPEATS = 5
SCALE = 0.262


def fastest(call: Callable[[], object]) -> float:
    """Least wall time of several calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def beside_bare_warps(rng: np.random.Generator, size: int) -> dict[str, object]:
    """Three bands, 1.5 tile pixels per pixel."""
    planes = rng.normal(size=(3, SIDE, SIDE)).astype(np.float32)
    x, y = rng.uniform(200, SIDE - 200, (2, OBJECTS))
    framing = Framing(size=size, mode="angle", angle=1.5 * size * SCALE)
    cutter = Cutter(planes, np.ones_like(planes, dtype=bool), SCALE, framing)
    radius = np.ones(len(x))
    ours = fastest(lambda: cutter.cut(x, y, radius))

    def loop() -> np.ndarray:
        out = np.empty((len(x), 3, size, size), dtype=np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for i in range(len(x)):
            matrix = np.array([[1.5, 0, x[i] - 0.75 * size], [0, 1.5, y[i] - 0.75 * size]])
            for band in range(3):
                cv2.warpAffine(planes[band], matrix, (size, size), dst=out[i, band], flags=flags)
        return out

    bare = fastest(loop)
    name = f"3 x {size} x {size}: time beside bare warpAffine"
    return {"name": name, "per_second": round(len(x) / ours), "ratio": round(ours / bare, 3), "target": 1.3}


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    results = [beside_bare_warps(rng, size) for size in (128, 256)]
    for result in results:
        print(f"{result['name']}: {result['ratio']} (target {result['target']}), {result['per_second']} objects/s")
    print(json.dumps({"benchmark": "cutouts", "results": results}))
    sys.exit(arguments.check and any(result["ratio"] > result["target"] for result in results))


if __name__ == "__main__":
    main()
