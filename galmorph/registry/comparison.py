"""Two bundles beside each other, as their manifests tell."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from galmorph.manifest import Manifest
from galmorph.names import flat

#: Facts of every bundle.
FACTS = ("name", "survey", "classes", "private_classes", "bands", "pixel_scale", "framing", "temperature", "unknown")


class Row(NamedTuple):
    """A line of the comparison: a name, what either says, whether it is a measure, and whether they differ."""

    name: str
    one: str
    other: str
    measure: bool
    differs: bool


def compare_manifests(one: Manifest, other: Manifest) -> list[Row]:
    """Facts of both; settings, data and versions in which their trainings differ; measures with their intervals.

    Parameters
    ----------
    one, other : Manifest
        Of two bundles.

    Returns
    -------
    list of Row
        What neither says is left out.
    """
    first, second = one.model_dump(mode="json"), other.model_dump(mode="json")
    rows = [_row(name, first[name], second[name]) for name in FACTS]
    settings = [dict(flat(facts["training"])) for facts in (first, second)]
    names = dict.fromkeys([*settings[0], *settings[1]])
    rows += [
        row
        for name in names
        if not name.startswith(("guard.", "tuner"))
        and (row := _row(name, settings[0].get(name), settings[1].get(name))).differs
    ]
    measures = [dict(_measures(facts["metrics"])) for facts in (first, second)]
    for name in dict.fromkeys([*measures[0], *measures[1]]):
        cells = [measured.get(name, "–") for measured in measures]
        rows.append(Row(name, cells[0], cells[1], True, cells[0] != cells[1]))
    return rows


def _row(name: str, one: Any, other: Any) -> Row:
    return Row(name, _text(one), _text(other), False, one != other)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value)


def _measures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Measures of each part: of known classes, and at the unknown threshold, as far as they exist."""
    for part, result in metrics.items():
        if not isinstance(result, Mapping):
            continue
        for group in ("known", "unknown"):
            ends = result.get("intervals", {}).get(group, {})
            for name, value in result.get(group, {}).items():
                if isinstance(value, int | float):
                    interval = ends.get(name)
                    extent = f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
                    yield f"{part}, {group}: {name.replace('_', ' ')}", f"{value:.4f}{extent}"
