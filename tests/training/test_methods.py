import pytest
import torch

from galmorph.errors import ConfigError
from galmorph.training.losses import class_weights, weighted_cross_entropy
from galmorph.training.methods import METHODS, TERMS, Objective, Outputs
from galmorph.training.options import MethodOptions


@pytest.fixture
def outputs() -> Outputs:
    generator = torch.Generator().manual_seed(0)
    return Outputs(
        logits=torch.randn(6, 3, generator=generator),
        features=torch.randn(6, 5, generator=generator),
        labels=torch.arange(6) % 3,
    )


def test_every_method_names_losses_that_exist():
    assert all(set(method.losses) <= set(TERMS) for method in METHODS.values())


def test_source_only_is_the_weighted_cross_entropy(outputs):
    total, parts = Objective(MethodOptions(label_smoothing=0.1), [1, 2, 3])(outputs)
    expected = weighted_cross_entropy(outputs.logits, outputs.labels, class_weights([1, 2, 3]), 0.1)
    torch.testing.assert_close(total, expected)
    assert set(parts) == {"cross_entropy"}


def test_weight_scales_the_total_and_not_the_part(outputs):
    plain, parts = Objective(MethodOptions(), [1, 2, 3])(outputs)
    scaled, scaled_parts = Objective(MethodOptions(weights={"cross_entropy": 2.5}), [1, 2, 3])(outputs)
    torch.testing.assert_close(scaled, 2.5 * plain)
    assert scaled_parts == parts


def test_without_class_weights_all_classes_count_alike(outputs):
    first, _ = Objective(MethodOptions(class_weights=False), [1, 2, 3])(outputs)
    second, _ = Objective(MethodOptions(), [4, 4, 4])(outputs)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (MethodOptions(name="magic"), "method.name must be one of source_only; got 'magic'"),
        (MethodOptions(weights={"mmd": 1.0}), "has the losses cross_entropy; method.weights names mmd"),
    ],
)
def test_impossible_methods(options, message):
    with pytest.raises(ConfigError, match=message):
        Objective(options, [1, 2])
