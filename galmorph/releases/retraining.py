"""From a new release to a catalogue that follows it, as one call that can be stopped anywhere and goes on.

Steps: begin (which model is in use), notice, gather, adapt, judge, register, rescore, diff, report. Each is a file of
`galmorph.releases.steps`, and each one's result a file in the folder ``steps``; see `galmorph.releases.journal`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galmorph.errors import ConfigError
from galmorph.inference.run import Progress
from galmorph.releases.advice import Advice
from galmorph.releases.description import Release, load_release
from galmorph.releases.journal import Journal
from galmorph.releases.steps import IN_ORDER
from galmorph.releases.steps.report import advice_of
from galmorph.releases.steps.work import Work

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

#: Names of the steps, in their order.
STEPS = tuple(step.name for step in IN_ORDER)

#: The description as it was read, in the folder of a release.
DESCRIPTION = "release.toml"

#: Called when a step is done, with its name, what it gave, and whether it was done before.
Told = Callable[[str, Mapping[str, Any], bool], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a release.

    Parameters
    ----------
    folder : Path
        Of the release.
    steps : dict
        What each step gave that was done.
    advice : Advice or None
        What to do; None if it was stopped before the report.
    report : Path or None
        The page.
    """

    folder: Path
    steps: dict[str, Mapping[str, Any]]
    advice: Advice | None
    report: Path | None


def retrain(
    release: Release | Path,
    out: Path | None = None,
    *,
    until: str | None = None,
    told: Told | None = None,
    progress: Progress | None = None,
    bar: bool = False,
    callbacks: "Sequence[Callback]" = (),
) -> Outcome:
    """Follow a new release: notice, gather, adapt, judge, register, score again, compare and report.

    The same call goes on where an interrupted one was, and does not repeat what is done; what changed in the
    description is done anew, with everything that builds on it. Which model is the present one is settled by the first
    call. A champion that was changed by hand since is what the tiles are scored with.

    Parameters
    ----------
    release : Release or Path
        The description, or its TOML file.
    out : Path, optional
        Folder; ``runs/releases/NAME`` by default.
    until : str, optional
        The last of `STEPS` to do.
    told : callable, optional
        Called after each step.
    progress : callable, optional
        Called after each tile that is scored.
    bar : bool
        Show a bar while training.
    callbacks : sequence of Callback
        Of Lightning, for the training.

    Returns
    -------
    Outcome
        What each step gave.

    Raises
    ------
    RunError
        If another call works in the folder.
    GalmorphError
        If something cannot be used. What is done is kept.
    """
    release = release if isinstance(release, Release) else load_release(release)
    if until is not None and until not in STEPS:
        raise ConfigError(f"{until!r} is no step; they are {', '.join(STEPS)}")
    folder = (Path("runs") / "releases" / release.name if out is None else Path(out)).resolve()
    journal = Journal(folder)
    with journal.alone():
        journal.keep(DESCRIPTION, release.to_toml())
        work = Work(release, journal, progress, bar, callbacks)
        for step in IN_ORDER[: STEPS.index(until or STEPS[-1]) + 1]:
            new = work.do(step)
            if told is not None:
                told(step.name, work.facts(step.name), not new)
        facts: dict[str, Mapping[str, Any]] = {step: entry.facts for step, entry in work.done.items()}
        if "report" not in facts:
            return Outcome(folder, facts, None, None)
        return Outcome(folder, facts, advice_of(work), work.page)
