"""The model card: the bundle's README, from a template and the manifest."""

import string
from importlib.resources import files
from pathlib import Path
from typing import Any

from galmorph.bundle import Manifest
from galmorph.errors import ConfigError

#: The built-in template, beside this file.
TEMPLATE = "card.md"


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
        "pixel_scale": f"{manifest.pixel_scale:g}",
        "framing": f"{framing.size} x {framing.size} pixels, {frame}",
        "encoder": recipe["network"]["encoder"],
        "method": recipe["method"]["name"],
        "images": ", ".join(f"{name} {count}" for name, count in training["images_per_class"].items()),
        "temperature": f"{manifest.temperature:.3f}",
        "unknown": f"{manifest.unknown.score} above {manifest.unknown.threshold:.4g}",
        "false_unknown": f"{100 * manifest.unknown.false_unknown_rate:.1f} %",
        "measures": "\n\n".join(_measures(part, result) for part, result in manifest.metrics.items()),
        "versions": ", ".join(f"{name} {number}" for name, number in training["versions"].items()),
    }


def _measures(part: str, result: dict[str, Any]) -> str:
    """Tables of what was measured on one part."""
    lines = [f"### Source {part}", "", "| class | objects | recall | precision | AUC |", "|---|---|---|---|---|"]
    for name, values in result["per_class"].items():
        numbers = " | ".join(_number(values[key]) for key in ("recall", "precision", "auc"))
        lines.append(f"| {name} | {result['objects'][name]} | {numbers} |")
    lines += ["", "| measure | value |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in result["known"].items()]
    lines += [
        f"| AUROC of unknown by {name.replace('_', ' ')} | {_number(value)} |"
        for name, value in result["unknown"]["auroc"]["all"].items()
    ]
    for name in ("false_unknown_rate", "known_recall", "unknown_recall", "h_score"):
        lines.append(f"| {name.replace('_', ' ')} at the threshold | {_number(result['unknown'][name])} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
