import numpy as np
import pytest
import torch

from galmorph.errors import DataError
from galmorph.training.options import StretchOptions
from galmorph.training.stretch import Stretch, fit_stretch, sky_noise

EXTREMES = torch.tensor([0.0, 1e-30, -1e-30, 1e3, -1e3, 1e30, -1e30, 3e38, -3e38])


def test_asinh_by_formula():
    image = torch.tensor([-3.0, 0.0, 0.5, 200.0]).reshape(1, 1, 2, 2)
    expected = torch.asinh(image / 2) / 4
    torch.testing.assert_close(Stretch("asinh", [2.0], scale=4.0)(image), expected)


def test_lupton_by_formula_and_keeps_colours():
    image = torch.tensor([8.0, 4.0, 12.0]).reshape(1, 3, 1, 1)
    result = Stretch("lupton", [1.0, 1.0, 1.0], scale=2.0)(image)
    torch.testing.assert_close(result, image * np.arcsinh(8.0) / 8.0 / 2.0)
    torch.testing.assert_close(result[0, 2] / result[0, 1], torch.tensor([[3.0]]))


def test_lupton_is_linear_where_it_is_dark():
    image = torch.tensor([1e-5, -1e-5, 3e-5]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(Stretch("lupton", [1.0] * 3)(image), image)


def test_linear_maps_low_and_high_to_zero_and_one():
    image = torch.tensor([-10.0, 0.0, 127.5, 300.0]).reshape(1, 1, 2, 2)
    result = fit_stretch(image.numpy(), np.array([0]), StretchOptions(kind="linear", low=0.0, high=255.0))(image)
    assert result.flatten().tolist() == [0.0, 0.0, 0.5, 1.0]


def test_linear_between_any_two_values_and_after_a_round_trip():
    image = torch.tensor([5.0, 10.0, 15.0, 30.0, 60.0, 50.0]).reshape(1, 1, 2, 3)
    stretch = fit_stretch(image.numpy(), np.array([0]), StretchOptions(kind="linear", low=10.0, high=50.0))
    for each in (stretch, Stretch.from_dict(stretch.to_dict())):
        assert each(image).flatten().tolist() == [0.0, 0.0, 0.125, 0.5, 1.0, 1.0]


def test_its_numbers_are_in_the_manifest_and_not_among_the_weights():
    assert Stretch("percentile", [1.0, 2.0], limits=[[0.0, 1.0], [0.0, 2.0]]).state_dict() == {}


def test_percentile_by_formula_and_from_the_training_part_alone():
    rng = np.random.default_rng(0)
    images = rng.normal(1, 3, (40, 2, 8, 8)).astype(np.float32)
    images[20:] *= 100
    stretch = fit_stretch(images, np.arange(20), StretchOptions(kind="percentile"))
    expected = np.empty_like(images)
    for band in range(2):
        low, high = np.percentile(images[:20, band], [0.1, 99.9])
        expected[:, band] = (np.arcsinh(0.85 * np.clip(images[:, band], low, high) / high) + 1) / 2
    np.testing.assert_allclose(stretch(torch.from_numpy(images)).numpy(), expected, atol=1e-5)
    again = Stretch.from_dict(stretch.to_dict())
    torch.testing.assert_close(again(torch.from_numpy(images)), stretch(torch.from_numpy(images)))
    with pytest.raises(DataError, match="no positive values"):
        fit_stretch(-np.abs(images), np.arange(20), StretchOptions(kind="percentile"))
    for dark in (-1.0, 0.0):
        images[:, 1] = dark
        with pytest.raises(DataError, match="no positive values"):
            fit_stretch(images, np.arange(20), StretchOptions(kind="percentile"))


@pytest.mark.parametrize("kind", ["asinh", "lupton", "linear"])
def test_finite_for_any_finite_input(kind):
    grid = torch.cartesian_prod(EXTREMES, EXTREMES, EXTREMES)[:, :, None, None]
    assert torch.isfinite(Stretch(kind, [0.01, 0.02, 0.03], scale=3.0)(grid)).all()


def test_fit_uses_noise_per_band_and_training_rows_only():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(200, 2, 16, 16)) * np.array([0.5, 2.0])[:, None, None]
    images[:, :, 7:9, 7:9] += 50
    images[100:] *= 1e3
    stretch = fit_stretch(images.astype(np.float32), np.arange(100), StretchOptions(softening=3.0))
    assert stretch.to_dict()["softening"] == pytest.approx([1.5, 6.0], rel=0.05)
    brightness = stretch(torch.from_numpy(images[:100].astype(np.float32)))
    assert np.percentile(brightness.numpy(), 99.5) == pytest.approx(1, rel=1e-5)


def test_noise_ignores_padding():
    images = np.random.default_rng(0).normal(size=(100, 1, 16, 16)).astype(np.float32)
    images[:, :, :, :8] = 0
    assert sky_noise(images) == pytest.approx([1.0], rel=0.05)


def test_noise_is_that_of_the_two_outermost_rings_whatever_its_sign():
    """Padding around a ring of -3 around an object."""
    images = np.full((2, 1, 12, 12), 100, dtype=np.float32)
    images[:, :, [0, -1]] = images[:, :, :, [0, -1]] = 0
    images[:, :, [1, -2], 1:-1] = images[:, :, 1:-1, [1, -2]] = -3
    assert sky_noise(images) == pytest.approx([1.4826 * 3])


def test_same_after_a_round_trip():
    stretch = Stretch("lupton", [0.1, 0.2, 0.3], scale=5.0)
    image = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Stretch.from_dict(stretch.to_dict())(image), stretch(image))


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "0 at all edges"), (np.nan, "not finite"), (-1.0, "no positive flux")]
)
def test_images_that_cannot_be_fitted(value, message):
    images = np.full((4, 1, 8, 8), value, dtype=np.float32)
    with pytest.raises(DataError, match=message):
        fit_stretch(images, np.arange(4), StretchOptions())


def test_asinh_is_exact_from_faint_to_bright():
    values = np.concatenate([-np.geomspace(1e-6, 1e4, 50), [0], np.geomspace(1e-6, 1e4, 50)])
    images = torch.tensor(values, dtype=torch.float32).reshape(1, 1, 1, -1)
    result = Stretch("asinh", [1.0])(images).flatten().double()
    torch.testing.assert_close(result, torch.from_numpy(np.arcsinh(values)), rtol=2e-4, atol=0)
