from pathlib import Path

import pytest
from make_cutouts import make_cutouts
from make_recipe import tiny_recipe

from galmorph.training.export import export
from galmorph.training.fit import train
from galmorph.training.folder import TrainResult


@pytest.fixture(scope="session")
def cutouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny set of cutouts."""
    return make_cutouts(tmp_path_factory.mktemp("cutouts") / "set")


@pytest.fixture(scope="session")
def trained(cutouts: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished training on that set."""
    return train(tiny_recipe(cutouts), tmp_path_factory.mktemp("training") / "out", device="cpu", progress=False)


@pytest.fixture(scope="session")
def bundle(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle made of it."""
    return export(trained.checkpoint, tmp_path_factory.mktemp("bundle") / "model")
