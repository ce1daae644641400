"""Signs of harm that need no label of the target, tried on the simulated targets.

    python training/benchmarks/guard_signs.py KEPT

takes the predictions that ``adaptation.py run DATA ablation rehearsal --keep KEPT`` left. Each sign is added to too few
images, recall on the source, agreement, a lost class and clusters, with the limit that catches most of the
harmed models less the falsely stopped ones: chosen on all experiments, and for each experiment
on the others alone, which is what a limit is worth on a target that it was not chosen on.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from experiments import ABLATION, REHEARSAL, Experiment
from guard import HARM, Predictions, answers, mean, pairs, right
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import recall_score

from galmorph.scores import softmax
from galmorph.training.calibrate import fit_temperature
from galmorph.training.guard import judge, neighbours_agree, observe_signs, total_variation
from galmorph.training.options import GuardOptions

Float = NDArray[np.floating]
Int = NDArray[np.integer]

#: Rounds of expectation and maximisation; images that a class needs to be learned.
ROUNDS, LEAST = 200, 2

#: The guard with those alone.
BEFORE = replace(GuardOptions(), likelihood_drop=float("inf"), away=1.0, neighbours_drop=float("inf"))


def evenness(shares: Float) -> float:
    """Entropy of the shares of classes, in nats."""
    held = shares[shares > 0]
    return float(-(held * np.log(held)).sum())


def estimate_mix(probabilities: Float, prior: Float) -> Float:
    """Shares of classes under which calibrated probabilities agree with themselves (Saerens et al. 2002)."""
    prior = np.maximum(prior, 1e-3)
    found = prior
    for _ in range(ROUNDS):
        weighed = probabilities * (found / prior)
        found = (weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def reverse_recall(target: Float, said: Int, valid: Float, labels: Int) -> float:
    """Mean recall on the source of discriminants that learned the target's images by a model's answers."""
    names, counts = np.unique(said, return_counts=True)
    learned = names[counts >= LEAST]
    if len(learned) < 2:
        guess = np.full(len(valid), names[counts.argmax()])
    else:
        rows = np.isin(said, learned)
        even = np.full(len(learned), 1 / len(learned))
        taught = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1, priors=even).fit(target[rows], said[rows])
        guess = taught.predict(valid)
    return float(recall_score(labels, guess, average="macro", labels=np.unique(labels), zero_division=0))


def at_mix(change: Float, labels: Int, mix: Float) -> Float:
    """Mean change of each class of the source's validation images, times the share of the class elsewhere."""
    return mix * np.array([change[labels == label].mean() for label in range(len(mix))])


def _standard(kept: Predictions) -> tuple[Float, Float]:
    """Features of the target's and the source's images on the target's scale."""
    target, valid = kept["target_train_features"], kept["valid_features"]
    middle, scale = target.mean(axis=0), max(float(np.sqrt(target.var(axis=0).sum())), 1e-12)
    return (target - middle) / scale, (valid - middle) / scale


def candidates(plain: Predictions, adapted: Predictions, labels: Int) -> dict[str, float]:
    """The signs by name: the lower the worse."""
    both = (plain, adapted)
    temperatures = [fit_temperature(each["valid_logits"], labels) for each in both]
    found, validated = (
        [softmax(each[part], t) for each, t in zip(both, temperatures, strict=True)]
        for part in ("target_train_logits", "valid_logits")
    )
    was, now = (each.argmax(axis=1) for each in found)
    classes, rows = found[0].shape[1], np.arange(len(was))
    before, after, prior = (np.bincount(each, minlength=classes) / len(each) for each in (was, now, labels))
    signs = observe_signs(answers(plain), answers(adapted), labels, len(was))
    (old_target, old_valid), (new_target, new_valid) = (_standard(each) for each in both)
    space, valid = np.hstack([old_target, new_target]), np.hstack([old_valid, new_valid])
    mix = estimate_mix(found[0], prior)
    hits = [(each.argmax(axis=1) == labels).astype(float) for each in validated]
    logs = [np.log(np.maximum(each[np.arange(len(labels)), labels], 1e-12)) for each in validated]

    def change(measure: Callable[[Int], float]) -> float:
        return measure(now) - measure(was)

    return {
        "likelihood on the source": signs.likelihood_change,
        "away from the source's mix": -signs.away,
        "recall on the source, by the twin's mix": float(at_mix(hits[1] - hits[0], labels, before).sum()),
        "likelihood on the source, by the twin's mix": float(at_mix(logs[1] - logs[0], labels, before).sum()),
        "likelihood on the source, worst class": float(at_mix(logs[1] - logs[0], labels, np.ones(classes)).min()),
        "evenness of the answers": evenness(after) - evenness(before),
        "away from the estimated mix": total_variation(before, mix) - total_variation(after, mix),
        "twin's probability of the answers": float((found[0][rows, now] - found[0].max(axis=1)).mean()),
        "confidence": signs.confidence_change,
        "reverse validation, twin's features": change(lambda said: reverse_recall(old_target, said, old_valid, labels)),
        "reverse validation, adapted features": change(
            lambda said: reverse_recall(new_target, said, new_valid, labels)
        ),
        "reverse validation, both": change(lambda said: reverse_recall(space, said, valid, labels)),
        "neighbours, twin's features": change(lambda said: neighbours_agree(old_target, said)),
        "neighbours, both": change(lambda said: neighbours_agree(space, said)),
    }


def choose_limit(sign: Float, harmed: NDArray[np.bool_], left: NDArray[np.bool_]) -> float:
    """The limit below which most harmed models less others lie, of those that are left; minus infinity for none."""
    order = np.argsort(sign[left])
    values, worth = sign[left][order], np.cumsum(np.where(harmed[left][order], 1, -1))
    best = int(worth.argmax()) if len(worth) else 0
    if not len(worth) or worth[best] < 1:
        return -np.inf
    return float(values[best : best + 2].mean())


def compare(rows: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each sign its limit, and harmed and other models that it stops beside those that were stopped."""
    harmed, stopped = (np.array([row[key] for row in rows], dtype=bool) for key in ("harmed", "stopped"))
    place = np.array([row["experiment"] for row in rows])
    result = {}
    for name in rows[0]["signs"]:
        sign = np.array([row["signs"][name] for row in rows])
        limit = choose_limit(sign, harmed, ~stopped)
        unseen = np.zeros(len(rows), dtype=bool)
        for each in np.unique(place):
            unseen |= (place == each) & (sign < choose_limit(sign, harmed, ~stopped & (place != each)))
        counts = [
            int(np.sum(flagged & ~stopped & which)) for flagged in (sign < limit, unseen) for which in (harmed, ~harmed)
        ]
        keys = ("harmed", "others", "harmed elsewhere", "others elsewhere")
        result[name] = {"limit": limit, **dict(zip(keys, counts, strict=True))}
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    experiments: Mapping[str, Experiment] = {**ABLATION, **REHEARSAL}
    rows: list[Mapping[str, Any]] = []
    for pair in pairs(experiments, parser.parse_args().folder):
        signs = observe_signs(answers(pair.plain), answers(pair.adapted), pair.labels, pair.images)
        classes = experiments[pair.experiment].classes
        falls = [
            mean(right(pair.plain, domain, classes)) - mean(right(pair.adapted, domain, classes))
            for domain in ("source", "target")
        ]
        rows.append(
            {
                "experiment": pair.experiment,
                "harmed": any(fall > HARM for fall in falls),
                "stopped": judge(signs, BEFORE).shipped == "source_only",
                "signs": candidates(pair.plain, pair.adapted, pair.labels),
            }
        )
    harmed = [row["harmed"] for row in rows]
    stopped = [row["stopped"] for row in rows]
    caught = sum(h and s for h, s in zip(harmed, stopped, strict=True))
    others = sum(stopped) - caught
    print(f"{len(rows)} models, {sum(harmed)} harmed; without more {caught} of them stopped, and {others} others")
    print("| sign | limit | harmed | others | harmed, limit from elsewhere | others, limit from elsewhere |")
    print("|---|---|---|---|---|---|")
    for name, found in compare(rows).items():
        print(
            f"| {name} | {found['limit']:.3f} | " + " | ".join(str(value) for value in list(found.values())[1:]) + " |"
        )


if __name__ == "__main__":
    main()
