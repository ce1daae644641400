"""``galmorph retrain``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from galmorph.cli.screen import tile_progress
from galmorph.cli.stopping import stop_on_sigterm

#: Exit code of a call that is finished while the new model is not in use, since the gates said no.
NOT_PASSED = 3


def retrain(
    release: Path,
    /,
    *,
    out: Path | None = None,
    until: Literal["begin", "notice", "gather", "adapt", "judge", "register", "rescore", "diff", "report"]
    | None = None,
) -> None:
    """Follow a new data release: notice, gather, adapt, judge, register, score again, compare and report.

    A call that was stopped, however it was stopped, goes on when the same command is given again, and what is done is
    not repeated. The exit code is 3 when the gates said no to the new model, 0 otherwise.

    Parameters
    ----------
    release
        TOML file; a commented example is catalogs/releases/example.toml.
    out
        Folder of results; by default runs/releases/NAME.
    until
        The last step to do.
    """
    from galmorph.releases.retraining import retrain as run_retrain

    console = Console(stderr=True, highlight=False)

    def told(step: str, facts: Mapping[str, Any], before: bool) -> None:
        console.print(escape(f"{step}: {_said(step, facts)}{' (done before)' if before else ''}"), soft_wrap=True)

    with stop_on_sigterm(), tile_progress(console) as (progress, _):
        outcome = run_retrain(release, out, until=until, told=told, progress=progress)
    if outcome.advice is None:
        return
    screen = Console(highlight=False)
    screen.print(escape(outcome.advice.text), soft_wrap=True)
    for command in outcome.advice.commands:
        screen.print(f"  {escape(command)}", soft_wrap=True)
    screen.print(f"report: {outcome.report}", markup=False, soft_wrap=True)
    if outcome.advice.stop:
        sys.exit(NOT_PASSED)


def _said(step: str, facts: Mapping[str, Any]) -> str:
    """A step's result in a line."""
    if "skipped" in facts:
        return str(facts["skipped"])
    match step:
        case "begin":
            return f"the present model is {facts['reference']}"
        case "notice":
            return "; ".join([str(facts["verdict"]), *map(str, facts["reasons"])])
        case "gather":
            return f"{facts['images']} cutouts, {facts['labelled']} of them labelled"
        case "adapt":
            return f"{facts['method']}, {facts['start']} start, {facts['budget']['epochs_used']} epochs"
        case "judge":
            refused = [each["gate"] for each in facts["verdicts"] if not each["passed"]]
            return f"{len(facts['verdicts'])} gates, " + (
                f"not passed: {', '.join(refused)}" if refused else "all passed"
            )
        case "register":
            return f"{facts['version'] or facts.get('note', '')}{', promoted' if facts['promoted'] else ''}"
        case "rescore":
            return str(facts["catalog"]) if facts["again"] else f"{facts['catalog']}, nothing had to be scored"
        case "diff":
            return ", ".join(f"{name} {count}" for name, count in facts["counts"].items())
        case _:
            return str(facts["page"])
