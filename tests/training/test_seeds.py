"""Several seeds of a recipe, on blobs."""

import csv
import dataclasses
import json
import statistics

import pytest
from make_recipe import tiny_recipe

from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.errors import ConfigError, DataError
from galmorph.training.evaluate import evaluate
from galmorph.training.fit import train
from galmorph.training.folder import read_result
from galmorph.training.seeds import Spread, numbers, train_seeds


@pytest.fixture(scope="module")
def recipe(cutouts):
    return tiny_recipe(cutouts, fit={"epochs": 2}, split={"stratified": True})


@pytest.fixture(scope="module")
def summary(recipe, cutouts, tmp_path_factory):
    out = tmp_path_factory.mktemp("seeds") / "out"
    return out, train_seeds(recipe, out, [3, 5], sets=[cutouts], part="test", device="cpu", progress=False)


def test_mean_and_sample_deviation():
    spread = Spread.of([1.0, 2.0, 6.0])
    assert (spread.mean, spread.std) == (3.0, pytest.approx(7**0.5))
    assert str(spread) == "3.0000 ± 2.6458"
    assert Spread.of([2.0]) == Spread(2.0, None, (2.0,))
    # A mean over some of the seeds would not be one over the seeds.
    assert Spread.of([1.0, None]) == Spread(None, None, (1.0, None))
    assert str(Spread.of([])) == "–"


def test_each_seed_has_its_folder_and_its_own_weights(summary):
    out, result = summary
    metrics = [read_result(out / f"seed-{seed}").metrics for seed in (3, 5)]
    assert result.seeds == (3, 5)
    assert result.training["valid_loss"].values == tuple(each["valid_loss"] for each in metrics)
    assert metrics[0]["train_loss"] != metrics[1]["train_loss"]
    assert "epoch" not in result.training
    assert result.training["epochs"].values == (2, 2)


def test_models_are_measured(summary, cutouts):
    out, result = summary
    measured = result.evaluations[str(cutouts)]
    alone = numbers(evaluate(out / "seed-5" / "model", cutouts, part="test", resamples=0))
    assert {name: spread.values[1] for name, spread in measured.items()} == alone
    accuracy = measured["known.accuracy"]
    assert accuracy.mean == pytest.approx(statistics.fmean(accuracy.values))


def test_files_say_the_same(summary, cutouts):
    out, result = summary
    facts = json.loads((out / "seeds.json").read_text())
    assert facts["training"]["valid_recall"]["mean"] == result.training["valid_recall"].mean
    with (out / "seeds.csv").open() as file:
        rows = {(row["set"], row["measure"]): row for row in csv.DictReader(file)}
    row = rows[str(cutouts), "unknown.h_score"]
    assert [float(row["seed_3"]), float(row["seed_5"])] == facts["evaluations"][str(cutouts)]["unknown.h_score"][
        "values"
    ]
    assert (row["part"], facts["parts"]) == ("test", {str(cutouts): "test"})
    assert rows["training", "valid_loss"]["mean"] == str(result.training["valid_loss"].mean)


def test_finished_seeds_are_not_repeated(summary, recipe, cutouts, caplog):
    out, before = summary
    files = [out / "seed-3" / name for name in ("metrics.csv", "model/manifest.json")]
    times = [path.stat().st_mtime_ns for path in files]
    with caplog.at_level("WARNING", "galmorph"):
        after = train_seeds(recipe, out, [3], sets=[cutouts], part="test", device="cpu", progress=False)
    assert "seed-5 in" in caplog.text
    assert "give their seeds too" in caplog.text
    assert [path.stat().st_mtime_ns for path in files] == times
    assert after.training["valid_loss"].values == before.training["valid_loss"].values[:1]


def test_a_bundle_by_other_settings_is_made_anew(recipe, cutouts, tmp_path):
    def flagged(rate):
        settings = dataclasses.replace(recipe.export, false_unknown_rate=rate)
        train_seeds(
            dataclasses.replace(recipe, export=settings), tmp_path, [3], sets=[cutouts], device="cpu", progress=False
        )
        return load_bundle(tmp_path / "seed-3" / "model").manifest.unknown.false_unknown_rate

    assert flagged(0.05) < flagged(0.5)


def test_sets_that_cannot_be_measured_are_told_before_any_training(recipe, cutouts, tmp_path):
    with pytest.raises(DataError, match="nowhere is not a set of cutouts"):
        train_seeds(recipe, tmp_path / "out", [3], sets=[cutouts, tmp_path / "nowhere"], device="cpu", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [2**32]])
def test_seeds_that_make_no_sense(recipe, tmp_path, seeds):
    with pytest.raises(ConfigError, match="different whole numbers from 0 to 4294967295"):
        train_seeds(recipe, tmp_path, seeds)


def test_a_folder_is_of_one_training_or_of_several_seeds(summary, recipe, tmp_path):
    with pytest.raises(ConfigError, match="holds trainings of several seeds"):
        train(recipe, summary[0], device="cpu", progress=False)
    train(recipe, tmp_path / "one", device="cpu", progress=False)
    with pytest.raises(ConfigError, match="holds a single training"):
        train_seeds(recipe, tmp_path / "one", [0], device="cpu", progress=False)


def test_on_the_command_line(recipe, summary, cutouts, tmp_path, capsys):
    out, result = summary
    path = tmp_path / "recipe.toml"
    path.write_text((out / "seed-3" / "recipe.toml").read_text())
    main(["train", str(path), "--out", str(out), "--seeds", "3", "5", "--evaluate", str(cutouts), "--part", "test"])
    text = capsys.readouterr().out
    assert "2 seeds; mean ± standard deviation" in text
    assert str(result.training["valid_loss"]) in text
    assert str(result.evaluations[str(cutouts)]["known.accuracy"]) in text
    with pytest.raises(SystemExit):
        main(["train", str(path), "--out", str(tmp_path / "other"), "--evaluate", str(cutouts)])
    assert "--evaluate and --part go with --seeds" in capsys.readouterr().err
