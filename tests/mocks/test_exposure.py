import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from scipy.optimize import curve_fit

from galmorph.mocks.camera import camera_of
from galmorph.mocks.config import MockConfig
from galmorph.mocks.exposure import BAD, SATURATED, draw_scene, expose
from galmorph.mocks.files import write_tile
from galmorph.mocks.optics import MOFFAT_BETA
from galmorph.mocks.population import CLASS_PARAMETERS
from galmorph.mocks.sky import make_sky, tile_grid, tile_wcs
from galmorph.surveys import load_survey, survey_names

CONFIG = MockConfig(tile_side=90.0)
(TILE,) = tile_grid(1, 1600, CONFIG)
MOCKS = [name for name in survey_names() if name.startswith("mock-")]


def sky_of(*objects):
    """A sky of objects at offsets (arcsec east, north) from the centre of the tile."""
    rows = []
    for number, (east, north, changes) in enumerate(objects):
        row = dict.fromkeys(CLASS_PARAMETERS, np.nan)
        row |= {f"mag_{band}": 18.0 for band in "ugrizy"}
        row |= {"fine_class": "star", "half_light_radius": 0.0, "axis_ratio": 1.0, "position_angle": 0.0}
        row |= {"redshift": 0.05, "young_fraction": 0.0, "number": number}
        row |= {
            "dec": TILE.dec + north / 3600,
            "ra": TILE.ra + east / 3600 / np.cos(np.radians(TILE.dec + north / 3600)),
        }
        rows.append(row | changes)
    return pd.DataFrame(rows)


def scene_of(sky, name="mock-decals"):
    camera = camera_of(load_survey(name))
    wcs, side = tile_wcs(TILE, camera.pixel_scale, CONFIG)
    return draw_scene(sky, wcs, side, camera, camera.seeing, 1600), camera, wcs


GALAXY = {"fine_class": "round_smooth", "half_light_radius": 2.0, "sersic_index": 1.0, "axis_ratio": 0.9, "mag_r": 17.0}


@pytest.mark.parametrize("name", MOCKS)
def test_flux_survives_the_atmosphere(name):
    sky = sky_of((-20.0, 13.0, GALAXY), (18.0, -11.0, {"mag_r": 17.0}))
    scene, camera, _ = scene_of(sky, name)
    plane = scene[camera.bands.index("r")]
    middle = plane.shape[1] // 2
    expected = 10 ** (-0.4 * (17.0 - 22.5))
    # East is left: the galaxy, in the west, is on the right.
    assert plane[:, middle:].sum() == pytest.approx(expected, rel=0.01)
    assert plane[:, :middle].sum() == pytest.approx(expected, rel=0.01)


def test_objects_are_at_their_sky_positions():
    places = [(-25.0, 14.3), (17.2, -11.1), (3.3, 31.9), (-22.0, -24.0)]
    sky = sky_of(*((east, north, GALAXY if number % 2 else {}) for number, (east, north) in enumerate(places)))
    scene, _, wcs = scene_of(sky)
    y, x = np.indices(scene.shape[1:])
    for x0, y0 in zip(*wcs.world_to_pixel_values(sky["ra"], sky["dec"]), strict=True):
        near = scene[1] * (np.hypot(x - x0, y - y0) < 35)
        assert (near * x).sum() / near.sum() == pytest.approx(x0, abs=0.1)
        assert (near * y).sum() / near.sum() == pytest.approx(y0, abs=0.1)


@pytest.mark.parametrize("name", MOCKS)
def test_stars_are_as_wide_as_the_seeing(name):
    scene, camera, wcs = scene_of(sky_of((5.13, -3.37, {})), name)
    (x0,), (y0,) = wcs.world_to_pixel_values(*([value] for value in sky_position(5.13, -3.37)))
    y, x = np.indices(scene.shape[1:])
    r = np.hypot(x - x0, y - y0) * camera.pixel_scale

    def moffat(r, peak, fwhm):
        alpha = fwhm / 2 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
        return peak * (1 + (r / alpha) ** 2) ** -MOFFAT_BETA

    near = r < 4
    for plane, band in zip(scene, camera.bands, strict=True):
        (_, fwhm), _ = curve_fit(moffat, r[near], plane[near], p0=(plane.max(), 1.0))
        assert fwhm == pytest.approx(camera.seeing[band], rel=0.05)


def sky_position(east, north):
    sky = sky_of((east, north, {}))
    return sky["ra"][0], sky["dec"][0]


def test_an_extended_source_and_a_star_see_the_same_atmosphere():
    tiny = GALAXY | {"half_light_radius": 0.02, "mag_r": 18.0}
    galaxy, _, _ = scene_of(sky_of((0.0, 0.0, tiny)))
    star, _, _ = scene_of(sky_of((0.0, 0.0, {})))
    assert np.abs(galaxy[1] - star[1]).max() < 0.05 * star[1].max()


@pytest.mark.parametrize("name", MOCKS)
def test_noise_agrees_with_the_inverse_variance(name):
    camera = camera_of(load_survey(name))
    bright = GALAXY | {"half_light_radius": 6.0, "mag_g": 13.0, "mag_r": 13.0, "mag_i": 13.0, "mag_z": 13.0}
    sky = sky_of((0.0, 0.0, bright))
    exposure = expose(TILE, sky, camera, CONFIG, 1600)
    wcs, side = tile_wcs(TILE, camera.pixel_scale, CONFIG)
    scene = draw_scene(sky, wcs, side, camera, exposure.seeing, 1600)
    scene *= camera.counts_per_nanomaggy[:, None, None]
    good = exposure.invvar > 0
    chi = (exposure.counts - scene) * np.sqrt(exposure.invvar)
    signal = scene / np.sqrt(camera.sky_variance)[:, None, None]
    for band in range(len(camera.bands)):
        empty, object_ = good[band] & (signal[band] < 0.05), good[band] & (signal[band] > 30)
        # The residual of sky subtraction adds a few per cent.
        assert chi[band][empty].std() == pytest.approx(1.0, abs=0.06)
        assert chi[band][object_].std() == pytest.approx(1.0, abs=0.06)
        # Photons of the object count: its pixels weigh less.
        assert exposure.invvar[band][object_].mean() < 0.9 * exposure.invvar[band][empty].mean()


def test_depth_of_the_profile_is_what_comes_out():
    """Five times the noise of an optimally weighted point source is the magnitude that the profile calls its depth."""
    for name in MOCKS:
        survey = load_survey(name)
        camera = camera_of(survey)
        for band, variance, counts in zip(camera.bands, camera.sky_variance, camera.counts_per_nanomaggy, strict=True):
            area = 4 * np.pi * (camera.seeing[band] / camera.pixel_scale / 2.3548) ** 2
            limit = 5 * np.sqrt(variance * area) / counts
            assert 22.5 - 2.5 * np.log10(limit) == pytest.approx(survey.mock["depth"][band], abs=0.1)


def test_ten_years_go_deeper_than_one_by_the_root_of_ten():
    one, ten = (camera_of(load_survey(f"mock-lsst-{year}")) for year in ("y1", "y10"))
    assert np.sqrt(one.sky_variance / ten.sky_variance) == pytest.approx(np.sqrt(10) * np.ones(3), rel=0.01)


def test_bright_stars_saturate_and_faint_ones_do_not():
    camera = camera_of(load_survey("mock-decals"))
    bright = {f"mag_{band}": 13.5 for band in "grz"}
    exposure = expose(TILE, sky_of((-15.0, 0.0, bright), (15.0, 0.0, {})), camera, CONFIG, 1600)
    saturated = (exposure.mask & SATURATED) != 0
    middle = saturated.shape[2] // 2
    assert saturated[:, :, middle:].any(axis=(1, 2)).all()
    assert not saturated[:, :, :middle].any()
    assert (exposure.invvar[saturated] == 0).all()
    # Saturation clips: no good pixel is brighter than a saturated one.
    good = exposure.mask == 0
    assert (exposure.counts[1][good[1]].max()) <= exposure.counts[1][saturated[1]].max() + 1e-3


def test_defects_are_masked():
    config = MockConfig(tile_side=270.0)
    (tile,) = tile_grid(1, 1601, config)
    sky = sky_of((0.0, 0.0, {}))
    exposure = expose(tile, sky.assign(ra=0.0), camera_of(load_survey("mock-decals")), config, 1601)
    bad = (exposure.mask & BAD) != 0
    assert 0 < bad.mean() < 0.01
    assert (exposure.invvar[bad] == 0).all()
    chi = exposure.counts * np.sqrt(exposure.invvar)
    assert np.abs(chi).max() < 7


def test_files_keep_the_noise_and_exactly_the_zeros(tmp_path):
    survey = load_survey("mock-decals")
    camera = camera_of(survey)
    exposure = expose(TILE, sky_of((0.0, 0.0, GALAXY)), camera, CONFIG, 1600)
    paths = write_tile(tmp_path, TILE, exposure, survey)
    for plane, path in enumerate(paths):
        with fits.open(path) as file:
            counts, invvar, mask = (file[name].data for name in ("IMAGE", "INVVAR", "MASK"))
        assert np.array_equal(mask, exposure.mask[plane])
        assert np.array_equal(invvar == 0, exposure.invvar[plane] == 0)
        assert np.abs(invvar - exposure.invvar[plane]).max() < 0.01 * np.median(exposure.invvar[plane])
        sigma = np.sqrt(camera.sky_variance[plane])
        error = (counts - exposure.counts[plane]) / sigma
        assert np.abs(error).max() < 0.5
        assert error.std() < 0.1


def test_labelled_objects_keep_clear_of_each_other_and_the_border():
    config = MockConfig(tile_side=200.0, density=2.0)
    tiles = tile_grid(5, 1602, config)
    sky = make_sky(tiles, 1602, config)
    bright = sky[sky["label"] != ""]
    east = (bright["ra"] - tiles[0].ra) * np.cos(np.radians(bright["dec"])) * 3600
    north = (bright["dec"] - tiles[0].dec) * 3600
    distance = np.hypot(
        np.subtract.outer(east.to_numpy(), east.to_numpy()), np.subtract.outer(north.to_numpy(), north.to_numpy())
    )
    clear = distance - np.add.outer(bright["reach"].to_numpy(), bright["reach"].to_numpy())
    np.fill_diagonal(clear, np.inf)
    assert (clear.min(axis=1) > -1e-6).mean() > 0.9
    # Three tiles below, two above: nothing lies over the gap on the upper right.
    assert not ((north > 100) & (east < -2 * 180 + 100 - 20)).any()
    assert north.max() < 180 + 100
    area = (2 * 180 + 200 - 20) * (200 - 20) / 3600
    assert len(bright) == pytest.approx(2.0 * (area + (180 + 200 - 20) * 180 / 3600), rel=0.2)
