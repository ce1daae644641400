"""Another champion: what is done is written down first, then the alias changes in one transaction."""

import getpass
import os
import socket
from datetime import UTC, datetime
from typing import Any, Literal

from galmorph.errors import RegistryError
from galmorph.registry.promotion import CHALLENGER, CHAMPION, LONGEST, Promotion, read_promotions
from galmorph.registry.version import aliases_of


def change_champion(
    client: Any,
    model: Any,
    kind: Literal["promote", "rollback"],
    number: int,
    why: str,
    *,
    who: str | None = None,
    expected: int | None = None,
) -> Promotion:
    """Make a version the champion, with a record.

    Parameters
    ----------
    client : mlflow.tracking.MlflowClient
        Of the store.
    model : mlflow.entities.model_registry.RegisteredModel
        As the store has it now.
    kind : {"promote", "rollback"}
        Forward, or back to an earlier champion.
    number : int
        Of the version.
    why : str
        In words.
    who : str, optional
        By default the user and the machine.
    expected : int, optional
        The champion that this version was compared with.

    Returns
    -------
    Promotion
        The record.

    Raises
    ------
    RegistryError
        If no reason is given, it is champion already, or the champion is not the expected one.
    """
    if not why.strip() or len(why) > LONGEST:
        raise RegistryError(f"say why, in 1 to {LONGEST} characters: the reason is kept with the change")
    name, aliases = str(model.name), aliases_of(model)
    before = aliases.get(CHAMPION)
    if before == number:
        raise RegistryError(f"version {number} of {name} is the champion already")
    if expected is not None and before != expected:
        raise RegistryError(
            f"the champion of {name} is version {before} by now, and version {number} was compared with "
            f"{expected}; compare them anew"
        )
    written = read_promotions(model.tags)
    record = Promotion(
        number=written[-1].number + 1 if written else 1,
        kind=kind,
        version=number,
        from_version=before,
        who=who or f"{_user()}@{socket.gethostname()}",
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=why,
    )
    client.set_registered_model_tag(name, *record.tag())
    client.set_registered_model_alias(name, CHAMPION, str(number))
    if aliases.get(CHALLENGER) == number:
        client.delete_registered_model_alias(name, CHALLENGER)
    return record


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in a container
        return str(os.getuid())
