"""The model card: the bundle's README, from a template and the manifest."""

import string
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from galmorph.cutout_set import UNIT
from galmorph.errors import ConfigError
from galmorph.manifest import Manifest

#: The built-in template, beside this file.
TEMPLATE = "card.md"

#: What the numbers in brackets are.
INTERVALS = (
    "In brackets: 95 % bootstrap intervals over objects. Of few objects, or where all are right, they are too narrow."
)

#: Under the numbers of the validation part.
CHOSEN_BY = (
    "The weights, the temperature and the threshold were chosen by these objects: the numbers are rather too good."
)


def write_card(manifest: Manifest, template: Path | None = None) -> str:
    """Text of the card.

    Parameters
    ----------
    manifest : Manifest
        Of the bundle.
    template : Path or None
        A text in which ``$name`` stands for a value; None takes the built-in one, which uses all of them.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    ConfigError
        If the template cannot be read or names a value that there is not.
    """
    values = _values(manifest)
    try:
        text = (files(__package__).joinpath(TEMPLATE) if template is None else template).read_text()
        return string.Template(text).substitute(values)
    except OSError as error:
        raise ConfigError(f"cannot read the template of the model card {template}: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"the template of the model card {template} is not valid ({error}); it can use ${', $'.join(values)}"
        ) from error


def _values(manifest: Manifest) -> dict[str, str]:
    """What a template can name."""
    training, recipe, framing = manifest.training, manifest.training["recipe"], manifest.framing
    frame = (
        f"{framing.angle:g} arcsec wide"
        if framing.mode == "angle"
        else f"{2 * framing.factor:g} object radii wide, within {framing.min_angle:g} to {framing.max_angle:g} arcsec"
    )
    return {
        "name": manifest.name,
        "description": manifest.description,
        "classes": ", ".join(manifest.classes),
        "private": ", ".join(manifest.private_classes) or "none",
        "survey": manifest.survey,
        "bands": ", ".join(manifest.bands),
        "pixel_scale": f"{manifest.pixel_scale:g} arcsec per pixel"
        if manifest.unit == UNIT
        else f"pixels that count as {manifest.pixel_scale:g} arcsec (1 before resizing, if the scale was not known)",
        "unit": "nanomaggies per square arcsec"
        if manifest.unit == UNIT
        else f"{manifest.unit}, which no survey's tiles have",
        "framing": f"{framing.size} x {framing.size} pixels, {frame}",
        "encoder": recipe["network"]["encoder"] + _together(training["seed"]),
        "method": recipe["method"]["name"] + _adapted_to(training) + _harm(training.get("guard") or {}),
        "images": ", ".join(f"{name} {count}" for name, count in training["images_per_class"].items()),
        "temperature": f"{manifest.temperature:.3f}",
        "unknown": f"{manifest.unknown.score} above {manifest.unknown.threshold:.4g}",
        "false_unknown": f"{100 * manifest.unknown.false_unknown_rate:.1f} %",
        "measures": f"{INTERVALS}\n\n"
        + "\n\n".join(_measures(part, result) for part, result in manifest.metrics.items()),
        "versions": ", ".join(f"{name} {number}" for name, number in training["versions"].items()),
    }


def _together(seeds: int | Sequence[int]) -> str:
    """How many networks answer together, where they are several."""
    return "" if isinstance(seeds, int) else f", {len(seeds)} networks together"


def _adapted_to(training: Mapping[str, Any]) -> str:
    """The images without labels that the network was adapted to, if it was."""
    target = training.get("target")
    if not target:
        return ""
    survey = target["facts"].get("survey")
    return f", adapted to {target['parts']['train']} images{f' of {survey}' if survey else ''} without labels"


def _harm(guard: Mapping[str, Any]) -> str:
    """Signs of harm where it is the adapted model that goes on for all that."""
    if guard.get("model") != "adapted" or not guard["reasons"]:
        return ""
    return f". Adaptation may have done harm: {'; '.join(guard['reasons'])}"


def _measures(part: str, result: dict[str, Any]) -> str:
    """Tables of what was measured on one part; in brackets 95 % intervals, where there are any."""
    ends = result["intervals"]
    lines = [
        f"### Source {part}",
        "",
        *([CHOSEN_BY, ""] if part == "validation" else []),
        "| class | objects | recall | precision | AUC |",
        "|---|---|---|---|---|",
    ]
    for name, values in result["per_class"].items():
        own = ends.get("per_class", {}).get(name, {})
        numbers = " | ".join(_number(values[key], own.get(key)) for key in ("recall", "precision", "auc"))
        lines.append(f"| {name} | {result['objects'][name]} | {numbers} |")
    lines += ["", "| measure | value |", "|---|---|"]
    known, unknown = ends.get("known", {}), ends.get("unknown", {})
    lines += [
        f"| {name.replace('_', ' ')} | {_number(value, known.get(name))} |" for name, value in result["known"].items()
    ]
    areas = unknown.get("auroc", {}).get("all", {})
    lines += [
        f"| AUROC of unknown by {name.replace('_', ' ')} | {_number(value, areas.get(name))} |"
        for name, value in result["unknown"]["auroc"]["all"].items()
    ]
    for name in ("false_unknown_rate", "known_recall", "unknown_recall", "h_score"):
        value = _number(result["unknown"][name], unknown.get(name))
        lines.append(f"| {name.replace('_', ' ')} at the threshold | {value} |")
    return "\n".join(lines)


def _number(value: float | None, ends: Sequence[float] | None = None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if ends is None else f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
