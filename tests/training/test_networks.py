import pytest
import torch

from galmorph.errors import ConfigError
from galmorph.training.heads import CosineHead
from galmorph.training.losses import joint_logits
from galmorph.training.networks import build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch

STRETCH = Stretch("asinh", [1.0, 1.0, 1.0])


def build(size=32, classes=4, **options):
    return build_network(NetworkOptions(**options), STRETCH, bands=3, size=size, classes=classes)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_deepmerge_has_the_papers_number_of_parameters():
    network = build(size=75, classes=2, encoder="deepmerge")
    assert count(network) == 174_626
    assert network.encoder(torch.zeros(1, 3, 75, 75)).shape == (1, 2592)


@pytest.mark.parametrize(
    ("options", "features"),
    [
        ({"encoder": "deepmerge"}, 32),
        ({"encoder": "resnet18"}, 512),
        ({"encoder": "resnet18", "encoder_options": {"channels": [8, 16, 24, 40]}}, 40),
        ({"encoder": "mobilenetv3_small_050"}, 1024),
    ],
)
def test_logits_and_features(options, features):
    network = build(**options).eval()
    logits, vector = network(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 4)
    assert vector.shape == (2, features)
    torch.testing.assert_close(logits, network.head(vector))


def test_slim_resnet_fits_into_the_repository():
    assert 4 * count(build(encoder="resnet18", encoder_options={"channels": [16, 32, 64, 128]})) < 4.5e6


def test_evaluation_does_not_depend_on_the_batch():
    network = build(encoder="resnet18", encoder_options={"channels": [8, 8, 8, 8]}, dropout=0.5).eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images)[0][:1], network(images[:1])[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet81"}, "must be 'deepmerge' or an encoder of timm, got 'resnet81'"),
        ({"encoder": "resnet18", "encoder_options": {"chanels": [8]}}, r"cannot be made .*chanels"),
        ({"encoder": "resnet18", "encoder_options": {"channels": [8, 8]}}, r"cannot be made .*channels.*layer3"),
        ({"encoder": "resnet18", "encoder_options": {"act_layer": "none"}}, r"cannot be made .*act_layer.*KeyError"),
        ({"encoder": "resnet18", "encoder_options": {"pretrained": True}}, r"cannot set pretrained: .*initial"),
        ({"encoder": "vit_tiny_patch16_224"}, r"cannot be made for 3 x 32 x 32 images"),
        ({"encoder": "deepmerge", "encoder_options": {"a": 1}}, "takes no encoder_options"),
        ({"encoder": "deepmerge", "size": 7}, "at least 8 pixels, got 7"),
    ],
)
def test_impossible_networks(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)


def test_bottleneck_is_what_domains_are_aligned_by():
    network = build(encoder="resnet18", encoder_options={"channels": [8, 8, 8, 8]}, bottleneck=16).eval()
    seen = network.activations(torch.zeros(2, 3, 32, 32))
    assert seen.embedding.shape == seen.features.shape == (2, 16)
    assert isinstance(network.encoder[-1], torch.nn.Linear)
    assert build(encoder="deepmerge").lengths(3, 32) == (32 * 4 * 4, 32)
    with pytest.raises(ConfigError, match="no bottleneck"):
        build(encoder="deepmerge", bottleneck=16)


def test_cosine_head_by_hand():
    head = CosineHead(2, 2)
    head.weight.data = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    logits = head(torch.tensor([[3.0, 0.0]]))
    assert logits[0].tolist() == pytest.approx([20.0, 20 / 2**0.5])
    torch.testing.assert_close(head(torch.tensor([[30.0, 0.0]])), logits)


def test_open_head_joins_the_logits():
    network = build_network(NetworkOptions(encoder="deepmerge"), STRETCH, bands=3, size=24, classes=4, open_head=True)
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    seen = network.eval().activations(images)
    assert seen.open_logits.shape == (2, 4, 2)
    torch.testing.assert_close(network(images)[0], joint_logits(seen.logits, seen.open_logits))
