"""Damaged and odd tiles, from file to objects: a reason in words or a result, never a crash and never a hang."""

import errno
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from make_sky import make_tile
from make_tiles import galaxy, make_wcs, scene, write_bands

from galmorph.detection import DetectionConfig, extract
from galmorph.errors import TileError, TileUnavailableError
from galmorph.fits_files import _data_bytes, _in_words
from galmorph.surveys import find_tiles, load_survey
from galmorph.tiles import read_tile

DECALS = load_survey("mock-decals")
SHAPE = (64, 72)
WCS = make_wcs(SHAPE, 0.262)
GALAXIES = [{"x": 40.0, "y": 30.0, "flux": 60.0, "sigma": 3.0}]
#: What a reason must not hold: traces of the code.
TRACES = ("Traceback", "<class", "object at 0x", "NoneType", "Error(")


def single(**options):
    return load_survey("generic", {"bands": "r", "image": "{tile}.fits"} | options)


def outcome(folder: Path, survey=DECALS) -> str:
    """Number of objects of the only tile in a folder, or the reason why there are none, checked to be one."""
    sources, rejected = find_tiles([folder], survey)
    reasons = [entry.reason for entry in rejected]
    for source in sources:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tile = read_tile(source, survey)
                field = extract(tile, DetectionConfig())
        except TileError as error:
            reasons.append(str(error))
            continue
        assert np.isfinite(field.planes).all()
        assert np.isfinite(field.objects[["x", "y", "ra", "dec", "radius"]].to_numpy()).all()
        return f"{len(field.objects)} objects"
    assert reasons
    for reason in reasons:
        assert len(reason.split()) >= 5, reason
        assert not any(trace in reason for trace in TRACES), reason
    return reasons[0]


def write(path: Path, data, **cards) -> Path:
    header = make_wcs(np.shape(data)[-2:], 0.262).to_header()
    header.update(cards)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(data, header=header).writeto(path, overwrite=True)
    return path


def image(seed: int = 0) -> np.ndarray:
    return scene(SHAPE, GALAXIES, 0.02, seed)


# --- truncation and bit flips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_files_cut_off_anywhere_have_a_reason(tmp_path, compress):
    paths = write_bands(
        tmp_path, {band: image() for band in "grz"}, make_wcs(SHAPE, 0.262), noise=0.02, compress=compress
    )
    whole = paths[1].read_bytes()
    assert outcome(tmp_path).endswith("objects")
    blocks = range(0, len(whole), 2880)
    for length in sorted({0, 1, 79, 80, 2879, *blocks, *(b + 1 for b in blocks[::3]), len(whole) - 1}):
        paths[1].write_bytes(whole[:length])
        said = outcome(tmp_path)
        # Only padding behind the last pixel can be missed without loss.
        assert "t1-r.fits" in said or (said.endswith("objects") and len(whole) - length < 2880), length


@pytest.mark.parametrize("compress", [False, True])
def test_flipped_bits_never_crash(tmp_path, compress):
    paths = write_bands(
        tmp_path, {band: image() for band in "grz"}, make_wcs(SHAPE, 0.262), noise=0.02, compress=compress
    )
    whole = paths[0].read_bytes()
    random = np.random.default_rng(11)
    said = []
    for number in range(24):
        content = bytearray(whole)
        # The first headers, then anywhere.
        reach = 3 * 2880 if number % 2 else len(content)
        for place in random.integers(0, reach, random.integers(1, 6)):
            content[place] ^= 1 << random.integers(0, 8)
        paths[0].write_bytes(content)
        said.append(outcome(tmp_path))
    assert any("t1-" in text for text in said)


# --- headers ----------------------------------------------------------------------------------------------------------


ABSURD = [
    ("NAXIS1", 10**12), ("NAXIS2", 2**62), ("NAXIS1", -5), ("NAXIS1", 0), ("NAXIS", 999), ("NAXIS", -1), ("BITPIX", 7),
    ("BITPIX", 0), ("PCOUNT", 10**15), ("GCOUNT", 10**9), ("BSCALE", 0), ("BZERO", 1e300), ("NAXIS1", 1),
]  # fmt: skip


def with_card(content: bytes, keyword: str, value: object) -> bytes:
    """File with a card of its first header replaced, or added."""
    card = fits.Card(keyword, value).image.encode()
    end = content.index(b"END" + b" " * 77)
    start = content.find(keyword.encode().ljust(8) + b"=")
    if 0 <= start < end:
        return content[:start] + card + content[start + 80 :]
    return content[:end] + card + content[end : 2 * 2880 - 80] + content[2 * 2880 :]


def test_absurd_structure_is_refused_with_little_memory(tmp_path):
    """In a process of its own, whose memory is limited: what a header claims is refused before it is allocated."""
    content = write(tmp_path / "a.fits", np.zeros((40, 40), np.int16)).read_bytes()
    for number, (keyword, value) in enumerate(ABSURD):
        folder = tmp_path / f"{number:02d}"
        folder.mkdir()
        (folder / "a.fits").write_bytes(with_card(content, keyword, value))
    limit = 2**31
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))\n"
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\nfrom test_bad_tiles import outcome, single\n"
        "for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):\n"
        "    print(folder.name, outcome(folder, single()))"
    )
    here = Path(__file__).parent
    arguments = [sys.executable, "-c", code, str(tmp_path), str(here), str(here / "data")]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    said = result.stdout.splitlines()
    assert len(said) == len(ABSURD)
    assert "more memory" not in result.stdout
    assert sum("get it again" in line or "claims" in line or "no image" in line for line in said) >= 5
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


KEYWORDS = st.sampled_from([
    "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2",
    "CD1_1", "CD2_2", "CUNIT1", "CUNIT2", "CROTA2", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX", "WCSAXES", "PV2_1",
    "A_ORDER", "A_2_0", "B_ORDER", "BSCALE", "BZERO", "BLANK", "BUNIT", "EXTNAME", "DATE-OBS", "MAGZERO", "NAXIS",
    "BITPIX", "NAXIS1", "NAXIS2", "SIMPLE", "EXTEND", "GROUPS", "PCOUNT", "GCOUNT", "INHERIT", "CHECKSUM", "TFIELDS",
    "ZIMAGE", "ZCMPTYPE", "PV1_1",
])  # fmt: skip
VALUES = st.one_of(
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    st.sampled_from(
        [
            "RA---TAN",
            "DEC--TAN",
            "GLON-AIT",
            "RA---TPV",
            "DEC--SIP",
            "LINEAR",
            "",
            "deg",
            "arcsec",
            "furlong",
            "FK5",
            "T",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cards=st.dictionaries(KEYWORDS, VALUES, max_size=6))
@example(cards={"CRVAL2": 90.0})
@example(cards={"CRVAL2": 91.0})
@example(cards={"CDELT1": 0.0})
@example(cards={"PC1_1": 0.0, "PC1_2": 0.0})
@example(cards={"CRPIX1": 1e30})
@example(cards={"WCSAXES": 4})
@example(cards={"WCSAXES": 262145})
@example(cards={"WCSAXESB": 262145, "PC1_2": 3.0})
@example(cards={"A_ORDER": 100000})
@example(cards={"A_ORDER": 100000, "B_ORDER": 100000})
@example(cards={"A_0_2": "AXIS.1: 1"})
@example(cards={"NAXIS": 2**40})
@example(cards={"TFIELDS": 2**31})
@example(cards={"TFIELDS": "m"})
@example(cards={"CTYPE1": "RA---SIP", "CTYPE2": "DEC--SIP", "A_ORDER": 9, "B_ORDER": 9})
def test_any_header_gives_objects_or_a_reason(tmp_path, cards):
    path = write(tmp_path / "fuzz" / "a.fits", image())
    content = path.read_bytes()
    header, pixels = content[: content.index(b"END" + b" " * 77)], content[content.index(b"END" + b" " * 77) :]
    pixels = pixels[-(-(len(header) + 80) // 2880) * 2880 - len(header) :]
    kept = [header[i : i + 80] for i in range(0, len(header), 80)]
    for keyword, value in cards.items():
        try:
            card = fits.Card(keyword, value).image.encode("ascii")[:80].ljust(80)
        except (ValueError, UnicodeError):
            continue
        places = [i for i, old in enumerate(kept) if old[:8].strip() == keyword.encode()]
        kept[places[0] if places else len(kept) : (places[0] + 1 if places else len(kept))] = [card]
    joined = b"".join([*kept, b"END".ljust(80)])
    path.write_bytes(joined.ljust(-(-len(joined) // 2880) * 2880) + pixels)
    outcome(tmp_path / "fuzz", single())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), start=st.sampled_from([b"", b"SIMPLE  =", b"\x1f\x8b\x08", b"BZh9"]))
def test_any_bytes_have_a_reason(tmp_path, content, start):
    (tmp_path / "a.fits").write_bytes(start + content)
    assert not outcome(tmp_path, single()).endswith("objects")


# --- pixels -----------------------------------------------------------------------------------------------------------


def masked_tile(folder, **changes):
    options = {"noise": 0.02} | changes
    planes = options.pop("planes", {band: image(i) for i, band in enumerate("grz")})
    write_bands(folder, planes, make_wcs(SHAPE, 0.262), **options)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"planes": dict.fromkeys("grz", np.full(SHAPE, np.nan, np.float32))}, "no valid pixel"),
        ({"planes": dict.fromkeys("grz", np.full(SHAPE, np.inf, np.float32))}, "no valid pixel"),
        ({"mask": np.ones(SHAPE)}, "no valid pixel"),
        ({"invvar": np.zeros(SHAPE)}, "no valid pixel"),
        ({"invvar": np.full(SHAPE, -3.0)}, "no valid pixel"),
        ({"invvar": np.full(SHAPE, np.nan)}, "no valid pixel"),
        ({"planes": dict.fromkeys("grz", np.zeros(SHAPE, np.float32))}, "0 objects"),
        ({"planes": dict.fromkeys("grz", np.full(SHAPE, 7e30, np.float32))}, "objects"),
        ({"planes": dict.fromkeys("grz", np.full(SHAPE, -5.0, np.float32))}, "0 objects"),
        ({"mask": np.full(SHAPE, 2)}, "objects"),
        ({"invvar": np.full(SHAPE, 1e-30)}, "objects"),
        ({"invvar": np.full(SHAPE, 1e30)}, "objects"),
        ({"planes": {band: image(i) * (1e25 if band == "r" else 1) for i, band in enumerate("grz")}}, "objects"),
    ],
)
def test_pixels_without_information_are_no_crash(tmp_path, changes, reason):
    masked_tile(tmp_path, **changes)
    assert reason in outcome(tmp_path)


def test_one_good_pixel_is_no_crash(tmp_path):
    mask = np.ones(SHAPE)
    mask[20, 30] = 0
    masked_tile(tmp_path, mask=mask)
    assert outcome(tmp_path).endswith("objects")


def test_a_band_without_data_leaves_the_others(tmp_path):
    planes = {band: image(i) for i, band in enumerate("grz")}
    planes["r"] = np.full(SHAPE, np.nan, np.float32)
    masked_tile(tmp_path, planes=planes)
    assert outcome(tmp_path) == "1 objects"


def test_saturated_pixels_flag_their_object_and_no_other(tmp_path):
    galaxies = [*GALAXIES, {"x": 12.0, "y": 50.0, "flux": 60.0, "sigma": 3.0}]
    mask = np.zeros(SHAPE)
    mask[29:32, 39:42] = 2
    masked_tile(tmp_path, planes={b: scene(SHAPE, galaxies, 0.02, i) for i, b in enumerate("grz")}, mask=mask)
    (source,), _ = find_tiles([tmp_path], DECALS)
    objects = extract(read_tile(source, DECALS), DetectionConfig()).objects
    from galmorph import flags

    saturated = (objects["flags"] & flags.SATURATED) > 0
    assert len(objects) == 2
    assert objects[saturated][["x", "y"]].to_numpy() == pytest.approx(np.array([[40, 30]]), abs=0.3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 2), (3, 7)])
def test_tiny_tiles_are_no_crash(tmp_path, shape):
    write(tmp_path / "a.fits", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    outcome(tmp_path, single())


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8"])
def test_every_type_of_pixel(tmp_path, dtype):
    values = image() * 100 + 5
    write(tmp_path / "a.fits", values.astype(dtype))
    assert outcome(tmp_path, single()).endswith("objects")


@pytest.mark.parametrize("number", [-9999.0, 9999.0, -99999])
def test_a_zero_point_that_stands_for_none_is_told(tmp_path, number):
    write(tmp_path / "a.fits", image(), MAGZERO=number)
    said = outcome(tmp_path, single(zero_point_keyword="MAGZERO"))
    assert f"a.fits: the zero-point of band r is {number:g} mag by MAGZERO in the header of HDU 0" in said
    assert "expected one between -100 and 100. Correct it" in said
    # Given with the profile.
    assert "mag by the profile generic" in outcome(tmp_path, single(zero_point=str(number)))


def test_zero_points_of_any_unit_are_taken(tmp_path):
    for number in (-48.6, 8.9, 99.0):
        write(tmp_path / "a.fits", image() * 10 ** (0.4 * (number - 22.5)), MAGZERO=number)
        assert outcome(tmp_path, single(zero_point_keyword="MAGZERO")) == "1 objects"
        (tmp_path / "a.fits").unlink()


def test_a_cube_of_weights_with_fewer_planes_than_the_image_is_told(tmp_path):
    header = WCS.to_header()
    header["BANDS"] = "gr"
    planes = np.stack([image(0), image(1)])
    survey = load_survey("generic", {"bands": "g,r", "layout": "cube", "weight_hdu": "W"})

    def read(weights):
        hdus = [fits.PrimaryHDU(planes, header), fits.ImageHDU(weights.astype(np.float32), header, name="W")]
        fits.HDUList(hdus).writeto(tmp_path / "c.fits", overwrite=True)
        return outcome(tmp_path, survey)

    said = read(np.ones((1, *SHAPE)))
    assert "c.fits: HDU 1 (W) is a cube of 1 planes of weights, and band r is plane 2 of the image" in said
    assert "expected a plane for each band. Add those that are missing" in said
    assert read(np.full((2, *SHAPE), 2500.0)) == read(np.full(SHAPE, 2500.0)) == "1 objects"


# --- what is wrong with a tile as a whole -----------------------------------------------------------------------------


def test_swapped_bands_cannot_be_told_and_mixed_up_grids_are_refused(tmp_path):
    planes = {band: image(i) for i, band in enumerate("grz")}
    write_bands(tmp_path, planes, make_wcs(SHAPE, 0.262), noise=0.02, compress=False)
    (tmp_path / "t1-g.fits").rename(tmp_path / "swap")
    write_bands(tmp_path / "other", planes, make_wcs(SHAPE, 0.262, center=(151.0, 2.0)), noise=0.02, compress=False)
    (tmp_path / "other" / "t1-g.fits").rename(tmp_path / "t1-g.fits")
    for path in (tmp_path / "other").iterdir():
        path.unlink()
    assert "bands g and r are on different grids" in outcome(tmp_path)


def test_a_file_that_says_that_it_is_another_band_gets_a_note(tmp_path):
    planes = {band: image(i) for i, band in enumerate("grz")}
    write_bands(tmp_path, planes, make_wcs(SHAPE, 0.262), noise=0.02, compress=False)
    for band, named in (("g", "r"), ("r", "g"), ("z", "z DECam SDSS c0003 9260.0 1520.0")):
        fits.setval(tmp_path / f"t1-{band}.fits", "FILTER", value=named, ext=1)
    (source,), _ = find_tiles([tmp_path], DECALS)
    notes = read_tile(source, DECALS).warnings
    assert notes == (
        "t1-g.fits is taken for band g, and its header says FILTER = r",
        "t1-r.fits is taken for band r, and its header says FILTER = g",
    )


@pytest.mark.parametrize(
    ("unit", "zero_point", "note"),
    [
        ("Jy", "8.9", None),
        ("uJy/pixel", "23.9", None),
        ("nanomaggy", "22.5", None),
        ("adu", "30.5", None),
        (" ", "22.5", None),
        ("Jy", "22.5", "is in Jy by its header, of which the zero-point is 8.90, and that of band r is 22.50"),
        # 1e6 Jy over the steradians of a pixel of 0.262 arcsec.
        ("MJy/sr", "22.5", "is in MJy/sr by its header, of which the zero-point is 23.38, and that of band r is 22.50"),
        ("ELECTRONS", "22.5", "is in ELECTRONS by its header, and taken for nanomaggies: give zero_point"),
    ],
)
def test_a_unit_that_is_not_that_of_the_zero_point_gets_a_note(tmp_path, unit, zero_point, note):
    write(tmp_path / "t1_r.fits", image(), BUNIT=unit)
    survey = load_survey("generic", {"bands": "r", "zero_point": zero_point})
    (source,), _ = find_tiles([tmp_path], survey)
    notes = read_tile(source, survey).warnings
    assert not notes if note is None else note in notes[0]


@pytest.mark.parametrize("scale", [0.01, 40.0, 3600.0])
def test_absurd_pixel_scales_are_said(tmp_path, scale):
    write_bands(tmp_path, {b: image() for b in "grz"}, make_wcs(SHAPE, scale), noise=0.02)
    (source,), _ = find_tiles([tmp_path], DECALS)
    assert any("the native one of survey mock-decals 0.262" in note for note in read_tile(source, DECALS).warnings)
    outcome(tmp_path)


@pytest.mark.parametrize("scale", [1e-12, 1e-3])
def test_a_scale_at_which_the_seeing_covers_the_tile_is_refused(tmp_path, scale):
    write_bands(tmp_path, {b: image() for b in "grz"}, make_wcs(SHAPE, scale), noise=0.02)
    said = outcome(tmp_path)
    assert "so that the seeing of survey mock-decals covers" in said or "gives no pixel scale" in said


def test_another_unit_is_refused(tmp_path):
    write_bands(tmp_path, {b: image() for b in "grz"}, make_wcs(SHAPE, 0.262))
    cube = np.stack([image()] * 3)
    write(tmp_path / "frames" / "frame-g-1-2-3.fits", cube[0], BUNIT="nanomaggy")
    write(tmp_path / "frames" / "frame-r-1-2-3.fits", cube[0], BUNIT="MJy/sr")
    write(tmp_path / "frames" / "frame-i-1-2-3.fits", cube[0])
    assert "frame-r-1-2-3.fits: HDU 0 (PRIMARY) is in MJy/sr; expected nanomaggy" in outcome(
        tmp_path / "frames", load_survey("sdss")
    )


@pytest.mark.parametrize("name", ["ünï çödé 星", "x" * 240, "a\nb", "-rf", "a'b\"c;d", "[1]*?", "%20..%2F", "CON", " "])
def test_odd_names_are_names_of_tiles(tmp_path, name):
    write(tmp_path / f"{name}.fits", image())
    assert outcome(tmp_path, single()).endswith("objects")
    (source,), _ = find_tiles([tmp_path], single())
    assert source.name.isascii()
    assert len(source.name) < 140


# --- where objects lie ------------------------------------------------------------------------------------------------


CORNERS = [(0, 0), (71, 63), (0, 63), (71, 0), (36, 0), (0, 30), (71.4, 30), (36, 63.4)]


@pytest.mark.parametrize(("x", "y"), CORNERS)
def test_objects_at_edges_and_corners_are_found_and_flagged(tmp_path, x, y):
    from galmorph import flags

    entry = {"x": x, "y": y, "flux": 60, "sigma": 3}
    write_bands(tmp_path, {b: scene(SHAPE, [entry], 0.02, i) for i, b in enumerate("grz")}, WCS, noise=0.02)
    (source,), _ = find_tiles([tmp_path], DECALS)
    objects = extract(read_tile(source, DECALS), DetectionConfig()).objects
    assert len(objects) == 1
    assert objects["flags"].iloc[0] & flags.TRUNCATED


@pytest.mark.parametrize("sigma", [0.3, 1.0, 30.0])
def test_tiny_and_huge_objects_have_sizes_in_order(tmp_path, sigma):
    planes = {
        b: scene((160, 160), [{"x": 80, "y": 80, "flux": 4000, "sigma": sigma}], 0.02, i) for i, b in enumerate("grz")
    }
    write_bands(tmp_path, planes, make_wcs((160, 160), 0.262), noise=0.02)
    (source,), _ = find_tiles([tmp_path], DECALS)
    objects = extract(read_tile(source, DECALS), DetectionConfig(background_box=300)).objects
    brightest = objects.loc[objects["flux_r"].idxmax()]
    assert brightest[["x", "y"]].to_numpy(float) == pytest.approx([80, 80], abs=1)
    assert 0 < brightest["half_light_radius"] < 160 * 0.262


def test_blended_objects_are_two_and_say_so(tmp_path):
    from galmorph import flags

    pair = [{"x": 32, "y": 30, "flux": 200, "sigma": 2.2}, {"x": 42, "y": 30, "flux": 200, "sigma": 2.2}]
    write_bands(
        tmp_path, {b: scene(SHAPE, pair, 0.02, i) for i, b in enumerate("grz")}, make_wcs(SHAPE, 0.262), noise=0.02
    )
    (source,), _ = find_tiles([tmp_path], DECALS)
    objects = extract(read_tile(source, DECALS), DetectionConfig()).objects.sort_values("x")
    assert objects["x"].to_numpy() == pytest.approx([32, 42], abs=0.5)
    assert (objects["flags"] & flags.BLENDED).all()


@pytest.mark.parametrize(
    "center", [(0.0, 10.0), (359.9999, -5.0), (0.0, 89.9999), (0.0, 90.0), (123.0, -90.0), (180.0, 0.0)]
)
@pytest.mark.parametrize(("angle", "flip"), [(0.0, False), (90.0, False), (137.0, True), (0.0, True)])
def test_positions_hold_anywhere_on_the_sky_and_in_any_orientation(tmp_path, center, angle, flip):
    """Against astropy's own separation: the object lies where its pixel does."""
    from astropy.coordinates import SkyCoord

    wcs = make_wcs(SHAPE, 0.262, center=center, angle=angle, flip=flip)
    write_bands(tmp_path, {b: scene(SHAPE, GALAXIES, 0.02, i) for i, b in enumerate("grz")}, wcs, noise=0.02)
    (source,), _ = find_tiles([tmp_path], DECALS)
    tile = read_tile(source, DECALS)
    assert tile.warnings == ()
    (found,) = extract(tile, DetectionConfig()).objects.to_dict("records")
    assert 0 <= found["ra"] < 360
    where = wcs.pixel_to_world(GALAXIES[0]["x"], GALAXIES[0]["y"])
    assert SkyCoord(found["ra"], found["dec"], unit="deg").separation(where).arcsec < 0.1
    # Given by its position, it is found again at the same pixel.
    import pandas as pd

    given_positions = pd.DataFrame({"source_id": ["a"], "ra": [where.ra.deg], "dec": [where.dec.deg]})
    (given_row,) = extract(tile, DetectionConfig(), given_positions).objects.to_dict("records")
    assert [given_row["x"], given_row["y"]] == pytest.approx([40, 30], abs=1e-3)


@pytest.mark.parametrize(("angle", "flip"), [(0.0, False), (90.0, False), (180.0, True)])
def test_cutouts_show_the_sky_as_the_tile_stores_it(tmp_path, angle, flip):
    """Neither turned nor flipped: rows and columns of a cutout are those of the tile, whatever the WCS says."""
    from galmorph.cutouts import Cutter, Framing

    plane = galaxy((64, 64), 32, 32, 100, 4, ratio=0.4, theta=0.6).astype(np.float32) + galaxy(
        (64, 64), 40, 34, 20, 1.5
    )
    write_bands(
        tmp_path, dict.fromkeys("grz", plane.astype(np.float32)), make_wcs((64, 64), 0.262, angle=angle, flip=flip)
    )
    (source,), _ = find_tiles([tmp_path], DECALS)
    tile = read_tile(source, DECALS)
    framing = Framing(size=21, mode="angle", angle=21 * tile.pixel_scale)
    images = Cutter(tile.image, tile.valid, tile.pixel_scale, framing).cut([32.0], [32.0], [1.0]).images
    np.testing.assert_allclose(images[0, 0] * tile.pixel_scale**2, plane[22:43, 22:43], rtol=1e-4, atol=1e-5)


def test_two_tiles_of_one_name_and_copies_of_a_tile_are_both_read(tmp_path):
    for folder, seed in (("a", 1), ("b", 2), ("c", 1)):
        make_tile(tmp_path / folder, "same", seed=seed)
    sources, rejected = find_tiles([tmp_path], DECALS)
    assert (len({source.name for source in sources}), rejected) == (3, [])
    counts = [len(extract(read_tile(source, DECALS), DetectionConfig()).objects) for source in sources]
    assert all(count > 2 for count in counts)


# --- whose fault it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError(), TileUnavailableError, "t.fits needs more memory than there is"),
        (FileNotFoundError(errno.ENOENT, "gone"), TileUnavailableError, "t.fits is not there any more"),
        (PermissionError(errno.EACCES, "denied"), TileUnavailableError, "t.fits may not be read by this user"),
        (OSError(errno.EIO, "I/O error"), TileUnavailableError, "t.fits cannot be read now: I/O error"),
        (OSError(errno.ESTALE, "stale"), TileUnavailableError, "t.fits cannot be read now: stale"),
        (ModuleNotFoundError("uncompresspy"), TileError, "t.fits is compressed in a way that is not read"),
        (OSError("no END card."), TileError, "t.fits is damaged, .*[(]astropy says: no END card[)]"),
        (OSError(errno.EINVAL, "odd"), TileError, "t.fits is damaged, incomplete or not FITS"),
        (KeyError(), TileError, "astropy says: KeyError"),
        (TileError("as it was said"), TileError, "^as it was said$"),
    ],
)
def test_faults_of_the_machine_are_not_those_of_the_tile(error, kind, words):
    with pytest.raises(kind, match=words) as caught, _in_words(Path("t.fits")):
        raise error
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("bits", "axes", "more", "groups", "blocks"),
    [
        (16, (), {}, False, 0),
        (16, (5, 0), {}, False, 0),
        (-32, (5, 7), {}, False, 1),
        (16, (144, 10), {}, False, 1),
        (16, (1441,), {}, False, 2),
        (8, (10, 1000), {"PCOUNT": 5000, "GCOUNT": 1}, False, 6),  # a table with 5000 bytes beside its rows
        (-32, (0, 10, 10), {"PCOUNT": 6, "GCOUNT": 50}, True, 8),  # 50 groups of 6 and 100 numbers
        (-32, (0, 10, 10), {"PCOUNT": 6, "GCOUNT": 50}, False, 1),
    ],
)
def test_data_take_as_many_blocks_as_the_standard_says(bits, axes, more, groups, blocks):
    header = fits.Header({"BITPIX": bits, "NAXIS": len(axes)})
    header.update({f"NAXIS{number}": length for number, length in enumerate(axes, 1)} | more | {"GROUPS": groups})
    assert _data_bytes(header) == 2880 * blocks
