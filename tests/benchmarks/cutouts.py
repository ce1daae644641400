"""Cutting objects out of a tile, beside nothing but ``cv2.warpAffine``, beside Cutana and beside astropy.

One process, one thread, the same planes and positions for all. Cutana pins other versions than galmorph: install it
into an environment of its own (``pip install cutana==0.4.0``) and name that one's Python with ``--cutana``.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from common.outcome import entry, finish, parser

from galmorph.cutouts import Cutter, Framing
from galmorph.fits_files import Notes
from galmorph.fits_planes import read_planes
from galmorph.sky import pixel_to_sky, sky_to_pixel

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from make_sky import tile_wcs

SIDE = 3000
OBJECTS = 500
#: Objects that are cut at the tile's own pixels, and side of those cutouts.
MANY, SMALL = 4000, 64
REPEATS = 5
SCALE = 0.262

#: What Cutana is asked in its own environment; it reads the tile itself, as ours does for this comparison.
CUTANA = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
from cutana import create_cutouts_direct, get_default_config
place, size, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sky = np.load(place + "/sky.npy")
config = get_default_config()
config.target_resolution = size
config.normalisation_method = "asinh"
config.apply_flux_conversion = False
config.log_level = config.console_log_level = "ERROR"
config.output_dir = place
table = pd.DataFrame({
    "SourceID": [str(i) for i in range(len(sky))], "RA": sky[:, 0], "Dec": sky[:, 1], "diameter_pixel": size,
    "fits_file_paths": [str([place + "/tile.fits"])] * len(sky),
})
times = []
for _ in range(repeats):
    start = time.perf_counter()
    found = create_cutouts_direct(table, config, max_workers=1, log_set_progress=False)
    times.append(time.perf_counter() - start)
assert sum(len(batch["cutouts"]) for batch in found) == len(sky), [batch["cutouts"].shape for batch in found]
print(json.dumps(min(times)))
"""


def fastest(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least wall time of several calls."""
    times = []
    for _ in range(repeats):
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
    return entry(name, ours / bare, 1.3, "most", per_second=round(len(x) / ours))


def beside_others(rng: np.random.Generator, cutana: str | None) -> list[dict[str, object]]:
    """One band at the tile's own pixels, from positions on the sky to stretched cutouts, reading the tile included."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wcs = tile_wcs(150.0, 2.0, SIDE)
        image = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
        fits.PrimaryHDU(image, wcs.to_header()).writeto(folder / "tile.fits")
        x, y = rng.uniform(100, SIDE - 100, (2, MANY))
        ra, dec = pixel_to_sky(wcs, x, y)
        np.save(folder / "sky.npy", np.column_stack([ra, dec]))

        def ours() -> np.ndarray:
            (plane,) = read_planes(folder / "tile.fits", [None], Notes())
            planes = plane.pixels[None]
            framing = Framing(size=SMALL, mode="angle", angle=SMALL * SCALE)
            cutter = Cutter(planes, np.isfinite(planes), SCALE, framing)
            return np.arcsinh(cutter.cut(*sky_to_pixel(plane.wcs, ra, dec), np.ones(MANY)).images)

        def with_astropy(by_sky: bool) -> np.ndarray:
            """By positions on the sky, as in its documentation, or by pixels that all were converted to at once."""
            with fits.open(folder / "tile.fits") as hdus:
                world = WCS(hdus[0].header)
                places = zip(*world.wcs_world2pix(ra, dec, 0), strict=True)
                cut = [
                    Cutout2D(hdus[0].data, place, SMALL, wcs=world, mode="partial").data
                    for place in (SkyCoord(ra, dec, unit="deg") if by_sky else places)
                ]
                return np.arcsinh(np.stack(cut))

        seconds = fastest(ours)
        facts = {"per_second": round(MANY / seconds)}
        results = []
        for by_sky, words, target in ((True, "by positions on the sky", 20), (False, "by pixels", None)):
            slow = fastest(lambda by_sky=by_sky: with_astropy(by_sky), 2)
            name = f"{SMALL} x {SMALL}: faster than Cutout2D {words} by"
            results.append(entry(name, slow / seconds, target, "least", **facts))
        if cutana is None:
            print("Cutana was not named with --cutana and is left out")
            return results
        command = [cutana, "-c", CUTANA, scratch, str(SMALL), "2"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs = float(done.stdout.splitlines()[-1])
        name = f"{SMALL} x {SMALL}, asinh: faster than Cutana 0.4 by"
        return [*results, entry(name, theirs / seconds, 5, "least", **facts)]


def main() -> None:
    """Measure, print, and with ``--check`` fail when a target is missed."""
    asked = parser(__doc__)
    asked.add_argument("--cutana", help="Python of an environment with Cutana 0.4")
    arguments = asked.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    results = [beside_bare_warps(rng, size) for size in (128, 256)] + beside_others(rng, arguments.cutana)
    finish("cutouts", results, check=arguments.check)


if __name__ == "__main__":
    main()
