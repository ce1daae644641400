"""Criteria of the target after each epoch, and going by them."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.cutout_set import LABELS
from galmorph.scores import softmax
from galmorph.training.criteria import mutual_information, separated_density
from galmorph.training.domains import read_domains
from galmorph.training.fit import load_training, train
from galmorph.training.folder import METRICS
from galmorph.training.guarded import predict
from galmorph.training.history import read_history
from galmorph.training.watch import MONITORS, monitored, monitored_images, target_criteria

OF_TARGET = ("information", "density", "recall_and_information")


def measure(logits, recall=0.9):
    return target_criteria(logits, recall)


def answers(classes, images=30, sure=8.0):
    """Logits of images that are said to be of these classes in turn, with some noise."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(images, 3, generator=generator)
    logits[torch.arange(images), torch.tensor([classes[i % len(classes)] for i in range(images)])] += sure
    return logits


@pytest.mark.parametrize("monitor", OF_TARGET)
def test_a_collapse_is_not_preferred(monitor):
    name = MONITORS[monitor]
    useful = measure(answers([0, 1, 2]))[name]
    assert useful > measure(answers([1], sure=50.0), recall=0.9)[name]
    assert useful > measure(answers([0], sure=0.0) / 100, recall=0.9)[name]
    assert useful > measure(answers([0, 1, 2], sure=1.0))[name]


def test_source_recall_has_a_say():
    logits = answers([0, 1, 2])
    better, worse = (measure(logits, recall)["recall_and_information"] for recall in (0.9, 0.7))
    assert better - worse == pytest.approx(0.1)
    share = mutual_information(softmax(logits.numpy())) / math.log(3)
    assert better == pytest.approx((0.9 + share) / 2)


@pytest.mark.parametrize("classes", [2, 3])
def test_sure_answers_of_all_classes_have_all_the_information_there_is(classes):
    found = measure(100 * torch.eye(classes).repeat(4, 1), recall=0.8)
    assert found["target_information"] == pytest.approx(math.log(classes))
    assert found["recall_and_information"] == pytest.approx((0.8 + 1) / 2)


def test_a_network_that_diverged_has_no_criteria():
    assert all(math.isnan(value) for value in measure(torch.full((5, 3), math.nan), recall=0.5).values())


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    target = make_cutouts(tmp_path_factory.mktemp("watch") / "target", each=10, seed=1)
    # Without a label in it, since none is looked at.
    pd.read_parquet(target / LABELS).assign(label="").to_parquet(target / LABELS)
    return target


def adapting(cutouts, target, monitor="recall", patience=12, **optimiser):
    return tiny_recipe(
        cutouts,
        target={"path": str(target)},
        fit={"epochs": 5, "monitor": monitor, "patience": patience},
        optimiser=optimiser,
        network={"batch_norm": "domain"},
        split={"stratified": True},
        method={"name": "mmd", "warmup_epochs": 1.0, "ramp_epochs": 0.0},
    )


@pytest.mark.parametrize("monitor", OF_TARGET)
def test_the_best_epoch_is_by_the_target(cutouts, target, tmp_path, monitor):
    recipe = adapting(cutouts, target, monitor)
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    history = read_history(tmp_path / "out" / METRICS)
    name, mode = monitored(recipe)
    assert (name, mode) == (MONITORS[monitor], "max")
    # From the first epoch with the full weights on.
    assert result.metrics[name] == max(row[name] for row in history[1:])
    if monitor == "density":
        # What is measured is what the best model says of the target's validation part, by the target's branch.
        module, _ = load_training(result.checkpoint)
        domains = read_domains(recipe)
        logits, _ = predict(module, domains.target.images, domains.target_rows["validation"], "target")
        assert separated_density(softmax(logits)) == pytest.approx(result.metrics[name], rel=1e-5)
        assert not np.allclose(
            logits, predict(module, domains.target.images, domains.target_rows["validation"], "source")[0]
        )


def test_early_stopping_by_the_target(cutouts, target, tmp_path):
    recipe = adapting(cutouts, target, "information", patience=1, learning_rate=1e-12)
    # Statistics of batch normalisation go on moving: what counts is that the best is followed by no more than patience.
    result = train(recipe, tmp_path / "out", device="cpu", progress=False)
    values = [row["target_information"] for row in read_history(tmp_path / "out" / METRICS)]
    assert result.best_epoch == 1 + int(np.argmax(values[1:]))
    assert result.epochs in (result.best_epoch + 2, 5)


def test_without_a_target_the_recall_stands(cutouts):
    recipe = tiny_recipe(cutouts, fit={"monitor": "density"})
    assert monitored(recipe) == ("valid_recall", "max")
    assert monitored(tiny_recipe(cutouts, fit={"monitor": "loss"})) == ("valid_loss", "min")


def test_the_mean_of_recalls_is_known_as_well_as_a_share_of_fewer_images(tmp_path):
    def images(counts, method="dance", monitor="recall"):
        recipe = tiny_recipe(tmp_path, target={"path": "/t"}, method={"name": method}, fit={"monitor": monitor})
        return monitored_images(recipe, np.repeat(np.arange(len(counts)), counts))

    assert images([30, 30, 30]) == pytest.approx(90)
    # Recalls of 0.8 in classes of 900, 60 and 20: the variance of their mean, by hand.
    variance = 0.8 * 0.2 * (1 / 900 + 1 / 60 + 1 / 20) / 9
    assert 0.8 * 0.2 / images([900, 60, 20]) == pytest.approx(variance)
    assert images([900, 60, 20], monitor="accuracy") == 980
    assert images([30, 30], monitor="loss") == images([30, 30], monitor="density") == 0
    assert images([30, 30], method="source_only") == 0
