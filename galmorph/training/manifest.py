"""What a bundle says of its model."""

import json
import math
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import galmorph
from galmorph.cutouts import Framing
from galmorph.manifest import FewerBits, Manifest, UnknownRule
from galmorph.training.calibrate import Calibration
from galmorph.training.evaluation import Evaluation
from galmorph.training.module import Training
from galmorph.training.recipe import Recipe

#: Finer pixels than the training set's, by up to this factor, are no obstacle: cutouts are resampled, and an image that
#: was oversampled, as the viewers of surveys serve them, shows the same sky.
FINER = 8.0

#: Packages whose versions decide what a training gives.
VERSIONS = ("torch", "timm", "pytorch-lightning", "onnx", "onnxruntime", "numpy", "scikit-learn")

#: Images in a batch of a survey run, and the fewest where each is looked at in several orientations.
BATCH, LEAST_BATCH = 8, 2


def make_manifest(
    modules: Sequence[Training],
    record: dict[str, Any],
    calibration: Calibration,
    evaluations: dict[str, Evaluation],
    parity: dict[str, Any],
    precisions: dict[FewerBits, dict[str, Any]],
) -> Manifest:
    """Everything that a survey run and its reader need to know of a model.

    Parameters
    ----------
    modules : sequence of Training
        What was trained, by one recipe; several seeds answer together.
    record : dict
        Of the first of them; see `galmorph.training.fit.load_training`.
    calibration : Calibration
        Temperature, threshold and score of the unknown flag.
    evaluations : dict of str to Evaluation
        By part; that of the validation part is needed.
    parity : dict
        How graph and network compare; see `galmorph.training.graph.compare`.
    precisions : dict of str to dict
        Graphs in fewer bits; see `galmorph.training.compact.compact_graphs`.
    """
    recipe = modules[0].recipe
    tuners = [module.objective.separation.tuner for module in modules if module.objective.separation is not None]
    facts, tolerance = record["facts"], recipe.export.scale_tolerance
    scale = float(facts["pixel_scale"])
    classes, seeds = recipe.source.classes, [module.recipe.seed for module in modules]
    return Manifest(
        name=recipe.name,
        description=recipe.description,
        classes=list(classes),
        private_classes=list(recipe.source.private),
        survey=facts["survey"],
        bands=list(facts["bands"]),
        pixel_scale=scale,
        pixel_scale_range=(scale / FINER, scale * tolerance),
        framing=Framing(**facts["framing"]),
        unit=facts["unit"],
        stretch=record["stretch"],
        features=calibration.reference.directions.shape[1],
        batch=max(LEAST_BATCH, BATCH // recipe.export.orientations),
        temperature=calibration.temperature,
        rho=fmean(tuner.rho for tuner in tuners) if tuners else math.log(len(classes)) / 2,
        unknown=UnknownRule(
            score=calibration.unknown_score,
            threshold=calibration.threshold,
            false_unknown_rate=evaluations["validation"].unknown["false_unknown_rate"],
        ),
        metrics={part: result.to_dict() for part, result in evaluations.items()},
        parity=parity,
        precisions=precisions,
        training={
            "recipe": recipe.portable(),
            "seed": seeds[0] if len(seeds) == 1 else seeds,
            "images": record["parts"],
            "images_per_class": dict(zip(classes, record["counts"], strict=True)),
            "data": record["digests"],
            "target": record["target"],
            "initial": record.get("initial"),
            "noise": record.get("noise"),
            "tuner": [change for tuner in tuners for change in tuner.state_dict()["changes"]],
            "versions": {"galmorph": galmorph.__version__} | {name: version(name) for name in VERSIONS},
            "commit": _commit(),
        },
    )


def graph_facts(recipe: Recipe, record: dict[str, Any], calibration: Calibration) -> dict[str, str]:
    """What a stray model file says of itself."""
    facts = record["facts"]
    values = {
        "name": recipe.name,
        "description": recipe.description,
        "classes": list(recipe.source.classes),
        "survey": facts["survey"],
        "bands": facts["bands"],
        "pixel_scale": facts["pixel_scale"],
        "framing": facts["framing"],
        "unit": facts["unit"],
        "stretch": record["stretch"],
        "temperature": calibration.temperature,
        "unknown": {"score": calibration.unknown_score, "threshold": calibration.threshold},
        "galmorph": galmorph.__version__,
    }
    return {f"galmorph.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _commit() -> str | None:
    """Commit of the code if it runs from a checkout."""
    root = Path(galmorph.__file__).parents[1]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    done = subprocess.run([git, "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None
