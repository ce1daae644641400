"""Profiles of public releases, each on a small file in the exact layout."""

import numpy as np
import pytest
from astropy.io import fits
from make_releases import (
    NANOMAGGIES,
    RELEASES,
    SATURATED,
    SHAPE,
    SIGMA,
    SPOILED,
    bits,
    euclid,
    flat,
    header,
    hsc,
    kids,
    legacysurvey,
    packed,
    panstarrs,
    rubin,
    save,
    stripe82,
)

from galmorph.errors import TileError
from galmorph.surveys import find_tiles, load_survey
from galmorph.tiles import read_tile

#: Tile's name and numbers of files of each release.
FOUND = {
    "legacysurvey": ("1234p567", 7),
    "sdss": ("003836-4-0084", 3),
    "stripe82": ("100006-4-0500", 3),
    "des": ("DES0557-4331", 3),
    "hsc": ("9813-4,4", 3),
    "kids": ("KIDS_129.0_-0.5", 9),
    "panstarrs": ("skycell.1315.045", 9),
    "rubin-dp1": ("5063-14", 3),
    "rubin-dp2": ("5063-14", 3),
    "euclid": ("102018211", 12),
}
#: Releases that give no noise.
NOISELESS = ("sdss", "stripe82")
#: Releases without bits for saturation, or without a mask.
UNSATURATED = ("sdss", "stripe82", "des", "euclid")


def read(folder, survey):
    (source,), rejected = find_tiles([folder], survey)
    assert rejected == []
    return read_tile(source, survey)


@pytest.mark.parametrize("release", RELEASES)
def test_a_tile_is_found_with_its_files_and_nothing_else(tmp_path, release):
    survey, make = RELEASES[release]
    make(tmp_path)
    (source,), rejected = find_tiles([tmp_path], load_survey(survey))
    name, files = FOUND[release]
    assert source.name == name
    assert (len(source.files), rejected) == (files, [])


@pytest.mark.parametrize("release", RELEASES)
def test_any_file_brings_its_tile_with_it(tmp_path, release):
    survey, make = RELEASES[release]
    make(tmp_path)
    (source,), _ = find_tiles([tmp_path], load_survey(survey))
    for path in source.files:
        (again,), rejected = find_tiles([path], load_survey(survey))
        assert (again, rejected) == (source, [])


@pytest.mark.parametrize("release", RELEASES)
def test_pixels_become_nanomaggies_with_their_noise(tmp_path, release):
    survey, make = RELEASES[release]
    make(tmp_path)
    tile = read(tmp_path, load_survey(survey))
    assert tile.image.shape == (len(tile.bands), *SHAPE)
    assert tile.warnings == ()
    assert tile.pixel_scale == pytest.approx(load_survey(survey).pixel_scale, rel=1e-4)
    values = np.median(tile.image, axis=(1, 2))
    if release == "stripe82":
        # 1150 counts, sky and soft bias included, of which 500 make magnitude 20, ten nanomaggies.
        np.testing.assert_allclose(values, 1150 / 500 * 10, rtol=1e-5)
    else:
        np.testing.assert_allclose(values, NANOMAGGIES, rtol=0.05 if release == "kids" else 1e-5)
    if release in NOISELESS:
        assert tile.weight is None
    else:
        noise = [np.median(weight[valid]) ** -0.5 for weight, valid in zip(tile.weight, tile.valid, strict=True)]
        np.testing.assert_allclose(noise, SIGMA, rtol=0.1 if release == "kids" else 1e-5)


@pytest.mark.parametrize("release", [name for name in RELEASES if name not in NOISELESS])
def test_bits_of_the_mask_mean_what_the_survey_says(tmp_path, release):
    survey, make = RELEASES[release]
    make(tmp_path)
    tile = read(tmp_path, load_survey(survey))
    saturated = [tuple(place) for place in np.argwhere(tile.saturated)]
    assert saturated == ([] if release in UNSATURATED else [SATURATED])
    # Of a brick it is a bit of r, which spoils that band alone.
    seen = [band for band, good in zip(tile.bands, tile.valid[:, *SPOILED], strict=True) if good]
    assert seen == (["g", "z"] if release == "legacysurvey" else [])
    tile.valid[:, *SPOILED] = True
    assert tile.valid[:, 1:].all()


def test_zero_points_of_u_and_z_of_sdss_are_ab():
    survey = load_survey("sdss", {"bands": "u,g,z"})
    assert survey.zero_point == {"u": 22.46, "g": 22.5, "z": 22.52}


def test_four_bands_of_a_brick_bring_the_bits_of_i(tmp_path):
    folder = legacysurvey(tmp_path, "griz")
    mask = bits(15, 14)
    path = folder / "legacysurvey-1234p567-maskbits.fits.fz"
    path.unlink()
    save(path, packed(mask, header(0.262), "MASKBITS"))
    assert not read(tmp_path, load_survey("legacysurvey")).saturated.any()
    tile = read(tmp_path, load_survey("legacysurvey", {"bands": "g,r,i,z"}))
    # A bit of a band spoils that band alone.
    np.testing.assert_array_equal(np.argwhere(~tile.valid), [(2, *SPOILED)])
    np.testing.assert_array_equal(np.argwhere(tile.saturated), [SATURATED])


def test_coadds_of_des_without_the_local_background_are_chosen_by_an_option(tmp_path):
    RELEASES["des"][1](tmp_path)
    (source,), _ = find_tiles([tmp_path], load_survey("des", {"layout": "nobkg"}))
    assert all(path.name.endswith("_nobkg.fits.fz") for path in source.files)


def test_patches_of_hsc_lie_in_one_folder_too(tmp_path):
    hsc(tmp_path / "tree")
    for path in list((tmp_path / "tree").rglob("*.fits")):
        path.rename(tmp_path / path.name)
    tile = read(tmp_path, load_survey("hsc"))
    assert tile.valid[:, 1:, 1:].sum() == 3 * ((SHAPE[0] - 1) * (SHAPE[1] - 1) - 1)


def test_a_band_that_no_folder_holds_is_named(tmp_path):
    hsc(tmp_path)
    next(tmp_path.glob("HSC-R/*/*/*")).unlink()
    tiles, rejected = find_tiles([tmp_path], load_survey("hsc"))
    assert tiles == []
    assert all("no image of band r (calexp-HSC-R-9813-4,4.fits)" in entry.reason for entry in rejected)


def test_two_mosaics_of_one_band_are_not_chosen_from(tmp_path):
    euclid(tmp_path)
    (path,) = tmp_path.rglob("*BGSUB-MOSAIC-NIR-J*")
    path.with_name(path.name.replace("2024", "2025")).write_bytes(path.read_bytes())
    tiles, rejected = find_tiles([tmp_path], load_survey("euclid"))
    assert tiles == []
    assert any("several files fit one image; leave one of each: NIR_J" in entry.reason for entry in rejected)


def test_pixels_without_a_finite_rms_hold_no_data(tmp_path):
    euclid(tmp_path)
    tile = read(tmp_path, load_survey("euclid"))
    assert not tile.valid[:, 0, :2].any()
    assert tile.valid[:, 0, 2:].all()


def test_cutouts_of_panstarrs_are_linear_as_their_headers_say(tmp_path):
    panstarrs(tmp_path)
    for path in list(tmp_path.glob("*.unconv.fits")):
        with fits.open(path) as opened:
            head = opened[1].header.copy()
        del head["BOFFSET"], head["BSOFTEN"]
        path.unlink()
        save(path, packed(flat(10.0), head))
    tile = read(tmp_path, load_survey("panstarrs"))
    for number, image in enumerate(tile.image, 1):
        assert np.median(image) == pytest.approx(10 / (400 * number) * 10 ** (0.4 * (22.5 - 25)), rel=1e-5)


def test_an_asinh_scaling_of_which_half_is_missing_is_refused(tmp_path):
    panstarrs(tmp_path)
    fits.delval(tmp_path / "rings.v3.skycell.1315.045.stk.r.unconv.fits", "BSOFTEN", ext=1)
    with pytest.raises(TileError, match="takes numbers in BOFFSET and BSOFTEN; its header has no BSOFTEN"):
        read(tmp_path, load_survey("panstarrs"))


@pytest.mark.parametrize("value", [None, 0.0, -5.0, "many"])
def test_counts_that_no_zero_point_comes_of_are_refused(tmp_path, value):
    stripe82(tmp_path)
    path = tmp_path / "fpC-100006-r4-0500.fit"
    if value is None:
        fits.delval(path, "FLUX20")
    else:
        fits.setval(path, "FLUX20", value=value)
    with pytest.raises(TileError, match=r"fpC-100006-r4-0500\.fit.* the counts of magnitude 20.* FLUX20"):
        read(tmp_path, load_survey("sdss-stripe82"))


def test_a_mask_that_names_none_of_the_bits_is_refused(tmp_path):
    rubin(tmp_path)
    path = next(tmp_path.rglob("*_g_*.fits"))
    with fits.open(path, mode="update") as opened:
        for key in [key for key in opened["MASK"].header if key.startswith("MP_")]:
            del opened["MASK"].header[key]
        opened["MASK"].header["MP_CR"] = 2
    with pytest.raises(TileError, match=r"names no mask bit NO_DATA or BAD .*; it names CR"):
        read(tmp_path, load_survey("rubin"))


def test_another_unit_is_refused(tmp_path):
    rubin(tmp_path)
    path = next(tmp_path.rglob("*_i_*.fits"))
    fits.setval(path, "BUNIT", value="adu", ext=1)
    with pytest.raises(TileError, match="is in adu; expected nJy"):
        read(tmp_path, load_survey("rubin"))


def test_coadds_of_kids_that_differ_in_size_are_aligned_with_their_masks(tmp_path):
    kids(tmp_path)
    for role in ("sci", "wei", "msk"):
        path = tmp_path / f"KiDS_DR4.0_129.0_-0.5_r_{role}.fits"
        data, head = fits.getdata(path, header=True)
        wide = np.zeros((SHAPE[0] + 4, SHAPE[1] + 6), data.dtype)
        wide[2:-2, 3:-3] = data
        head["CRPIX1"], head["CRPIX2"] = head["CRPIX1"] + 3, head["CRPIX2"] + 2
        fits.PrimaryHDU(wide, head).writeto(path, overwrite=True)
    tile = read(tmp_path, load_survey("kids"))
    assert not tile.valid[:, *SPOILED].any()
    np.testing.assert_array_equal(np.argwhere(tile.saturated), [SATURATED])
    np.testing.assert_allclose(tile.image[1][tile.valid[1]], tile.image[0][tile.valid[1]], rtol=1e-3, atol=0.02)
