"""A training on two processes, which stand for two GPUs, through the code that a user runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.errors import ConfigError
from galmorph.training.checkpoint import read_checkpoint
from galmorph.training.data import read_source
from galmorph.training.domains import part_rows
from galmorph.training.fit import train
from galmorph.training.history import read_history
from galmorph.training.recipe import load_recipe

DATA = Path(__file__).parents[1] / "data"

#: Started once; Lightning starts it again as the second process.
SCRIPT = """
import shutil, sys
from pathlib import Path

import torch
from make_recipe import tiny_recipe
from pytorch_lightning.callbacks import Callback

from galmorph.training.average import Averaging
from galmorph.training.fit import train


class Watch(Callback):
    def __init__(self):
        self.rows = {}

    def on_train_batch_start(self, trainer, module, batch, index):
        self.rows.setdefault(trainer.current_epoch, []).extend(batch.source.rows.tolist())

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1 and trainer.is_global_zero and not kept.exists():
            shutil.copytree(out, kept)

    def on_train_end(self, trainer, module):
        state = module.state_dict()
        averaging = next(one for one in trainer.callbacks if isinstance(one, Averaging))
        state |= {f"average.{name}": value for name, value in averaging.average.module.state_dict().items()}
        tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
        tuner = module.objective.separation.tuner
        report = {"tensors": tensors, "rows": self.rows, "tuner": (tuner.rho, tuner.margin, tuner.minimum)}
        torch.save(report, f"{out}-{trainer.global_rank}.pt")


if __name__ == "__main__":
    source, target, out, kept = map(Path, sys.argv[1:])
    recipe = tiny_recipe(
        source,
        target={"path": str(target)},
        method={"name": "deepastrouda", "warmup_epochs": 0, "ramp_epochs": 1},
        network={"batch_norm": "domain"},
        fit={"epochs": 2, "batch_size": 6, "average": 0.8},
    )
    result = train(recipe, out, device="cpu", devices=2, progress=False, callbacks=[Watch()])
    assert result.epochs == 2
"""


def run(folder, *paths):
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(DATA), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", folder / "script.py", *paths],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    source, target = make_cutouts(folder / "source", each=18), make_cutouts(folder / "target", each=12, seed=7)
    run(folder, source, target, folder / "out", folder / "kept")
    return folder, source, target


def reports(folder):
    return [torch.load(folder / f"out-{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_a_training_of_two_processes_does_not_go_on_with_one(finished):
    folder = finished[0]
    recipe = load_recipe(folder / "kept" / "recipe.toml")
    with pytest.raises(ConfigError, match=r"of a training on 2 processes .* and this call has 1: steps of an epoch"):
        train(recipe, folder / "kept", device="cpu", devices=1, progress=False)


def test_both_processes_end_with_the_same(finished):
    folder, *_ = finished
    first, second = reports(folder)
    for name, value in first["tensors"].items():
        # Statistics of what learns are each process's own until its next step, where the first one's are taken.
        if not (name.startswith("network.") and "running_" in name):
            assert torch.equal(value, second["tensors"][name]), name
    assert first["tuner"] == second["tuner"]
    seen = first["tensors"]["objective.terms.clustering.bank.seen"]
    rows = [row for report in (first, second) for rows in report["rows"].values() for row in rows]
    assert set(seen.nonzero()[:, 0].tolist()) >= set(rows)


def test_each_image_of_an_odd_validation_part_counts_once(finished):
    folder, source, _ = finished
    recipe = tiny_recipe(source)
    images = len(part_rows(read_source(recipe.source), recipe)["validation"])
    assert images % 2 == 1
    for row in read_history(folder / "out" / "metrics.csv"):
        right = row["valid_accuracy"] * images
        assert right == pytest.approx(round(right), abs=1e-4)
        assert 0 < right < images


def test_processes_share_each_epoch_and_epochs_differ(finished):
    first, second = (report["rows"] for report in reports(finished[0]))
    for epoch in (0, 1):
        assert len(first[epoch]) == len(second[epoch]) >= 12
        assert not set(first[epoch]) & set(second[epoch])
    assert first[0] != first[1]
    assert set(first[0]) != set(first[1])


def test_the_first_process_writes_the_files_once(finished):
    folder, *_ = finished
    out = folder / "out"
    names = {path.name for path in out.iterdir()}
    assert names == {".lock", "checkpoints", "identity.json", "metrics.csv", "recipe.toml", "result.json"}
    history = read_history(out / "metrics.csv")
    assert [row["epoch"] for row in history] == [0, 1]
    assert all(torch.tensor(list(row.values())).isfinite().all() for row in history)
    state = read_checkpoint(out / "checkpoints" / "last.safetensors")["state_dict"]
    assert torch.equal(state["network.head.weight"], reports(folder)[0]["tensors"]["average.head.weight"])


def test_resumed_on_two_processes_is_the_same(finished):
    folder, source, target = finished
    whole = reports(folder)[1]
    shutil.rmtree(folder / "out")
    shutil.copytree(folder / "kept", folder / "out")
    run(folder, source, target, folder / "out", folder / "kept")
    again = reports(folder)[1]
    assert list(again["rows"]) == [1]
    assert all(torch.equal(value, again["tensors"][name]) for name, value in whole["tensors"].items())
