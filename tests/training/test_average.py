import shutil

import numpy as np
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe
from pytorch_lightning.callbacks import Callback

from galmorph.training.average import LEARNING
from galmorph.training.checkpoint import read_checkpoint
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.fit import load_training, train
from galmorph.training.folder import METRICS
from galmorph.training.history import read_history

DECAY = 0.8


class Steps(Callback):
    """Keeps the network's weights as they were after each step, and the folder as it was after an epoch."""

    def __init__(self, out=None, kept=None):
        self.weights, self.out, self.kept = [], out, kept

    def on_train_batch_end(self, trainer, module, *_):
        self.weights.append({name: weight.clone() for name, weight in module.network.state_dict().items()})

    def on_train_epoch_start(self, trainer, module):
        if self.kept is not None and trainer.current_epoch == 3:
            shutil.copytree(self.out, self.kept)


def of_network(weights):
    prefix = "network."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def recipe_of(source, target, **fit):
    return tiny_recipe(
        source,
        target={"path": str(target)},
        method={"name": "deepastrouda", "warmup_epochs": 1, "ramp_epochs": 1},
        network={"batch_norm": "domain"},
        fit={"epochs": 4, "batch_size": 6, **fit},
    )


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged")
    source, target = make_cutouts(folder / "source", each=20), make_cutouts(folder / "target", each=12, seed=7)
    steps = Steps(folder / "out", folder / "kept")
    recipe = recipe_of(source, target, average=DECAY)
    result = train(recipe, folder / "out", device="cpu", progress=False, callbacks=[steps])
    return recipe, result, steps.weights, folder


def test_average_by_hand(averaged):
    _, result, steps, _ = averaged
    saved = read_checkpoint(result.last)
    mine = of_network(saved["state_dict"])
    assert set(mine) == set(steps[0])
    for name, value in mine.items():
        if not value.is_floating_point():
            continue
        expected = steps[0][name].double()
        for step in steps[1:]:
            expected = DECAY * expected + (1 - DECAY) * step[name].double()
        assert value.double() == pytest.approx(expected, abs=1e-5, rel=1e-5), name
        assert torch.equal(saved[LEARNING]["network." + name], steps[-1][name])
    changed = [name for name, value in mine.items() if not torch.equal(value, steps[-1][name])]
    assert any("running_mean" in name and "target" in name for name in changed)
    assert "head.weight" in changed


def test_what_learns_is_as_without_average(averaged, tmp_path):
    recipe, _, steps, _ = averaged
    plain = Steps()
    recipe = recipe_of(recipe.source.path, recipe.target.path)
    result = train(recipe, tmp_path / "plain", device="cpu", progress=False, callbacks=[plain])
    assert len(plain.weights) == len(steps)
    assert all(torch.equal(value, steps[-1][name]) for name, value in plain.weights[-1].items())
    assert LEARNING not in read_checkpoint(result.last)


def test_the_average_is_judged_and_loaded(averaged):
    recipe, result, _, _ = averaged
    module, _ = load_training(result.last)
    dataset = read_source(recipe.source)
    rows = part_rows(dataset, recipe)["validation"]
    with torch.inference_mode():
        said = module(torch.from_numpy(dataset.images[rows]))[0].argmax(dim=1).numpy()
    last = read_history(result.last.parents[1] / METRICS)[-1]
    assert last["valid_accuracy"] == pytest.approx(np.mean(said == dataset.labels[rows]))
    assert all(
        torch.equal(value, of_network(read_checkpoint(result.last)["state_dict"])[name])
        for name, value in module.network.state_dict().items()
    )


def test_resumed_is_the_same(averaged, tmp_path):
    recipe, result, _, folder = averaged
    out = shutil.copytree(folder / "kept", tmp_path / "out")
    resumed = train(recipe, out, device="cpu", progress=False)
    assert (resumed.best_epoch, resumed.metrics) == (result.best_epoch, result.metrics)
    first, second = (read_checkpoint(one.last) for one in (result, resumed))
    for part in ("state_dict", LEARNING):
        tensors = {name: value for name, value in first[part].items() if isinstance(value, torch.Tensor)}
        assert all(torch.equal(value, second[part][name]) for name, value in tensors.items())
    assert read_history(out / METRICS) == read_history(folder / "out" / METRICS)
