"""How often `galmorph drift` calls where nothing happened, and what it sees of what did happen.

    python training/benchmarks/mocks.py DATA --only y1 y10 sdss decals y1-again sdss-again
    python training/benchmarks/drift.py train DATA KEEP
    python training/benchmarks/drift.py measure DATA KEEP
    python training/benchmarks/drift.py table
    python training/benchmarks/drift.py picture DATA KEEP

`train` makes a model of y1 and one of sdss in KEEP, a minute each. `measure` writes a line per comparison into
docs/benchmarks/drift.jsonl: other tiles of the same survey, of other skies (eight tiles drawn at random, again and
again); all of the other survey of the pair; and the same other tiles made worse by degrees: blurred, noisier, brighter
as by a wrong zero-point, with a background left in, or with another mix of classes. Labels serve for the columns
`accuracy` and `error` alone. `table` makes docs/benchmarks/drift.md and its picture, `picture` that of
docs/releases.md: y10 beside the model of y1.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.bundle import Bundle, load_bundle
from galmorph.catalogs.healpix import INDEX_ORDER, healpix_index
from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.imaging import Imaging, measured_columns
from galmorph.metrics import calibration_error
from galmorph.reference import SOURCE, ReferenceSample, read_sample
from galmorph.releases.drift import Drift, Limits, conclude
from galmorph.releases.drift_picture import draw_drift
from galmorph.releases.objects import seen_of_sample
from galmorph.releases.regions import regions_of
from galmorph.releases.shift import FEWEST_REGION, Seen, compare
from galmorph.taxonomy import map_labels

ROOT = Path(__file__).parents[2]
LINES, PAGE, PICTURE = (ROOT / "docs" / "benchmarks" / name for name in ("drift.jsonl", "drift.md", "drift.png"))

#: Name of a model, classes that it knows, private ones, class map, and what the pair's other survey is.
MODELS: dict[str, dict[str, Any]] = {
    "y1": {"classes": ["spiral", "elliptical", "merger"], "private": [], "class_map": "", "other": "y10"},
    "sdss": {
        "classes": ["elliptical", "spiral", "edge_on", "merger"],
        "private": ["lens"],
        "class_map": "shape",
        "other": "decals",
    },
}

#: Tiles of a draw, draws, and tiles that are made worse.
TILES, DRAWS, WORSENED = 8, 60, 16

#: Steps of each degradation: blur in pixels of the cutout, noise added in units of what is there, factor of flux,
#: background in units of the noise, share of objects of the first class that are left out.
GRADES = {
    "blur": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
    "noise": (0.25, 0.5, 1.0, 2.0, 3.0, 5.0),
    "zero-point": (1.02, 1.05, 1.1, 1.2, 1.4, 2.0),
    "background": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    "mix": (0.2, 0.4, 0.6, 0.8, 0.9, 1.0),
}


def train(data: Path, keep: Path) -> None:
    """Train and export both models."""
    from galmorph.training.export import export
    from galmorph.training.fit import train as fit
    from galmorph.training.recipe import parse_recipe

    for name, facts in MODELS.items():
        source = {"path": name, **{key: facts[key] for key in ("classes", "private", "class_map")}}
        values = {
            "name": f"{name}-shape",
            "seed": 1,
            "source": source,
            "split": {"train": 0.55, "validation": 0.25, "test": 0.2},
            "network": {"encoder": "deepmerge"},
            "optimiser": {"learning_rate": 2e-3},
            "fit": {"epochs": 30, "batch_size": 32, "patience": 30},
        }
        result = fit(parse_recipe(values, folder=data.resolve()), keep / "trainings" / name, progress=False)
        export(result.checkpoint, keep / name)


def see(bundle: Bundle, cutouts: CutoutSet, images: NDArray[np.float32], rows: NDArray[np.intp], words: Any) -> Seen:
    """Objects of a set as a model sees them."""
    from galmorph.training.evaluate import predict

    logits, features = predict(bundle.model_path, images, np.arange(len(images)))
    measured = cutouts.labels[["radius", "snr", *measured_columns(cutouts.meta["bands"])]].iloc[rows]
    sample = ReferenceSample(
        np.full(len(rows), SOURCE), words[rows], logits, features.astype(np.float16).astype(np.float32), measured
    )
    return seen_of_sample(sample, bundle)


def degrade(
    kind: str, grade: float, images: NDArray[np.float32], words: NDArray[np.str_], classes: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Images made worse, and which of them are left."""
    rng = np.random.default_rng(0)
    everything = np.arange(len(images))
    noise = 1.4826 * np.median(np.abs(images[:, :, :3] - np.median(images[:, :, :3])), axis=(0, 2, 3))[:, None, None]
    if kind == "blur":
        planes = [[cv2.GaussianBlur(plane, (0, 0), grade) for plane in image] for image in images]
        return np.array(planes, dtype=np.float32), everything
    if kind == "noise":
        return (images + grade * noise * rng.standard_normal(images.shape)).astype(np.float32), everything
    if kind == "zero-point":
        return (grade * images).astype(np.float32), everything
    if kind == "background":
        return (images + grade * noise).astype(np.float32), everything
    left = np.flatnonzero((words != classes[0]) | (rng.random(len(words)) >= grade))
    return images[left], left


def line(bundle: Bundle, before: Seen, now: Seen, healpix: NDArray[np.int64], seed: int, **what: Any) -> dict[str, Any]:
    """One comparison, judged as `galmorph drift` does."""
    classes = bundle.manifest.classes
    shift, _ = compare(before, now, classes, seed=seed)
    _, pixels = regions_of(healpix)
    parts = []
    # One part is the whole.
    for pixel in np.unique(pixels) if len(np.unique(pixels)) > 1 else ():
        here = np.flatnonzero(pixels == pixel)
        part, _ = compare(before, now.take(here), classes, seed=seed) if len(here) >= FEWEST_REGION else (None, None)
        if part is not None and part.comparable >= FEWEST_REGION:
            parts.append((str(pixel), 0.0, 0.0, part))
    verdict, reasons, _ = conclude(shift, parts, Limits())
    right = np.zeros(len(now)) if now.right is None else now.right
    known = np.isfinite(right)
    labels = now.probabilities.argmax(axis=1)
    # The calibration error takes the true class; where the label is wrong any other class will do.
    true = np.where(right[known] == 1, labels[known], (labels[known] + 1) % len(classes))
    numbers = {} if shift is None else {
        "comparable": shift.comparable, "auc": shift.auc, "discrepancy_p": shift.discrepancy_p,
        "stability": max(shift.stability.values()), "unknown": shift.unknown[1], "expected": shift.accuracy[1],
    }  # fmt: skip
    return what | {
        "verdict": verdict,
        "parts": len(parts),
        **{key: round(float(value), 4) for key, value in numbers.items()},
        "accuracy": round(float(right[known].mean()), 4),
        "error": round(float(calibration_error(now.probabilities[known], true)), 4),
        "reason": reasons[0] if reasons else "",
    }


def measure(data: Path, keep: Path, draws: int) -> Iterator[dict[str, Any]]:
    """Lines of all comparisons."""
    for name, facts in MODELS.items():
        bundle = load_bundle(keep / name)
        sample = read_sample(bundle)
        if sample is None:
            raise SystemExit(f"{keep / name} keeps no sample of objects: make it with `train`")
        before = seen_of_sample(sample, bundle)
        again, other = (read_cutout_set(data / each) for each in (f"{name}-again", facts["other"]))
        everything = {}
        for what, cutouts in (("again", again), ("other", other)):
            words = np.array(_words(cutouts, facts["class_map"]), dtype=np.str_)
            rows = np.arange(len(words))
            sky = healpix_index(*(cutouts.labels[axis].to_numpy(dtype=float) for axis in ("ra", "dec")), INDEX_ORDER)
            everything[what] = (words, sky, see(bundle, cutouts, np.asarray(cutouts.images), rows, words))
        words, sky, now = everything["again"]
        tiles = again.labels["tile"].to_numpy(dtype=np.str_)
        _, other_sky, shifted = everything["other"]
        yield line(bundle, before, shifted, other_sky, 0, model=name, kind=facts["other"], grade=1)
        some = np.flatnonzero(np.isin(tiles, np.unique(tiles)[:WORSENED]))
        yield line(bundle, before, now.take(some), sky[some], 0, model=name, kind="as it is", grade=0)
        for kind, grades in GRADES.items():
            for grade in grades:
                images, left = degrade(kind, grade, np.asarray(again.images[some]), words[some], facts["classes"])
                worse = see(bundle, again, images, some[left], words)
                yield line(bundle, before, worse, sky[some[left]], 0, model=name, kind=kind, grade=grade)
        for draw in range(draws):
            drawn = np.random.default_rng(draw).permutation(np.unique(tiles))[:TILES]
            rows = np.flatnonzero(np.isin(tiles, drawn))
            yield line(bundle, before, now.take(rows), sky[rows], draw, model=name, kind="same", grade=draw)


def picture(data: Path, keep: Path) -> None:
    """Draw y10 beside the model of y1 as `galmorph drift` does."""
    bundle, cutouts = load_bundle(keep / "y1"), read_cutout_set(data / "y10")
    sample = read_sample(bundle)
    if sample is None:
        raise SystemExit(f"{keep / 'y1'} keeps no sample of objects: make it with `train`")
    before, words = seen_of_sample(sample, bundle), np.array(_words(cutouts, ""), dtype=np.str_)
    now = see(bundle, cutouts, np.asarray(cutouts.images), np.arange(len(words)), words)
    ra, dec = (cutouts.labels[axis].to_numpy(dtype=float) for axis in ("ra", "dec"))
    shift, view = compare(before, now, bundle.manifest.classes)
    # Quarters of the field, whose HEALPix pixel of the tool's size is one.
    quarter = (ra > np.median(ra)) * 2 + (dec > np.median(dec))
    parts = []
    for number in range(4):
        here = np.flatnonzero(quarter == number)
        part, _ = compare(before, now.take(here), bundle.manifest.classes)
        if part is not None:
            parts.append((f"quarter {number}", float(ra[here].mean()), float(dec[here].mean()), part))
    verdict, reasons, regions = conclude(shift, parts, Limits())
    facts = bundle.manifest.training["images_of"][SOURCE]["imaging"]
    imaging = {"before": Imaging.from_dict(facts), "now": Imaging.from_dict(cutouts.meta["imaging"])}
    found = Drift(verdict, reasons, (), bundle.manifest.name, "mock-lsst-y10", shift, regions, imaging, view)
    draw_drift(found, ROOT / "docs" / "images" / "releases" / "drift.png")
    print(found.summary())


def _words(cutouts: CutoutSet, class_map: str) -> list[str]:
    raw = cutouts.labels["label"].astype(str).tolist()
    return map_labels(raw, class_map) if class_map else raw


def table() -> str:
    """The page."""
    lines = pd.read_json(LINES, lines=True)
    rows = [_HEAD]
    for name in MODELS:
        mine = lines[lines["model"] == name]
        same = mine[mine["kind"] == "same"]
        alarms = int((same["verdict"] != "as before").sum())
        rows.append(
            f"\n## {name}\n\n**False alarms**: {alarms} of {len(same)} draws of {TILES} tiles of the same survey on "
            f"other skies ({alarms / len(same):.1%}), {int(same['comparable'].median())} comparable objects in the "
            f"median; AUC {same['auc'].min():.2f} to {same['auc'].max():.2f}.\n\n"
            "| what | grade | AUC | p of MMD | largest stability index | unknown | accuracy: true | estimated | "
            "calibration error | verdict |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        rows += [
            f"| {row.kind} | {row.grade:g} | {row.auc:.2f} | {row.discrepancy_p:.3f} | {row.stability:.2f} | "
            f"{row.unknown:.1%} | {row.accuracy:.1%} | {row.expected:.1%} | {row.error:.3f} | {row.verdict} |"
            for row in mine[mine["kind"] != "same"].itertuples()
        ]
    return "\n".join(rows) + "\n"


_HEAD = """# Drift: how often it calls, and what it sees

Made by the commands in `training/benchmarks/drift.py`, which also says what is compared. A model of the DeepMerge
network is trained on one year of the mock LSST (y1), and one on the mock SDSS (sdss); each is set beside other skies of
its own survey, beside the pair's other survey (ten years; the mock DECaLS), and beside its own survey made worse by
degrees. Degradations are of the cutouts, so that what a worse image does to detection is not in them. The draws share
forty tiles and one reference, so that they are not independent of one another.

*As before* is the verdict that is wanted of the tiles as they are. True accuracies and calibration errors are there for
the reader; the verdict does not know them. The estimate of the accuracy is good while little is lost and far too high
where much is: a model can be wrong with confidence. Looks tell it first.

![AUC and loss of accuracy by degree of degradation](drift.png)
"""


def draw() -> None:
    """The picture: separation and true loss of accuracy by degree."""
    from matplotlib.figure import Figure

    lines = pd.read_json(LINES, lines=True)
    colours = {"as before": "#3c8d5a", "recalibrate": "#d9a02b", "retrain": "#c8443f"}
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    panels = figure.subplots(len(MODELS), len(GRADES), sharey=True)
    for row, name in enumerate(MODELS):
        mine = lines[lines["model"] == name]
        fine = float(mine.loc[mine["kind"] == "as it is", "accuracy"].iloc[0])
        for column, kind in enumerate(GRADES):
            panel, chosen = panels[row, column], mine[mine["kind"] == kind]
            places = np.arange(len(chosen))
            panel.plot(places, chosen["auc"], color="#555e6e", lw=1, label="AUC")
            panel.scatter(places, chosen["auc"], c=[colours[each] for each in chosen["verdict"]], s=50, zorder=3)
            panel.plot(places, 0.5 + fine - chosen["accuracy"], "--", color="#3a6fb0", label="0.5 + lost accuracy")
            panel.set_xticks(places, [f"{grade:g}" for grade in chosen["grade"]])
            panel.set_title(f"{name}: {kind}", fontsize=10)
            panel.set_ylim(0.3, 1.02)
            panel.grid(axis="y", alpha=0.3)
    for verdict, colour in colours.items():
        panels[0, 0].plot([], [], "o", color=colour, label=verdict)
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=90)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "measure", "table", "picture"))
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("keep", type=Path, nargs="?")
    parser.add_argument("--draws", type=int, default=DRAWS)
    given = parser.parse_args()
    if given.what == "train":
        train(given.data, given.keep)
    elif given.what == "measure":
        with LINES.open("w") as stream:
            for each in measure(given.data, given.keep, given.draws):
                print(json.dumps(each), file=stream, flush=True)
    elif given.what == "picture":
        picture(given.data, given.keep)
    else:
        PAGE.write_text(table())
        draw()
        print(PAGE.read_text())


if __name__ == "__main__":
    main()
