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

#: What a reason of the guard is called in the table, by a word of it.
SIGNS = {
    "too few": "few images",
    "validation": "source",
    "changed class": "agreement",
    "vanished": "lost class",
    "silhouette": "clusters",
}

Predictions = Mapping[str, np.ndarray]


def accuracy(kept: Predictions, domain: str, classes: tuple[str, ...]) -> float:
    """Share of the known objects of a domain whose class is right; NaN if there is none."""
    names = kept[f"{domain}_names"]
    known = np.isin(names, classes)
    answers = np.array(classes)[kept[f"{domain}_logits"].argmax(axis=1)]
    return float((answers == names)[known].mean()) if known.any() else float("nan")


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
            before, after = (
                {domain: accuracy(kept, domain, experiment.classes) for domain in ("source", "target")}
                for kept in (plain, adapted)
            )
            yield {
                "experiment": name,
                "method": method,
                "seed": int(seed),
                "before": before,
                "after": after,
                "harmed": any(before[domain] - after[domain] > HARM for domain in before),
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
