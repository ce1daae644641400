"""The table of adaptation from its results.

    python training/benchmarks/table.py

writes ``docs/benchmarks/adaptation.md``, with the picture beside it (``overview.py``), from the lines that
``adaptation.py run`` left in the folder of that name, and the guard's verdicts from ``guard.jsonl`` there
(``guard.py``).
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from adaptation import RESULTS, read_lines
from experiments import (
    ABLATION,
    BALANCED,
    DEFAULT,
    EXPERIMENTS,
    HOSTILE,
    LONGER,
    LONGER_BY,
    NOISY,
    SHARED,
    STRANGERS,
    SUPERVISED,
    TABLE,
    Experiment,
)
from guard import BEYOND, count
from overview import draw, in_short

Line = Mapping[str, Any]

NAMES = {SUPERVISED: "*target's labels used*", "source_only": "source only"}

#: What is added to a method, in words.
VARIANTS = {
    STRANGERS: " with strangers",
    BALANCED: ", balanced",
    f"{BALANCED}-{STRANGERS}": ", balanced, with strangers",
    SHARED: ", classes shared",
    NOISY: ", noise of the target",
    DEFAULT: ", by default",
    f"{NOISY}-{STRANGERS}": ", noise of the target, with strangers",
}

#: Stands for the area of the score that decides what is unknown, and where each score has its own.
DECIDES = "decides"
AREAS = {"entropy": "auroc", "energy": "auroc_energy", "anomaly_score": "auroc_anomaly"}

#: Columns of the table: title, and where the number is.
CLOSED_COLUMNS = (("source", ("source", "accuracy")), ("target", ("target", "accuracy")))
OPEN_COLUMNS = (
    *CLOSED_COLUMNS,
    ("H-score", ("target", "h_score")),
    ("known recall", ("target", "known_recall")),
    ("unknown recall", ("target", "unknown_recall")),
    ("AUROC by what decides", ("target", DECIDES)),
    ("of entropy", ("target", "auroc")),
    ("of energy", ("target", "auroc_energy")),
    ("of anomaly score", ("target", "auroc_anomaly")),
    ("oracle H", ("target", "oracle_h_score")),
)

HEAD = """# Adaptation: what each method is worth

Methods of domain adaptation on real digits, real SDSS galaxies and mock surveys: what each gives on images of another
survey, beside a network that saw the source alone and one that had the target's labels, and how often the
[guard](../decisions/0011-guard.md) notices harm.
"""

HOW = """## How it was made

By `python training/benchmarks/table.py` from the lines in `docs/benchmarks/adaptation/`, each a training that
`training/benchmarks/adaptation.py run` did, on two cores and without a GPU:

```
python training/benchmarks/digits.py DIGITS DATA/digits          # a folder with mnist_5k.csv.gz and usps.h5
python training/benchmarks/sdss.py SDSS DATA/sdss                # pictures, and labels.csv with file and label
python training/benchmarks/mocks.py DATA/mocks
python training/benchmarks/simulated.py DATA
python training/benchmarks/hostile.py DATA
python training/benchmarks/adaptation.py run DATA table hostile longer --keep KEPT
python training/benchmarks/adaptation.py run DATA ablation rehearsal --keep KEPT --seeds 0
python training/benchmarks/adaptation.py run DATA hostile-simdigits-mix hostile-simdigits-fifty hostile-simdigits-one \\
    hostile-simdigits-unrelated hostile-simdigits-same --keep KEPT --seeds 1
python training/benchmarks/adaptation.py run DATA digits-closed-mnist digits-closed-usps --keep KEPT \\
    --methods mcc/default --seeds 5 6 7 8 9 10 11 12 13 14
python training/benchmarks/guard.py DATA KEPT rehearsal
python training/benchmarks/guard.py DATA KEPT
python training/benchmarks/guard.py DATA KEPT longer
python training/benchmarks/strangeness.py KEPT
python training/benchmarks/together.py KEPT
python training/benchmarks/peers.py DATA          # in an environment of its own, see there
python training/benchmarks/peers.py DATA --methods mcc --seeds 5 6 7 8 9 10 11 12 13 14
python training/benchmarks/table.py
```

**Same for all methods of an experiment**: the network (DeepMerge's; for digits with unknown classes a ResNet18 of a
quarter of the width, [decision 9](../decisions/0009-adaptation-defaults.md)), the images, the steps, the optimiser,
and the rule for the unknown threshold ([decision 34](../decisions/0034-one-in-ten.md)), which also looks at the
target's unlabelled images. A method that adapts sees as many target images as source images.

**Labels of the target** serve for the measures alone, taken on its test part. Two rows and columns do use them, as
bounds: *target's labels used*, the same network trained on the target's labelled training part, and what is called
*oracle*.

**Numbers** are the mean ± standard deviation over seeds, whose number is in the second column (one seed has no ±).
Accuracies are of known classes, whatever the unknown flag says; in H-scores a flagged object of a known class is wrong.
AUROC is of unknown against known objects: by the score that decides, which *by* names, and beside it by entropy, by
energy (for OVANet that of its classifiers of one class against all others,
[decision 22](../decisions/0022-strangers.md)) and by the anomaly score. The anomaly score decides unless rows say
otherwise ([decision 33](../decisions/0033-what-decides.md)). For SDSS and the hostile targets made of it the source is
measured on the other half's galaxies too, of which no label is learned, and the target on the mergers of both halves,
since a test part has thirteen.

**Rows**

- *Source only* sees nothing of the target.
- *Noise of the target*: where the target's images are noisier, methods that adapt see the source's made as noisy
  ([decision 26](../decisions/0026-noise-of-the-target.md)). A row *source only, noise of the target* is of a network
  that sees that noise and nothing else of the target: the twin that the guard compares with.
- *By default* and as printed, for closed digits: by default, methods that align domains count the source's images by
  the target's estimated mix of classes ([decision 27](../decisions/0027-mix-of-the-target.md)), adversaries and the
  Fisher loss weigh less than printed ([decision 29](../decisions/0029-weights-of-alignment.md)), and *mcc* has a
  temperature of 1 ([decision 9](../decisions/0009-adaptation-defaults.md)). Other rows there are as printed.
- Rows that begin with a library's name are its own methods, as printed, on the same network, images and steps; their
  MCC has our default temperature.
- *Classes shared*: the weight for targets with the source's classes and no others (decision 9).
- *With strangers*: images of two known objects are learned as unknown; such images, made of the target's, tell which
  score decides and where its threshold lies ([decision 22](../decisions/0022-strangers.md)).
- *Balanced*: no class may all but vanish from the answers on the target ([decision 24](../decisions/0024-balance.md)).

**Machines and versions.** The same seed gives other networks on another machine, since numbers are rounded elsewhere.
Of one machine are digits with unknown classes, the mocks, SDSS, all hostile targets, the ablation, the LSST mock
trained for longer, and of closed digits *source only*, *mcc* (the libraries' too), *deepastrouda* and *classes shared*;
the rest is of another. Trained for longer, SDSS and mock DECaLS are of before: *deepastrouda* without neighbours, one
half's galaxies and mergers alone, and mock DECaLS by the entropy at a false-unknown rate of a twentieth. Mocks were cut
before large objects were parted again ([decision 36](../decisions/0036-large-groups.md)): made anew, deep ones hold
some more objects.
"""


def _name(method: str) -> str:
    """What a method is called in the tables."""
    own, _, variant = method.replace("+", "/").partition("/")
    called = NAMES.get(own, own)
    return f"{called}{VARIANTS[variant]}" if variant in VARIANTS else method if variant else called


def _value(line: Line, place: tuple[str, str]) -> float | None:
    domain, measure = place
    found: float | None = line[domain].get(
        AREAS[line.get("unknown_score", "entropy")] if measure == DECIDES else measure
    )
    return found


def _number(lines: Iterable[Line], place: tuple[str, str]) -> str:
    values = [_value(line, place) for line in lines]
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "–"
    if len(numbers) == 1:
        return f"{numbers[0]:.3f}"
    return f"{statistics.fmean(numbers):.3f} ± {statistics.stdev(numbers):.3f}"


def _deciding(lines: Iterable[Line]) -> str:
    """The scores that decide what is unknown, with how many networks each where they differ."""
    counts = Counter(line.get("unknown_score", "entropy").replace("_", " ") for line in lines)
    return ", ".join(name if len(counts) == 1 else f"{name} {n}" for name, n in counts.most_common())


def _rows(name: str, experiment: Experiment) -> list[str]:
    columns = OPEN_COLUMNS if experiment.private else CLOSED_COLUMNS
    titles = ["method", "seeds", *(title for title, _ in columns), *(["by"] if experiment.private else [])]
    lines = read_lines(name)
    rows = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    order = (*experiment.methods, SUPERVISED)
    for method in sorted({line["method"] for line in lines}, key=lambda m: (order.index(m) if m in order else 99, m)):
        chosen = [line for line in lines if line["method"] == method]
        cells = [_name(method), str(len(chosen)), *(_number(chosen, place) for _, place in columns)]
        if experiment.private:
            cells.append(_deciding(chosen))
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _section(title: str, experiments: Mapping[str, Experiment], text: str = "") -> list[str]:
    parts = [f"## {title}", ""] + ([text, ""] if text else [])
    for name, experiment in experiments.items():
        if read_lines(name):
            parts += [f"### {experiment.title}", "", *_rows(name, experiment), ""]
    return parts


def _together(lines: list[Line]) -> list[str]:
    """Measures of the networks of all seeds together, after the mean of theirs."""
    parts = [
        "## Several networks together",
        "",
        "The networks of all seeds as one: the mean of their logits, and their features side by side "
        "([decision 28](../decisions/0028-ensembles.md)). Of each measure the mean over the single networks, and what "
        "they give together.",
        "",
    ]
    for name, experiment in {**TABLE, **LONGER}.items():
        chosen = [line for line in lines if line["experiment"] == name]
        if not chosen:
            continue
        columns = OPEN_COLUMNS if experiment.private else CLOSED_COLUMNS
        titles = ["method", "seeds", *(title for title, _ in columns)]
        title = experiment.title + (", trained for longer" if name in LONGER else "")
        parts += [f"### {title}", "", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
        for line in chosen:
            alone = [
                one for one in read_lines(name) if one["method"] == line["method"] and one["seed"] in line["seeds"]
            ]
            cells = [_name(line["method"]), str(len(line["seeds"]))]
            for _, place in columns:
                mean = _number(alone, place).partition(" ±")[0]
                cells.append(f"{mean} → {_number([line], place)}")
            parts.append("| " + " | ".join(cells) + " |")
        parts.append("")
    return parts


def _counted(found: Mapping[str, int]) -> str:
    """What the guard did, in words."""
    benign = found["models"] - found["harmed"]
    return (
        f"Of {found['models']} adapted models {found['harmed']} were harmed. "
        f"The guard stopped {found['harmed_stopped']} of them, and {found['others_stopped']} of the {benign} "
        f"that were not harmed; {found['others_stopped_that_gained']} of those had gained more than two points "
        "on the target."
    )


def _beyond(found: Mapping[str, int]) -> str:
    """The same, and what it did where harm is beyond sampling error."""
    stopped = found["beyond_error_stopped"]
    return (
        f"{_counted(found)} Beyond sampling error {found['beyond_error']} were harmed, of which it stopped {stopped}"
        + (f", and {told} were told of before the training." if (told := found["beyond_error_told"]) else ".")
    )


def _guard(lines: list[Line]) -> list[str]:
    found = count(lines)
    hostile = [line for line in lines if line["experiment"] in HOSTILE]
    mix = [line for line in hostile if line["experiment"].endswith("mix") and line["harmed"]]
    related = [line for line in hostile if not line["experiment"].endswith("unrelated")]
    rows = [
        "## No harm",
        "",
        "A model is harmed when adaptation costs it more than two points of accuracy on known classes of the target, "
        "or of the source. The guard sees no label of the target; its limits were chosen on targets that were "
        "simulated from labelled data, which are not among these.",
        "",
        _counted(found),
        "",
        f"On the hostile targets alone: {_beyond(count(hostile))}",
        "",
        "Where the target's images have nothing to do with the source, nothing can be said of answers for them, and "
        "harm is measured on the target that they stand in for; classes that vanish there are a sign all the same. On "
        f"the other hostile targets: {_beyond(count(related))}",
        "",
        "Accuracy counts the target's common classes most, and so it is kind to a network that answers with them too "
        f"often: of the {len(mix)} models that were harmed where the target has another mix of classes, "
        f"{sum(line['recall']['target']['after'] > line['recall']['target']['before'] for line in mix)} have a higher "
        "mean of the classes' recalls on it than their twin. Counted by that mean in place of accuracy: "
        f"{_beyond(count(lines, '_by_recall'))} On the hostile targets alone: "
        f"{_beyond(count(hostile, '_by_recall'))}",
        "",
        "Balanced trainings on hostile targets are not among them: what they did to another mix is in "
        "[decision 24](../decisions/0024-balance.md).",
        "",
        "Both models answer for the same objects, so that a loss has a standard error: "
        f"that of the mean of the objects' changes (1, 0 or -1). {found['beyond_error']} models lost two points and "
        f"{BEYOND} standard errors more, as one that truly loses two points does in one case of twenty; "
        f"the guard stopped {found['beyond_error_stopped']} of them. "
        "These are marked *beyond error*; *told* is what a training said before it began, that the target's bands look "
        "exchanged ([decision 37](../decisions/0037-band-order.md)). Listed are models that were harmed or stopped; "
        "all are in `adaptation/guard.jsonl`.",
        "",
        "| experiment | method | seed | target before | after | source before | after | harmed | stopped because |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        if not line["harmed"] and not line["stopped"]:
            continue
        before, after = line["before"], line["after"]
        numbers = f"{before['target']:.3f} | {after['target']:.3f} | {before['source']:.3f} | {after['source']:.3f}"
        reasons = ", ".join(line["signs"])
        title = EXPERIMENTS[line["experiment"]].title
        harm = "beyond error" if line["beyond_error"] else "yes" if line["harmed"] else ""
        harm += ", told" if harm and line["told"] else ""
        rows.append(f"| {title} | {_name(line['method'])} | {line['seed']} | {numbers} | {harm} | {reasons} |")
    return [*rows, ""]


def _strangeness(lines: list[Line]) -> list[str]:
    names = list(lines[0]["auroc"])
    rows = [
        "## Scores of what is unknown",
        "",
        "Areas under the ROC curve, unknown objects against known ones, on simulated shifts; see "
        "[decision 6](../decisions/0006-anomaly-score.md). The anomaly score is the last.",
        "",
        "| experiment | method | seed | " + " | ".join(names) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for line in lines:
        numbers = " | ".join(f"{line['auroc'][name]:.3f}" for name in names)
        rows.append(f"| {EXPERIMENTS[line['experiment']].title} | {line['method']} | {line['seed']} | {numbers} |")
    means = " | ".join(f"{statistics.fmean(line['auroc'][name] for line in lines):.3f}" for name in names)
    return [*rows, f"| **mean** | | | {means} |", ""]


def _read(name: str) -> list[Line]:
    """Lines of a file of the results."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main() -> None:
    """Write the page."""
    parts = [HEAD, *in_short(_read("guard")), HOW, *_section("The table", TABLE)]
    draw()
    about = (
        f"Galaxies with unknown classes once more, with {LONGER_BY} times the steps and views of every orientation, "
        "which was chosen on simulated shifts ([decision 23](../decisions/0023-longer-training.md)); with strangers "
        "but on the LSST mock, of whose two classes these tell nothing."
    )
    if verdicts := _read("guard_longer"):
        about += f" {_counted(count(verdicts))}"
    parts += _section("Trained for longer", LONGER, about)
    if joined := _read("together"):
        parts += _together(joined)
    if verdicts := _read("guard"):
        parts += _guard(verdicts)
    about = (
        "Options of DeepAstroUDA, each changed alone from `start`, on shifts that were simulated on labelled images: "
        "no label of a real target has a say in the defaults. "
        "See [decision 9](../decisions/0009-adaptation-defaults.md)."
    )
    parts += _section("Ablation", ABLATION, about)
    if compared := _read("strangeness"):
        parts += _strangeness(compared)
    (RESULTS.parent / "adaptation.md").write_text("\n".join(parts).rstrip() + "\n")


if __name__ == "__main__":
    main()
