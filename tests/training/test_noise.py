"""How noisy images are, and how much noise one set lacks beside another."""

import numpy as np
import pytest
import torch
from make_recipe import tiny_recipe

from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set, write_cutout_set
from galmorph.errors import ConfigError
from galmorph.training.domains import read_domains
from galmorph.training.fit import load_training
from galmorph.training.guarded import train_guarded
from galmorph.training.loaders import Batch, Pair
from galmorph.training.networks import build_network
from galmorph.training.noise import lacking_noise, pixel_noise
from galmorph.training.options import NetworkOptions, ViewOptions
from galmorph.training.step import observe
from galmorph.training.stretch import Stretch
from galmorph.training.views import add_noise


def noisy(*sigmas, n=200, size=24, level=0.0):
    drawn = np.random.default_rng(0).normal(size=(n, len(sigmas), size, size))
    return (level + drawn * np.array(sigmas)[:, None, None]).astype(np.float32)


def test_noise_is_that_of_pixels_whatever_the_sky():
    rows = np.arange(200)
    assert pixel_noise(noisy(1.0, 3.0), rows) == pytest.approx([1.0, 3.0], rel=0.02)
    slope = 40 * np.arange(200, dtype=np.float32)[:, None, None, None]
    assert pixel_noise(noisy(2.0, level=500.0) + slope, rows) == pytest.approx([2.0], rel=0.02)


def test_objects_and_padding_are_no_noise():
    images, rows = noisy(1.0), np.arange(200)
    images[:, :, 6:-6, 6:-6] += 1000 * np.random.default_rng(1).random((200, 1, 12, 12)).astype(np.float32)
    images[:2] = 0
    assert pixel_noise(images, rows) == pytest.approx([1.0], rel=0.02)
    drawings = np.zeros((200, 1, 24, 24), np.float32)
    drawings[:, :, 2:10, 2:10] = noisy(9.0)[:, :, 2:10, 2:10]
    assert pixel_noise(drawings, rows) == [0.0]


def test_only_the_rows_given_are_looked_at():
    images = np.concatenate([noisy(1.0), noisy(9.0)])
    assert pixel_noise(images, np.arange(200)) == pytest.approx([1.0], rel=0.02)


def test_what_is_lacking_adds_in_quadrature():
    assert lacking_noise([1.0, 2.0, 0.0], [3.0, 1.0, 4.0]) == pytest.approx([np.sqrt(8), 0.0, 4.0])
    assert lacking_noise([0.3], [0.5]) == pytest.approx([0.4])
    assert lacking_noise([1.0], [1.2]) == [0.0]
    source, (lacking,) = noisy(2.0), lacking_noise([2.0], [5.0])
    more = source + lacking * np.random.default_rng(2).normal(size=source.shape)
    assert more.std() == pytest.approx(5.0, rel=0.01)


def test_noise_is_added_up_to_its_largest_in_each_band():
    images, largest = torch.zeros(4000, 2, 8, 8), torch.tensor([1.0, 4.0])
    added = add_noise(images, largest, torch.Generator().manual_seed(0))
    spread = added.std(dim=(2, 3))
    # The standard deviation is drawn evenly between nothing and the largest.
    torch.testing.assert_close((spread**2).mean(dim=0), largest**2 / 3, rtol=0.03, atol=0)
    torch.testing.assert_close(spread.mean(dim=0), largest / 2, rtol=0.03, atol=0)
    assert float(spread[:, 0].max()) < 1.5
    torch.testing.assert_close(added[:, 0].mean(), torch.tensor(0.0), rtol=0, atol=0.01)


def test_only_views_of_the_source_get_noise(network):
    pair = Pair(*(Batch(torch.rand(4, 2, 16, 16), torch.zeros(4, dtype=int), torch.arange(4)) for _ in range(2)))
    quiet = ViewOptions(turn=False, flip=False, zoom=1.0)
    plain, more = (
        observe(network, pair, quiet, torch.Generator().manual_seed(0), noise=noise) for noise in (None, torch.ones(2))
    )
    assert not torch.equal(plain.source.first.logits, more.source.first.logits)
    assert torch.equal(plain.target.first.logits, more.target.first.logits)


@pytest.fixture
def network():
    options = NetworkOptions(encoder="deepmerge")
    return build_network(options, Stretch("linear", [1.0, 1.0]), bands=2, size=16, classes=2).eval()


@pytest.fixture(scope="session")
def worse(cutouts, tmp_path_factory):
    """The cutouts with noise, and how much of it in each band."""
    given = read_cutout_set(cutouts)
    images = np.asarray(given.images)
    added = 3 * np.array(pixel_noise(images, np.arange(len(images))))
    noise = added[:, None, None] * np.random.default_rng(0).normal(size=images.shape)
    path = tmp_path_factory.mktemp("worse") / "set"
    write_cutout_set(path, (images + noise).astype(np.float32), given.labels, given.meta)
    return path, added


def recipe_for(cutouts, path, **tables):
    return tiny_recipe(
        cutouts, **{"method": {"name": "mmd"}, "target": {"path": str(path)}, "fit": {"epochs": 3}, **tables}
    )


def test_the_source_is_seen_as_noisy_as_the_target_by_both_twins(cutouts, worse, tmp_path):
    path, added = worse
    result = train_guarded(recipe_for(cutouts, path), tmp_path / "out", device="cpu", progress=False)
    modules = [load_training(tmp_path / "out" / which)[0] for which in (".", "source_only")]
    assert modules[0].noise.numpy() == pytest.approx(added, rel=0.15)
    assert torch.equal(modules[0].noise, modules[1].noise)
    assert result.noise == pytest.approx(modules[0].noise.tolist())


def test_a_target_that_is_no_noisier_changes_nothing(cutouts, worse):
    path, _ = worse
    assert not any(read_domains(recipe_for(path, cutouts)).noise)
    assert not any(read_domains(recipe_for(cutouts, path, views={"noise": 0.0})).noise)
    assert not any(read_domains(tiny_recipe(cutouts)).noise)


def test_noise_can_be_given(cutouts):
    bands = read_cutout_set(cutouts).images.shape[1]
    assert read_domains(tiny_recipe(cutouts, views={"noise": 2})).noise == [2.0] * bands
    each = [float(band) for band in range(bands)]
    assert read_domains(tiny_recipe(cutouts, views={"noise": each})).noise == each
    with pytest.raises(ConfigError, match=f"views.noise has {bands + 1} values, the images {bands} bands"):
        read_domains(tiny_recipe(cutouts, views={"noise": [*each, 1.0]}))


def test_the_command_says_how_noisy_the_source_was_made(cutouts, worse, tmp_path, capsys):
    path, _ = worse
    quick = {"fit": {"epochs": 1}, "method": {"name": "mmd", "warmup_epochs": 0, "ramp_epochs": 0}}
    (tmp_path / "recipe.toml").write_text(recipe_for(cutouts, path, guard={"mode": "off"}, **quick).to_toml())
    main(["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert "training images were given noise, up to " in capsys.readouterr().out
