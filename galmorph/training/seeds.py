"""One recipe with several seeds: a training for each, and the mean and spread of what they give."""

import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.digests import file_sha256
from galmorph.errors import BundleError, ConfigError
from galmorph.names import flat
from galmorph.training.evaluate import Part, evaluate
from galmorph.training.evaluation import Evaluation
from galmorph.training.export import export
from galmorph.training.fit import Device, load_training, moved
from galmorph.training.folder import IDENTITY, SEEDS, TrainResult, seed_folder
from galmorph.training.gather import is_first
from galmorph.training.guarded import GuardedResult, compare_trainings, train_guarded, write_verdict
from galmorph.training.history import FIRST
from galmorph.training.hold import write_rows, write_whole
from galmorph.training.options import SEEDS_END
from galmorph.training.recipe import Recipe, load_recipe
from galmorph.training.shipped import GUARD, PLAIN, shipped

logger = logging.getLogger(__name__)

#: Table of the summary, and the bundle in a seed's folder or in that of all.
TABLE, MODEL = "seeds.csv", "model"

#: What the metrics of the best epoch are listed under, beside the sets that were measured.
TRAINING = "training"


@dataclass(frozen=True)
class Spread:
    """A number over several seeds.

    Parameters
    ----------
    mean : float or None
        None unless every seed has a value.
    std : float or None
        Standard deviation of a sample (n - 1); None for one seed too.
    values : tuple of float or None
        By seed.
    """

    mean: float | None
    std: float | None
    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread":
        """Mean and spread of values by seed."""
        numbers = [value for value in values if value is not None]
        if not numbers or len(numbers) < len(values):
            return cls(None, None, tuple(values))
        return cls(statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None, tuple(values))

    def __str__(self) -> str:
        if self.mean is None:
            return "–"
        return f"{self.mean:.4f}" if self.std is None else f"{self.mean:.4f} ± {self.std:.4f}"


@dataclass(frozen=True)
class SeedSummary:
    """What a recipe gives with several seeds.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    seeds : tuple of int
        In the order of all values.
    training : dict of Spread
        Metrics of each seed's best epoch, its number and the number of epochs.
    evaluations : dict of dict of Spread
        By name of the set, the measures of `galmorph.training.evaluate.evaluate`, such as ``known.accuracy``.
    together : dict of dict of float or None
        The same of all networks together, as `galmorph.training.export.export` makes one bundle of them.
    parts : dict of str to str
        By name of the set, the part of it that was measured.
    """

    recipe: str
    seeds: tuple[int, ...]
    training: dict[str, Spread]
    evaluations: dict[str, dict[str, Spread]]
    together: dict[str, dict[str, float | None]]
    parts: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self)

    def write(self, out: Path) -> None:
        """Write ``seeds.json``, and ``seeds.csv`` with a row for each measure of each set; the first process does."""
        if not is_first():
            return
        write_whole(out / SEEDS, (json.dumps(self.to_dict(), indent=2) + "\n").encode())
        seeds = [f"seed_{seed}" for seed in self.seeds]
        rows: list[list[object]] = [["set", "part", "measure", "mean", "std", "together", *seeds]]
        for name, measures in {TRAINING: self.training, **self.evaluations}.items():
            for measure, spread in measures.items():
                joint = self.together.get(name, {}).get(measure)
                rows.append([name, self.parts.get(name), measure, spread.mean, spread.std, joint, *spread.values])
        write_rows(out / TABLE, rows)


def train_seeds(
    recipe: Recipe | Path,
    out: Path,
    seeds: Sequence[int],
    *,
    data: Path | None = None,
    target: Path | None = None,
    sets: Sequence[Path] = (),
    part: Part | None = None,
    device: Device = "auto",
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> SeedSummary:
    """Train a recipe once for each seed, and measure each model.

    Objects are divided by their identifiers, so all seeds have the same training, validation and test objects. Where
    the recipe's guard is on, the numbers are those of what it chose for each seed, and it judges all networks together
    too, for whoever goes on with these. What is finished is not repeated; other seeds that are in the folder, and not
    among those given, are left out of it all.

    Parameters
    ----------
    recipe : Recipe or Path
        Settings, whose own seed does not count.
    out : Path
        Folder for ``seed-N``, each a training's folder, for ``seeds.json`` and ``seeds.csv``, and for ``guard.json``.
    seeds : sequence of int
        At least one, none twice.
    data, target : Path, optional
        See `train`.
    sets : sequence of Path
        Sets of labelled cutouts to measure each model on, whose bundle is ``seed-N/model``, and all of them together,
        whose bundle is ``model``.
    part : {"all", "train", "validation", "test"}, optional
        Of each set; see `evaluate`.
    device, progress, callbacks
        See `train`.

    Returns
    -------
    SeedSummary
        Means and spreads, as written.

    Raises
    ------
    ConfigError
        If there is no seed, one is given twice, or the folder holds a single training; see also `train`.
    DataError, BundleError
        If data cannot be used, or a model cannot be exported or measured.
    """
    if not seeds or len(set(seeds)) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < SEEDS_END:
        raise ConfigError(
            f"seeds must be different whole numbers from 0 to {SEEDS_END - 1}, at least one; got {list(seeds)}"
        )
    settings = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    out = Path(out)
    if (out / IDENTITY).is_file():
        raise ConfigError(
            f"{out} holds a single training, whose guard and model several seeds would replace. Choose another folder"
        )
    _tell_left_out(out, seeds)
    for path in sets:
        # Trainings take hours; a set that is not there is told before them.
        read_cutout_set(path)
    # Models are exported and measured by the first of several processes.
    sets = sets if is_first() else ()
    results: list[GuardedResult] = [
        train_guarded(
            replace(settings, seed=seed),
            seed_folder(out, seed),
            data=data,
            target=target,
            device=device,
            progress=progress,
            callbacks=callbacks,
        )
        for seed in seeds
    ]
    # After all trainings: others of several processes would wait in the next one for the first, and not for ever.
    measured: dict[str, list[Evaluation]] = {str(path): [] for path in sets}
    for seed in seeds if sets else ():
        bundle = _bundle(seed_folder(out, seed), data, target)
        for path in sets:
            measured[str(path)].append(evaluate(bundle, path, part=part, resamples=0))
    summary = SeedSummary(
        recipe=settings.name,
        seeds=tuple(seeds),
        training=_spreads([_metrics(each.shipped) for each in results]),
        evaluations={name: _spreads([numbers(each) for each in many]) for name, many in measured.items()},
        together={},
        parts={name: "/".join(sorted({each.part for each in many})) for name, many in measured.items()},
    )
    _judge_together(moved(settings, data, target), out, summary.seeds, results)
    summary.write(out)
    if sets:
        bundle = _bundle(out, data, target)
        together = {str(path): numbers(evaluate(bundle, path, part=part, resamples=0)) for path in sets}
        summary = replace(summary, together=together)
        summary.write(out)
    return summary


def _tell_left_out(out: Path, seeds: Sequence[int]) -> None:
    """Warn of seeds that were trained before and are not among those to go on with."""
    kept = {seed_folder(out, seed) for seed in seeds}
    others = sorted(path.name for path in out.glob("seed-*") if (path / IDENTITY).is_file() and path not in kept)
    if others:
        logger.warning(
            "%s in %s are left out of the summary and of the model that all make together; give their seeds too to "
            "have them in",
            ", ".join(others),
            out,
        )


def _judge_together(recipe: Recipe, out: Path, seeds: Sequence[int], results: Sequence[GuardedResult]) -> None:
    """Let the guard choose for all networks together, where it was on."""
    folders = [seed_folder(out, seed) for seed in seeds]
    if any(each.verdict is None for each in results):
        (out / GUARD).unlink(missing_ok=True)
        return
    write_verdict(out, compare_trainings(recipe, [folder / PLAIN for folder in folders], folders))


def numbers(evaluation: Evaluation) -> dict[str, float | None]:
    """Every measure of an evaluation by one name, its parts joined by dots.

    Parameters
    ----------
    evaluation : Evaluation
        Of one set.

    Returns
    -------
    dict of str to float or None
        Such as ``known.accuracy``, ``per_class.spiral.recall`` and ``unknown.h_score``.
    """
    tables = {"known": evaluation.known, "per_class": evaluation.per_class, "unknown": evaluation.unknown}
    return {name: value for name, value in flat(tables) if not isinstance(value, Mapping)}


def _metrics(result: TrainResult) -> dict[str, float]:
    """How long a training was, which epoch was the best, and the metrics of that."""
    metrics = {name: value for name, value in result.metrics.items() if name != FIRST}
    return {"epochs": result.epochs, "best_epoch": result.best_epoch, **metrics}


def _spreads(rows: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """Each number over the seeds; one that only some seeds have is not averaged."""
    return {
        name: Spread.of([row.get(name) for row in rows]) for name in dict.fromkeys(key for row in rows for key in row)
    }


def _bundle(folder: Path, data: Path | None, target: Path | None) -> Path:
    """The bundle in the folder of a training or of several seeds, made unless that of this recipe is there."""
    path, checkpoints = folder / MODEL, shipped(folder).checkpoints
    try:
        bundle = load_bundle(path)
        told, recipe = bundle.manifest.training, load_training(checkpoints[0])[0].recipe.portable()
        if (told.get("checkpoints"), told.get("recipe")) == ([file_sha256(each) for each in checkpoints], recipe):
            return bundle.path
    except BundleError:
        pass
    return export(folder, path, data=data, target=target)
