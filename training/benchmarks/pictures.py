"""A release of real pictures: Galaxy Zoo's galaxies of SDSS are the first survey, those of DECaLS and KiDS the second.

    python training/benchmarks/pictures.py SDSS RINGS UNLABELLED WORK [--epochs 20]

SDSS is a folder with ``labels.csv`` (OBJID, label, file), RINGS one of DECaLS galaxies with ``labels.csv`` (file),
UNLABELLED one with more pictures in ``images``. Pictures are laid out on the sky as tiles, so that all that follows is
what a survey's own tiles go through: labelled cutouts, a training, a run at given positions, and `galmorph retrain`
without a label of the new release. The classes of the second survey are not known, but volunteers saw a disc or
features in each galaxy of RINGS, none of them edge-on: "edge_on" is wrong there by their votes, "elliptical" doubtful.
The line goes to
``docs/benchmarks/releases.jsonl``; ``releases.py table`` shows it.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from releases import GATES, course_of, recipe_of, trained, write
from sdss import NAMES

import galmorph
from galmorph.cutouts import Framing
from galmorph.labelling import make_labelled_cutouts
from galmorph.releases.description import parse_release
from galmorph.releases.retraining import retrain
from galmorph.surveys import load_survey
from galmorph.training.pictures import list_pictures, read_picture

#: Pictures a side of a tile, pixels a side of a picture's place, and arcsec a pixel: pictures tell no scale.
SIDE, PLACE, SCALE = 4, 424, 0.4

#: Pictures have no unit; a count is taken for a nanomaggy.
SURVEY, OPTIONS = "generic", {"bands": "r,g,b", "layout": "cube", "seeing": "1.4", "pixel_scale": str(SCALE)}

CLASSES, PRIVATE = ("spiral", "elliptical", "edge_on"), ("merger",)
FRAMING = Framing(size=48, factor=1.2)


def lay_out(pictures: Sequence[Path], ids: Sequence[str], out: Path, dec: float) -> pd.DataFrame:
    """Write pictures as tiles, rows of them at a declination of their own.

    Returns
    -------
    pandas.DataFrame
        Where the middle of each picture came to lie: object_id, ra, dec.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, float, float]] = []
    for start in range(0, len(pictures), SIDE**2):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-SCALE / 3600, SCALE / 3600]
        wcs.wcs.crpix = [(SIDE * PLACE + 1) / 2] * 2
        wcs.wcs.crval = [30 + start / SIDE**2 * 0.5, dec]
        cube = np.zeros((3, SIDE * PLACE, SIDE * PLACE), dtype=np.float32)
        for i in range(start, min(start + SIDE**2, len(pictures))):
            picture = read_picture(pictures[i])[:, :PLACE, :PLACE]
            height, width = picture.shape[1:]
            top, left = (PLACE * number for number in divmod(i - start, SIDE))
            missing = [(0, 0), (0, PLACE - height), (0, PLACE - width)]
            cube[:, top : top + PLACE, left : left + PLACE] = np.pad(picture, missing, mode="edge")
            ra, declination = wcs.pixel_to_world_values(left + (width - 1) / 2, top + (height - 1) / 2)
            rows.append((ids[i], float(ra), float(declination)))
        hdu = fits.PrimaryHDU(cube, wcs.to_header())
        hdu.header["BANDS"] = "rgb"
        hdu.writeto(out / f"t{start // SIDE**2:03d}.fits", overwrite=True)
    return pd.DataFrame(rows, columns=["object_id", "ra", "dec"])


def make(sdss: Path, rings: Path, unlabelled: Path, work: Path) -> None:
    """Tiles of both surveys, labelled cutouts of the first, positions of the second."""
    table = pd.read_csv(sdss / "labels.csv", dtype=str)
    table = table.assign(label=table["label"].replace(NAMES))
    table = table[table["label"].isin(CLASSES + PRIVATE)].reset_index(drop=True)
    places = lay_out([sdss / name for name in table["file"]], table["OBJID"].tolist(), work / "sdss-tiles", 0.0)
    places.assign(label=table["label"]).to_csv(work / "sdss.csv", index=False)
    made = make_labelled_cutouts(
        [work / "sdss-tiles"], load_survey(SURVEY, OPTIONS), work / "sdss.csv", work / "sdss", framing=FRAMING, radius=4
    )
    print(f"sdss: {dict(made.counts)}, {len(made.rejected)} without a cutout", flush=True)
    voted = [rings / name for name in pd.read_csv(rings / "labels.csv", dtype=str)["file"]]
    files = voted + list_pictures(unlabelled / "images")
    ids = [f"ring-{file.stem}" for file in voted] + [file.stem for file in files[len(voted) :]]
    lay_out(files, ids, work / "decals-tiles", 20.0).to_csv(work / "decals.csv", index=False)


def by_votes(catalog: Path) -> dict[str, Any]:
    """What a catalogue calls the galaxies that volunteers called discs that are not edge-on."""
    rows = galmorph.open_catalog(catalog).to_pandas().query("primary")
    rows = rows[rows["source_id"].str.startswith("ring-")]
    shares = rows["label"].value_counts(normalize=True)
    found: dict[str, Any] = {name: round(float(shares.get(name, 0)), 4) for name in CLASSES}
    return {"objects": len(rows)} | found | {"unknown": round(float(rows["unknown"].mean()), 4)}


def rehearse(work: Path, epochs: int) -> dict[str, Any]:
    """The release; the line of the results."""
    old = trained(recipe_of("pictures", CLASSES, PRIVATE, work, "sdss", epochs), work / "old")
    made = recipe_of("pictures", CLASSES, PRIVATE, work, "sdss", epochs, "deepastrouda")
    (work / "recipe.toml").write_text(made.to_toml())
    options: dict[str, Any] = {"workers": 1, "device": "cpu", "positions": work / "decals.csv", "options": OPTIONS}
    before = galmorph.classify([str(work / "decals-tiles")], SURVEY, old, work / "before", **options).path
    tiles = {"inputs": [str(work / "decals-tiles")], "survey": SURVEY, "options": OPTIONS}
    release = parse_release(
        {
            "name": "pictures",
            "model": str(old),
            "old_catalog": str(before),
            "tiles": tiles | {"positions": str(work / "decals.csv")},
            "notice": {"tiles": 0},
            "adapt": {"recipe": "recipe.toml", "weights": "old/training", "device": "cpu"},
            # No label of the new release, and so an estimate.
            "gates": {name: gate for name, gate in GATES.items() if name != "target"} | {"estimate": {"gain": -0.05}},
            "register": {"name": "pictures", "registry": str(work / "mlflow.db"), "promote": True},
            "score": {"workers": 1, "device": "cpu"},
        },
        folder=work,
    )
    steps = retrain(release, work / "release").steps
    return {
        "kind": "pictures",
        "name": "pictures",
        "epochs": epochs,
        **course_of(steps),
        "catalogue": {"before": by_votes(before), "after": by_votes(Path(steps["rescore"]["catalog"]))},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sdss", "rings", "unlabelled", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("galmorph").setLevel(logging.ERROR)
    work = given.work.resolve()
    if not (work / "decals.csv").is_file():
        make(given.sdss, given.rings, given.unlabelled, work)
    line = rehearse(work, given.epochs)
    print(json.dumps(line, indent=2), flush=True)
    write(line)


if __name__ == "__main__":
    main()
