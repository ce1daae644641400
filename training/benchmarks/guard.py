"""What the guard against harm says of adapted models, beside what adaptation did to them.

    python training/benchmarks/guard.py KEPT [--rehearsal]

takes the predictions that ``adaptation.py run … --keep KEPT`` left, and writes ``guard.jsonl`` beside the results, a
line for each adapted model of the table and of the hostile targets. ``--rehearsal`` shows those of the simulated
targets instead, on which the guard's limits are chosen, and writes nothing.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from adaptation import RESULTS
from experiments import ABLATION, HOSTILE, REHEARSAL, TABLE, Experiment

from galmorph.training.guard import Answers, judge, observe_signs
from galmorph.training.methods import METHODS
from galmorph.training.options import GuardOptions

#: Loss of accuracy that counts as harm.
HARM = 0.02

#: Standard errors by which a loss has to exceed it for sampling not to explain the harm: 95 % of a normal, one-sided.
BEYOND = 1.645

#: What a reason of the guard is called in the table, by a word of it.
SIGNS = {
    "too few": "few images",
    "validation": "source",
    "changed class": "agreement",
    "vanished": "lost class",
    "silhouette": "clusters",
}

Predictions = Mapping[str, np.ndarray]


def right(kept: Predictions, domain: str, classes: tuple[str, ...]) -> np.ndarray:
    """For each known object of a domain whether its class is right, as 0 or 1."""
    names = kept[f"{domain}_names"]
    answers = np.array(classes)[kept[f"{domain}_logits"].argmax(axis=1)]
    return np.asarray((answers == names)[np.isin(names, classes)], dtype=np.float64)


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


def verdicts(experiments: Mapping[str, Experiment], folder: Path, options: GuardOptions) -> Iterator[dict[str, Any]]:
    """A line for each adapted model whose predictions, and those of its source-only twin, are there."""
    for name, experiment in experiments.items():
        for path in sorted(folder.glob(f"{name}-*.npz")):
            method, _, seed = path.stem.removeprefix(f"{name}-").rpartition("-")
            twin = folder / f"{name}-source_only-{seed}.npz"
            if not METHODS.get(method.partition("+")[0], METHODS["source_only"]).adapts or not twin.is_file():
                continue
            plain, adapted = np.load(twin), np.load(path)
            images = len(adapted["target_train_logits"])
            labels = np.array([experiment.classes.index(name) for name in plain["valid_names"]])
            signs = observe_signs(answers(plain), answers(adapted), labels, images, options.sure)
            verdict = judge(signs, options)
            rights = [
                {domain: right(kept, domain, experiment.classes) for domain in ("source", "target")}
                for kept in (plain, adapted)
            ]
            before, after = ({domain: mean(each) for domain, each in found.items()} for found in rights)
            error = {domain: paired_error(*(found[domain] for found in rights)) for domain in before}
            yield {
                "experiment": name,
                "method": method,
                "seed": int(seed),
                "before": before,
                "after": after,
                "error": {domain: round(value, 4) for domain, value in error.items()},
                "harmed": any(before[domain] - after[domain] > HARM for domain in before),
                "beyond_error": any(
                    before[domain] - after[domain] - BEYOND * error[domain] > HARM for domain in before
                ),
                "stopped": verdict.shipped == "source_only",
                "signs": [short for word, short in SIGNS.items() if any(word in reason for reason in verdict.reasons)],
                "numbers": {key: round(value, 4) for key, value in asdict(signs).items()},
            }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rehearsal", action="store_true")
    given = parser.parse_args()
    experiments = {**ABLATION, **REHEARSAL} if given.rehearsal else {**TABLE, **HOSTILE}
    lines = [json.dumps(line) for line in verdicts(experiments, given.folder, GuardOptions())]
    if given.rehearsal:
        print("\n".join(lines))
    else:
        (RESULTS / "guard.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
