"""A network that looks at an image in several orientations."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from make_recipe import tiny_recipe

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.inference.session import ScoringSession
from galmorph.training.ensemble import as_served
from galmorph.training.export import export
from galmorph.training.fit import load_training, train
from galmorph.training.guarded import predict
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.orientations import Oriented, orient
from galmorph.training.stretch import Stretch

#: Quarter turns, with and without a mirror.
ALL = list(itertools.product(range(4), (False, True)))


def turn(images, turns, mirrored):
    turned = torch.rot90(images, turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def network(encoder="resnet18", head="linear", open_head=False):
    torch.manual_seed(0)
    options = NetworkOptions(
        encoder=encoder, encoder_options={"channels": [8, 8, 16, 16]} if encoder == "resnet18" else {}, head=head
    )
    stretch = Stretch("asinh", [0.05] * 3, scale=5.0)
    return build_network(options, stretch, bands=3, size=24, classes=4, open_head=open_head).eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("orientations", [4, 8])
def test_every_orientation_is_there_once(images, orientations):
    found = orient(images, orientations).unflatten(0, (orientations, -1))
    assert torch.equal(found[0], images)
    expected = [turn(images, *how) for how in ALL if orientations == 8 or not how[1]]
    for one in expected:
        assert sum(torch.equal(one, other) for other in found) == 1


@pytest.mark.parametrize(
    ("encoder", "head", "open_head"),
    [
        ("resnet18", "linear", False),
        ("resnet18", "cosine", False),
        ("resnet18", "linear", True),
        ("deepmerge", "linear", False),
    ],
)
def test_the_answer_is_the_same_whichever_way_an_image_lies(images, encoder, head, open_head):
    served = Oriented(network(encoder, head, open_head), 8)
    with torch.inference_mode():
        logits, features = served(images)
        for how in ALL:
            for before, after in zip((logits, features), served(turn(images, *how)), strict=True):
                torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
        once = network(encoder, head, open_head)
        assert (once(images)[0] - once(turn(images, 1, False))[0]).abs().max() > 1e-3


def test_quarter_turns_alone_leave_mirror_images_apart(images):
    served = Oriented(network(), 4)
    with torch.inference_mode():
        torch.testing.assert_close(served(images)[0], served(turn(images, 3, False))[0], atol=1e-4, rtol=1e-4)
        assert (served(images)[0] - served(turn(images, 0, True))[0]).abs().max() > 1e-3


def test_a_linear_layer_gives_the_mean_of_the_logits(images):
    once = network()
    with torch.inference_mode():
        expected = [torch.stack(part).mean(0) for part in zip(*(once(turn(images, *how)) for how in ALL), strict=True)]
        for mean, found in zip(expected, Oriented(once, 8)(images), strict=True):
            torch.testing.assert_close(found, mean, atol=1e-5, rtol=1e-4)


def test_one_orientation_is_the_network_itself():
    once = network()
    assert as_served([once], 1) is once


def test_a_bundle_answers_so_in_every_precision(cutouts, tmp_path):
    """Graph, guard and a survey run say the same of an image and of its turned copies."""
    options = {"precisions": ["int8", "float16"], "accuracy_drop": 1.0, "flags_kept": 0.0}
    encoder = {"encoder": "resnet18", "encoder_options": {"channels": [8, 8, 16, 16]}}
    recipe = tiny_recipe(cutouts, network=encoder, fit={"epochs": 1}, export=options)
    trained = train(recipe, tmp_path / "training", device="cpu", progress=False)
    bundle = load_bundle(export(trained.checkpoint, tmp_path / "bundle", orientations=8))
    assert bundle.manifest.training["recipe"]["export"]["orientations"] == 8
    assert bundle.manifest.batch == 2
    assert set(bundle.manifest.precisions) == {"int8", "float16"}
    assert not any("refused" in one for one in bundle.manifest.precisions.values())
    images = np.array(read_cutout_set(cutouts).images[:6])
    turned = np.ascontiguousarray(np.rot90(images, axes=(2, 3))[..., ::-1])
    module, _ = load_training(trained.checkpoint)
    module.recipe = replace(module.recipe, export=replace(module.recipe.export, orientations=8))
    expected = predict(module, images, np.arange(6), "source")[0]
    for precision, tolerance in (("float32", 1e-4), ("float16", 0.02), ("int8", 0.2)):
        session = ScoringSession(bundle, precision=precision)
        upright, lying = session.predict(images)[0], session.predict(turned)[0]
        np.testing.assert_allclose(upright, expected, atol=tolerance)
        np.testing.assert_allclose(upright, lying, atol=tolerance / 10)
