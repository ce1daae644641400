"""Search settings of a recipe with Optuna: trials that resume, the best as a recipe of its own."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytorch_lightning as pl
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from pytorch_lightning.callbacks import Callback
from sqlalchemy.exc import SQLAlchemyError

from galmorph.errors import ConfigError, DataError, GalmorphError
from galmorph.training.domains import Domains, read_domains
from galmorph.training.fit import Device, first_epoch, moved, train
from galmorph.training.folder import CHECKPOINTS, METRICS
from galmorph.training.history import read_history
from galmorph.training.hold import held, write_whole
from galmorph.training.methods import find_method
from galmorph.training.options import SEEDS_END
from galmorph.training.recipe import Recipe, load_recipe
from galmorph.training.search_space import Scalar, Space, load_space, with_settings

#: Files in the folder of a search.
STUDY, TABLE, BEST, TRIALS = "study.db", "trials.csv", "best.toml", "trials"

#: Trials before the sampler learns from earlier ones, and before any is stopped.
STARTUP = 10

#: What a study and a trial are noted with.
IDENTITY, REASON = "identity", "reason"


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Parameters
    ----------
    recipe : Path
        The best trial's recipe, for `galmorph.training.fit.train`.
    objective : str
        What the search went by.
    value : float
        The best trial's.
    settings : dict
        What that trial set.
    trials : dict of str to int
        Number of trials that were finished, stopped early, and failed.
    """

    recipe: Path
    objective: str
    value: float
    settings: dict[str, Scalar]
    trials: dict[str, int]


#: Called after each trial with the number of those done, and the best value so far.
Report = Callable[[int, float | None], None]


def search(
    recipe: Recipe | Path,
    space: Space | Path,
    out: Path,
    *,
    trials: int,
    data: Path | None = None,
    target: Path | None = None,
    device: Device = "auto",
    report: Report | None = None,
) -> SearchResult:
    """Try settings of a recipe and keep the best, by what needs no label of the target.

    A search that was stopped goes on in its folder, with the trial that it was in, and tries what it would have tried.
    One call at a time can work in a folder.

    Parameters
    ----------
    recipe : Recipe or Path
        Where to start from. Its seed is that of all trials, and of the choice of settings.
    space : Space or Path
        What to try, and what to go by.
    out : Path
        Folder for ``study.db`` (Optuna, sqlite), ``trials.csv``, ``best.toml`` and ``trials/NNNN``, of which recipe and
        metrics are kept.
    trials : int
        How many in all, with those that are done.
    data, target : Path, optional
        See `train`.
    device : {"auto", "cpu", "cuda"}
        See `train`.
    report : callable, optional
        Told of each trial.

    Returns
    -------
    SearchResult
        The best.

    Raises
    ------
    ConfigError
        If a setting is unknown, `out` holds another search, the method does not look at a target whose images are to
        be gone by, or no trial could be finished.
    DataError
        If the data cannot be used, or the study's file cannot be read or written.
    """
    settings = moved(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), data, target)
    space = space if isinstance(space, Space) else load_space(space)
    for name, setting in space.settings.items():
        # One by one, so that a word that is no setting is found before anything is trained.
        with_settings(settings, {name: setting.first})
    domains = read_domains(settings)
    _check_objective(settings, space)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with held(out), _told(out / STUDY):
        return _search(out, settings, space, domains, trials, device, report)


def _check_objective(recipe: Recipe, space: Space) -> None:
    """Fail where a method looks at no image of what is to be gone by; a search may try several methods."""
    if space.of_target and not find_method(recipe.method.name).adapts:
        raise ConfigError(f"{space.objective} is measured on a target, and method {recipe.method.name!r} has none")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in words that the study's file cannot be read or written."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise DataError(
            f"{path} cannot be read or written: {reason}. When its disk is in order, the same search goes on"
        ) from error


def _search(
    out: Path,
    settings: Recipe,
    space: Space,
    domains: Domains,
    trials: int,
    device: Device,
    report: Report | None,
) -> SearchResult:
    """Trials until there are so many, in a folder that is held."""
    study = _open(out, settings, space, domains)
    while (done := len(_done(study))) < trials:
        # The sampler's state is not in the study: its seed is that of the trial, so that a search goes on the same.
        study.sampler = optuna.samplers.TPESampler(seed=(settings.seed + done) % SEEDS_END, n_startup_trials=STARTUP)
        trial = study.ask()
        _try(study, trial, settings, space, out / TRIALS / f"{done:04d}", device)
        _write(study, settings, space, out)
        if report is not None:
            best = _best(study)
            report(done + 1, None if best is None else best.value)
    return _result(study, space, out)


def _open(out: Path, recipe: Recipe, space: Space, domains: Domains) -> optuna.Study:
    """The study of a folder, new or gone on with."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP // 2, n_warmup_steps=first_epoch(recipe))
    study = optuna.create_study(
        storage=f"sqlite:///{(out / STUDY).resolve()}",
        study_name=recipe.name,
        direction=space.direction,
        pruner=pruner if space.pruning else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    mine = _identity(recipe, space, domains)
    if study.user_attrs.setdefault(IDENTITY, mine) != mine:
        raise ConfigError(f"{out} holds a search of another recipe, space or data. Choose another folder")
    study.set_user_attr(IDENTITY, mine)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Interrupted: the next trial is this one, and goes on in its folder.
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _identity(recipe: Recipe, space: Space, domains: Domains) -> str:
    """What a folder's search is one of: settings, ranges, and data by their digests, wherever they lie."""
    settings = recipe.portable()
    for table in ("source", "target"):
        if settings[table] is not None:
            settings[table] = {key: value for key, value in settings[table].items() if key not in ("path", "labels")}
    data = [domains.source.digests, None if domains.target is None else domains.target.digests]
    return json.dumps([settings, repr(space), data], sort_keys=True)


def _done(study: optuna.Study) -> Sequence[FrozenTrial]:
    """Trials that count: all but those that were interrupted."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or REASON in trial.user_attrs
    ]


def _try(
    study: optuna.Study,
    trial: Trial,
    recipe: Recipe,
    space: Space,
    folder: Path,
    device: Device,
) -> None:
    """One trial; its outcome is in the study."""
    chosen = space.suggest(trial)
    try:
        settings = with_settings(recipe, chosen)
        _check_objective(settings, space)
        stops = [_Stop(trial, space.objective, first_epoch(settings), folder)] if space.pruning else []
        # One device: processes of one trial would each be a search.
        result = train(settings, folder, device=device, devices=1, progress=False, callbacks=stops)
        value = result.metrics[space.objective]
        if not np.isfinite(value):
            raise ConfigError(f"{space.objective} is {value}")
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (GalmorphError, torch.OutOfMemoryError) as error:
        # Settings that do not go together, diverge or need too much say something about themselves, not the search.
        trial.set_user_attr(REASON, str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


class _Stop(Callback):
    """Reports the objective of each epoch, and stops a trial that is behind others.

    Parameters
    ----------
    trial : Trial
        The trial.
    metric : str
        The objective.
    first : int
        First epoch that can be the best.
    folder : Path
        Of the training. The epochs that it has from before an interruption are reported too: others are compared with
        them.
    """

    def __init__(self, trial: Trial, metric: str, first: int, folder: Path) -> None:
        self.trial = trial
        self.metric = metric
        self.first = first
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report what there is."""
        for row in read_history(self.folder / METRICS):
            if self.first <= row["epoch"] < trainer.current_epoch:
                self.trial.report(row[self.metric], int(row["epoch"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and perhaps stop."""
        if trainer.current_epoch < self.first:
            return
        self.trial.report(float(trainer.callback_metrics[self.metric]), trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _best(study: optuna.Study) -> FrozenTrial | None:
    """The best trial, if one was finished."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if finished else None


def _write(study: optuna.Study, recipe: Recipe, space: Space, out: Path) -> None:
    """The table of trials, and the best recipe so far."""
    rows: list[dict[str, Any]] = [
        {
            "trial": number,
            "state": trial.state.name.lower(),
            space.objective: trial.value,
            **trial.params,
            REASON: trial.user_attrs.get(REASON, ""),
        }
        for number, trial in enumerate(_done(study))
    ]
    write_whole(out / TABLE, pd.DataFrame(rows).to_csv(index=False).encode())
    best = _best(study)
    if best is not None:
        chosen = ", ".join(f"{name} = {value}" for name, value in best.params.items())
        head = f"# The best of {len(rows)} trials, by {space.objective} = {best.value:.6g}: {chosen}.\n"
        write_whole(out / BEST, (head + with_settings(recipe, best.params).to_toml()).encode())


def _result(study: optuna.Study, space: Space, out: Path) -> SearchResult:
    """What a search found, if any trial was finished."""
    done, best = _done(study), _best(study)
    if best is None or best.value is None:
        reasons = [trial.user_attrs[REASON] for trial in done if REASON in trial.user_attrs]
        raise ConfigError(f"none of {len(done)} trials in {out} could be finished; the first: {reasons[:1]}")
    states = {
        "finished": TrialState.COMPLETE,
        "stopped early": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    counts = {name: sum(trial.state == state for trial in done) for name, state in states.items()}
    return SearchResult(out / BEST, space.objective, best.value, dict(best.params), counts)
