"""``galmorph search``."""

from pathlib import Path
from shlex import quote
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from galmorph.errors import MissingExtraError


def search(
    recipe: Path,
    space: Path,
    /,
    *,
    out: Path,
    trials: int,
    data: Path | None = None,
    target: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Search settings of a recipe; a search that was stopped goes on when the command is repeated.

    Parameters
    ----------
    recipe
        TOML file of the recipe to start from.
    space
        TOML file of the settings to try, and of what to go by; an example is training/search.toml.
    out
        Folder of results.
    trials
        How many in all; give more to go on with a search.
    data
        Labelled images, in place of the recipe's.
    target
        Unlabelled images to adapt to, in place of the recipe's.
    device
        auto, cpu or cuda.
    """
    try:
        from galmorph.training.search import search as run_search
    except ImportError as error:
        extra = "search" if error.name == "optuna" else "training"
        raise MissingExtraError("Searching", str(error.name), extra) from error
    console = Console(highlight=False)
    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=trials)

        def report(done: int, best: float | None) -> None:
            progress.update(task, completed=done, description="" if best is None else f"best {best:.4g}")

        result = run_search(recipe, space, out, trials=trials, data=data, target=target, device=device, report=report)
    console.print(", ".join(f"{count} {name}" for name, count in result.trials.items()), markup=False, soft_wrap=True)
    chosen = ", ".join(f"{name} = {value}" for name, value in result.settings.items())
    console.print(f"best {result.objective} {result.value:.4g}: {chosen}", markup=False, soft_wrap=True)
    console.print(f"next: galmorph train {quote(str(result.recipe))}", markup=False, soft_wrap=True)
