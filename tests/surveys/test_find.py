import errno
import glob
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from make_releases import legacysurvey

from galmorph.surveys import find_tiles, load_survey
from galmorph.surveys.find import safe_name

DECALS = load_survey("mock-decals")
LEGACY = load_survey("legacysurvey")


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [folder / name for name in names]


def bands(tile: str, ending: str = ".fits.fz") -> list[str]:
    return [f"{tile}-{band}{ending}" for band in "grz"]


def test_a_folder_is_searched_with_its_subfolders_and_what_fits_nothing_ignored(tmp_path):
    files = touch(tmp_path, *bands("a"), *(f"deep/er/{name}" for name in bands("b", ".fits.gz")))
    touch(tmp_path, "readme.txt", "psf.fits", ".hidden/x-g.fits", ".y-g.fits")
    tiles, rejected = find_tiles([tmp_path], DECALS)
    assert [tile.name for tile in tiles] == ["a", "b"]
    assert [path for tile in tiles for path in tile.files] == files
    assert tiles[0].images == {band: tmp_path / f"a-{band}.fits.fz" for band in "grz"}
    assert tiles[0].weights == tiles[0].masks == tiles[0].images
    assert rejected == []


def test_folders_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    touch(tmp_path, *bands("a"), *(f"locked/{name}" for name in bands("b")))
    original = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return original(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for given in (tmp_path, tmp_path / "locked"):
        tiles, (rejected,) = find_tiles([given], DECALS)
        assert [tile.name for tile in tiles] == (["a"] if given == tmp_path else [])
        assert rejected.path == tmp_path / "locked"
        assert rejected.reason.startswith(f"{tmp_path / 'locked'} cannot be read: Permission denied; make it readable")


def test_files_in_folders_that_may_not_be_entered_are_told(tmp_path, monkeypatch):
    files = touch(tmp_path, *bands("a"))
    original = Path.is_file

    def is_file(path):
        if path.name.startswith("a-r"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    for given in (files[0], files[1]):
        tiles, (rejected,) = find_tiles([given], DECALS)
        assert tiles == []
        assert (rejected.path, "Permission denied" in rejected.reason) == (given, True)


def test_the_order_and_repetition_of_inputs_do_not_matter(tmp_path):
    files = touch(tmp_path, *bands("a"), *bands("b"), "bad.txt")
    inputs = [*files, tmp_path, str(tmp_path / "*-g.fits.fz"), str(tmp_path / "absent")]
    assert find_tiles(inputs, DECALS) == find_tiles(inputs[::-1] + inputs, DECALS)
    tiles, rejected = find_tiles(inputs, DECALS)
    assert [tile.name for tile in tiles] == ["a", "b"]
    assert [entry.name for entry in rejected] == ["absent", "bad.txt"]


def test_one_file_brings_its_tile_with_it(tmp_path):
    files = touch(tmp_path, *bands("a"), *bands("b"))
    tiles, _ = find_tiles([files[0]], DECALS)
    assert [tile.files for tile in tiles] == [tuple(files[:3])]


def test_a_missing_band_is_named_with_the_file_expected(tmp_path):
    files = touch(tmp_path, *bands("a"))
    files[1].unlink()
    tiles, (rejected,) = find_tiles([tmp_path], DECALS)
    assert tiles == []
    assert rejected.name == "a"
    assert "band r (a-r.fits)" in rejected.reason


def test_weights_of_some_bands_only_are_an_incomplete_tile(tmp_path):
    names = [f"legacysurvey-1234p567-{kind}-{band}.fits.fz" for kind in ("image", "invvar") for band in "grz"]
    touch(tmp_path, *names)
    (tile,), _ = find_tiles([tmp_path], LEGACY)
    assert tile.name == "1234p567"
    assert set(tile.weights) == set("grz")
    assert tile.masks == {}
    (tmp_path / names[-1]).unlink()
    tiles, (rejected,) = find_tiles([tmp_path], LEGACY)
    assert tiles == []
    assert "legacysurvey-1234p567-invvar-z.fits" in rejected.reason


def test_other_files_of_a_brick_are_no_cubes(tmp_path):
    touch(tmp_path, "legacysurvey-1234p567-depth-g.fits.fz", "cube.fits")
    tiles, rejected = find_tiles([tmp_path], LEGACY)
    assert [tile.name for tile in tiles] == ["cube"]
    _, (rejected,) = find_tiles([tmp_path / "legacysurvey-1234p567-depth-g.fits.fz"], LEGACY)
    assert "legacysurvey-{tile}-image-{band}.fits" in rejected.reason
    assert "one of g, r, z" in rejected.reason


def dr10(folder: Path) -> list[Path]:
    """Tables and masks that lie in the tree of a release beside its bricks."""
    tables = [
        folder / name
        for name in (
            "tractor/123/tractor-1234p567.fits", "metrics/123/all-models-1234p567.fits.gz",
            "sweep/10.1/sweep-120p055-125p060.fits", "survey-bricks-dr10-south.fits.gz",
            "external/survey-dr10-south-dr16Q.fits", "randoms/randoms-south-1-0.fits",
        )
    ]  # fmt: skip
    mask = fits.CompImageHDU(np.zeros((30, 30), "i4"))
    images = {
        folder / "metrics/123/blobs-1234p567.fits.gz": fits.HDUList([fits.PrimaryHDU(np.zeros((30, 30), "i4"))]),
        folder / "metrics/123/outlier-mask-1234p567.fits.fz": fits.HDUList([fits.PrimaryHDU(), mask]),
    }
    for path in [*tables, *images]:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = images.get(path) or Table({"ra": [1.0], "dec": [2.0], "image": np.zeros((1, 4, 4))})
        content.writeto(path) if path in images else content.write(path)
    return [*tables, *images]


def test_the_tree_of_a_release_has_no_tiles_but_its_bricks(tmp_path, caplog):
    legacysurvey(tmp_path)
    others = dr10(tmp_path)
    with caplog.at_level("WARNING", "galmorph"):
        tiles, rejected = find_tiles([tmp_path], LEGACY)
    assert ([tile.name for tile in tiles], rejected) == (["1234p567"], [])
    assert f"passed over whose headers tell of no tile: {len(others)}, such as" in caplog.text
    # Who names one is told when it is read.
    tiles, _ = find_tiles(others, LEGACY)
    assert sorted(path for tile in tiles for path in tile.files) == sorted(others)


def test_a_folder_of_tables_alone_is_told(tmp_path):
    dr10(tmp_path)
    tiles, (rejected,) = find_tiles([tmp_path], LEGACY)
    assert (tiles, "the folder holds no file of survey legacysurvey" in rejected.reason) == ([], True)
    assert "hold no image with a plane for each band, such as " in rejected.reason


def test_cubes_in_folders_are_known_by_three_axes_or_their_bands(tmp_path):
    cube, one = np.zeros((3, 8, 8), "f4"), fits.PrimaryHDU(np.zeros((8, 8), "f4"))
    one.header["BANDS"] = "r"
    for name, hdus in {
        "plain.fits": [fits.PrimaryHDU(cube)],
        "one.fits.gz": [one],
        "packed.fits.fz": [fits.PrimaryHDU(), fits.CompImageHDU(cube)],
        "second.fits": [fits.PrimaryHDU(), fits.BinTableHDU(Table({"ra": [1.0]})), fits.ImageHDU(cube)],
    }.items():
        fits.HDUList(hdus).writeto(tmp_path / name)
    (tmp_path / "damaged.fits").write_bytes(b"no header at all" * 200)
    tiles, rejected = find_tiles([tmp_path], LEGACY)
    assert ([tile.name for tile in tiles], rejected) == (["damaged", "one", "packed", "plain", "second"], [])


@pytest.mark.parametrize("options", [{"layout": "cube"}, {"layout": "extensions"}, {"image": "{tile}.fits"}])
def test_of_a_survey_that_takes_any_name_every_file_is_told(tmp_path, options):
    others = dr10(tmp_path)
    tiles, rejected = find_tiles([tmp_path], load_survey("generic", {"bands": "r"} | options))
    assert rejected == []
    assert {*others} <= {path for tile in tiles for path in tile.files}


def test_several_fields_name_a_tile(tmp_path):
    touch(tmp_path, *(f"frame-{band}-000094-1-0131.fits.bz2" for band in "gri"))
    (tile,), _ = find_tiles([str(tmp_path / "frame-r-*")], load_survey("sdss"))
    assert tile.name == "000094-1-0131"
    assert len(tile.files) == 3


def test_the_home_folder_of_nobody_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, *bands("a"))
    tiles, rejected = find_tiles(["~/a-g.fits.fz", "~nosuchuser/x.fits", "~nosuchuser/*.fits"], DECALS)
    assert [tile.name for tile in tiles] == ["a"]
    assert [entry.reason for entry in rejected] == [
        "nothing fits the pattern ~nosuchuser/*.fits",
        "~nosuchuser/x.fits does not exist",
    ]


@pytest.mark.parametrize("given", ["absent.fits", "absent", "none*.fits", "emp*"])
def test_inputs_that_lead_nowhere_are_rejected(tmp_path, given):
    (tmp_path / "empty").mkdir()
    tiles, (rejected,) = find_tiles([str(tmp_path / given)], DECALS)
    assert tiles == []
    assert any(words in rejected.reason for words in ("does not exist", "nothing fits", "holds no file"))


def test_tiles_of_one_name_are_told_apart_the_same_way_every_time(tmp_path):
    touch(tmp_path, *(f"{folder}/{name}" for folder in ("one", "two") for name in bands("a")))
    tiles, _ = find_tiles([tmp_path], DECALS)
    names = [tile.name for tile in tiles]
    assert len(set(names)) == 2
    assert all(name.startswith("a-") for name in names)
    again, _ = find_tiles([tmp_path / "two", tmp_path / "one"], DECALS)
    assert again == tiles


def test_a_second_compression_of_a_file_is_not_a_second_tile(tmp_path):
    one, two = touch(tmp_path, "c.fits", "c.fits.gz")
    (tile,), (rejected,) = find_tiles([tmp_path], LEGACY)
    assert (tile.files, rejected.path) == ((one,), two)
    (tile,), rejected = find_tiles([two], LEGACY)
    assert (tile.files, rejected) == ((two,), [])


@pytest.mark.parametrize("name", ["a b", "../../etc/passwd", "..", ".hidden", "ünï", "a" * 300, "x\ny", ""])
def test_names_become_safe_and_stay_different(name):
    safe = safe_name(name)
    assert safe != name
    assert Path(safe).name == safe
    assert not safe.startswith(".")
    assert len(safe) < 140
    assert safe.isascii()
    assert safe_name(name) == safe
    assert safe_name(name + "?") != safe


def test_safe_names_are_left_alone():
    assert safe_name("frame-r_1.2+3") == "frame-r_1.2+3"


def test_brackets_in_the_name_of_a_file_are_no_glob(tmp_path):
    touch(tmp_path, *bands("a[1]"))
    (tile,), rejected = find_tiles([tmp_path / "a[1]-g.fits.fz"], DECALS)
    assert rejected == []
    assert tile.name.startswith("a_1_-")


@pytest.mark.parametrize("survey", ["euclid", "legacysurvey"])
def test_the_files_of_a_tile_are_looked_for_once_and_a_folder_is_listed_once(tmp_path, monkeypatch, survey):
    count, names = 20, []
    for i in range(count):
        if survey == "euclid":
            for band in ("VIS", "NIR-Y", "NIR-J", "NIR-H"):
                kinds = (f"BGSUB-MOSAIC-{band}", f"MOSAIC-{band}-RMS", f"MOSAIC-{band}-FLAG")
                names += [f"EUC_MER_{kind}_TILE{i:09d}-ABC_20241018T142710Z_00.00.fits" for kind in kinds]
        else:
            kinds = [f"{kind}-{band}" for kind in ("image", "invvar") for band in "grz"] + ["maskbits"]
            names += [f"legacysurvey-b{i:04d}-{kind}.fits.fz" for kind in kinds]
    files = touch(tmp_path, *names)
    profile, calls = load_survey(survey), {"is_file": [], "iterdir": []}
    for name, made in calls.items():
        original = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda path, to=made, do=original: to.append(path) or do(path))
    globbed, search = [], glob.glob
    monkeypatch.setattr(glob, "glob", lambda *given, **named: globbed.append(given) or search(*given, **named))
    tiles, rejected = find_tiles([tmp_path], profile)
    assert ([len(tile.files) for tile in tiles], rejected) == ([len(names) // count] * count, [])
    assert (calls["iterdir"], globbed) == ([], [])
    assert len(calls["is_file"]) < 2 * len(files)
    # Files that are named alone, without the folder: it is listed once, where names hold stars.
    assert find_tiles(files, profile) == (tiles, [])
    assert len(calls["iterdir"]) == (survey == "euclid")


def test_maps_whose_names_fit_the_images_pattern_too_are_no_tiles(tmp_path):
    touch(tmp_path, "coadd.fits", "coadd.weight.fits")
    survey = load_survey("generic", {"bands": "r", "image": "{tile}.fits", "weight": "{tile}.weight.fits"})
    (tile,), rejected = find_tiles([tmp_path], survey)
    assert (tile.name, rejected) == ("coadd", [])
    assert tile.weights == {"r": tmp_path / "coadd.weight.fits"}
    touch(tmp_path / "more", *(f"f7{role}_{band}.fits" for role in ("", "_wht", "_msk") for band in "gr"))
    options = {"bands": "g,r", "weight": "{tile}_wht_{band}.fits", "mask": "{tile}_msk_{band}.fits"}
    (tile,), rejected = find_tiles([tmp_path / "more"], load_survey("generic", options))
    assert (tile.name, len(tile.files), rejected) == ("f7", 6, [])


def test_results_among_the_tiles_are_no_tiles(tmp_path):
    touch(tmp_path, "coadd.fits", "run/run.json", "run/skymap.fits", "run/catalog/hats.properties", "old/x.fits")
    touch(tmp_path, "old/catalog/hats.properties", "old/catalog/point_map.fits")
    tiles, rejected = find_tiles([tmp_path], load_survey("generic", {"bands": "r", "image": "{tile}.fits"}))
    assert ([tile.name for tile in tiles], rejected) == (["coadd", "x"], [])
