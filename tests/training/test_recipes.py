"""Every recipe in the repository is run, on tiny data of its kind."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from make_cutouts import SHAPES, blobs
from PIL import Image

from galmorph.bundle import load_bundle
from galmorph.cutout_set import UNIT, write_cutout_set
from galmorph.taxonomy import CLASS_MAPS
from galmorph.training.export import export
from galmorph.training.fit import train
from galmorph.training.recipe import Recipe, load_recipe

#: What is no recipe: the example of a search, which has its own test.
OTHERS = {"search.toml"}

RECIPES = sorted(path for path in (Path(__file__).parents[2] / "training").glob("*.toml") if path.name not in OTHERS)


def tiny_cutouts(recipe: Recipe, path: Path) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    names = [name for name in (*recipe.source.classes, *recipe.source.private) for _ in range(24)]
    shapes = list(SHAPES)
    order = list(dict.fromkeys(names))
    images = np.stack([blobs(shapes[order.index(name) % len(shapes)], 24, rng) for name in names])
    # In the words of the data set, where the recipe has a map from them.
    raw = {name: word for word, name in CLASS_MAPS.get(recipe.source.class_map, {}).items()}
    labels = [raw.get(name, name) for name in names]
    table = pd.DataFrame({"object_id": [str(n) for n in range(len(names))], "label": labels})
    framing = {"size": 24, "mode": "radius", "factor": 1.5, "angle": 30.0, "min_angle": 8.0, "max_angle": 120.0}
    meta = {"survey": "tiny", "bands": ["g", "r", "z"], "pixel_scale": 0.3, "framing": framing, "unit": UNIT}
    write_cutout_set(path, images, table, meta)


def tiny_pictures(recipe: Recipe, path: Path) -> None:
    path.mkdir()
    rng = np.random.default_rng(0)
    rows = ["file,label"]
    for n in range(12 * len(recipe.source.classes)):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(path / f"{n}.png")
        rows.append(f"{n}.png,{recipe.source.classes[n % len(recipe.source.classes)]}")
    (path / "labels.csv").write_text("\n".join(rows))


MAKERS = {"cutouts": tiny_cutouts, "folder": tiny_pictures}


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_runs(path, tmp_path):
    recipe = load_recipe(path)
    MAKERS[recipe.source.kind](recipe, tmp_path / "data")
    short = dataclasses.replace(
        recipe,
        fit=dataclasses.replace(recipe.fit, epochs=2, batch_size=16),
        split=dataclasses.replace(recipe.split, stratified=True),
        source=dataclasses.replace(recipe.source, size=32 if recipe.source.size else None),
    )
    if recipe.target is not None:
        # Both domains the same images: what is tried is that the recipe runs.
        (tmp_path / "target").symlink_to(tmp_path / "data")
        method = dataclasses.replace(recipe.method, warmup_epochs=0.5, ramp_epochs=0.5)
        network = dataclasses.replace(recipe.network, encoder_options={"channels": [8, 8, 16, 16]})
        short = dataclasses.replace(
            short, target=dataclasses.replace(recipe.target, path=tmp_path / "target"), method=method, network=network
        )
    result = train(short, tmp_path / "out", data=tmp_path / "data", device="cpu", progress=False)
    assert result.epochs == 2
    if recipe.source.kind == "cutouts":
        bundle = load_bundle(export(result.checkpoint, tmp_path / "bundle"))
        assert bundle.manifest.classes == list(recipe.source.classes)
        assert "$" not in (bundle.path / "README.md").read_text()
