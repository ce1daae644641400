"""Rehearse releases on mock surveys: whether drift is noticed, and what adapting to it gives the catalogue.

    python training/benchmarks/releases.py run DATA WORK [y1-y10 sdss-decals] [--tiles 32] [--epochs 20]
    python training/benchmarks/releases.py spoil DATA WORK [y1-y10] [--epochs 20]
    python training/benchmarks/releases.py table

DATA is what ``mocks.py`` beside this file made. ``run`` trains a model on the first survey, gives the second one to
`galmorph retrain` with 400 labels by a simulated person who is right nine times in ten, and measures the catalogue
against the truth, before, after, and with a model that was trained on all labels of the second survey: a bound that no
user reaches. ``spoil`` repeats the training of a rehearsal 14 times on labels that were shuffled or bands in the wrong
order, and breaks the calibration of its model 6 times; none of these 20 may pass the gates. Lines go to
``docs/benchmarks/releases.jsonl``; what is there, is not done again. ``table`` makes the page beside it of them and of
those of ``pictures.py``.
"""

import argparse
import dataclasses
import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from experiments import COMMON, EXPERIMENTS, SMALL
from mocks import MOCKS

import galmorph
from galmorph.bundle import load_bundle, write_bundle
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.releases.adapting import adapt
from galmorph.releases.description import Adapt, Release, parse_release
from galmorph.releases.judging import Material, judge
from galmorph.releases.retraining import retrain
from galmorph.training.export import export
from galmorph.training.guarded import train_guarded
from galmorph.training.recipe import Recipe, parse_recipe
from galmorph.truth import compare

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "releases.jsonl"

#: Labels of the simulated person, and how often they are right.
LABELS, RIGHT = 400, 0.9

#: What is asked of the new model. No estimate of accuracy: there are labels, which measure it.
GATES: dict[str, Any] = {
    "resamples": 400,
    "decide_by": "interval",
    "source": {"drop": 0.08, "familiar": 0.05},
    "target": {"measure": "accuracy", "gain": -0.05},
    "calibration": {"error": 0.15},
    "unknown": {"most": 0.3},
    "agreement": {"brightest": 0.25, "least": 0.4},
    "speed": {"most": 2.0},
}


@dataclass(frozen=True)
class Rehearsal:
    """Two surveys, and the classes that are known."""

    old: str
    new: str
    classes: tuple[str, ...]
    private: tuple[str, ...] = ()


REHEARSALS = {
    "y1-y10": Rehearsal("y1", "y10", ("spiral", "elliptical", "merger")),
    "sdss-decals": Rehearsal("sdss", "decals", EXPERIMENTS["mock-ten"].classes, ("lens",)),
}


def recipe(rehearsal: Rehearsal, data: Path, source: str, epochs: int, method: str = "source_only") -> Recipe:
    """Settings of a training of a rehearsal."""
    name = f"{rehearsal.old}-{rehearsal.new}"
    return recipe_of(name, rehearsal.classes, rehearsal.private, data, source, epochs, method)


def recipe_of(
    name: str,
    classes: tuple[str, ...],
    private: tuple[str, ...],
    data: Path,
    source: str,
    epochs: int,
    method: str = "source_only",
) -> Recipe:
    """Settings of a training."""
    values: dict[str, Any] = {
        "name": name,
        "source": {"path": source, "classes": classes, "private": private},
        **{key: dict(table) for key, table in COMMON.items()},
        "method": {"name": method},
        "fit": {**COMMON["fit"], **SMALL, "epochs": epochs, "patience": epochs},
    }
    return parse_recipe(values, folder=data)


def trained(made: Recipe, out: Path) -> Path:
    """Bundle of a training; what is there is not done again."""
    train_guarded(made, out / "training", device="cpu", progress=False)
    return out / "model" if (out / "model").is_dir() else export(out / "training", out / "model")


def person(data: Path, name: str, classes: tuple[str, ...], out: Path) -> Path:
    """Table of labels of a simulated person, of objects chosen at random."""
    rng = np.random.default_rng(0)
    table = read_cutout_set(data / name).labels.sample(LABELS, random_state=0).sort_values("object_id")
    wrong = rng.random(len(table)) > RIGHT
    label = np.where(
        wrong, rng.choice(classes, len(table)), np.where(table["label"] == "lens", "unknown", table["label"])
    )
    rows = table[["object_id", "ra", "dec"]].assign(label=label, who="a simulated person", when="2026-01-01T00:00:00Z")
    rows.to_csv(out, index=False)
    return out


def survey_of(name: str) -> str:
    """Profile of a mock: one of galmorph's, or of the folder beside this file."""
    own = Path(__file__).with_name("surveys") / f"{MOCKS[name].survey}.toml"
    return str(own) if own.is_file() else MOCKS[name].survey


def tiles_of(data: Path, name: str, most: int) -> list[str]:
    """Files of some tiles."""
    files = sorted((data / f"{name}-survey" / "tiles").glob("*.fits.fz"))
    names = sorted({file.name.rsplit("-", 1)[0] for file in files})[:most]
    return [str(file) for file in files if file.name.rsplit("-", 1)[0] in names]


def accuracy(catalog: Path, data: Path, name: str, rehearsal: Rehearsal) -> dict[str, float | None]:
    """A catalogue of the new survey against its truth, objects of known classes."""
    rows = galmorph.open_catalog(catalog).to_pandas().query("primary")
    truth = pd.read_parquet(data / f"{name}-survey" / "truth.parquet")
    truth = truth[truth["tile"].isin(rows["tile"].unique())]
    names = MOCKS[name].names
    words = [
        names.get(fine, fine) if label else "" for fine, label in zip(truth["fine_class"], truth["label"], strict=True)
    ]
    found = compare(rows, truth.assign(label=words), rehearsal.classes)
    return {
        "objects": found.objects,
        "accuracy": round(found.accuracy, 4),
        "mean_recall": round(found.mean_recall, 4),
        "false_unknown": round(found.false_unknown, 4),
        "unknown_recall": round(found.unknown_recall, 4) if rehearsal.private else None,
    }


def describe(name: str, data: Path, work: Path, tiles: int, epochs: int) -> Release:
    """The release of a rehearsal."""
    rehearsal = REHEARSALS[name]
    (work / "recipe.toml").write_text(recipe(rehearsal, data, rehearsal.old, epochs, "deepastrouda").to_toml())
    labels = person(data, rehearsal.new, rehearsal.classes, work / "labels.csv")
    return parse_release(
        {
            "name": name,
            "model": str(work / "old" / "model"),
            "old_catalog": str(work / "before" / "catalog"),
            "tiles": {"inputs": tiles_of(data, rehearsal.new, tiles), "survey": survey_of(rehearsal.new)},
            "notice": {"tiles": 8},
            "gather": {"cutouts": str(data / rehearsal.new), "labels": [str(labels)]},
            "adapt": {"recipe": "recipe.toml", "weights": "old/training", "device": "cpu"},
            "gates": GATES,
            "register": {"name": name, "registry": str(work / "mlflow.db"), "promote": True},
            "score": {"workers": 1, "device": "cpu"},
        },
        folder=work,
    )


def rehearse(name: str, data: Path, work: Path, tiles: int, epochs: int) -> dict[str, Any]:
    """A whole release; the line of the results."""
    rehearsal = REHEARSALS[name]
    work.mkdir(parents=True, exist_ok=True)
    old = trained(recipe(rehearsal, data, rehearsal.old, epochs), work / "old")
    bound = trained(recipe(rehearsal, data, rehearsal.new, epochs), work / "bound")
    release = describe(name, data, work, tiles, epochs)
    options: dict[str, Any] = {"workers": 1, "device": "cpu"}
    for model, out in ((old, "before"), (bound, "bound-run")):
        galmorph.classify(list(release.tiles.inputs), release.tiles.survey, model, work / out, **options)
    outcome = retrain(release, work / "release", told=_tell)
    steps = outcome.steps
    after = Path(steps["rescore"]["catalog"])
    catalogs = {"before": work / "before" / "catalog", "after": after, "bound": work / "bound-run" / "catalog"}
    return {
        "kind": "rehearsal",
        "name": name,
        "tiles": tiles,
        "epochs": epochs,
        **course_of(steps),
        "changed": steps["diff"].get("counts"),
        "catalogue": {key: accuracy(path, data, rehearsal.new, rehearsal) for key, path in catalogs.items()},
    }


def course_of(steps: dict[str, Any]) -> dict[str, Any]:
    """What the steps of a release came to, for its line of the results."""
    guard = steps["adapt"]["guard"] or {}
    return {
        "verdict": steps["notice"]["verdict"],
        "reasons": steps["notice"]["reasons"],
        "gates": {each["question"]: [each["passed"], each["reason"]] for each in steps["judge"]["verdicts"]},
        "promoted": steps["register"]["promoted"],
        "guard": guard.get("shipped"),
        "guard_reasons": guard.get("reasons"),
    }


def _tell(step: str, facts: Any, before: bool) -> None:
    print(f"  {step}{' (done before)' if before else ''}: {json.dumps(facts, default=str)[:200]}", flush=True)


# Spoiled trainings


def shuffled(share: float, seed: int) -> Callable[[Path, Path], None]:
    """Gives a share of the images the labels of each other."""

    def spoil(source: Path, out: Path) -> None:
        cutouts, rng = read_cutout_set(source), np.random.default_rng(seed)
        labels = cutouts.labels["label"].to_numpy(dtype=object).copy()
        rows = np.flatnonzero(rng.random(len(labels)) < share)
        labels[rows] = labels[rng.permutation(rows)]
        write_cutout_set(out, cutouts.images, cutouts.labels.assign(label=labels), cutouts.meta)

    return spoil


def reordered(order: tuple[int, ...]) -> Callable[[Path, Path], None]:
    """Stores the bands in another order than the description says."""

    def spoil(source: Path, out: Path) -> None:
        cutouts = read_cutout_set(source)
        write_cutout_set(out, np.asarray(cutouts.images)[:, list(order)], cutouts.labels, cutouts.meta)

    return spoil


_SHUFFLED = [(share, seed) for share in (1.0, 0.6, 0.3) for seed in (1, 2, 3)]
_ORDERS = ((2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))

SPOILED_DATA: dict[str, Callable[[Path, Path], None]] = {
    **{f"labels shuffled, {share:.0%}, seed {seed}": shuffled(share, seed) for share, seed in _SHUFFLED},
    **{f"bands stored as {''.join('gri'[i] for i in order)}": reordered(order) for order in _ORDERS},
}

SPOILED_CALIBRATION: dict[str, tuple[float, float]] = {
    "temperature x 10": (10.0, 1.0),
    "temperature x 4": (4.0, 1.0),
    "temperature / 10": (0.1, 1.0),
    "temperature x 10, threshold x 2": (10.0, 2.0),
    "threshold x 0.05": (1.0, 0.05),
    "threshold x 0": (1.0, 0.0),
}


def spoil_calibration(model: Path, out: Path, temperature: float, threshold: float) -> Path:
    """A bundle whose temperature and threshold are off by factors."""
    manifest = load_bundle(model).manifest
    unknown = manifest.unknown.model_copy(update={"threshold": manifest.unknown.threshold * threshold})
    changed = manifest.model_copy(update={"temperature": manifest.temperature * temperature, "unknown": unknown})
    return write_bundle(out, changed, {name: (model / name).read_bytes() for name in manifest.files}).path


def spoil(name: str, data: Path, work: Path, epochs: int, done: set[str]) -> "list[dict[str, Any]]":
    """Judge models that must not pass; lines of the results."""
    rehearsal, lines = REHEARSALS[name], []
    release = describe(name, data, work, 32, epochs)
    gates, old = release.gates, load_bundle(work / "old" / "model")
    adapted = json.loads((work / "release" / "steps" / "adapt.json").read_text())["facts"]
    target = Path(json.loads((work / "release" / "steps" / "gather.json").read_text())["facts"]["cutouts"])
    for case, factors in SPOILED_CALIBRATION.items():
        if case not in done:
            shutil.rmtree(work / "spoiled", ignore_errors=True)
            model = spoil_calibration(Path(adapted["model"]), work / "spoiled" / "model", *factors)
            lines.append(_judged(name, case, old, model, Material(Path(adapted["source"]), target, True), gates))
            write(lines[-1])
    for case, change in SPOILED_DATA.items():
        if case in done:
            continue
        shutil.rmtree(work / "spoiled", ignore_errors=True)
        change(data / rehearsal.old, work / "spoiled" / "source")
        settings = recipe(rehearsal, data, rehearsal.old, max(3, epochs // 4))
        source = dataclasses.replace(settings.source, path=work / "spoiled" / "source")
        (work / "spoiled" / "recipe.toml").write_text(dataclasses.replace(settings, source=source).to_toml())
        options = Adapt(recipe=work / "spoiled" / "recipe.toml", device="cpu")
        made = adapt(
            options, work / "spoiled" / "adapt", target=target, labelled=True, weights=work / "old" / "training"
        )
        lines.append(_judged(name, case, old, Path(made.model), Material(Path(made.source), target, True), gates))
        write(lines[-1])
    return lines


def _judged(name: str, case: str, old: Any, model: Path, material: Material, gates: Any) -> dict[str, Any]:
    verdicts = judge(old, load_bundle(model), material, gates)
    refused = [f"{each.gate}: {each.reason}" for each in verdicts if not each.passed]
    passed = bool(verdicts) and not refused
    print(
        f"{case}: {'PASSED' if passed else 'refused by ' + ', '.join(each.split(':')[0] for each in refused)}",
        flush=True,
    )
    return {"kind": "spoiled", "name": name, "case": case, "passed": passed, "refused": refused}


def write(line: dict[str, Any]) -> None:
    """Add a line to the results."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


HEAD = """# Releases: rehearsals on mock surveys

```
python training/benchmarks/mocks.py DATA/mocks
python training/benchmarks/releases.py run DATA/mocks WORK
python training/benchmarks/releases.py spoil DATA/mocks WORK y1-y10
python training/benchmarks/releases.py table
```

A model is trained on the labelled first survey; the second one goes through `galmorph retrain`, with 400 labels by a
simulated person who is right nine times in ten. The catalogue is then compared with the truth that the mock knows. The
bound is a model that was trained on all labels of the second survey.
"""


def table(lines: list[dict[str, Any]]) -> str:
    """The page."""
    parts = [HEAD]
    for line in (each for each in lines if each["kind"] == "rehearsal"):
        old, new = (REHEARSALS[line["name"]].old, REHEARSALS[line["name"]].new)
        parts += [f"## {old} → {new}", "", f"{line['tiles']} tiles, {line['epochs']} epochs.", "", *_course(line)]
        parts += ["| catalogue | objects | accuracy | mean recall | known called unknown | unknown recall |"]
        parts += ["|---|---|---|---|---|---|"]
        for name, found in line["catalogue"].items():
            values = [found[key] for key in ("accuracy", "mean_recall", "false_unknown", "unknown_recall")]
            numbers = " | ".join("–" if value is None else f"{value:.3f}" for value in values)
            parts.append(f"| {name} | {found['objects']} | {numbers} |")
        parts.append("")
    for line in (each for each in lines if each["kind"] == "pictures"):
        parts += _pictures(line)
    if spoiled := [each for each in lines if each["kind"] == "spoiled"]:
        passed = sum(line["passed"] for line in spoiled)
        parts += [
            "## Spoiled trainings",
            "",
            f"Of {len(spoiled)} models that must not be promoted, {passed} passed.",
            "",
        ]
        parts += ["| spoiled | passed | refused by |", "|---|---|---|"]
        for line in spoiled:
            gates = ", ".join(dict.fromkeys(each.partition(":")[0] for each in line["refused"]))
            parts.append(f"| {line['case']} | {'**yes**' if line['passed'] else 'no'} | {gates} |")
    return "\n".join(parts).rstrip() + "\n"


def _course(line: dict[str, Any]) -> list[str]:
    """What a release went through."""
    return [
        f"Drift: **{line['verdict']}** ({'; '.join(line['reasons'])}).",
        "",
        "| gate | passed | |",
        "|---|---|---|",
        *(f"| {name} | {'yes' if ok else '**no**'} | {why} |" for name, (ok, why) in line["gates"].items()),
        "",
        f"The guard shipped {line['guard'] or 'the adapted model'}; promoted: {'yes' if line['promoted'] else 'no'}.",
        "",
    ]


def _pictures(line: dict[str, Any]) -> list[str]:
    """The part of the page on real pictures."""
    names = [name for name in line["catalogue"]["before"] if name not in ("objects", "unknown")]
    rows = [
        f"| {when} | {found['objects']} | " + " | ".join(f"{found[name]:.3f}" for name in (*names, "unknown")) + " |"
        for when, found in line["catalogue"].items()
    ]
    return [
        "## Real pictures: SDSS → DECaLS and KiDS",
        "",
        "```",
        "python training/benchmarks/pictures.py SDSS RINGS UNLABELLED WORK",
        "```",
        "",
        "Galaxy Zoo's pictures of SDSS with their labels, laid out as tiles, are the first survey; pictures of DECaLS",
        "and KiDS without a label the second. The classes of these are not known, but volunteers saw a disc or",
        "features in each of those counted below, and none of them edge-on: to call an object edge_on is wrong by",
        f"their votes, and elliptical doubtful. {line['epochs']} epochs.",
        "",
        *_course(line),
        *(f"The guard saw signs of harm: {reason}.\n" for reason in line["guard_reasons"] or ()),
        f"| catalogue | objects | {' | '.join(f'called {name}' for name in names)} | flagged unknown |",
        "|---|---|" + "---|" * (len(names) + 1),
        *rows,
        "",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["run", "spoil", "table"])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("names", nargs="*", default=["y1-y10", "sdss-decals"])
    parser.add_argument("--tiles", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("galmorph").setLevel(logging.ERROR)
    if given.verb == "table":
        RESULTS.with_suffix(".md").write_text(table(_read()))
        return
    if given.work is None:
        parser.error("name the folders DATA and WORK")
    data, work = given.data.resolve(), given.work.resolve()
    for name in given.names:
        known = [line for line in _read() if line["name"] == name]
        if given.verb == "spoil":
            cases = {line["case"] for line in known if line["kind"] == "spoiled"}
            spoil(name, data, work / name, given.epochs, cases)
        elif not any(line["kind"] == "rehearsal" for line in known):
            line = rehearse(name, data, work / name, given.tiles, given.epochs)
            print(json.dumps(line, indent=2), flush=True)
            write(line)


if __name__ == "__main__":
    main()
