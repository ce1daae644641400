import json

import numpy as np
import pandas as pd
import pytest

from galmorph import flags
from galmorph.imaging import Imaging, measure_imaging, point_depth, scale_of_pixels


def objects(n: int = 100) -> pd.DataFrame:
    """Round objects of two arcsec: an aperture of 4 pi square arcsec."""
    return pd.DataFrame(
        {
            "radius": np.full(n, 2.0),
            "ellipticity": np.zeros(n),
            "half_light_radius": np.linspace(0.5, 1.5, n),
            "snr": np.full(n, 50.0),
            "flags": np.zeros(n, dtype=np.int64),
            "flux_err_r": np.full(n, 0.3),
        }
    )


def test_noise_is_that_of_a_square_arcsec():
    found = measure_imaging(objects(), ["r"], {"r": 1.0}, 0.25)
    assert found.noise["r"] == pytest.approx(0.3 / np.sqrt(4 * np.pi))
    assert found.sharpness == pytest.approx(2 * np.quantile(np.linspace(0.5, 1.5, 100), 0.05))
    assert found.pixel_scale == 0.25


def test_the_aperture_of_an_elongated_object_is_an_ellipse():
    noise = measure_imaging(objects().assign(ellipticity=0.75), ["r"], {}, 0.25).noise["r"]
    assert noise == pytest.approx(0.3 / np.sqrt(np.pi))


def test_depth_by_hand():
    # Gaussian of 1 arcsec: sigma 0.42466, effective area 4 pi sigma² = 2.2662 square arcsec.
    assert point_depth(0.1, 1.0) == pytest.approx(22.5 - 2.5 * np.log10(0.5 * np.sqrt(2.26617)), abs=1e-4)
    assert np.isnan(point_depth(np.nan, 1.0))


@pytest.mark.parametrize(
    "spoiled", [flags.BLENDED, flags.SATURATED, flags.TRUNCATED, flags.BAD_PHOTOMETRY, flags.MASKED]
)
def test_spoiled_and_faint_objects_do_not_count(spoiled):
    table = objects()
    table.loc[:49, "flags"] = spoiled
    table.loc[:49, "flux_err_r"] = 99.0
    table["snr"] = 5.0
    found = measure_imaging(table, ["r"], {}, 0.25)
    assert found.noise["r"] == pytest.approx(0.3 / np.sqrt(4 * np.pi))
    assert np.isnan(found.sharpness)
    assert np.isnan(found.depth["r"])


def test_few_objects_tell_nothing():
    assert np.isnan(measure_imaging(objects(19), ["r"], {"r": 1.0}, 0.25).noise["r"])
    enough = measure_imaging(objects(20), ["r"], {"r": 1.0}, 0.25)
    assert np.isfinite([enough.noise["r"], enough.sharpness]).all()
    assert np.isnan(measure_imaging(objects(0), ["r"], {"r": 1.0}, 0.25).sharpness)


def test_facts_survive_json():
    found = measure_imaging(objects(19), ["r"], {"r": 1.0}, 0.25)
    again = Imaging.from_dict(json.loads(json.dumps(found.to_dict())))
    assert np.isnan(again.noise["r"])
    assert (again.seeing, again.pixel_scale, again.objects) == ({"r": 1.0}, 0.25, 19)


def test_pixel_scale_from_positions():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1000, (2, 60))
    ra, dec = 150 - (x - 500) * 0.262 / 3600 / np.cos(np.radians(40)), 40 + (y - 500) * 0.262 / 3600
    assert scale_of_pixels(x, y, ra, dec) == pytest.approx(0.262, rel=1e-3)
    assert np.isnan(scale_of_pixels(x[:1], y[:1], ra[:1], dec[:1]))
