"""Every recipe of the papers, on small files of the published layouts, imported by the commands of their page."""

import dataclasses
import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galmorph.cli import main
from galmorph.training.fit import train
from galmorph.training.importers import GZ2_RULES
from galmorph.training.recipe import load_recipe

ROOT = Path(__file__).parents[2]
PAPERS = ROOT / "training" / "papers"
PAGE = (PAPERS / "README.md").read_text()
RECIPES = sorted(path for path in PAPERS.glob("*/*.toml") if path.name != "common.toml")

#: Images of a class in each small data set.
EACH = 8

IDS = [path.stem for path in RECIPES]


def lsst(folder, rng):
    for part in ("train", "valid", "test"):
        labels = np.arange(3 * EACH) % 3
        np.save(folder / f"labels_{part}.npy", np.eye(3)[labels])
        for year, noise in (("Y1", 1.0), ("Y10", 0.3)):
            images = labels[:, None, None, None] + noise * rng.normal(size=(3 * EACH, 3, 24, 24))
            np.save(folder / f"images_{year}_{part}.npy", images.astype(np.float32))


def galaxy10(path, rng):
    count = 10 * EACH
    with h5py.File(path, "w") as file:
        file["images"] = rng.integers(0, 256, (count, 256, 256, 3), dtype=np.uint8)
        file["ans"] = (np.arange(count) % 10).astype(np.uint8)
        file["ra"], file["dec"] = np.linspace(10, 12, count), np.linspace(-5, 5, count)
        file["redshift"], file["pxscale"] = np.full(count, 0.05), np.full(count, 0.262)


def pictures(folder, names, side, rng):
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")


def galaxy_zoo(table, folder, rng):
    answers = {f"{answer}_debiased" for rule in GZ2_RULES.values() for answer in rule}
    rows = [
        dict.fromkeys(answers, 0.0) | {f"{answer}_debiased": 1.0 for answer in rule}
        for rule in GZ2_RULES.values()
        for _ in range(EACH)
    ]
    frame = pd.DataFrame(rows)
    frame["dr7objid"] = [f"{table.stem}{number}" for number in range(len(frame))]
    # The ends of the strip are objects of the other sets too.
    frame["ra"], frame["dec"] = np.linspace(10, 12, len(frame)), np.linspace(-5, 5, len(frame))
    frame.to_csv(table, index=False)
    pictures(folder, frame["dr7objid"], 170, rng)


def office(folder, rng):
    recipe = load_recipe(PAPERS / "deepastrouda" / "office_none.toml")
    dropped = re.search(r"--survey amazon --drop ([a-z_ ]+) --size", PAGE)[1].split()
    assert len(recipe.source.classes) == len(dropped) == 10
    assert len({*recipe.source.classes, *recipe.source.private, *dropped}) == 31
    for domain, side in (("amazon", 30), ("dslr", 40), ("webcam", 50)):
        for name in (*recipe.source.classes, *recipe.source.private, *dropped):
            pictures(folder / domain / "images" / name, range(EACH), side, rng)


def deepmerge(folder, rng):
    labels = np.arange(10 * EACH) % 2
    for name, level in (
        ("SimSim_SOURCE_{}_Illustris2_pristine", 1.0),
        ("SimSim_TARGET_{}_Illustris2_noisy", 1.0),
        ("SimReal_SOURCE_{}_Illustris0", 1.0),
        ("SimReal_TARGET_{}_postmergers_SDSS", 25.0),
    ):
        images = level * (labels[:, None, None, None] + rng.normal(size=(len(labels), 3, 40, 40)))
        np.save(folder / f"{name.format('X')}.npy", images)
        np.save(folder / f"{name.format('y')}.npy", labels)


@pytest.fixture(scope="session")
def imported(tmp_path_factory):
    """Folder in which the page's commands were given, with pictures brought to fewer pixels."""
    folder, rng = tmp_path_factory.mktemp("papers"), np.random.default_rng(0)
    (folder / "zenodo-5514180").mkdir()
    (folder / "zenodo-4507941").mkdir()
    lsst(folder / "zenodo-5514180", rng)
    galaxy10(folder / "Galaxy10_DECals.h5", rng)
    pictures(folder / "decals-lenses", range(EACH), 256, rng)
    galaxy_zoo(folder / "gz2_hart16.csv.gz", folder / "gz2-pictures", rng)
    galaxy_zoo(folder / "gz2_stripe82_coadd_table5.csv.gz", folder / "stripe82-pictures", rng)
    office(folder / "office31", rng)
    deepmerge(folder / "zenodo-4507941", rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in re.findall(r"^galmorph (import .*)$", PAGE, re.MULTILINE):
            main(shlex.split(command.replace("--size 256", "--size 32")))
    return folder / "paper-data"


def train_briefly(path, imported, out, **network):
    """Two epochs of a recipe with a slim network; it and what came of it."""
    recipe = load_recipe(path)
    data, target = (imported / each.path.relative_to(ROOT / "paper-data") for each in (recipe.source, recipe.target))
    if recipe.network.encoder != "deepmerge":
        network |= {"encoder": "resnet18", "encoder_options": {"channels": [8, 8, 16, 16]}}
    short = dataclasses.replace(
        recipe,
        network=dataclasses.replace(recipe.network, **network),
        split=dataclasses.replace(recipe.split, stratified=True),
        method=dataclasses.replace(recipe.method, warmup_epochs=0.0, ramp_epochs=1.0),
        fit=dataclasses.replace(recipe.fit, epochs=2, batch_size=24),
    )
    return recipe, train(short, out, data=data, target=target, device="cpu", progress=False)


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_recipe_trains_on_its_layout(path, imported, tmp_path):
    network = {}
    if initial := load_recipe(path).network.initial:
        # The row of another recipe, with the seed that it was trained with.
        row, seed = initial.relative_to(ROOT / "runs").parts
        first = path.parent / f"{row}.toml"
        assert seed == f"seed-{load_recipe(first).seed}"
        train_briefly(first, imported, tmp_path / "first")
        network = {"initial": tmp_path / "first"}
    recipe, result = train_briefly(path, imported, tmp_path / "out", **network)
    assert result.epochs == 2
    adapts = recipe.method.name != "source_only"
    assert ("adapting" in result.metrics) == adapts
    if "active_fraction" in result.metrics:
        # A margin that leaves no sample active would switch the loss off.
        assert result.metrics["margin"] < result.metrics["rho"]


def test_page_lists_every_recipe():
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(IDS)
    names = [load_recipe(path).name for path in RECIPES]
    assert names == [stem.replace("_", "-") for stem in IDS]
    for path in re.findall(r"training/papers/\S+\.toml", PAGE):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", RECIPES, ids=IDS)
def test_settings_that_are_printed(path):
    """The papers' own numbers, apart from the files."""
    recipe = load_recipe(path)
    assert recipe.guard.mode == "off"
    shares = (recipe.split.train, recipe.split.validation, recipe.split.test)
    if path.parent.name == "deepastrouda":
        assert shares == (0.6, 0.2, 0.2)
        assert (recipe.network.encoder, recipe.optimiser.name, recipe.fit.patience) == ("resnet50", "sgd", 12)
        assert recipe.export.unknown_score == "entropy"
        optimiser, clustering = recipe.optimiser, recipe.method.clustering
        assert (optimiser.schedule, optimiser.step_epochs) == ("step", 7 if "lsst" in path.stem else 10)
        assert (optimiser.step_factor, recipe.method.separation.rho) == (0.1, 0.5)
        assert (recipe.views.turn, recipe.views.flip, recipe.views.zoom) == (True, False, 300 / 256)
        assert (clustering.space, clustering.match, clustering.ambiguous) == ("probability", "ordered", "apart")
        # Neighbours are DANCE's; DeepAstroUDA is printed without.
        assert recipe.method.weights["neighbourhood"] == (0.05 if recipe.method.name == "dance" else 0.0)
        two = "lsst" in path.stem
        assert (clustering.top, clustering.alike_below) == ((1, 1.0) if two else (7, None))
        if recipe.method.name == "dance":
            # DANCE's rate and penalty act on a loss that is not divided by the number of classes, as ours is.
            classes = len(recipe.source.classes)
            acting = (optimiser.learning_rate / classes, optimiser.learning_rate * optimiser.weight_decay)
            assert acting == pytest.approx((1e-2, 1e-2 * 5e-4))
            assert (recipe.network.head, recipe.network.batch_norm) == ("cosine", "shared")
            assert not recipe.method.class_weights
            assert (recipe.method.warmup_epochs, recipe.method.ramp_epochs) == (0.0, 0.0)
        else:
            assert optimiser.learning_rate == 1e-3
            assert (recipe.network.head, recipe.network.batch_norm) == ("linear", "domain")
            assert recipe.method.class_weights
    else:
        # Table A2 and A3: rate, weight decay, cycle, patience, weight of the transfer loss.
        printed = {
            "z2_deepmerge_none": (1e-3, 0.01, 8, 20, None),
            "z2_deepmerge_mmd": (1e-3, 1e-4, 8, 20, 1),
            "z2_deepmerge_mmd_f": (1e-3, 1e-4, 8, 20, 1),
            "z2_deepmerge_adversarial": (1e-3, 1e-4, 8, 20, 1),
            "z2_deepmerge_adversarial_f": (1e-3, 1e-4, 8, 20, 1),
            "z2_resnet18_none": (2.3e-4, 0.1, 2, 15, None),
            "z2_resnet18_mmd": (2.3e-4, 0.08, 2, 15, 0.01),
            "z2_resnet18_mmd_f": (2.3e-4, 0.08, 2, 15, 1),
            "z2_resnet18_adversarial": (1e-3, 1e-4, 2, 15, 0.1),
            "z2_resnet18_adversarial_f": (1e-3, 1e-4, 8, 15, 0.1),
            "sdss_deepmerge_none": (1e-3, 1e-3, 5, 20, None),
            "sdss_deepmerge_mmd": (1e-3, 1e-3, 5, 20, 1),
            "sdss_deepmerge_transfer": (1e-2, 1e-4, 5, 20, 1),
        }[path.stem]
        assert shares == (0.7, 0.1, 0.2)
        weights = recipe.method.weights
        optimiser = recipe.optimiser
        assert (
            optimiser.learning_rate,
            pytest.approx(2 * optimiser.weight_decay),
            optimiser.cycle_epochs,
            recipe.fit.patience,
            weights.get("mmd", weights.get("adversary")),
        ) == printed
        assert (recipe.fit.batch_size, optimiser.betas) == (128, (0.7, 0.8))
        assert (optimiser.name, optimiser.schedule) == ("adam", "triangle")
        # Dropout, and of the methods that have them lambda_w, lambda_b, lambda_EM and the discriminator's rate.
        assert recipe.network.dropout == (0.6 if path.stem == "z2_resnet18_none" else 0.0)
        assert recipe.network.bottleneck == (256 if "resnet18" in path.stem else 0)
        fisher = {
            "z2_deepmerge_mmd_f": (0.01, 1.0, 0.05),
            "z2_deepmerge_adversarial_f": (1e-4, 1.0, 1e-4),
            "z2_resnet18_mmd_f": (0.01, 1.0, 0.05),
            "z2_resnet18_adversarial_f": (0.01, 1.0, 0.05),
        }.get(path.stem)
        if fisher:
            assert (recipe.method.fisher.within, recipe.method.fisher.between, weights["entropy"]) == fisher
            assert weights["fisher"] == 1.0
        rates = {"z2_deepmerge_adversarial_f": 0.01, "z2_resnet18_adversarial_f": 0.1}
        assert recipe.method.discriminator.rate == rates.get(path.stem, 1.0)
