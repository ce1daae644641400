"""Pictures of every class in every mock survey: ``python -m galmorph.mocks.gallery OUT``."""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from galmorph.cutout_set import read_cutout_set
from galmorph.mocks.camera import camera_of
from galmorph.mocks.config import MockConfig
from galmorph.mocks.exposure import expose
from galmorph.mocks.make import make_mock
from galmorph.mocks.sky import make_sky, tile_grid
from galmorph.render import mosaic, rgb
from galmorph.surveys import load_survey
from galmorph.taxonomy import MOCK_CLASSES

#: Of the sky in the pictures: not one for training, evaluation or the demonstration.
GALLERY_SEED = 3000

SURVEYS = ("mock-sdss", "mock-decals", "mock-lsst-y1", "mock-lsst-y10")

#: Pictures of each class.
COLUMNS = 9


def draw_gallery(out: Path, survey_name: str, tiles: int = 3) -> Path:
    """Draw a mock and write a mosaic of its classes.

    Parameters
    ----------
    out : Path
        Folder; must exist.
    survey_name : str
        A mock survey.
    tiles : int
        How many tiles to draw the examples from.

    Returns
    -------
    Path
        ``<survey>.jpg``: a row per class, in the order of `MOCK_CLASSES`. Every survey shows the same objects.
    """
    with tempfile.TemporaryDirectory() as scratch:
        make_mock(scratch, load_survey(survey_name), tiles, GALLERY_SEED)
        cutouts = read_cutout_set(Path(scratch) / "cutouts")
        pictures, captions = [], []
        order = np.argsort(cutouts.labels["object_id"].to_numpy())
        classes = cutouts.labels["fine_class"].to_numpy()[order]
        whole = cutouts.labels["off_edge_fraction"].to_numpy()[order] == 0
        for name in MOCK_CLASSES:
            chosen = order[(classes == name) & whole][:COLUMNS]
            pictures += [rgb(np.asarray(cutouts.images[row]), bands=cutouts.meta["bands"]) for row in chosen]
            pictures += [np.zeros((8, 8, 3), dtype=np.uint8)] * (COLUMNS - len(chosen))
            captions += [name.replace("_", " ")] + [""] * (COLUMNS - 1)
    path = out / f"{survey_name}.jpg"
    mosaic(pictures, captions, COLUMNS, side=112).save(path, quality=88, optimize=True)
    return path


def draw_one_sky(out: Path) -> Path:
    """Write a picture of one piece of sky as each survey sees it: ``same-sky.jpg``."""
    config = MockConfig(tile_side=130.0)
    grid = tile_grid(1, GALLERY_SEED, config)
    sky = make_sky(grid, GALLERY_SEED, config)
    pictures = []
    for name in SURVEYS:
        camera = camera_of(load_survey(name))
        exposure = expose(grid[0], sky, camera, config, GALLERY_SEED)
        flux = exposure.counts / camera.counts_per_nanomaggy[:, None, None] / camera.pixel_scale**2
        flux[exposure.invvar == 0] = 0.0
        image = Image.fromarray(rgb(flux, 4.0, camera.bands))
        pictures.append(np.asarray(image.resize((420, 420), Image.Resampling.LANCZOS)))
    path = out / "same-sky.jpg"
    mosaic(pictures, SURVEYS, 2, side=420).save(path, quality=88, optimize=True)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write the pictures to")
    parser.add_argument("--surveys", nargs="*", default=SURVEYS, help="mock surveys; all unless given")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.surveys:
        logging.info("wrote %s", draw_gallery(arguments.out, name))
    logging.info("wrote %s", draw_one_sky(arguments.out))


if __name__ == "__main__":
    main()
