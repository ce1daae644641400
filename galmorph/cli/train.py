"""``galmorph train``, ``galmorph export`` and ``galmorph evaluate``."""

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from galmorph.cli.stopping import stop_on_sigterm
from galmorph.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from galmorph.training.guard import Verdict
    from galmorph.training.seeds import SeedSummary


#: What the bundle of a guarded training holds, by its model and whether the guard chose that.
GUARDED = {
    ("adapted", True): "model: the adapted one, as the guard decided",
    ("source_only", True): "model: that of the training on the source alone, as the guard decided; no adapted one",
    ("adapted", False): "model: the adapted one, though the guard found harm and chose the other; its card says so",
    ("source_only", False): "model: that of the training on the source alone, though the guard chose the adapted one",
}


def train(
    recipe: Path,
    /,
    *,
    out: Path | None = None,
    data: Path | None = None,
    target: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=1, negative=())] = (),
    measure: Annotated[tuple[Path, ...], Parameter(name="--evaluate", consume_multiple=1, negative=())] = (),
    part: Literal["all", "train", "validation", "test"] | None = None,
    find_lr: Annotated[bool, Parameter(negative=())] = False,
    mlflow: str | None = None,
) -> None:
    """Train a network by a recipe; a training that was stopped goes on when the command is repeated.

    Parameters
    ----------
    recipe
        TOML file; examples are in the folder `training`.
    out
        Folder of results; by default runs/NAME, NAME being the recipe's file name.
    data
        Labelled images, in place of the recipe's.
    target
        Unlabelled images to adapt to, in place of the recipe's.
    device
        auto, cpu or cuda.
    seeds
        Train once with each of these seeds, in OUT/seed-N, and give means and standard deviations.
    measure
        With --seeds: sets of labelled cutouts to export and measure each model on.
    part
        With --evaluate: which part of these sets; see galmorph evaluate.
    find_lr
        Do not train: scan learning rates, suggest one, and write the loss at each and a plot into the folder.
    mlflow
        Record with MLflow too: in a file such as runs/mlflow.db, or on the server of an address.
    """
    if find_lr and seeds:
        raise ConfigError("--find-lr goes without --seeds")
    if (measure or part) and not seeds:
        raise ConfigError("--evaluate and --part go with --seeds; of one training, use galmorph export and evaluate")
    try:
        # This takes seconds; Lightning minds the signal in the training proper.
        with stop_on_sigterm():
            from galmorph.training.folder import METRICS
            from galmorph.training.gather import is_first
            from galmorph.training.guarded import train_guarded
    except ImportError as error:
        raise _missing(error) from error
    folder = out or Path("runs") / recipe.stem
    if find_lr:
        _find_rate(recipe, folder, data, target, device)
        return
    callbacks = _tracking(mlflow)
    if seeds:
        from galmorph.training.seeds import train_seeds

        summary = train_seeds(
            recipe, folder, seeds, data=data, target=target, sets=measure, part=part, device=device, callbacks=callbacks
        )
        if is_first():
            _show_seeds(summary, folder)
        return
    guarded = train_guarded(recipe, folder, data=data, target=target, device=device, callbacks=callbacks)
    if not is_first():
        return
    result, console = guarded.shipped, Console(highlight=False)
    if any(guarded.noise):
        added = ", ".join(f"{each:.3g}" for each in guarded.noise)
        console.print(
            f"training images were given noise, up to {added} by band, since the target is noisier (views.noise)"
        )
    if guarded.verdict is not None:
        show_verdict(guarded.verdict, console)
    recall, right = (100 * result.metrics[name] for name in ("valid_recall", "valid_accuracy"))
    console.print(
        f"the best of {result.epochs} epochs is number {result.best_epoch}, counted from 0: of the validation part "
        f"{right:.1f} % are right, {recall:.1f} % in the mean of the classes (all numbers: {folder / METRICS})",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"next: galmorph export {quote(str(folder))} --out BUNDLE", markup=False, soft_wrap=True)


def _find_rate(
    recipe: Path, folder: Path, data: Path | None, target: Path | None, device: Literal["auto", "cpu", "cuda"]
) -> None:
    """Scan learning rates and say which to take."""
    from galmorph.training.rates import scan_rates

    scan = scan_rates(recipe, folder, data=data, target=target, device=device)
    console = Console(highlight=False)
    console.print(f"learning rate at the least loss: {scan.suggestion:.2g}", soft_wrap=True)
    files = f"{folder / 'learning-rate.csv'} and {folder / 'learning-rate.png'}"
    console.print(f"the curve: {files}", markup=False, soft_wrap=True)


def show_verdict(verdict: "Verdict", console: Console) -> None:
    """What the guard against harm concludes."""
    for reason in verdict.reasons:
        console.print(f"sign of harm: {reason}", markup=False, soft_wrap=True)
    if verdict.shipped == "source_only":
        console.print(
            "the model trained on the source alone goes on, not the adapted one ([guard] in the recipe)", markup=False
        )
    elif not verdict.reasons:
        console.print("no sign that adaptation did harm; the adapted model goes on")


def _tracking(uri: str | None) -> "list[Callback]":
    """What records a training elsewhere, if that was asked for."""
    if uri is None:
        return []
    from galmorph.training.tracking import Tracking

    return [Tracking(uri)]


def _show_seeds(summary: "SeedSummary", folder: Path) -> None:
    """Means and deviations: of the best epochs, and of each set, with what all networks together give, beside them."""
    from galmorph.training.shipped import read_verdict

    console = Console(highlight=False)
    console.print(f"{len(summary.seeds)} seeds; mean ± standard deviation", soft_wrap=True)
    sets: list[tuple[str, Mapping[str, object]]] = []
    for name, measures in summary.evaluations.items():
        together = {key: "–" if value is None else f"{value:.4f}" for key, value in summary.together[name].items()}
        sets += [(name, measures), ("all together", together)]
    for columns in ([("best epoch", summary.training)], sets):
        if not columns:
            continue
        table = Table("", *(header for header, _ in columns), box=None, pad_edge=False)
        for name in dict.fromkeys(name for _, column in columns for name in column):
            table.add_row(name, *(str(column.get(name, "")) for _, column in columns))
        console.print()
        console.print(table)
    verdict = read_verdict(folder)
    if verdict is not None:
        console.print("\nall networks together:")
        show_verdict(verdict, console)
    said = f"next: galmorph export {quote(str(folder))} --out BUNDLE makes one model of all"
    console.print(said, markup=False, soft_wrap=True)


@stop_on_sigterm()
def export(
    checkpoint: Path,
    /,
    *,
    out: Path,
    data: Path | None = None,
    target: Path | None = None,
    precisions: list[Literal["int8", "float16"]] | None = None,
    orientations: Literal[1, 4, 8] | None = None,
) -> None:
    """Make a model bundle from a training: ONNX graph, manifest, reference statistics and model card.

    Parameters
    ----------
    checkpoint
        A checkpoint; the folder of a training: its best epoch, or that of the model that the guard chose; or the folder
        of several seeds, whose networks then answer together.
    out
        Folder of the bundle to make.
    data
        Labelled images of the training, if they were moved.
    target
        Unlabelled images that it was adapted to, if they were moved.
    precisions
        In what precisions the bundle holds the network beside float32, in place of the recipe's.
    orientations
        How many quarter turns and mirror images of an object the model looks at, in place of the recipe's: 1, 4 or 8.
    """
    try:
        from galmorph.bundle import load_bundle
        from galmorph.training.export import export as run_export
    except ImportError as error:
        raise _missing(error) from error
    chosen = None if precisions is None else tuple(precisions)
    bundle = run_export(checkpoint, out, data=data, target=target, precisions=chosen, orientations=orientations)
    console, manifest = Console(highlight=False), load_bundle(bundle).manifest
    guard = manifest.training.get("guard")
    if guard is not None:
        console.print(GUARDED[guard["model"], guard["model"] == guard["shipped"]], soft_wrap=True)
    for name, result in manifest.precisions.items():
        told = (
            f"left out, {result['refused']}"
            if "refused" in result
            else (
                f"accuracy {result['accuracy']:.4f}, float32 {result['accuracy_float32']:.4f}; "
                f"{100 * result['flags_kept']:.1f} % of unknown flags kept"
            )
        )
        console.print(f"{name}: {told}", markup=False, soft_wrap=True)
    console.print(f"bundle: {bundle}", markup=False, soft_wrap=True)


def evaluate(
    bundle: Path,
    data: list[Path],
    /,
    *,
    part: Literal["all", "train", "validation", "test"] | None = None,
    domain: Literal["source", "target"] | None = None,
    resamples: int = 1000,
    format: Literal["table", "json"] = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
) -> None:
    """Measure a model bundle on sets of labelled cutouts, one for each domain.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    data
        Folders of labelled cutouts.
    part
        Which part, by the division of the bundle's training; by default test if it was trained on this set, else all.
    domain
        Whose batch normalisation, where a bundle has one for each; by default the source's for the labelled set that it
        was trained on, else the target's.
    resamples
        Bootstrap resamples for the 95 % intervals; 0 gives none.
    format
        table for reading, a column per set; json for other programs, a list with an entry per set.
    output
        File for the JSON.
    """
    try:
        from galmorph.training.evaluate import evaluate as run_evaluate
    except ImportError as error:
        raise _missing(error) from error
    results = [run_evaluate(bundle, folder, part=part, domain=domain, resamples=resamples) for folder in data]
    text = json.dumps([result.to_dict() for result in results], indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")
    if format == "json":
        print(text)
        return
    columns = [dict(result.to_table()) for result in results]
    table = Table(*[""] * (len(columns) + 1), box=None, pad_edge=False, show_header=False)
    # Sets differ in the classes that they hold; every name of any set has its row.
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "") for column in columns))
    Console(highlight=False).print(table)


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError("Training", str(error.name), "training")
