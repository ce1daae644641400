"""What to do about a new model, from what the steps before gave."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Advice:
    """What to do.

    Parameters
    ----------
    text : str
        In words.
    commands : tuple of str
        To copy.
    stop : bool
        The gates said no.
    """

    text: str
    commands: tuple[str, ...] = ()
    stop: bool = False


def advise(
    judge: Facts, register: Facts, diff: Facts, *, name: str | None, in_use: str, registry: str | None = None
) -> Advice:
    """Say what to do about the new model of a release.

    Parameters
    ----------
    judge, register, diff : mapping
        What these steps gave.
    name : str or None
        Of the model in the registry; None without one, where a model that passed is in use.
    in_use : str
        The champion as it is now (``models:/NAME/VERSION``), or a folder.
    registry : str or None
        Where it is, if the description names a place.

    Returns
    -------
    Advice
        With the commands that it speaks of.
    """
    if "skipped" in judge:
        return Advice(f"{judge['skipped']}. The tiles are scored with the present model.")
    version = register["version"]
    used = bool(register["promoted"]) if name is None else version == in_use
    where = "" if registry is None else f" --registry {shlex.quote(registry)}"
    back = () if name is None else (f"galmorph models rollback {name} --why '…'{where}",)
    if not judge["passed"]:
        failed = ", ".join(dict.fromkeys(each["gate"] for each in judge["verdicts"] if not each["passed"]))
        asked = f"did not pass the gates {failed}" if failed else "was asked nothing: no gate is set"
        if used:
            return Advice(f"The new model is in use, and {asked}. Go back.", back, stop=True)
        text = f"Keep the present model: the new one {asked}. The tiles are scored with the model in use."
        return Advice(text, stop=True)
    if used:
        changed = diff.get("changed")
        look = f" Look at the objects that changed their label: {changed}." if changed else ""
        return Advice(f"The new model passed all gates and is in use.{look}", back)
    note = f" {register['note']}." if register.get("note") else ""
    return Advice(
        f"The new model passed all gates and waits.{note} Promote it, and give the same command again to score the "
        "tiles with it.",
        (f"galmorph models promote {version} --why '…'{where}",),
    )
