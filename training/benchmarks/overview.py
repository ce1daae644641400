"""The head of the page of adaptation: what all its experiments say in short, in two tables, a picture and a list."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptation import RESULTS, read_lines
from experiments import BALANCED, DEFAULT, OPEN, STRANGERS, SUPERVISED, TABLE, Experiment
from guard import count
from matplotlib.figure import Figure

Line = Mapping[str, Any]

PICTURE = RESULTS.parent / "adaptation.png"

#: Methods by default of targets with the source's classes, and those of libraries that are set beside them.
CLOSED_BY_DEFAULT = ("mmd", "mmd_f", "adversarial", "adversarial_f", "coral", "cdan", "mcc", "deepastrouda")
BOUND = "*target's labels used*"
#: What is set where many classes are known and strangers can be made, chosen on simulated galaxies (decision 32).
FOR_LENSES = f"deepastrouda/{BALANCED}-{STRANGERS}"

COLOURS = {"source_only": "#8a8f98", "dance": "#3a6fb0", "ovanet": "#d9a02b", "deepastrouda": "#c8443f"}
WHY_NOT = "../decisions/0009-adaptation-defaults.md"
#: Aims: of areas under the ROC curve, of the loss of the source's accuracy, and of the guard.
LEAST_AREA, MOST_LOSS, LEAST_CAUGHT, MOST_WOLF = 0.85, 0.02, 0.95, 0.10


def values(name: str, method: str, domain: str, measure: str) -> list[float]:
    """A measure of all seeds of a method in an experiment."""
    found = (line[domain].get(measure) for line in read_lines(name) if line["method"] == method)
    return [value for value in found if value is not None]


def mean(name: str, method: str, measure: str, domain: str = "target") -> float | None:
    """Its mean over seeds, if the method was tried there."""
    found = values(name, method, domain, measure)
    return statistics.fmean(found) if found else None


def _closed() -> dict[str, Experiment]:
    return {name: one for name, one in TABLE.items() if not one.private}


def _open() -> dict[str, Experiment]:
    return {name: one for name, one in TABLE.items() if one.private}


def _by_default(experiment: Experiment, method: str) -> str:
    """What a method by default is called in the lines of an experiment that has it as printed too."""
    return f"{method}/{DEFAULT}" if f"{method}/{DEFAULT}" in experiment.methods else method


def _matrix(
    rows: Mapping[str, Callable[[str, Experiment], float | None]], experiments: Mapping[str, Experiment], bound: str
) -> list[str]:
    """A table with a column for each experiment and one for the mean, whose best is bold but for the bound."""
    table = {title: [cell(name, one) for name, one in experiments.items()] for title, cell in rows.items()}
    for title, cells in table.items():
        known = [value for value in cells if value is not None]
        cells.append(statistics.fmean(known) if len(known) == len(cells) else None)
        table[title] = [None if value is None else round(value, 3) for value in cells]
    best = [
        max(cells[i] or 0.0 for title, cells in table.items() if title != bound) for i in range(len(experiments) + 1)
    ]
    titles = ["method", *(one.title for one in experiments.values()), "mean"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for title, cells in table.items():
        texts = [
            "–" if value is None else f"**{value:.3f}**" if value == top and title != bound else f"{value:.3f}"
            for value, top in zip(cells, best, strict=True)
        ]
        lines.append("| " + " | ".join([title, *texts]) + " |")
    return lines


def _closed_table() -> list[str]:
    def ours(method: str) -> Callable[[str, Experiment], float | None]:
        return lambda name, one: mean(name, _by_default(one, method), "accuracy")

    rows = {"source only": ours("source_only")}
    rows |= {name: ours(name) for name in CLOSED_BY_DEFAULT}
    rows["deepastrouda, classes shared"] = lambda name, one: mean(name, "deepastrouda/shared", "accuracy")
    rows["best of the libraries"] = lambda name, one: max(_library_means(name).values(), default=None)
    rows[BOUND] = lambda name, one: mean(name, SUPERVISED, "accuracy")
    return _matrix(rows, _closed(), BOUND)


def _library_means(name: str) -> dict[str, float]:
    """Mean accuracies of the libraries' methods."""
    methods = {line["method"] for line in read_lines(name) if ": " in line["method"]}
    return {method: statistics.fmean(values(name, method, "target", "accuracy")) for method in methods}


def _open_table(measure: str) -> list[str]:
    def of(method: str) -> Callable[[str, Experiment], float | None]:
        return lambda name, one: mean(name, method, measure)

    rows = {method.replace("source_only", "source only"): of(method) for method in OPEN}
    return _matrix(rows | {BOUND: of(SUPERVISED)}, _open(), BOUND)


def _numbers(found: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in found)


def _ahead() -> tuple[str, str, bool]:
    """Of how many methods, in each experiment of the source's classes, the target's accuracy rises."""
    counts, total = [], []
    for name, one in _closed().items():
        plain = mean(name, "source_only", "accuracy") or 0.0
        found = [mean(name, _by_default(one, method), "accuracy") for method in CLOSED_BY_DEFAULT]
        tried = [value for value in found if value is not None]
        counts.append(f"{sum(value > plain for value in tried)} of {len(tried)}")
        total.append(all(value > plain for value in tried))
    where = ", ".join(one.title for one in _closed().values())
    return (
        "Known classes: every method that adapts ahead of the source alone",
        f"{', '.join(counts)} ({where})",
        all(total),
    )


def _open_ahead(measure: str, called: str) -> tuple[str, str, bool]:
    """In how many experiments with unknown classes DeepAstroUDA is ahead of the source alone."""
    pairs = [[round(mean(name, who, measure) or 0.0, 3) for who in ("deepastrouda", "source_only")] for name in _open()]
    ahead = sum(ours > theirs for ours, theirs in pairs)
    equal = sum(ours == theirs for ours, theirs in pairs)
    told = f"in {ahead} of {len(pairs)} experiments" + (f", equal in {equal}" if equal else "")
    return f"Unknown classes: DeepAstroUDA's {called} ahead of the source alone", told, ahead == len(pairs)


def _others() -> tuple[str, str, bool]:
    means = {
        method: statistics.fmean(mean(name, method, "h_score") or 0.0 for name in _open())
        for method in ("deepastrouda", "dance", "ovanet")
    }
    told = ", ".join(f"{method} {value:.3f}" for method, value in means.items())
    change, error = _change_by_seed("deepastrouda", "dance")
    told += f"; beside dance {change:+.3f} ± {error:.3f} (standard error of the mean over seeds)"
    aim = f"Unknown classes: DeepAstroUDA's H-score ahead of our DANCE and OVANet ([why not]({WHY_NOT}))"
    return aim, f"means of the H-score: {told}", means["deepastrouda"] == max(means.values())


def _change_by_seed(ours: str, theirs: str) -> tuple[float, float]:
    """By how much one method's mean H-score is above another's, and the standard error of that."""
    means = []
    for method in (ours, theirs):
        lines = [{line["seed"]: line for line in read_lines(name) if line["method"] == method} for name in _open()]
        seeds = sorted(set.intersection(*map(set, lines)))
        means.append([statistics.fmean(each[seed]["target"]["h_score"] for each in lines) for seed in seeds])
    changes = [one - other for one, other in zip(*means, strict=True)]
    return statistics.fmean(changes), statistics.stdev(changes) / len(changes) ** 0.5


def _source_kept() -> tuple[str, str, bool]:
    loss, where = 0.0, ""
    for name, one in TABLE.items():
        plain = mean(name, "source_only", "accuracy", "source") or 0.0
        for method in {line["method"] for line in read_lines(name)} & {*one.methods}:
            lost = plain - (mean(name, method, "accuracy", "source") or 0.0)
            if lost > loss:
                loss, where = lost, f"{method} in {one.title}"
    return (
        f"The source's accuracy loses no more than {MOST_LOSS:g}",
        f"largest loss {loss:.3f} ({where})",
        loss <= MOST_LOSS,
    )


def _peers() -> tuple[str, str, bool]:
    told, met = [], []
    for name, one in _closed().items():
        if not (theirs := _library_means(name)):
            continue
        ours = {method: mean(name, _by_default(one, method), "accuracy") or 0.0 for method in CLOSED_BY_DEFAULT}
        best, peer = max(ours, key=lambda key: ours[key]), max(theirs, key=lambda key: theirs[key])
        spreads = [
            statistics.stdev(found) / len(found) ** 0.5
            for found in (
                values(name, _by_default(one, best), "target", "accuracy"),
                values(name, peer, "target", "accuracy"),
            )
        ]
        told.append(
            f"{ours[best]:.3f} ± {spreads[0]:.3f} ({best}) beside {theirs[peer]:.3f} ± {spreads[1]:.3f} ({peer})"
        )
        met.append(round(ours[best], 3) >= round(theirs[peer], 3))
    return "Our best method at least equal to the libraries' best (standard errors)", "; ".join(told), all(met)


def _areas() -> tuple[str, str, bool]:
    found = []
    for name in _open():
        if name.startswith(("digits", "mock")):
            method = FOR_LENSES if name == "mock-ten" else "deepastrouda"
            found.append(statistics.fmean(_deciding_areas(name, method)))
    aim = (
        f"Digits and mocks: area under the ROC curve of at least {LEAST_AREA:g}, DeepAstroUDA "
        "(lenses: balanced, with strangers)"
    )
    return aim, _numbers(found), min(found) >= LEAST_AREA


def _deciding_areas(name: str, method: str) -> list[float]:
    """Areas of the score that decides, which each line names."""
    names = {"entropy": "auroc", "energy": "auroc_energy", "anomaly_score": "auroc_anomaly"}
    return [line["target"][names[line["unknown_score"]]] for line in read_lines(name) if line["method"] == method]


def _guard(lines: Sequence[Line], kind: str, by: str = "") -> list[tuple[str, str, bool]]:
    found = count(lines, by)
    caught = found["beyond_error_stopped"] / found["beyond_error"]
    others = found["models"] - found["harmed"]
    wolf = found["others_stopped"] / others
    return [
        (
            f"Guard, {kind}: at least {LEAST_CAUGHT:.0%} of what is harmed beyond sampling error is stopped",
            f"{found['beyond_error_stopped']} of {found['beyond_error']} ({caught:.0%})"
            + (f"; {told} more told before the training" if (told := found["beyond_error_told"]) else ""),
            caught >= LEAST_CAUGHT,
        ),
        (
            f"Guard, {kind}: at most {MOST_WOLF:.0%} of what is not harmed is stopped",
            f"{found['others_stopped']} of {others} ({wolf:.0%})",
            wolf <= MOST_WOLF,
        ),
    ]


def _aims(guard: Sequence[Line]) -> list[str]:
    hostile = [line for line in guard if line["experiment"].startswith("hostile")]
    aims = [
        _ahead(),
        _open_ahead("accuracy", "accuracy"),
        _open_ahead("h_score", "H-score"),
        _others(),
        _source_kept(),
        _peers(),
        _areas(),
    ]
    for by, words in (("", ""), ("_by_recall", ", by mean recall")):
        aims += _guard(guard, f"all targets{words}", by) + _guard(hostile, f"hostile targets{words}", by)
    rows = [f"| {aim} | {found} | {'yes' if met else 'no'} |" for aim, found, met in aims]
    return ["| aim | measured | met |", "|---|---|---|", *rows]


def _panel(figure_axes: Any, names: Sequence[str], bars: Mapping[str, tuple[str, list[str]]], measure: str) -> None:
    """Means and deviations of methods, one group for each experiment."""
    height = 0.8 / len(bars)
    for row, (called, (colour, methods)) in enumerate(bars.items()):
        for place, (name, method) in enumerate(zip(names, methods, strict=True)):
            found = values(name, method, "target", measure)
            if found:
                middle, spread = statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0
                y = place + (row - (len(bars) - 1) / 2) * height
                figure_axes.errorbar(
                    middle, y, xerr=spread, fmt="o", ms=5, color=colour, lw=1.2, label=called if not place else None
                )
    figure_axes.set_yticks(range(len(names)), [TABLE[name].title for name in names], fontsize=8)
    figure_axes.invert_yaxis()
    figure_axes.grid(axis="x", alpha=0.3)
    for place in range(1, len(names)):
        figure_axes.axhline(place - 0.5, color="#dddddd", lw=0.8)


def draw(path: Path = PICTURE) -> None:
    """The picture: accuracies where all classes are known, H-scores where some are not."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    closed, opened = list(_closed()), list(_open())

    def everywhere(method: str) -> list[str]:
        return [_by_default(TABLE[name], method) for name in closed]

    bars = {
        "source only": (COLOURS["source_only"], everywhere("source_only")),
        "mmd": ("#3c8d5a", everywhere("mmd")),
        "adversarial": (COLOURS["dance"], everywhere("adversarial")),
        "mcc": (COLOURS["ovanet"], everywhere("mcc")),
        "deepastrouda": (COLOURS["deepastrouda"], everywhere("deepastrouda")),
        "target's labels used": ("black", everywhere(SUPERVISED)),
    }
    _panel(left, closed, bars, "accuracy")
    left.set_xlabel("accuracy on the target, all classes known")
    bars = {method.replace("_", " "): (COLOURS[method], [method] * len(opened)) for method in OPEN}
    _panel(right, opened, bars, "h_score")
    right.set_xlabel("H-score on the target, some classes unknown")
    for panel in (left, right):
        panel.legend(fontsize=7, frameon=False, loc="upper left")
    figure.savefig(path, dpi=90)


def in_short(guard: Sequence[Line]) -> list[str]:
    """The section, from all lines and the guard's verdicts."""
    return [
        "## In short",
        "",
        "Methods as they are by default, means over the seeds; the best of each column is bold. Accuracies on the "
        "target where it has the source's classes and no others:",
        "",
        *_closed_table(),
        "",
        "Where some of the target's classes are unknown: accuracies on the known ones,",
        "",
        *_open_table("accuracy"),
        "",
        "H-scores,",
        "",
        *_open_table("h_score"),
        "",
        "and areas under the ROC curve of the anomaly score, which decides what is unknown:",
        "",
        *_open_table("auroc_anomaly"),
        "",
        f"![Means and standard deviations of these]({PICTURE.name})",
        "",
        "What was aimed at, and what came of it:",
        "",
        *_aims(guard),
        "",
    ]
