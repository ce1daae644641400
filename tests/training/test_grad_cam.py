import numpy as np
import pytest
import torch
from torch import nn

from galmorph.errors import ConfigError
from galmorph.training.domain_norm import set_domain, split_norms
from galmorph.training.grad_cam import enlarge, grad_cam, last_maps
from galmorph.training.networks import Classifier, build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch


class Tiny(nn.Module):
    """Two maps, x and -x; then the squares of their means."""

    feature_info = ({"module": "maps"},)

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)

    def forward(self, images):
        return self.maps(images).mean(dim=(2, 3)) ** 2


def tiny():
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.tensor([[2.0, 4.0], [0.0, 8.0]])
    return Classifier(Stretch("linear", [1.0]), Tiny(), nn.Identity(), head, 0.0).eval()


IMAGE = torch.tensor([[[[0.5, 1.0], [0.0, 0.5]]]])


def test_by_hand():
    # Means 0.5 and -0.5, squares 0.25 each; logits 1.5 and 2. d logit / d pixel of map k = weight * 2 * mean / 4.
    network = tiny()
    assert network(IMAGE)[0].tolist() == [[1.5, 2.0]]
    # Of class 0: 0.5 for x and -1 for -x, in all 1.5 x. Of class 1: -2 for -x, which makes 2 x.
    np.testing.assert_allclose(grad_cam(network, IMAGE, torch.tensor([0])), 1.5 * IMAGE[:, 0], rtol=1e-6)
    np.testing.assert_allclose(grad_cam(network, IMAGE, torch.tensor([1])), 2.0 * IMAGE[:, 0], rtol=1e-6)
    np.testing.assert_allclose(grad_cam(network, IMAGE), 2.0 * IMAGE[:, 0], rtol=1e-6)


def test_what_speaks_against_a_class_is_cut():
    network = tiny()
    network.head.weight.data = torch.tensor([[-2.0, 0.0], [0.0, 0.0]])
    assert grad_cam(network, IMAGE, torch.tensor([0])).tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert enlarge(np.zeros((1, 2, 2), dtype=np.float32), 4).max() == 0


def test_images_do_not_touch_each_other():
    network = tiny()
    both = grad_cam(network, torch.cat([IMAGE, 0.5 * IMAGE]), torch.tensor([1, 0]))
    # The mean is half as large, and so are gradient and map.
    np.testing.assert_allclose(both[0], 2.0 * IMAGE[0, 0], rtol=1e-6)
    np.testing.assert_allclose(both[1], 1.5 * 0.25 * IMAGE[0, 0], rtol=1e-6)


def test_enlarged_maps_reach_one():
    large = enlarge(np.array([[[0.0, 2.0], [0.0, 2.0]]], dtype=np.float32), 4)
    np.testing.assert_allclose(large[0], np.tile([0.0, 0.25, 0.75, 1.0], (4, 1)))


@pytest.mark.parametrize(
    ("options", "shape", "domains"),
    [
        ({"encoder": "deepmerge"}, (32, 12, 12), False),
        ({"encoder": "deepmerge"}, (32, 12, 12), True),
        ({"encoder": "resnet18", "encoder_options": {"channels": [4, 4, 4, 6]}, "bottleneck": 5}, (6, 2, 2), False),
        ({"encoder": "resnet18", "encoder_options": {"channels": [4, 4, 4, 6]}}, (6, 2, 2), True),
    ],
)
def test_weights_are_how_the_logit_answers_to_a_brighter_map(options, shape, domains):
    """Independently of gradients: a map is made brighter by a little everywhere."""
    torch.manual_seed(1)
    network = build_network(NetworkOptions(**options), Stretch("asinh", [1.0] * 3), bands=3, size=48, classes=3)
    if domains:
        split_norms(network)
        set_domain(network, "target")
    network = network.double().eval()
    images = torch.randn(2, 3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer, found, brighter = last_maps(network.encoder), [], torch.zeros(shape[0], 1, 1, dtype=torch.float64)

    def brighten(module, given, output):
        found.append(output.detach())
        return output + brighter

    classes = torch.tensor([0, 2])
    with torch.no_grad():
        hook = layer.register_forward_hook(brighten)
        weights = torch.zeros(2, shape[0], dtype=torch.float64)
        for number in range(shape[0]):
            ends = []
            for step in (1e-6, -1e-6):
                brighter[:] = 0
                brighter[number] = step
                ends.append(network(images)[0][[0, 1], classes])
            weights[:, number] = (ends[0] - ends[1]) / 2e-6 / shape[1] / shape[2]
        hook.remove()
    assert found[0].shape[1:] == shape
    expected = torch.einsum("nk,nkhw->nhw", weights, found[0]).clamp(min=0).numpy()
    np.testing.assert_allclose(grad_cam(network, images, classes), expected, rtol=1e-4, atol=1e-5 * expected.max())
    assert not layer._forward_hooks


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "convnext_atto", "mobilenetv3_small_050"])
def test_other_encoders_of_convolutions(encoder):
    torch.manual_seed(0)
    network = build_network(NetworkOptions(encoder=encoder), Stretch("asinh", [1.0] * 3), bands=3, size=64, classes=3)
    maps = grad_cam(network.eval(), torch.randn(1, 3, 64, 64))
    assert maps.shape == (1, 2, 2)
    assert np.isfinite(maps).all()


def test_a_transformer_has_no_maps():
    options = NetworkOptions(encoder="vit_tiny_patch16_224", encoder_options={"img_size": 32, "depth": 1})
    network = build_network(options, Stretch("asinh", [1.0] * 3), bands=3, size=32, classes=3)
    with pytest.raises(ConfigError, match="needs one set of maps of convolutions"):
        grad_cam(network.eval(), torch.zeros(1, 3, 32, 32))
    with pytest.raises(ConfigError, match="does not say which are its last maps"):
        last_maps(nn.Linear(2, 2))


class Several(Tiny):
    """What it names gives a list of maps, as in HRNet, or is not called, as in CoaT."""

    def __init__(self, called):
        super().__init__()
        self.split = nn.Identity()
        self.called = called
        self.feature_info = ({"module": "split"},)

    def forward(self, images):
        maps = self.maps(images)
        return (self.split([maps])[0] if self.called else maps).mean(dim=(2, 3)) ** 2


@pytest.mark.parametrize("called", [True, False])
def test_an_encoder_with_several_maps_or_none(called):
    network = tiny()
    network.encoder = Several(called)
    with pytest.raises(ConfigError, match="this encoder gives none, or several"):
        grad_cam(network, IMAGE)
