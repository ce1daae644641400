"""One page about a release: what was noticed, trained, asked and changed, and what to do. It loads nothing else."""

import base64
import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from galmorph.catalogs.changes_page import STYLE
from galmorph.releases.advice import Advice

#: Curves of a training that are drawn, as far as they are there.
CURVES = ("valid_accuracy", "valid_recall", "valid_loss")

_STYLE = (
    STYLE
    + """
.advice { border-left: .3rem solid #3a6fb0; background: #f1f3f7; padding: .8rem 1rem; border-radius: .3rem }
.advice.stop { border-color: #d64541 }
.verdict { font-weight: 600 } .yes { color: #1f7a45 } .no { color: #b3302c }
table.wide td, table.wide th { text-align: left; vertical-align: top }
svg { max-width: 100%; height: auto } img { max-width: 100% } code { background: #f1f3f7; padding: .1rem .3rem }
"""
)


@dataclass(frozen=True)
class Story:
    """What the page tells; a part that did not come to pass is empty.

    Parameters
    ----------
    name : str
        Of the release.
    advice : Advice
        What to do.
    begin, notice, gather, adapt, judge, register, rescore, diff : mapping
        What each step gave.
    seconds : mapping
        Wall time of each step.
    """

    name: str
    advice: Advice
    begin: Mapping[str, Any] = field(default_factory=dict)
    notice: Mapping[str, Any] = field(default_factory=dict)
    gather: Mapping[str, Any] = field(default_factory=dict)
    adapt: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    register: Mapping[str, Any] = field(default_factory=dict)
    rescore: Mapping[str, Any] = field(default_factory=dict)
    diff: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def release_page(story: Story) -> str:
    """The page.

    Parameters
    ----------
    story : Story
        What happened. Pictures and sections that it names by path are put into the page.

    Returns
    -------
    str
        HTML; everything that comes from files, people or surveys is escaped.
    """
    title = f"Release {story.name}"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        _advice(story.advice),
        _section("Model", _pairs(_model(story))),
        _section("Drift", _drift(story.notice)),
        _section("Training", _training(story.gather, story.adapt)),
        _section("Gates", _gates(story.judge)),
        _section("Catalogue", _catalogue(story.rescore, story.diff)),
        _section("Time", _pairs({name: _time(value) for name, value in story.seconds.items()})),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _advice(advice: Advice) -> str:
    commands = "".join(f"<p><code>{escape(command)}</code></p>" for command in advice.commands)
    kind = "advice stop" if advice.stop else "advice"
    return f"<div class='{kind}'><p>{escape(advice.text)}</p>{commands}</div>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def _pairs(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th class='left'>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value not in (None, "", {}, [])
    )
    return f"<table class='wide'>{rows}</table>" if rows else ""


def _model(story: Story) -> dict[str, Any]:
    begin, register = story.begin, story.register
    return {
        "present model": begin.get("reference"),
        "its digest": str(begin.get("sha256", ""))[:12],
        "new model": register.get("version") or story.adapt.get("model"),
        "in use": register.get("in_use"),
        "change of champion": register.get("change"),
        "note": register.get("note"),
    }


def _drift(notice: Mapping[str, Any]) -> str:
    if not notice:
        return ""
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in notice.get("reasons", []))
    notes = "".join(f"<li class='note'>{escape(str(note))}</li>" for note in notice.get("notes", []))
    return (
        f"<p class='verdict'>{escape(str(notice['verdict']))}</p><ul>{reasons}{notes}</ul>"
        f"{_picture(notice.get('picture'), 'what the new images are like beside those the model was made for')}"
    )


def _training(gather: Mapping[str, Any], adapt: Mapping[str, Any]) -> str:
    if not adapt:
        return ""
    if "skipped" in adapt:
        return f"<p>{escape(str(adapt['skipped']))}</p>"
    budget, guard = adapt["budget"], adapt.get("guard")
    minutes = "no limit of time" if budget["minutes"] is None else f"at most {budget['minutes']:g} minutes"
    facts = {
        "images of the release": gather.get("images"),
        "labelled": gather.get("labelled"),
        "to look at": gather.get("to_vet"),
        "of these learned from": adapt["joined"],
        "method": adapt["method"],
        "start": adapt["start"],
        "budget": f"{budget['epochs']} epochs, {minutes}; {budget['epochs_used']} were used, the best is "
        f"{budget['best_epoch']}",
        "guard against harm": "" if guard is None else f"goes on with the {guard['shipped'].replace('_', ' ')} model",
        "signs of harm": "" if guard is None else "; ".join(guard["reasons"]),
        "folder": adapt["training"],
    }
    return _pairs(facts) + _curves(Path(adapt["training"]) / "metrics.csv")


def _gates(judge: Mapping[str, Any]) -> str:
    verdicts = judge.get("verdicts", [])
    if not verdicts:
        return f"<p>{escape(str(judge['skipped']))}</p>" if "skipped" in judge else ""
    rows = "".join(
        f"<tr><td class='{'yes' if each['passed'] else 'no'}'>{'passed' if each['passed'] else 'not passed'}</td>"
        f"<td>{escape(each['question'])}{' <b>(estimate, no labels)</b>' if each['estimate'] else ''}</td>"
        f"<td>{_number(each['before'])}</td><td>{_number(each['after'])}</td><td>{escape(each['reason'])}</td>"
        f"<td>{each['objects'] or ''}</td></tr>"
        for each in verdicts
    )
    left = ", ".join(judge.get("not_asked", []))
    return (
        "<p class='note'>In brackets 95 % bootstrap intervals over objects. A gate that cannot be computed is not "
        "passed.</p><div class='scroll'><table class='wide'><tr><th></th><th>gate</th><th>old</th><th>new</th>"
        f"<th>decides</th><th>objects</th></tr>{rows}</table></div>"
        + (f"<p class='note'>Not asked for: {escape(left)}.</p>" if left else "")
    )


def _catalogue(rescore: Mapping[str, Any], diff: Mapping[str, Any]) -> str:
    if not rescore:
        return ""
    facts = {
        "catalogue": rescore.get("catalog"),
        "tiles": rescore.get("tiles"),
        "of these set aside": rescore.get("set_aside"),
        "objects": rescore.get("scored"),
        "not scored again": rescore.get("why"),
        "objects to look at": diff.get("changed"),
    }
    sections = diff.get("sections")
    body = Path(sections).read_text(encoding="utf-8") if sections and Path(sections).is_file() else ""
    return _pairs(facts) + body


def _picture(path: str | None, words: str) -> str:
    """A PNG inside the page."""
    if path is None or not Path(path).is_file():
        return ""
    content = base64.b64encode(Path(path).read_bytes()).decode()
    return f"<img alt='{escape(words)}' src='data:image/png;base64,{content}'>"


def _curves(metrics: Path) -> str:
    """The training's validation measures by epoch, each between its own extremes."""
    if not metrics.is_file():
        return ""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = [_curve(name, [float(row[name]) for row in rows]) for name in CURVES if rows and name in rows[0]]
    return f"<div class='scroll'>{''.join(drawn)}</div>"


def _curve(name: str, values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = min(finite), max(finite)
    extent = (high - low) or 1.0
    points = " ".join(
        f"{10 + 280 * number / max(len(values) - 1, 1):.1f},{90 - 70 * (value - low) / extent:.1f}"
        for number, value in enumerate(values)
        if math.isfinite(value)
    )
    words = f"{name.replace('_', ' ')}: {low:.3f} to {high:.3f}"
    return (
        f"<svg width='300' height='100' role='img' aria-label='{escape(words)}'><text x='10' y='12' font-size='11'>"
        f"{escape(words)}</text><polyline points='{points}' fill='none' stroke='#3a6fb0' stroke-width='1.5'/></svg>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
