"""What orientations and a longer training are worth to the recipe from SDSS to DECaLS, on its labelled source alone.

    python training/benchmarks/orientations.py SET [--seeds 0 1 2] [--epochs 30 60 90] [--tilts 0 45] [--served 1 4 8]

SET is the recipe's source as ``training/README.md`` makes it. Its network is trained on the source alone, with the
recipe's views and strangers, for so many epochs and with tilts of up to so many degrees, and looks at images in so many
orientations when it is served (`export.orientations`). Prints a line of JSON for each of these: measures of the
validation part's known classes, and the areas under the ROC curve of mergers, which no training sees, of all parts but
the test part against these.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import quietly

from galmorph.training.calibrate import calibrate
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.evaluation import summarise
from galmorph.training.fit import load_training, train
from galmorph.training.guarded import predict
from galmorph.training.module import Training
from galmorph.training.options import GuardOptions
from galmorph.training.recipe import Recipe, load_recipe
from galmorph.training.split import split_objects

RECIPE = Path(__file__).parents[1] / "sdss_to_decals.toml"


def changed(recipe: Recipe, folder: Path, seed: int, epochs: int, tilt: float) -> Recipe:
    """The recipe on the source alone."""
    method = dataclasses.replace(recipe.method, name="source_only", warmup_epochs=None, ramp_epochs=None)
    return dataclasses.replace(
        recipe,
        seed=seed,
        source=dataclasses.replace(recipe.source, path=folder),
        target=None,
        views=dataclasses.replace(recipe.views, tilt=tilt),
        method=method,
        fit=dataclasses.replace(recipe.fit, epochs=epochs, patience=epochs),
        guard=GuardOptions(mode="off"),
    )


def trained(recipe: Recipe) -> tuple[Training, int | None]:
    """What training keeps, and the epoch."""
    with tempfile.TemporaryDirectory() as scratch:
        result = train(recipe, Path(scratch) / "training", progress=False)
        module, _ = load_training(result.checkpoint)
    return module, result.best_epoch


def measure(module: Training, served: int) -> dict[str, Any]:
    """What it says of the source's images, as a bundle with so many orientations would."""
    recipe = module.recipe
    module.recipe = dataclasses.replace(recipe, export=dataclasses.replace(recipe.export, orientations=served))
    source = read_source(recipe.source)
    rows = part_rows(source, recipe)
    parts = split_objects(source.object_ids, source.names, recipe.split)
    private = np.flatnonzero(np.isin(source.names, recipe.source.private) & (parts != "test"))
    fitted, known, unknown = (
        predict(module, source.images, chosen, "source") for chosen in (rows["train"], rows["validation"], private)
    )
    names = source.names[np.concatenate([rows["validation"], private])]
    labels = np.array([recipe.source.classes.index(name) for name in names[: len(known[0])]])
    scores = calibrate(fitted[1], *known, labels, dataclasses.replace(recipe.export, threshold="known")).score(
        np.concatenate([known[0], unknown[0]]), np.concatenate([known[1], unknown[1]])
    )
    found = summarise(scores, names, recipe.source.classes, model="", data="", part="validation")
    areas = found.unknown["auroc"]["all"]
    return {
        "served": served,
        "accuracy": round(found.known["accuracy"], 4),
        "brier": round(found.known["brier"], 4),
        "auroc": round(areas["entropy"], 4),
        "auroc_anomaly": round(areas["anomaly_score"], 4),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", nargs="+", type=int, default=[30, 60, 90])
    parser.add_argument("--tilts", nargs="+", type=float, default=[0.0, 45.0])
    parser.add_argument("--served", nargs="+", type=int, choices=[1, 4, 8], default=[1, 4, 8])
    given = parser.parse_args()
    quietly()
    recipe = load_recipe(RECIPE)
    for seed in given.seeds:
        for epochs in given.epochs:
            for tilt in given.tilts:
                module, epoch = trained(changed(recipe, given.folder.resolve(), seed, epochs, tilt))
                for served in given.served:
                    facts = {"seed": seed, "epochs": epochs, "tilt": tilt, "epoch": epoch}
                    print(json.dumps(facts | measure(module, served)), flush=True)


if __name__ == "__main__":
    main()
