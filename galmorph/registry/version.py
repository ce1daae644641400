"""A version of a model, as MLflow keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from galmorph.registry.lineage import PREFIX as TAG


@dataclass(frozen=True)
class Version:
    """A version of a model.

    Parameters
    ----------
    name : str
        Of the model.
    number : int
        Counted from 1.
    created : str
        UTC, ISO 8601.
    aliases : tuple of str
        Such as champion.
    facts : dict
        What was recorded of it: `sha256` of the bundle, `parent`, `recipe`, `commit`, `data.…` and `target.…` digests,
        `release`, `gates`, `weights_sha256` and what else the one who registered it gave.
    source : str
        Where its files are.
    run : str
        MLflow's run that holds them.
    """

    name: str
    number: int
    created: str
    aliases: tuple[str, ...]
    facts: dict[str, str] = field(hash=False)
    source: str
    run: str

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.number}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return {
            "model": str(self),
            "name": self.name,
            "version": self.number,
            "created": self.created,
            "aliases": list(self.aliases),
            "facts": self.facts,
            "source": self.source,
        }


def read_version(made: Any, aliases: Mapping[str, int]) -> Version:
    """A version from what MLflow says of it, and of the aliases of its model."""
    number = int(made.version)
    return Version(
        name=str(made.name),
        number=number,
        created=datetime.fromtimestamp(made.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        aliases=tuple(sorted(alias for alias, other in aliases.items() if other == number)),
        facts={key.removeprefix(TAG): str(value) for key, value in sorted(made.tags.items()) if key.startswith(TAG)},
        source=str(made.source),
        run=str(made.run_id),
    )


def aliases_of(model: Any) -> dict[str, int]:
    """Aliases of a model of MLflow, with the numbers of their versions."""
    return {str(alias): int(number) for alias, number in model.aliases.items()}
