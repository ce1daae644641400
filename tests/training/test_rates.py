import csv
import math
import warnings

import numpy as np
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from PIL import Image

from galmorph.cli import main
from galmorph.errors import ConfigError
from galmorph.training import rates as rates_module
from galmorph.training.fit import build, train
from galmorph.training.rates import HIGHEST, LOWEST, RateScan, _Climb, _Enough, scan_rates


@pytest.fixture
def short(monkeypatch):
    """A scan with few steps, where its curve does not matter."""
    monkeypatch.setattr(rates_module, "STEPS", 15)


@pytest.fixture(scope="module")
def scanned(cutouts, tmp_path_factory):
    out = tmp_path_factory.mktemp("scan") / "out"
    return scan_rates(tiny_recipe(cutouts), out, device="cpu", progress=False), out


def test_minimum_of_a_parabola_with_noise():
    rates = np.geomspace(LOWEST, HIGHEST, 141)
    losses = (np.log10(rates) + 2) ** 2 + np.random.default_rng(0).normal(0, 0.05, 141)
    assert RateScan(rates, losses).suggestion == pytest.approx(1e-2, rel=0.5)


def test_one_lucky_batch_is_no_suggestion():
    rates = np.geomspace(LOWEST, HIGHEST, 141)
    losses = (np.log10(rates) + 2) ** 2
    losses[20] = -1
    assert RateScan(rates, losses).suggestion == pytest.approx(1e-2, rel=0.2)


@pytest.mark.parametrize(("first", "limit"), [(1.0, 4.0), (0.1, 0.1 + 3 * 0.25), (-2.0, 4.0)])
def test_a_scan_ends_at_four_times_the_first_loss_or_as_much_above_it_as_ignorance_would_be(first, limit):
    climb = _Climb(1e-3)
    for loss in (first, limit - 0.01, first):
        climb.on_train_batch_end(None, None, {"loss": loss}, None, 0)
    for loss in (limit + 0.01, math.inf, math.nan):
        with pytest.raises(_Enough):
            climb.on_train_batch_end(None, None, {"loss": loss}, None, 0)
    assert climb.losses == [first, limit - 0.01, first]


def test_loss_falls_to_the_suggestion_and_rises_after_it(scanned):
    scan, _ = scanned
    assert scan.rates[0] == LOWEST
    np.testing.assert_allclose(scan.rates[20] / scan.rates[0], 10)
    assert scan.smoothed.min() < 0.3 * scan.smoothed[0]
    assert scan.smoothed[-1] > 2 * scan.smoothed.min()
    assert 1e-4 < scan.suggestion < 1e-1
    assert len(scan.rates) == len(scan.losses) <= 141


def test_what_is_written(scanned):
    scan, out = scanned
    assert sorted(path.name for path in out.iterdir()) == ["learning-rate.csv", "learning-rate.png"]
    with (out / "learning-rate.csv").open() as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    np.testing.assert_allclose(rows, np.stack([scan.rates, scan.losses, scan.smoothed], axis=1))
    with Image.open(out / "learning-rate.png") as picture:
        assert picture.size == (900, 600)


def test_rate_and_schedule_of_the_recipe_play_no_part(scanned, cutouts, tmp_path):
    scan, _ = scanned
    other = tiny_recipe(cutouts, optimiser={"learning_rate": 0.7, "schedule": "step", "warmup_epochs": 3})
    again = scan_rates(other, tmp_path / "out", device="cpu", progress=False)
    np.testing.assert_array_equal(again.losses, scan.losses)


def test_a_training_goes_into_the_same_folder_and_is_left_alone(short, cutouts, tmp_path):
    recipe = tiny_recipe(cutouts, fit={"epochs": 1})
    scan_rates(recipe, tmp_path, device="cpu", progress=False)
    trained = train(recipe, tmp_path, device="cpu", progress=False)
    before = trained.last.read_bytes()
    scan_rates(recipe, tmp_path, device="cpu", progress=False)
    assert trained.last.read_bytes() == before
    assert train(recipe, tmp_path, device="cpu", progress=False) == trained


def test_methods_that_adapt_are_scanned_at_full_weight(short, cutouts, tmp_path):
    target = {"path": str(make_cutouts(tmp_path / "target", each=10, seed=7))}
    scans = []
    for rate in (1.0, 1000.0):
        method = {"name": "adversarial", "weights": {"adversary": 1.0}, "discriminator": {"rate": rate}}
        recipe = tiny_recipe(cutouts, target=target, method=method)
        scans.append(scan_rates(recipe, tmp_path / str(rate), device="cpu", progress=False))
    # (ln 3 + ln 2) / 3 where nothing has been learned, the second part being that of the discriminator.
    assert scans[0].losses[:3] == pytest.approx([(math.log(3) + math.log(2)) / 3] * 3, rel=0.1)
    # The discriminator's own rate keeps its ratio to the network's.
    assert scans[0].losses[0] == scans[1].losses[0]
    assert scans[0].losses[3] != scans[1].losses[3]


def test_what_is_minimised_stays_the_same(short, cutouts, tmp_path, monkeypatch):
    modules = []
    monkeypatch.setattr("galmorph.training.rates.build", lambda *given: modules.append(build(*given)) or modules[0])
    target = {"path": str(make_cutouts(tmp_path / "target", each=10, seed=7))}
    recipe = tiny_recipe(cutouts, target=target, method={"name": "deepastrouda"}, fit={"batch_size": 60})
    scan_rates(recipe, tmp_path / "out", device="cpu", progress=False)
    assert modules[0].current_epoch > 9
    assert modules[0].objective.separation.tuner.changes == []


def test_gradients_are_cut_as_in_training(short, cutouts, tmp_path):
    """To next to nothing, so that no rate is too large."""
    recipe = tiny_recipe(cutouts, optimiser={"name": "sgd", "weight_decay": 0.0, "clip": 1e-9})
    scan = scan_rates(recipe, tmp_path / "out", device="cpu", progress=False)
    assert scan.rates[-1] == pytest.approx(HIGHEST)
    assert scan.losses.max() < 2 * scan.losses[0]


def test_weights_that_have_learned_already_are_scanned_as_well(trained, cutouts, tmp_path):
    """Of next to nothing some batches have many times as much as others."""
    start = {"encoder": "deepmerge", "initial": str(trained.checkpoint)}
    recipe = tiny_recipe(cutouts, network=start, fit={"batch_size": 4})
    scan = scan_rates(recipe, tmp_path / "out", device="cpu", progress=False)
    assert scan.losses[:20].max() > 4 * scan.losses[0]
    assert scan.rates[-1] > 1e-3


def test_a_network_that_gives_no_numbers(short, cutouts, tmp_path, monkeypatch):
    def broken(*arguments):
        module = build(*arguments)
        torch.nn.init.constant_(module.network.head.bias, float("nan"))
        return module

    monkeypatch.setattr("galmorph.training.rates.build", broken)
    with pytest.raises(ConfigError, match="the loss of the first steps is no number"):
        scan_rates(tiny_recipe(cutouts), tmp_path / "out", device="cpu", progress=False)
    assert not (tmp_path / "out").exists()


def test_the_process_is_left_as_it_was_without_a_warning(short, cutouts, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan_rates(tiny_recipe(cutouts), tmp_path, device="cpu", progress=False)
    assert torch.equal(torch.rand(1), expected)


def test_command(short, cutouts, tmp_path, capsys):
    (tmp_path / "blobs.toml").write_text(tiny_recipe(cutouts).to_toml())
    command = ["train", str(tmp_path / "blobs.toml"), "--find-lr", "--out", str(tmp_path / "out"), "--device", "cpu"]
    main(command)
    assert "learning rate at the least loss: " in capsys.readouterr().out
    assert (tmp_path / "out" / "learning-rate.png").is_file()
    with pytest.raises(SystemExit):
        main([*command, "--seeds", "1"])
    assert "--find-lr goes without --seeds" in capsys.readouterr().err
