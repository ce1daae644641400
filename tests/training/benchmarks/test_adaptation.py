"""The benchmark of adaptation: its data, its experiments, its runner and its page, on small things."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from make_cutouts import make_cutouts

from galmorph.cutout_set import read_cutout_set, write_cutout_set

FOLDER = Path(__file__).parents[3] / "training" / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Modules of the folder of benchmarks, which is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_every_experiment_has_a_recipe_for_each_of_its_methods(module, tmp_path):
    experiments = module("experiments")
    for name, experiment in experiments.EXPERIMENTS.items():
        for method in (*experiment.methods, experiments.SUPERVISED):
            recipe = experiment.recipe(method, 3, tmp_path)
            supervised = method == experiments.SUPERVISED
            assert recipe.seed == 3, name
            assert recipe.source.path == tmp_path / (experiment.target if supervised else experiment.source)
            assert recipe.source.private == experiment.private
            assert recipe.fit.epochs == experiment.epochs
            if recipe.target is not None:
                assert recipe.target.path == tmp_path / experiment.target
            assert recipe.method.name == ("source_only" if supervised else method.partition("/")[0])


def test_a_variant_changes_what_it_says(module, tmp_path):
    experiment = module("experiments").EXPERIMENTS["simulated-digits-open"]
    start, other = (experiment.recipe(f"deepastrouda/{name}", 0, tmp_path) for name in ("start", "norm-domain"))
    assert (start.network.batch_norm, other.network.batch_norm) == ("mixed", "domain")
    assert start.method == other.method


def test_closed_digits_are_as_printed_and_by_default_elsewhere(module, tmp_path):
    experiments = module("experiments").EXPERIMENTS
    closed = experiments["digits-closed-usps"]
    printed = closed.recipe("adversarial_f", 0, tmp_path).method
    assert (printed.target_mix, printed.weights, printed.fisher.within) == ("source", {"adversary": 1.0}, 0.01)
    for default in (
        closed.recipe("adversarial_f/default", 0, tmp_path).method,
        experiments["mock-mergers"].recipe("adversarial_f", 0, tmp_path).method,
    ):
        assert (default.target_mix, default.weights, default.fisher.within) == ("estimated", {}, 0.001)


def test_two_classes_are_trained_for_longer_without_strangers(module):
    longer = module("experiments").LONGER
    assert longer["longer-mock-y1-y10"].methods == ("source_only", "dance", "ovanet", "deepastrouda")
    assert longer["longer-mock-y10-y1"].methods[-1] == "source_only/noise"
    assert all("strangers" in method for method in longer["longer-sdss-worse"].methods)


def test_thresholds_are_compared(module):
    """Of four known and two unknown objects, the source's threshold flags all, half the right ones."""
    compare = module("thresholds").compare
    sure, less, least = [9.0, 0.0], [2.0, 0.0], [0.1, 0.0]
    saved = {
        "valid_logits": np.array([sure] * 40),
        "valid_names": np.array(["a"] * 40),
        "target_logits": np.array([less] * 4 + [least] * 2),
        "target_names": np.array(["a"] * 4 + ["c"] * 2),
        "target_train_logits": np.array([less] * 8 + [least] * 4),
    }
    found = compare(saved, ("a", "b"))
    assert found["share"] == 1
    assert found["source"] == 0
    assert found["half"] == found["best"] == 1


def test_worse_seeing_blurs_and_keeps_the_middle(module):
    observe = module("sdss").observe
    picture = np.zeros((3, 201, 201), dtype=np.float32)
    picture[:, 96:104, 96:104] = 200
    clear, worse = (observe(picture, worse=flag, seed=5) for flag in (False, True))
    assert clear.shape == worse.shape == (3, 48, 48)
    assert clear.max() > 1.5 * worse.max() > 0
    assert worse.min() >= 0
    assert np.array_equal(worse, observe(picture, worse=True, seed=5))
    assert not np.array_equal(worse, observe(picture, worse=True, seed=6))


def test_simulated_shifts_keep_objects_apart(module, tmp_path):
    simulated = module("simulated")
    for name, (where, *_) in simulated.SHIFTS.items():
        make_cutouts(tmp_path / where, each=8, seed=len(name))
    counts = simulated.make_simulated(tmp_path)
    for name, (where, *_) in simulated.SHIFTS.items():
        source, target = (read_cutout_set(tmp_path / "simulated" / f"{name}_{part}") for part in ("source", "target"))
        assert counts[f"{name}_source"] + counts[f"{name}_target"] == len(read_cutout_set(tmp_path / where).labels)
        assert not set(source.labels["object_id"]) & set(target.labels["object_id"])


def test_blur_contrast_and_noise_are_those_asked_for(module):
    worsen = module("simulated").worsen
    images = np.zeros((1, 1, 41, 41), dtype=np.float32)
    images[0, 0, 20, 20] = 100
    blurred = worsen(images, 2.0, 0.5, 0.0)
    assert blurred.sum() == pytest.approx(50, rel=1e-3)
    offset = np.arange(41) - 20
    assert (blurred[0, 0].sum(axis=0) * offset**2).sum() / blurred.sum() == pytest.approx(4, rel=0.1)
    noisy = worsen(np.random.default_rng(1).normal(size=(20, 1, 16, 16)).astype(np.float32), 8.0, 0.0, 0.3)
    assert noisy.std() == pytest.approx(0.3, rel=0.05)


PARTS = ("fitted", "valid", "source", "target", "target_train")


def kept(folder, name, method, logits, features, names=("spiral", "elliptical", "edge_on")):
    """Predictions as the runner keeps them, the same for all parts."""
    named = np.array(names)[np.arange(len(logits)) % len(names)]
    parts = {
        f"{part}_{what}": value
        for part in PARTS
        for what, value in (("logits", logits), ("names", named), ("features", features))
    }
    facts = json.dumps({"method": method, "seed": 0, "seconds": 1.0, "epoch": 2})
    np.savez(folder / f"{name}-{method}-0.npz", facts=np.array(facts), **parts)


def test_the_guard_is_measured_by_what_adaptation_did(module, tmp_path):
    guard, experiments = module("guard"), module("experiments")
    right = 6.0 * np.eye(3)[np.arange(120) % 3]
    collapsed = 6.0 * np.eye(3)[np.zeros(120, dtype=int)]
    # Of a target that is noisier the twin is one with its noise; another that there is has no say.
    twins = (("source_only", collapsed), ("source_only+noise", right))
    for method, logits in (*twins, ("deepastrouda", collapsed), ("mmd", right)):
        kept(tmp_path, "hostile-sdss-one", method, logits, right)
    lines = list(guard.verdicts(experiments.HOSTILE, tmp_path, guard.GuardOptions(), lambda _: 0))
    assert [(line["method"], line["harmed"], line["stopped"]) for line in lines] == [
        ("deepastrouda", True, True),
        ("mmd", False, False),
    ]
    assert {"source", "agreement", "lost class"} <= set(lines[0]["signs"])
    assert lines[0]["before"]["target"] == 1
    assert lines[0]["after"]["target"] == pytest.approx(1 / 3)
    assert (lines[0]["recall"]["target"]["before"], lines[0]["beyond_error_by_recall"]) == (1, True)
    assert lines[0]["recall"]["target"]["after"] == pytest.approx(1 / 3, abs=1e-4)
    assert not any(line["told"] for line in lines)
    assert all(
        line["told"] for line in guard.verdicts(experiments.HOSTILE, tmp_path, guard.GuardOptions(), lambda _: 2)
    )


def test_recall_counts_classes_alike_however_many_objects_they_have(module):
    guard = module("guard")
    labels = np.array([0] * 90 + [1] * 10)
    was, now = labels.copy(), labels.copy()
    was[90:] = 0  # the rare class is lost, and then found, for a tenth of the common one
    now[:9] = 1

    def kept(answers):
        names = np.array(["a", "b"])[labels]
        return {
            f"{domain}_{kind}": value
            for domain in ("source", "target")
            for kind, value in (("logits", np.eye(2)[answers]), ("names", names))
        }

    pair = guard.Pair("", "mmd", 0, kept(was), kept(now), labels, 100)
    found = guard.recalls(pair, ("a", "b"))["target"]
    assert guard.right(pair.adapted, "target", ("a", "b")).mean() == 0.91
    assert (found["before"], found["after"]) == pytest.approx((0.5, 0.95))
    # A tenth of the common class changed, and the rare one wholly, of which one object counts as if it might not.
    assert found["error"] == pytest.approx(((0.1 * 0.9) / 90 + (1 / 10) / 10) ** 0.5 / 2)


def test_a_loss_is_weighed_against_the_error_of_the_same_objects(module):
    guard = module("guard")
    before, after = np.ones(100), np.array([0.0] * 10 + [1.0] * 90)
    # Changes of -1 for ten of a hundred: variance 0.1 * 0.9 * 100 / 99, of the mean a hundredth.
    assert guard.paired_error(before, after) == pytest.approx((0.09 / 99) ** 0.5)
    assert np.isnan(guard.paired_error(before[:1], after[:1]))


def test_verdicts_are_counted_and_the_page_says_so(module, tmp_path):
    guard, table = module("guard"), module("table")

    def line(after, *, stopped, beyond=False, told=False):
        return {
            "experiment": "hostile-sdss-one", "method": "mmd", "seed": 0, "signs": ["clusters"] if stopped else [],
            "before": {"source": 0.9, "target": 0.6}, "after": {"source": 0.9, "target": after},
            "harmed": after < 0.58, "beyond_error": beyond, "stopped": stopped,
            "harmed_by_recall": beyond, "beyond_error_by_recall": beyond, "told": told,
            "recall": {"target": {"before": 0.6, "after": 0.7}},
        }  # fmt: skip

    lines = [
        line(0.3, stopped=True, beyond=True),
        line(0.5, stopped=False, beyond=True, told=True),
        line(0.7, stopped=True),
        line(0.6, stopped=True),
        line(0.6, stopped=False),
    ]
    assert guard.count(lines) == {
        "models": 5,
        "harmed": 2,
        "harmed_stopped": 1,
        "beyond_error": 2,
        "beyond_error_stopped": 1,
        "beyond_error_told": 1,
        "others_stopped": 2,
        "others_stopped_that_gained": 1,
    }
    by_recall = [line | {"harmed_by_recall": False, "beyond_error_by_recall": False} for line in lines]
    assert guard.count(by_recall, "_by_recall")["others_stopped"] == 3
    page = table._guard(lines)
    assert (
        "Of 5 adapted models 2 were harmed. The guard stopped 1 of them, and 2 of the 3 that were not harmed; "
        "1 of those had gained more than two points on the target." in page
    )
    assert [row.split(" | ")[-2] for row in page if row.startswith("| sdss")] == [
        "beyond error",
        "beyond error, told",
        "",
        "",
    ]


def test_limits_of_signs_are_chosen_on_other_experiments(module):
    signs = module("guard_signs")
    harmed = np.array([True, True, False, True, False])
    left = np.array([True, True, True, True, False])
    # Below -0.2 lie two harmed models and no other one; the model that is not left has no say.
    assert signs.choose_limit(np.array([-0.5, -0.3, -0.1, 0.0, -0.9]), harmed, left) == pytest.approx(-0.2)
    assert signs.choose_limit(np.array([0.5, 0.4, -0.1, 0.0, 0.0]), harmed, ~harmed) == -np.inf
    rows = [
        {"experiment": place, "harmed": bad, "stopped": False, "signs": {"one": value}}
        for place, bad, value in (("a", True, -1.0), ("a", False, 0.0), ("b", True, -0.4), ("b", False, 0.2))
    ]
    found = signs.compare(rows)["one"]
    # In all experiments the limit is -0.2; that of b, -0.1, catches a's model, and that of a, -0.5, misses b's.
    assert found == {
        "limit": pytest.approx(-0.2), "harmed": 2, "others": 0, "harmed elsewhere": 1, "others elsewhere": 0
    }  # fmt: skip


def test_signs_that_were_tried_are_what_they_say(module):
    signs = module("guard_signs")
    assert signs.evenness(np.array([0.5, 0.5, 0.0])) == pytest.approx(np.log(2))
    # Two thirds of the images look like class 0, of which the source holds half; the classifier is nearly right.
    sure = np.repeat([[0.99, 0.01], [0.01, 0.99]], [200, 100], axis=0)
    assert signs.estimate_mix(sure, np.array([0.5, 0.5])) == pytest.approx([0.6633, 0.3367], abs=0.01)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    space = np.eye(2)[labels] * 5 + rng.normal(size=(200, 2))
    assert signs.reverse_recall(space, labels, space, labels) > 0.98
    assert signs.reverse_recall(space, 1 - labels, space, labels) < 0.02
    assert signs.reverse_recall(space, np.zeros(200, dtype=int), space, labels) == 0.5
    assert signs.neighbours_agree(space, labels) > 0.95
    assert signs.neighbours_agree(space, rng.permutation(labels)) == pytest.approx(0.5, abs=0.1)


def test_measures_are_taken_anew_and_other_lines_stay(module, tmp_path):
    adaptation = module("adaptation")
    right = 6.0 * np.eye(3)[np.arange(120) % 3]
    kept(tmp_path, "hostile-sdss-one", "mmd", right, right)
    path = tmp_path / "hostile-sdss-one.jsonl"
    path.write_text(json.dumps({"method": "a peer", "seed": 0}) + "\n")
    adaptation.again(tmp_path, tmp_path)
    adaptation.again(tmp_path, tmp_path)
    peer, line = (json.loads(line) for line in path.read_text().splitlines())
    assert peer == {"method": "a peer", "seed": 0}
    assert (line["method"], line["epoch"], line["target"]["accuracy"]) == ("mmd", 2, 1.0)
    kept(tmp_path, "hostile-sdss-one", "mmd", np.roll(right, 1, axis=1), right)
    adaptation.again(tmp_path, tmp_path)
    assert json.loads(path.read_text().splitlines()[1])["target"]["accuracy"] == 0.0


def test_lines_of_models_that_are_not_there_stay(module, tmp_path, monkeypatch):
    adaptation = module("adaptation")
    monkeypatch.setattr(adaptation, "RESULTS", tmp_path)
    monkeypatch.setattr(adaptation, "read_lines", lambda name, read=adaptation.read_lines: read(name, tmp_path))
    lines = [{"experiment": "a", "method": "mmd", "seed": seed, "stopped": False} for seed in (0, 1)]
    adaptation.renew_lines("guard", lines)
    again = adaptation.renew_lines("guard", [lines[1] | {"stopped": True}])
    assert again == [lines[0], lines[1] | {"stopped": True}]
    assert adaptation.read_lines("guard") == again


def test_scores_of_the_unknown_are_compared(module):
    strangeness, experiments = module("strangeness"), module("experiments")
    experiment = experiments.EXPERIMENTS["simulated-strokes"]
    known = 6.0 * np.eye(6)[np.arange(120) % 6] + np.random.default_rng(0).normal(size=(120, 6))
    names = np.array(list("012345"))[np.arange(120) % 6]
    saved = {
        f"{part}_{what}": v for part in PARTS for what, v in (("logits", known), ("features", known), ("names", names))
    }
    # As many of a class that was never seen, far from all others and with nothing to say.
    saved["target_logits"] = np.concatenate([known, np.zeros((120, 6))])
    saved["target_features"] = np.concatenate([known, -known])
    saved["target_names"] = np.concatenate([names, np.repeat("9", 120)])
    found = strangeness.areas(experiment, saved)
    assert set(found) == {"entropy", "energy", "Mahalanobis", "neighbours", "entropy and neighbours"}
    assert all(value > 0.99 for value in found.values())


def test_the_score_that_decides_is_the_default_or_the_one_that_is_asked_for(module):
    adaptation, deciding = module("adaptation"), module("deciding")
    experiment = deciding.CASES["SDSS, two classes"]
    assert (experiment.classes, experiment.private) == (("spiral", "elliptical"), ("edge_on", "merger"))
    true = np.arange(80) % 2
    logits = 6.0 * np.eye(2)[true] + np.random.default_rng(0).normal(size=(80, 2))
    names = np.array(experiment.classes)[true]
    saved = {
        f"{part}_{what}": v
        for part in PARTS
        for what, v in (("logits", logits), ("features", logits), ("names", names))
    }
    # An unknown class that the network is sure of, far from all others: nothing but its features tells it.
    saved["target_logits"] = np.concatenate([logits, logits])
    saved["target_features"] = np.concatenate([logits, -logits])
    saved["target_names"] = np.concatenate([names, np.repeat("merger", 80)])
    saved["facts"] = np.array(json.dumps({"method": "source_only", "seed": 0}))
    usual = adaptation.measure(experiment, saved)
    by = {score: adaptation.measure(experiment, saved, unknown_score=score) for score in ("anomaly_score", "entropy")}
    assert usual == by["anomaly_score"] == adaptation.measure(experiment, saved, false_unknown_rate=0.1)
    assert by["entropy"]["unknown_score"] == "entropy"
    assert usual["target"]["unknown_recall"] > 0.95 > 0.2 > by["entropy"]["target"]["unknown_recall"]
    # The lower the threshold, the more known objects are flagged.
    lines = [
        adaptation.measure(experiment, saved, unknown_score="entropy", false_unknown_rate=rate)
        for rate in deciding.RATES
    ]
    recalls = [line["target"]["known_recall"] for line in lines]
    assert recalls == sorted(recalls, reverse=True)
    assert len(set(recalls)) == len(deciding.RATES)


def test_a_page_has_means_and_deviations_of_seeds(module, tmp_path, monkeypatch):
    table, adaptation = module("table"), module("adaptation")
    monkeypatch.setattr(table, "read_lines", lambda name: adaptation.read_lines(name, tmp_path))
    numbers = {"accuracy": 0.5, "h_score": None}
    areas = {"auroc": 0.9, "auroc_energy": 0.4}
    lines = [
        {
            "method": "source_only",
            "seed": seed,
            "unknown_score": score,
            "source": numbers,
            "target": {**numbers, **areas, "accuracy": value},
        }
        for seed, (value, score) in enumerate(((0.6, "entropy"), (0.8, "energy")))
    ]
    (tmp_path / "sdss-worse.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = table._rows("sdss-worse", module("experiments").EXPERIMENTS["sdss-worse"])
    # The area of what decides is that of the entropy once, and once that of the energy.
    area = "0.650 ± 0.354 | 0.900 ± 0.000 | 0.400 ± 0.000 | –"
    first = "| source only | 2 | 0.500 ± 0.000 | 0.700 ± 0.141 | – | – | – |"
    assert rows[2] == f"{first} {area} | – | entropy 1, energy 1 |"
    joint = lines[0] | {"experiment": "sdss-worse", "seeds": [0, 1], "target": numbers | {"auroc": 0.95}}
    assert table._together([joint])[-2] == (
        "| source only | 2 | 0.500 → 0.500 | 0.700 → 0.500 | – → – | – → – | – → – | "
        "0.650 → 0.950 | 0.900 → 0.950 | 0.400 → – | – → – | – → – |"
    )


def test_hostile_targets_are_what_they_say(module, tmp_path):
    hostile = module("hostile")

    def write(name, labels, bands, size, unit_id):
        names = [f"{unit_id}{number}" for number in range(len(labels))]
        images = np.arange(len(labels) * bands * size**2, dtype=np.float32).reshape(-1, bands, size, size)
        meta = {
            "survey": unit_id,
            "bands": list("rgb")[:bands],
            "pixel_scale": 1.0,
            "framing": {"size": 64},
            "unit": "pixel values",
        }
        write_cutout_set(tmp_path / name, images, pd.DataFrame({"object_id": names, "label": labels}), meta)

    digits = [str(number % 10) for number in range(200)]
    shapes = ["spiral", "elliptical", "edge_on", "merger"] * 30
    fine = ["round_smooth", "cigar_smooth", "loose_spiral", "lens"] * 30
    for name in ("digits/usps", "digits/mnist", "simulated/digits_target", "simulated/digits_source"):
        write(name, digits, 1, 28, name)
    for name in ("sdss/a", "sdss/a_worse", "sdss/b", "sdss/b_worse"):
        write(name, shapes, 3, 48, name)
    for name in ("mocks/sdss", "simulated/galaxies_target", "simulated/galaxies_source"):
        write(name, fine, 3, 48, name)
    counts = hostile.make_hostile(tmp_path)
    assert counts["digits_fifty"] == 50
    assert set(read_cutout_set(tmp_path / "hostile/sdss_one").labels["label"]) == {"edge_on"}
    mixed = read_cutout_set(tmp_path / "hostile/sdss_mix").labels["label"].value_counts()
    assert mixed["elliptical"] > 2 * mixed.drop("elliptical").max()
    assert "merger" not in mixed
    swapped, whole = (read_cutout_set(tmp_path / name).images for name in ("hostile/sdss_bands", "sdss/b"))
    assert np.array_equal(swapped[:, ::-1], whole)
    assert read_cutout_set(tmp_path / "hostile/sdss_unrelated").images.shape[1:] == (3, 48, 48)
    assert read_cutout_set(tmp_path / "hostile/digits_unrelated").images.shape[1:] == (1, 28, 28)
