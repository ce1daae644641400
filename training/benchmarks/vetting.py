"""What two hundred labels of a person are worth, by the order in which objects are shown: chosen, or at random.

    python training/benchmarks/vetting.py measure DATA KEEP
    python training/benchmarks/vetting.py table

DATA and KEEP are those of ``drift.py``. A model of the mock SDSS meets the mock DECaLS, and one of a year of the mock
LSST ten years of it; both are good there. So each meets its own survey made worse too (`drift.degrade`). A simulated
person, right nine times in ten and else wrong at random, labels objects of one half of the target in the order of
`galmorph.releases.choose.order_for_vetting`; the last layer is then fitted anew to features of the source and to these,
in which all new labels weigh as much as all old ones. The accuracy is that on the other half, with its true labels.
Twenty seeds decide the halves, the order and the person's errors. Lenses, of which the model knows nothing, are left
out.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from drift import MODELS, _words, degrade
from numpy.typing import NDArray

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.releases.choose import order_for_vetting
from galmorph.scores import entropy, softmax

ROOT = Path(__file__).parents[2]
LINES, PAGE = (ROOT / "docs" / "benchmarks" / name for name in ("vetting.jsonl", "vetting.md"))

#: Model, what it meets, how that is made worse and by how much, and what to call it.
TARGETS = (
    ("y1", "y10", "", 0.0, "y10"),
    ("sdss", "decals", "", 0.0, "decals"),
    ("y1", "y1-again", "noise", 3.0, "y1 with three times its noise added"),
    ("sdss", "sdss-again", "blur", 2.0, "sdss blurred by two pixels"),
)

ORDERS = ("random", "active", "uncertain", "diverse")
LABELS, RIGHT, SEEDS = (50, 100, 200), 0.9, 20


def features(
    keep: Path, data: Path, model: str, which: str, kind: str = "", grade: float = 0.0
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Features, entropies and true classes of the known objects of a set."""
    from galmorph.training.evaluate import predict

    bundle, cutouts = load_bundle(keep / model), read_cutout_set(data / which)
    words = np.array(_words(cutouts, MODELS[model]["class_map"]))
    rows = np.flatnonzero(np.isin(words, bundle.manifest.classes))
    images = np.asarray(cutouts.images[rows])
    if kind:
        images, _ = degrade(kind, grade, images, words[rows], bundle.manifest.classes)
    logits, found = predict(bundle.model_path, images, np.arange(len(rows)))
    classes = np.array([bundle.manifest.classes.index(word) for word in words[rows]])
    return found, entropy(softmax(logits, bundle.manifest.temperature)), classes


def fit(
    old: NDArray[Any], old_labels: NDArray[Any], new: NDArray[Any], new_labels: NDArray[Any], test: NDArray[Any]
) -> NDArray[Any]:
    """Classes of the test objects by a last layer that both kinds of labels have a say in."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(old)
    weight = np.concatenate([np.ones(len(old)), np.full(len(new), len(old) / max(len(new), 1))])
    layer = LogisticRegression(C=0.1, max_iter=500)
    layer.fit(
        scaler.transform(np.concatenate([old, new])), np.concatenate([old_labels, new_labels]), sample_weight=weight
    )
    return np.asarray(layer.predict(scaler.transform(test)))


def measure(data: Path, keep: Path) -> Iterator[dict[str, Any]]:
    """A line for each target, seed, order and number of labels."""
    for model, which, kind, grade, target in TARGETS:
        old, _, old_labels = features(keep, data, model, model)
        looks, unsure, true = features(keep, data, model, which, kind, grade)
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            place = rng.permutation(len(true))
            pool, test = place[: len(true) // 2], place[len(true) // 2 :]
            before = fit(old, old_labels, looks[:0], true[:0], looks[test])
            yield _line(target, seed, "none", 0, before, true[test])
            said = np.where(rng.random(len(true)) < RIGHT, true, (true + rng.integers(1, true.max() + 1, len(true))))
            said %= true.max() + 1
            for order in ORDERS:
                chosen = pool[order_for_vetting(looks[pool], unsure[pool], max(LABELS), order, seed)]
                for count in LABELS:
                    shown = chosen[:count]
                    now = fit(old, old_labels, looks[shown], said[shown], looks[test])
                    yield _line(target, seed, order, count, now, true[test])


def _line(target: str, seed: int, order: str, count: int, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:
    accuracy = round(float((said == true).mean()), 5)
    return {"target": target, "seed": seed, "order": order, "labels": count, "accuracy": accuracy}


def table() -> str:
    """The page."""
    lines = pd.read_json(LINES, lines=True)
    rows = [_HEAD]
    for model, _, _, _, target in TARGETS:
        mine = lines[lines["target"] == target].set_index(["order", "labels", "seed"])["accuracy"]
        none = mine["none"][0]
        rows.append(
            f"\n## {model} → {target}\n\nWithout labels of the target: {none.mean():.1%}.\n\n"
            "| order | " + " | ".join(f"{count} labels" for count in LABELS) + " | less random, 200 labels |\n"
            "|---|" + "---|" * (len(LABELS) + 1)
        )
        for order in ORDERS:
            cells = [f"{mine[order][count].mean():.1%} ± {mine[order][count].std():.1%}" for count in LABELS]
            gain = mine[order][max(LABELS)] - mine["random"][max(LABELS)]
            error = gain.std() / np.sqrt(len(gain))
            cells.append("–" if order == "random" else f"{100 * gain.mean():+.2f} ± {100 * error:.2f} points")
            rows.append(f"| {order} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


_HEAD = """# Labels by people: chosen or at random

Made by `python training/benchmarks/vetting.py`, which says what is done; the last column is the mean over seeds of the
difference on the same division, with its standard error. Only the last layer learns, on features of the model as it is.

Where the model is nearly right, labels that are wrong one time in ten bring little, and those of objects taken at
random do harm; uncertain objects are the better ones. Where it is far off, its uncertainty says little of where it is
wrong: labels bring more than twenty points when they are of different objects or of any, and uncertain objects are the
worst choice. Objects that differ from one another are never behind a random choice by more than the errors. So that is
the order unless another is asked for.
"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "table"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("keep", type=Path, nargs="?")
    given = parser.parse_args()
    if given.what == "measure":
        with LINES.open("w") as stream:
            for each in measure(given.data, given.keep):
                print(json.dumps(each), file=stream, flush=True)
    else:
        PAGE.write_text(table())
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
