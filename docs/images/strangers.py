"""A picture of galaxies above strangers: python docs/images/strangers.py SET, with a set of cutouts."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from galmorph.cutout_set import read_cutout_set
from galmorph.render import rgb
from galmorph.training.strangers import make_strangers

COLUMNS, ZOOM, GAP = 9, 2, 4


def main() -> None:
    """Galaxies of all classes, and below some of the strangers that are made of them."""
    cutouts = read_cutout_set(Path(sys.argv[1]))
    bands = cutouts.meta["bands"]
    rows = cutouts.labels.groupby("label", sort=True).head(6).index
    images = torch.from_numpy(np.array(cutouts.images[rows.to_numpy()]))
    made = make_strangers(images, torch.Generator().manual_seed(0))
    strips = []
    for part in (images, made):
        pictures = [rgb(image.numpy(), bands=bands) for image in part[:: max(1, len(part) // COLUMNS)][:COLUMNS]]
        strips.append(np.concatenate([np.pad(one, [(0, GAP), (0, GAP), (0, 0)]) for one in pictures], axis=1))
    picture = Image.fromarray(np.concatenate(strips))
    picture = picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.LANCZOS)
    picture.save(Path(__file__).parent / "strangers.jpg", quality=88)


if __name__ == "__main__":
    main()
