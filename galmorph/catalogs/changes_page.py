"""A page to read of what changed between two catalogues: one HTML file that loads nothing from elsewhere."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from galmorph.catalogs.changes import Difference

#: Objects of each kind that are shown.
SHOWN = 12
#: Side of a picture on the page.
_SIDE = 128
_TITLES = {"changed": "Called something else", "new": "New", "lost": "Lost"}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #22262e; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .6rem; text-align: right }
th { font-weight: 600; color: #555e6e } th.left { text-align: left }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none }
.numbers li { background: #f1f3f7; border-radius: .4rem; padding: .5rem .9rem; min-width: 7rem }
.numbers b { display: block; font-size: 1.3rem }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .8rem }
.card { background: #f1f3f7; border-radius: .4rem; padding: .5rem; font-size: .8rem; overflow-wrap: anywhere }
.card img { width: 100%; border-radius: .3rem; display: block; margin-bottom: .3rem }
.bar { background: #3a6fb0; height: .8rem; min-width: 1px } .bar.warn { background: #d64541 }
.scroll { overflow-x: auto } .note { color: #555e6e; font-size: .85rem }
"""


@dataclass(frozen=True)
class Shown:
    """Objects of one status that the page shows.

    Parameters
    ----------
    status : str
        changed, new or lost.
    rows : pyarrow.Table
        Rows of `Difference.objects`.
    images : ndarray of uint8 or None
        Their pictures, shape ``(n, N, N, 3)``, first row at the bottom; None where there are none.
    """

    status: str
    rows: pa.Table
    images: NDArray[np.uint8] | None = None


def to_show(difference: Difference, status: str) -> pa.Table:
    """Objects of a status for the page: of the changed those whose probabilities moved most.

    Parameters
    ----------
    difference : Difference
        What changed.
    status : str
        changed, new or lost.

    Returns
    -------
    pyarrow.Table
        `SHOWN` rows at most.
    """
    rows = difference.objects.filter(pc.equal(difference.objects.column("status"), status))
    key = "shift" if status == "changed" else "radius"
    return rows.sort_by([(key, "descending")]).slice(0, SHOWN)


def changes_page(difference: Difference, shown: Sequence[Shown]) -> str:
    """The page.

    Parameters
    ----------
    difference : Difference
        What changed.
    shown : sequence of Shown
        Objects to show, with pictures or without.

    Returns
    -------
    str
        HTML; names and labels are escaped.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'><title>What changed between two catalogues</title>",
        f"<style>{STYLE}</style></head><body><h1>What changed between two catalogues</h1>",
        changes_sections(difference, shown),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def changes_sections(difference: Difference, shown: Sequence[Shown]) -> str:
    """The same without head and title, for a page that says more; `STYLE` belongs to it.

    Parameters
    ----------
    difference, shown
        See `changes_page`.

    Returns
    -------
    str
        HTML; names and labels are escaped.
    """
    counts = difference.counts()
    matched = counts["same"] + counts["changed"]
    numbers = {
        "in both": matched,
        "called something else": counts["changed"],
        "new": counts["new"],
        "new where the old one has rows": difference.new_inside,
        "lost": counts["lost"],
        "lost where the new one has rows": difference.lost_inside,
    }
    items = "".join(f"<li><b>{count}</b>{escape(name)}</li>" for name, count in numbers.items())
    parts = [
        f"<p>Old: {escape(difference.names[0])}<br>New: {escape(difference.names[1])}</p>",
        f"<ul class='numbers'>{items}</ul>",
        _matrix(difference),
        _stability(difference),
        *(_cards(group) for group in shown if group.rows.num_rows),
    ]
    return "\n".join(parts)


def _matrix(difference: Difference) -> str:
    matrix = difference.matrix
    head = "".join(f"<th>{escape(str(name))}</th>" for name in matrix.columns)
    body = []
    for name, row in zip(matrix.index, matrix.to_numpy(), strict=True):
        total = max(int(row.sum()), 1)
        cells = "".join(
            _cell(int(count), count / total, str(name) == str(column))
            for column, count in zip(matrix.columns, row, strict=True)
        )
        body.append(f"<tr><th class='left'>{escape(str(name))}</th>{cells}</tr>")
    return (
        "<h2>Labels</h2><p class='note'>Objects in both, by what they were called (rows) and are called (columns). "
        "Darker: a larger share of the row; red: called something else.</p>"
        f"<div class='scroll'><table><tr><th></th>{head}</tr>{''.join(body)}</table></div>"
    )


def _cell(count: int, share: float, same: bool) -> str:
    colour = "58,111,176" if same else "214,69,65"
    return f"<td style='background:rgba({colour},{0.75 * share:.3f})'>{count or '·'}</td>"


def _stability(difference: Difference) -> str:
    finite = {name: value for name, value in difference.stability.items() if np.isfinite(value)}
    if not finite:
        return ""
    largest = max(0.25, *finite.values())
    rows = "".join(
        f"<tr><th class='left'>{escape(name)}</th><td>{value:.3f}</td><td style='width:20rem'>"
        f"<div class='bar{' warn' if value > 0.25 else ''}' style='width:{100 * value / largest:.1f}%'></div></td></tr>"
        for name, value in finite.items()
    )
    return (
        "<h2>Probabilities</h2><p class='note'>Population stability index of each class's probability over the objects "
        f"in both: below 0.1 stable, above 0.25 (red) another population.</p><table>{rows}</table>"
    )


def _cards(group: Shown) -> str:
    rows = group.rows.to_pylist()
    images: Sequence[Any] = [None] * len(rows) if group.images is None else list(group.images)
    cards = "".join(_card(row, image) for row, image in zip(rows, images, strict=True))
    order = "those whose probabilities moved most" if group.status == "changed" else "the largest"
    return f"<h2>{_TITLES[group.status]}</h2><p class='note'>{order}</p><div class='cards'>{cards}</div>"


def _card(row: dict[str, Any], image: NDArray[np.uint8] | None) -> str:
    names = [f"{row[f'label_{which}']} ({row[f'confidence_{which}']:.2f})" for which in ("old", "new")
             if row[f"label_{which}"] is not None]  # fmt: skip
    identifier = row["object_id_new"] if row["object_id_new"] is not None else row["object_id_old"]
    picture = "" if image is None else f"<img alt='object {identifier}' src='{_data(image)}'>"
    shift = f"<br>shift {row['shift']:.2f}" if row["shift"] is not None and row["shift"] == row["shift"] else ""
    return (
        f"<div class='card'>{picture}{escape(' → '.join(names))}{shift}<br>"
        f"{row['ra']:.5f} {row['dec']:+.5f}<br>{escape(str(row['tile']))}<br>{identifier}</div>"
    )


def _data(image: NDArray[np.uint8]) -> str:
    """A picture inside the page."""
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image[::-1])).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    picture.save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
