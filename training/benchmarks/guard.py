"""What the guard against harm says of adapted models, beside what adaptation did to them.

    python training/benchmarks/guard.py DATA KEPT [table | rehearsal | longer]

takes the predictions that ``adaptation.py run DATA … --keep KEPT`` left, and writes ``guard.jsonl`` beside the results,
a line for each adapted model of the table and of the hostile targets. With ``rehearsal`` it takes those of the
simulated targets instead, on which the guard's limits are chosen, and writes ``guard_rehearsal.jsonl``; with ``longer``
those of the longer trainings, and writes ``guard_longer.jsonl``. Lines of models whose predictions are not in KEPT
stay. DATA has the images, of which a training tells before it begins whether bands look exchanged. The counts are
printed.
"""

import argparse
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import renew_lines
from experiments import ABLATION, HOSTILE, LONGER, NOISY, REHEARSAL, STRANGERS, TABLE, TWINS, Experiment

from galmorph.band_order import exchanged_bands
from galmorph.training.domains import read_domains
from galmorph.training.guard import Answers, judge, observe_signs, recall_change
from galmorph.training.methods import METHODS
from galmorph.training.options import GuardOptions

#: Loss of accuracy that counts as harm.
HARM = 0.02

#: Standard errors by which a loss has to exceed it for sampling not to explain the harm: 95 % of a normal, one-sided.
BEYOND = 1.645

#: What a reason of the guard is called in the table, by a word of it.
SIGNS = {
    "too few": "few images",
    "recall": "source",
    "log-probability": "source's likelihood",
    "changed class": "agreement",
    "vanished": "lost class",
    "moved away": "mix of classes",
    "silhouette": "clusters",
    "neighbours": "neighbours",
}

#: By group of experiments: the file of results, and the experiments.
GROUPS: Mapping[str, tuple[str, Mapping[str, Experiment]]] = {
    "table": ("guard", {**TABLE, **HOSTILE}),
    "rehearsal": ("guard_rehearsal", {**ABLATION, **REHEARSAL}),
    "longer": ("guard_longer", LONGER),
}

Predictions = Mapping[str, np.ndarray]


def said(kept: Predictions, domain: str, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each known object of a domain the class that the model says, and its own, by number."""
    names = kept[f"{domain}_names"]
    known = np.isin(names, classes)
    return kept[f"{domain}_logits"].argmax(axis=1)[known], np.array([classes.index(name) for name in names[known]], int)


def right(kept: Predictions, domain: str, classes: tuple[str, ...]) -> np.ndarray:
    """For each known object of a domain whether its class is right, as 0 or 1."""
    answers, labels = said(kept, domain, classes)
    return np.asarray(answers == labels, dtype=np.float64)


def mean(values: np.ndarray) -> float:
    """Their mean; NaN if there are none."""
    return float(values.mean()) if len(values) else float("nan")


def paired_error(before: np.ndarray, after: np.ndarray) -> float:
    """Standard error of the change of a mean, from the changes of each object; NaN for fewer than two."""
    change = after - before
    return float(change.std(ddof=1) / np.sqrt(len(change))) if len(change) > 1 else float("nan")


def answers(kept: Predictions) -> Answers:
    """What the guard sees of a model."""
    return Answers(kept["valid_logits"], kept["target_train_logits"], kept["target_train_features"])


@dataclass(frozen=True)
class Pair:
    """Predictions of an adapted model and of its source-only twin, and what both were trained on."""

    experiment: str
    method: str
    seed: int
    plain: Predictions
    adapted: Predictions
    labels: np.ndarray
    images: int


def recalls(pair: Pair, classes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """By domain the mean of the known classes' recalls before and after, and the standard error of its change."""
    found = {}
    for domain in ("source", "target"):
        (was, labels), (now, _) = (said(kept, domain, classes) for kept in (pair.plain, pair.adapted))
        before = mean(np.array([(was == label)[labels == label].mean() for label in np.unique(labels)]))
        change, error = recall_change(was, now, labels)
        found[domain] = {"before": before, "after": before + change, "error": error}
    return found


def _twin(experiment: Experiment, variant: str) -> str:
    """The twin of a method's variant: what is no setting of adaptation it has too, and the noise of the target."""
    added = [STRANGERS] if STRANGERS in variant else []
    by_default = {*TWINS} & {*experiment.methods} and "noise" not in experiment.settings.get("views", {})
    added = [NOISY, *added] if NOISY in variant or by_default else added
    return f"source_only{'+' if added else ''}{'-'.join(added)}"


def pairs(experiments: Mapping[str, Experiment], folder: Path) -> Iterator[Pair]:
    """Every adapted model whose predictions, and those of its source-only twin, are there."""
    for name, experiment in experiments.items():
        for path in sorted(folder.glob(f"{name}-*.npz")):
            method, _, seed = path.stem.removeprefix(f"{name}-").rpartition("-")
            own, _, variant = method.partition("+")
            twin = folder / f"{name}-{_twin(experiment, variant)}-{seed}.npz"
            if METHODS.get(own, METHODS["source_only"]).adapts and twin.is_file():
                plain, adapted = dict(np.load(twin)), dict(np.load(path))
                labels = np.array([experiment.classes.index(label) for label in plain["valid_names"]])
                yield Pair(name, method, int(seed), plain, adapted, labels, len(adapted["target_train_logits"]))


def exchanged(experiment: Experiment, data: Path) -> int:
    """Bands of an experiment's target that look exchanged to a training."""
    return len(exchanged_bands((), read_domains(experiment.recipe("mmd", 0, data)).order))


def verdicts(
    experiments: Mapping[str, Experiment], folder: Path, options: GuardOptions, bands: Callable[[str], int]
) -> Iterator[dict[str, Any]]:
    """A line for each adapted model; `bands` says how many of an experiment's target look exchanged."""
    for pair in pairs(experiments, folder):
        classes, both = experiments[pair.experiment].classes, (pair.plain, pair.adapted)
        seen = answers(pair.plain), answers(pair.adapted)
        signs = observe_signs(*seen, pair.labels, pair.images, options.sure)
        verdict = judge(signs, options)
        rights = [{domain: right(kept, domain, classes) for domain in ("source", "target")} for kept in both]
        before, after = ({domain: mean(each) for domain, each in found.items()} for found in rights)
        recall = recalls(pair, classes)
        error = {domain: paired_error(*(found[domain] for found in rights)) for domain in before}
        yield {
            "experiment": pair.experiment,
            "method": pair.method,
            "seed": pair.seed,
            "before": before,
            "after": after,
            "error": {domain: round(value, 4) for domain, value in error.items()},
            "recall": {
                domain: {key: round(value, 4) for key, value in each.items()} for domain, each in recall.items()
            },
            "harmed": any(before[domain] - after[domain] > HARM for domain in before),
            "beyond_error": any(before[domain] - after[domain] - BEYOND * error[domain] > HARM for domain in before),
            "harmed_by_recall": any(each["before"] - each["after"] > HARM for each in recall.values()),
            "beyond_error_by_recall": any(
                each["before"] - each["after"] - BEYOND * each["error"] > HARM for each in recall.values()
            ),
            "told": bands(pair.experiment) > 0,
            "stopped": verdict.shipped == "source_only",
            "signs": [short for word, short in SIGNS.items() if any(word in reason for reason in verdict.reasons)],
            "numbers": {key: round(value, 4) for key, value in asdict(signs).items()},
        }


def count(lines: Sequence[Mapping[str, Any]], by: str = "") -> dict[str, int]:
    """How many models were harmed, by their accuracy or ``_by_recall``, and how many of which the guard stopped."""
    harmed, others = ([line for line in lines if line[f"harmed{by}"] == which] for which in (True, False))
    beyond = [line for line in harmed if line[f"beyond_error{by}"]]
    unstopped = [line for line in beyond if not line["stopped"]]
    wrongly = [line for line in others if line["stopped"]]
    return {
        "models": len(lines),
        "harmed": len(harmed),
        "harmed_stopped": sum(line["stopped"] for line in harmed),
        "beyond_error": len(beyond),
        "beyond_error_stopped": sum(line["stopped"] for line in beyond),
        "beyond_error_told": sum(line["told"] for line in unstopped),
        "others_stopped": len(wrongly),
        "others_stopped_that_gained": sum(
            line["after"]["target"] - line["before"]["target"] > HARM for line in wrongly
        ),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "folder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("group", nargs="?", choices=GROUPS, default="table")
    given = parser.parse_args()
    group, experiments = GROUPS[given.group]
    bands = functools.cache(lambda experiment: exchanged(experiments[experiment], given.data))
    lines = verdicts(experiments, given.folder, GuardOptions(), bands)
    print(json.dumps(count(renew_lines(group, lines))))


if __name__ == "__main__":
    main()
