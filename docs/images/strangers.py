"""A picture of strangers beside what they are made of: python docs/images/strangers.py SET, with a set of cutouts."""

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
    """The first galaxies of every class, above the strangers that are made of them, in three kinds."""
    cutouts = read_cutout_set(Path(sys.argv[1]))
    bands = cutouts.meta["bands"]
    rows = cutouts.labels.groupby("label", sort=True).head(2).index[: 2 * COLUMNS]
    images = torch.from_numpy(np.array(cutouts.images[rows.to_numpy()]))
    made = make_strangers(images, torch.Generator().manual_seed(0))
    strips = []
    for start in range(0, len(rows), COLUMNS):
        for part in (images, made):
            pictures = [rgb(image.numpy(), bands=bands) for image in part[start : start + COLUMNS]]
            strips.append(np.concatenate([np.pad(one, [(0, GAP), (0, GAP), (0, 0)]) for one in pictures], axis=1))
    picture = Image.fromarray(np.concatenate(strips))
    picture = picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.LANCZOS)
    picture.save(Path(__file__).parent / "strangers.jpg", quality=88)


if __name__ == "__main__":
    main()
