"""A drift as a picture: images, objects as the model sees them, classes, scores, and the parts of the sky."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galmorph.errors import DataError, MissingExtraError
from galmorph.imaging import Imaging
from galmorph.releases.drift import Drift, Region
from galmorph.releases.shift import Shift, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of what was, of what is, and of the verdicts.
BEFORE, NOW = "#3a6fb0", "#d9822b"
COLOURS = {"as before": "#3c8d5a", "recalibrate": "#d9a02b", "retrain": "#c8443f"}
#: Letters in a line of reasons.
LINE = 118


def draw_drift(drift: Drift, path: Path) -> None:
    """Draw what a verdict rests on.

    Parameters
    ----------
    drift : Drift
        Of `galmorph.releases.notice.drift`.
    path : Path
        Picture to write.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    DataError
        If the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("The picture of a drift", "matplotlib", "drift") from error
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    figure.suptitle(
        f"{drift.release} beside model {drift.model}: {drift.verdict}",
        color=COLOURS[drift.verdict], fontweight="bold", fontsize=15, ha="left", x=0.01,
    )  # fmt: skip
    parts = figure.add_gridspec(2, 1, height_ratios=[1, 6])
    head, body = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
    head.text(0.01, 0.95, _reasons(drift), va="top", fontsize=9.5, color="#333a46")
    panels = body.subplots(2, 3)
    _depths(panels[0, 0], drift.imaging)
    for panel, draw in ((panels[0, 1], _looks), (panels[0, 2], _entropies)):
        _or_nothing(panel, drift.view, draw)
    for panel, draw_shift in ((panels[1, 0], _classes), (panels[1, 1], _numbers)):
        _or_nothing(panel, drift.shift, draw_shift)
    _sky(panels[1, 2], drift.regions)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise DataError(f"the picture {path} cannot be written: {error}") from error


def _reasons(drift: Drift) -> str:
    import textwrap

    lines = [f"because {reason}" for reason in drift.reasons] + [f"note: {note}" for note in drift.notes]
    wrapped = [textwrap.shorten(line, 2 * LINE) for line in lines[:4]] or ["nothing differs by more than chance allows"]
    return "\n".join("\n   ".join(textwrap.wrap(line, LINE)) for line in wrapped)


def _or_nothing(panel: "Axes", what: Any, draw: Any) -> None:
    if what is None:
        panel.text(0.5, 0.5, "not compared", ha="center", va="center", color="#555e6e", transform=panel.transAxes)
        panel.set_axis_off()
    else:
        draw(panel, what)


def _depths(panel: "Axes", imaging: Mapping[str, Imaging]) -> None:
    """Depth of each band."""
    panel.set_title("depth (5σ point source)", fontsize=10)
    bands = list(imaging["now"].noise)
    places = np.arange(len(bands))
    for offset, (name, colour) in zip((-0.2, 0.2), (("before", BEFORE), ("now", NOW)), strict=True):
        if name in imaging:
            depth = imaging[name].depth
            panel.plot(
                places + offset, [depth.get(band, np.nan) for band in bands], "o", color=colour, label=name, ms=9
            )
    panel.set_xticks(places, bands)
    panel.set_xlim(-0.6, len(bands) - 0.4)
    panel.set_ylabel("AB mag")
    panel.grid(axis="y", alpha=0.3)
    panel.legend(frameon=False, fontsize=8)


def _looks(panel: "Axes", view: View) -> None:
    """Objects in the main plane of their features."""
    panel.set_title("objects as the model sees them, main plane", fontsize=10)
    for points, colour, name in ((view.points_before, BEFORE, "before"), (view.points_now, NOW, "now")):
        panel.plot(points[:, 0], points[:, 1], ".", ms=3, alpha=0.6, color=colour, label=name)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.legend(frameon=False, fontsize=8, markerscale=3)


def _entropies(panel: "Axes", view: View) -> None:
    """Distribution of the entropy."""
    panel.set_title("entropy of the class probabilities", fontsize=10)
    most = float(np.log(view.before.probabilities.shape[1]))
    bins = np.linspace(0, most, 25).tolist()
    for sample, colour, name in ((view.before, BEFORE, "before"), (view.now, NOW, "now")):
        panel.hist(sample.entropy, bins=bins, histtype="step", lw=1.6, color=colour, label=name, density=True)
    panel.set_xlabel("nats")
    panel.set_yticks([])
    panel.legend(frameon=False, fontsize=8)


def _classes(panel: "Axes", shift: Shift) -> None:
    """Shares of the labels, with the stability index of each class."""
    panel.set_title("labels of comparable objects", fontsize=10)
    names = list(shift.shares)
    places = np.arange(len(names) + 1)
    pairs = [shift.shares[name] for name in names] + [shift.unknown]
    panel.bar(places - 0.2, [pair[0] for pair in pairs], 0.38, color=BEFORE, label="before")
    panel.bar(places + 0.2, [pair[1] for pair in pairs], 0.38, color=NOW, label="now")
    ticks = [f"{name}\n{shift.stability[name]:.2f}" for name in names] + ["unknown\n "]
    panel.set_xticks(places, ticks, fontsize=8, rotation=0 if len(names) < 7 else 60)
    panel.set_xlabel("stability index below the name (0.25: another distribution)", fontsize=8)
    panel.legend(frameon=False, fontsize=8)


def _numbers(panel: "Axes", shift: Shift) -> None:
    """The numbers in words."""
    panel.set_axis_off()
    lines = [
        f"{shift.comparable} of {shift.objects} objects comparable",
        f"{shift.beyond:.0%} beyond the model's brightness and size",
        f"AUC by {shift.basis}: {shift.auc:.3f} (p = {shift.auc_p:.1g})",
        f"squared MMD: {shift.discrepancy:.4f} (p = {shift.discrepancy_p:.1g})",
        f"unknown: {shift.unknown[0]:.1%} → {shift.unknown[1]:.1%}",
    ]
    if np.isfinite(shift.accuracy[1]):
        lines.append(f"accuracy: {shift.accuracy[0]:.0%} → about {shift.accuracy[1]:.0%}\n(estimated without labels)")
    panel.text(0.02, 0.95, "\n\n".join(lines), va="top", fontsize=10.5, color="#22262e", transform=panel.transAxes)


def _sky(panel: "Axes", regions: tuple[Region, ...]) -> None:
    """Parts of the sky by their verdicts."""
    panel.set_title("parts of the sky by themselves", fontsize=10)
    if not regions:
        _or_nothing(panel, None, None)
        return
    # Positions about their mean, so that right ascension 0 does not tear a field apart.
    first = regions[0].ra
    ra = np.array([(region.ra - first + 180) % 360 - 180 + first for region in regions])
    panel.scatter(
        ra, [region.dec for region in regions], s=[40 + 260 * max(region.shift.auc - 0.5, 0) for region in regions],
        c=[COLOURS[region.verdict] for region in regions],
    )  # fmt: skip
    for verdict, colour in COLOURS.items():
        panel.plot([], [], "o", color=colour, label=verdict)
    panel.margins(0.15)
    panel.invert_xaxis()
    panel.set_xlabel("right ascension (deg); larger marks: more easily told apart", fontsize=8)
    panel.set_ylabel("declination (deg)", fontsize=8)
    panel.ticklabel_format(useOffset=False)
    panel.tick_params(labelsize=8)
    panel.legend(frameon=False, fontsize=8)
