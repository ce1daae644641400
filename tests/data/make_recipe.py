"""A recipe that learns the blobs of `make_cutouts` in seconds."""

from pathlib import Path
from typing import Any

from galmorph.training.recipe import Recipe, parse_recipe

CLASSES = ["elliptical", "edge_on", "merger"]


def tiny_recipe(path: Path, **tables: dict[str, Any]) -> Recipe:
    """The recipe, with the settings of `tables` in place of its own."""
    values: dict[str, Any] = {
        "name": "blobs",
        "source": {"path": str(path), "class_map": "shape", "classes": CLASSES, "private": ["lens"]},
        "network": {"encoder": "deepmerge", "dropout": 0.1},
        "optimiser": {"learning_rate": 3e-3},
        "fit": {"epochs": 12, "batch_size": 16},
    }
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return parse_recipe(values, Path("/"))
