"""Who made which version the champion, when, why and instead of which; and what that means for going back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

#: The version in use, and the one that was judged last and is not in use (yet).
CHAMPION, CHALLENGER = "champion", "challenger"

#: Records are tags of the registered model, numbered from 1.
_TAG = "galmorph.promotion."

#: Longest reason.
LONGEST = 2000


@dataclass(frozen=True)
class Promotion:
    """A change of the champion, as it was written down before it was made.

    Parameters
    ----------
    number : int
        Counted from 1.
    kind : {"promote", "rollback"}
        Forward, or back to an earlier champion.
    version : int
        The champion from then on.
    from_version : int or None
        The one before; None for the first.
    who, when, why : str
        User and machine, UTC in ISO 8601, and a reason in words.
    """

    number: int
    kind: Literal["promote", "rollback"]
    version: int
    from_version: int | None
    who: str
    when: str
    why: str

    def tag(self) -> tuple[str, str]:
        """Key and value of the tag that keeps it."""
        return f"{_TAG}{self.number:06d}", json.dumps(asdict(self))


def read_promotions(tags: Mapping[str, str]) -> list[Promotion]:
    """Records among the tags of a registered model, in their order."""
    kept = sorted((key, value) for key, value in tags.items() if key.startswith(_TAG))
    return [Promotion(**json.loads(value)) for _, value in kept]


def effective(records: Sequence[Promotion], champion: int | None) -> list[Promotion]:
    """Records of changes that were made: a command can be stopped after the record and before the change.

    Parameters
    ----------
    records : sequence of Promotion
        In their order.
    champion : int or None
        The present one.

    Returns
    -------
    list of Promotion
        Those after which the champion was not the same as before; what it is now, or was for the next record, may have
        been set elsewhere meanwhile.
    """
    if not records:
        return []
    found_next = [*(record.from_version for record in records[1:]), champion]
    return [record for record, found in zip(records, found_next, strict=True) if record.from_version != found]


def champions(records: Sequence[Promotion], champion: int | None) -> list[int]:
    """The champions that one can go back to, the present one last: a promotion adds one, a rollback takes one away."""
    stack: list[int] = []
    for record in records:
        if record.kind == "rollback" and record.version in stack:
            del stack[stack.index(record.version) + 1 :]
            continue
        if record.from_version is not None and (not stack or stack[-1] != record.from_version):
            # It became champion elsewhere, without a record.
            stack.append(record.from_version)
        stack.append(record.version)
    if champion is not None and (not stack or stack[-1] != champion):
        stack.append(champion)
    return stack
