"""Positions that may lie on an image."""

import numpy as np
import pytest
from astropy.wcs import WCS, Sip

from galmorph.sky import pixel_to_sky, sky_to_pixel, within_reach


def image(projection, ra, dec, step=0.01, size=200):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (ra, dec), (size / 2, size / 2), (-step, step)
    wcs.pixel_shape = (size, size)
    return wcs


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.0, -40.0), (10.0, 89.5), (200.0, -90.0)])
def test_no_position_on_the_image_is_missed_and_few_others_are_kept(ra, dec):
    wcs, rng = image("TAN", ra, dec), np.random.default_rng(0)
    inside = pixel_to_sky(wcs, rng.uniform(-0.5, 199.5, 500), rng.uniform(-0.5, 199.5, 500))
    corners = pixel_to_sky(wcs, [-0.5, -0.5, 199.5, 199.5], [-0.5, 199.5, -0.5, 199.5])
    assert within_reach(wcs, *inside).all()
    assert within_reach(wcs, *corners).all()
    far = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    kept = within_reach(wcs, *far)
    assert kept.sum() < 50
    x, y = sky_to_pixel(wcs, far[0][~kept], far[1][~kept])
    assert not np.any((abs(x - 99.5) <= 100) & (abs(y - 99.5) <= 100))


def test_an_image_of_the_whole_sky_keeps_all():
    ra, dec = np.array([0.0, 120.0, 300.0]), np.array([-80.0, 0.0, 60.0])
    assert within_reach(image("CAR", 180.0, 0.0, step=1.8), ra, dec).all()
    unknown = image("TAN", 0.0, 0.0)
    unknown.pixel_shape = None
    assert within_reach(unknown, ra, dec).all()
    assert within_reach(image("TAN", 0.0, 0.0), ra[:0], dec[:0]).shape == (0,)


def test_where_a_distortion_cannot_be_inverted_there_is_no_pixel():
    wcs, bend = image("TAN", 150.0, 2.0), np.zeros((4, 4))
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    bend[2, 0] = 1e-4
    wcs.sip = Sip(bend, np.zeros((4, 4)), None, None, wcs.wcs.crpix)
    x, y = np.array([10.0, 100.0, 190.0]), np.array([20.0, 100.0, 30.0])
    ra, dec = pixel_to_sky(wcs, x, y)
    # No pixel is 40 degrees west: x + 1e-4 x² is never less than -2500.
    found = sky_to_pixel(wcs, [190.0, *ra, 110.0], [2.0, *dec, 40.0])
    np.testing.assert_allclose(found, [[np.nan, *x, np.nan], [np.nan, *y, np.nan]], atol=1e-4)
