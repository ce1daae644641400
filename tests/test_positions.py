import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from galmorph.catalogs.tables import open_table as sky_table
from galmorph.errors import DataError
from galmorph.positions import read_labels, read_positions
from galmorph.table_files import find_column

RA, DEC = [10.5, 200.25, 359.9], [-5.0, 0.0, 89.0]


def csv(path, text):
    path.write_text(text)
    return path


def test_rows_with_more_fields_than_names_are_refused_and_empty_ones_at_the_end_are_none(tmp_path):
    with pytest.raises(DataError, match=r"more fields than the header .* first row '1,150\.1,2\.2,18\.5'"):
        read_positions(csv(tmp_path / "p.csv", "id,ra,dec\n1,150.1,2.2,18.5\n"))
    check(read_positions(csv(tmp_path / "p.csv", "id,ra,dec\n1,10.5,-5,\n2,200.25,0,\n3,359.9,89,\n")), ["1", "2", "3"])


def check(table, ids=("1", "2", "3")):
    np.testing.assert_array_equal(table["ra"], RA)
    np.testing.assert_array_equal(table["dec"], DEC)
    assert table["source_id"].tolist() == list(ids)
    assert table["ra"].dtype == table["dec"].dtype == float


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("ra", "dec"), ("RA", "DEC"), ("ra_deg", "dec_deg"), ("RAJ2000", "DEJ2000"), ("RA [deg]", "Dec [deg]"),
        ("alpha", "delta"), ("ALPHA_J2000", "DELTA_J2000"), ("RA_ICRS", "DE_ICRS"), ("right_ascension", "declination"),
    ],
)  # fmt: skip
def test_usual_names_in_every_format(tmp_path, ra, dec):
    frame = pd.DataFrame({"other": [1, 2, 3], ra: RA, dec: DEC})
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.to_csv(tmp_path / "p.csv.gz", index=False)
    frame.to_parquet(tmp_path / "p.parquet")
    Table.from_pandas(frame).write(tmp_path / "p.fits")
    (tmp_path / "p.fits.gz").write_bytes(gzip.compress((tmp_path / "p.fits").read_bytes()))
    Table.from_pandas(frame).write(tmp_path / "p.ecsv")
    (tmp_path / "p.ecsv.gz").write_bytes(gzip.compress((tmp_path / "p.ecsv").read_bytes()))
    for name in ("p.csv", "p.csv.gz", "p.parquet", "p.fits", "p.fits.gz", "p.ecsv", "p.ecsv.gz"):
        check(read_positions(tmp_path / name))


@pytest.mark.parametrize("name", ["id", "source_id", "object_id", "ObjID", "TARGETID"])
def test_identifiers_keep_every_digit(tmp_path, name):
    ids = [1237648720693755918, 2, 3]
    frame = pd.DataFrame({name: ids, "ra": RA, "dec": DEC})
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.to_parquet(tmp_path / "p.parquet")
    Table.from_pandas(frame).write(tmp_path / "p.fits")
    Table.from_pandas(frame).write(tmp_path / "p.ecsv")
    for file in ("p.csv", "p.parquet", "p.fits", "p.ecsv"):
        check(read_positions(tmp_path / file), map(str, ids))


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_identifiers_keep_every_digit_where_some_are_missing(tmp_path, kind):
    ids = pa.array([1237648720693755918, None, 1237648720693755919], kind)
    pq.write_table(pa.table({"objectId": ids, "ra": RA, "dec": DEC}), tmp_path / "p.parquet")
    check(read_positions(tmp_path / "p.parquet"), ("1237648720693755918", "2", "1237648720693755919"))


def test_identifiers_that_a_table_has_as_floats_are_whole_numbers(tmp_path, caplog):
    path = tmp_path / "list.parquet"
    table = pd.DataFrame({"id": [12.0, np.nan, 2.0**52], "ra": [1.0, 2.0, 3.0], "dec": [0.0, 0.0, 0.0]})
    table.to_parquet(path)
    assert read_positions(path)["source_id"].tolist() == ["12", "2", "4503599627370496"]
    assert not caplog.records
    table.assign(id=[0.5, 1.0, 2.0]).to_parquet(path)
    assert read_positions(path)["source_id"].tolist() == ["0.5", "1.0", "2.0"]
    table.assign(id=[5.877e17, 1.0, 2.0]).to_parquet(path)
    read_positions(path)
    assert "no room for their last digits" in caplog.text


def test_identifiers_of_text_and_missing_ones(tmp_path):
    Table({"name": ["a1", "b", "c "], "ra": RA, "dec": DEC}).write(tmp_path / "p.fits")
    check(read_positions(tmp_path / "p.fits"), ["a1", "b", "c"])
    check(read_positions(csv(tmp_path / "p.csv", "name,ra,dec\na,10.5,-5\n,200.25,0\nc,359.9,89\n")), ["a", "2", "c"])


def test_the_number_of_a_row_is_not_taken_for_the_identifier_of_another(tmp_path):
    path = csv(tmp_path / "p.csv", "id,ra,dec,label\n0,10.5,-5,a\n1,200.25,0,b\n,359.9,89,b\n3,3,3,a\n")
    for read in (read_positions, read_labels):
        with pytest.raises(DataError, match=r"p\.csv: 1 rows have no identifier, such as row 3, and the number"):
            read(path)


@pytest.mark.parametrize(
    ("ucds", "found"),
    [
        ({"lon": "pos.eq.ra", "glon": "pos.galactic.lon"}, "lon"),
        ({"second": "pos.eq.ra", "first": "POS.EQ.RA;META.MAIN"}, "first"),
        ({"second": "pos.eq.ra", "third": "pos.eq.ra", "glon": "pos.galactic.lon;meta.main"}, "second"),
        ({"RA [deg]": "", "lon": "pos.eq.ra;meta.main"}, "RA [deg]"),
        ({"glon": "pos.galactic.lon;meta.main"}, None),
    ],
)
def test_a_column_is_known_by_its_usual_name_then_by_its_main_ucd(ucds, found):
    assert find_column(pd.DataFrame(columns=list(ucds)), ucds, ("ra",), "pos.eq.ra") == found


def test_columns_are_known_by_their_ucd(tmp_path):
    hdu = fits.BinTableHDU(Table({"lon": RA, "lat": DEC, "lon_b": [0.0] * 3}))
    hdu.header["TUCD1"], hdu.header["TUCD2"], hdu.header["TUCD3"] = "pos.eq.ra;meta.main", "pos.eq.dec", "pos.eq.ra"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "p.fits")
    check(read_positions(tmp_path / "p.fits"))
    schema = pa.schema(
        [
            pa.field("lon", pa.float64(), metadata={"ucd": "pos.eq.ra"}),
            pa.field("lat", pa.float64(), metadata={"ucd": "pos.eq.dec"}),
        ]
    )
    pq.write_table(pa.table([RA, DEC], schema=schema), tmp_path / "p.parquet")
    check(read_positions(tmp_path / "p.parquet"))


def test_radii_and_negative_right_ascensions(tmp_path):
    table = read_positions(csv(tmp_path / "p.csv", "# a comment\nra, dec, radius\n-10, 5, 3.5\n20, 6,\n"))
    assert table["ra"].tolist() == [350.0, 20.0]
    np.testing.assert_array_equal(table["radius"], [3.5, np.nan])


@pytest.mark.parametrize(
    ("unit", "arcsec"), [("arcsec", 1), ("arcmin", 60), ("deg", 3600), ("rad", 3600 * 180 / np.pi), (None, 1)]
)
def test_radii_become_arcsec_by_their_unit(tmp_path, unit, arcsec):
    values = np.array([0.0001, 0.0005, 0.0025])
    table = Table({"id": [1, 2, 3], "ra": RA, "dec": DEC, "radius": values})
    table["radius"].unit = unit
    table.write(tmp_path / "p.fits")
    table.write(tmp_path / "p.vot", format="votable")
    table.write(tmp_path / "p.ecsv")
    column = pa.field("radius", pa.float64(), metadata={"unit": unit} if unit else None)
    schema = pa.schema([("ra", pa.float64()), ("dec", pa.float64()), column])
    pq.write_table(pa.table([pa.array(RA), pa.array(DEC), pa.array(values)], schema=schema), tmp_path / "p.parquet")
    named = {"ra": RA, "dec": DEC, f"Radius [{unit}]" if unit else "radius": values}
    pd.DataFrame(named).to_csv(tmp_path / "p.csv", index=False)
    for name in ("p.fits", "p.vot", "p.ecsv", "p.parquet", "p.csv"):
        np.testing.assert_allclose(read_positions(tmp_path / name)["radius"], values * arcsec, rtol=1e-12)


def test_radii_in_other_units_are_refused(tmp_path):
    table = Table({"ra": RA, "dec": DEC, "radius": [1.0, 2.0, 3.0]})
    table["radius"].unit = "pix"
    table.write(tmp_path / "p.fits")
    with pytest.raises(DataError, match=r"p\.fits: column radius is in pix.*; expected arcsec, arcmin, deg or rad"):
        read_positions(tmp_path / "p.fits")


def test_absurd_radii_count_as_none_and_are_told(tmp_path, caplog):
    table = read_positions(csv(tmp_path / "p.csv", "ra,dec,radius\n1,2,600\n3,4,9999\n5,6,\n7,8,inf\n"))
    np.testing.assert_array_equal(table["radius"], [600, np.nan, np.nan, np.nan])
    assert "2 of 4 values of radius are more than 600 arcsec, as in row 2, and count as none" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ra,dec\n", "has no rows"),
        ("x,dec\n1,2\n", "no column of right ascension; expected one called ra"),
        ("ra,y\n1,2\n", "no column of declination"),
        ("ra,dec\n1,2\n,3\nnan,4\n", "column ra has to hold a number; it does not in 2 of 3 rows (row 2, 3"),
        ("ra,dec\n1,2\n400,3\n", "column ra has to hold degrees between 0 and 360; it does not in 1 of 2 rows (row 2"),
        ("ra,dec\n1,-91\n", "column dec has to hold degrees between -90 and 90"),
        ("ra,dec\n1,2\n10:20:30.5,+2:00:00\n", "'10:20:30.5' in row 2, which is hours or degrees, minutes and seconds"),
        ("ra,dec\n10h20m30s,2\n", "hours or degrees, minutes and seconds"),
        ("ra,dec\n10 20 30,2\n", "hours or degrees, minutes and seconds"),
        ("ra,dec\nfar,2\n", "'far' in row 1, which is no number"),
        ("RA [h],dec\n1,2\n", "is in hours (h); expected degrees"),
        ("ra,dec,radius\n1,2,-3\n", "column radius has to hold positive arcsec"),
        ("ra,dec,radius\n1,2,wide\n", "'wide' in row 1, which is no number; expected arcsec"),
        ("ra,dec\n1,2,3,4\n1,2\n1,2,3,4,5\n", "cannot be read as a table"),
    ],
)
def test_wrong_tables_are_refused_in_words(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        read_positions(csv(tmp_path / "p.csv", text))
    assert message in str(caught.value)
    assert "p.csv" in str(caught.value)


def test_hours_in_a_fits_table_are_refused(tmp_path):
    hdu = fits.BinTableHDU(Table({"ra": [1.0], "dec": [2.0]}))
    hdu.header["TUNIT1"] = "h"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "p.fits")
    with pytest.raises(DataError, match="is in hours"):
        read_positions(tmp_path / "p.fits")


@pytest.mark.parametrize("name", ["p.parquet", "p.fits", "p.csv.gz", "p.xlsx"])
def test_damaged_and_unknown_files_are_refused_in_words(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00\x01nonsense" * 10)
    with pytest.raises(DataError, match=r"cannot be read as a table|of an unknown kind"):
        read_positions(tmp_path / name)


def test_images_and_absent_files_are_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "p.fits")
    with pytest.raises(DataError, match="holds no table"):
        read_positions(tmp_path / "p.fits")
    with pytest.raises(DataError, match="does not exist"):
        read_positions(tmp_path / "absent.csv")


def ldac(path, *tables):
    """Catalogue as SExtractor writes it: before the objects, a table that holds the image's header."""
    head = fits.Column("Field Header Card", "1680A", array=np.array(["SIMPLE  =                    T"]))
    hdus = [fits.BinTableHDU(table, name=name) for name, table in tables]
    first = fits.BinTableHDU.from_columns([head], name="LDAC_IMHEAD")
    fits.HDUList([fits.PrimaryHDU(), first, *hdus]).writeto(path)


def test_the_first_table_with_positions_counts(tmp_path):
    objects = Table({"NUMBER": [7, 8, 9], "VIGNET": np.zeros((3, 5, 5)), "ALPHA_J2000": RA, "DELTA_J2000": DEC})
    second = Table({"ra": [0.0], "dec": [0.0]})
    ldac(tmp_path / "p.fits", ("LDAC_OBJECTS", objects), ("OTHERS", second))
    check(read_positions(tmp_path / "p.fits"), ["7", "8", "9"])
    assert sky_table(tmp_path / "p.fits").columns == ("NUMBER", "ALPHA_J2000", "DELTA_J2000")


def test_tables_without_positions_are_listed(tmp_path):
    ldac(tmp_path / "p.fits", ("LDAC_OBJECTS", Table({"X_IMAGE": [1.0], "Y_IMAGE": [2.0]})))
    with pytest.raises(DataError, match=r"holds 2 tables, .*LDAC_IMHEAD: Field Header Card; LDAC_OBJECTS: X_IMAGE, Y_"):
        read_positions(tmp_path / "p.fits")


def test_columns_that_positions_do_not_need_are_not_read(tmp_path, monkeypatch):
    columns = SURVEY_TABLES["tractor"][0] | {"label": ["a", "b", "c"], "radius": [1.0, 2.0, 3.0], "name": ["x"] * 3}
    pd.DataFrame(columns).to_parquet(tmp_path / "p.parquet")
    Table(columns).write(tmp_path / "p.fits")
    read, original = [], pq.read_table
    monkeypatch.setattr(
        pq, "read_table", lambda *given, **named: read.append(named["columns"]) or original(*given, **named)
    )
    expected = read_positions(tmp_path / "p.parquet")
    monkeypatch.setattr(Table, "read", lambda hdu: read.append(hdu.columns.names) or Table(hdu.data))
    pd.testing.assert_frame_equal(read_positions(tmp_path / "p.fits"), expected)
    assert [set(names) for names in read] == [columns.keys() - {"type", "shape_r", "name"}] * 2


@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u4", "i8", "u8", "f4", "?", "S"])
def test_identifiers_of_a_fits_table_are_the_same_among_other_columns(tmp_path, kind):
    ids = np.array([b"ab ", b"", b"c"]) if kind == "S" else np.array([1, 0, 2]).astype(kind)
    if kind in ("u8", "i8"):
        ids = ids + np.array(np.iinfo(kind).max - 2, dtype=kind)
    columns = {"id": ids, "ra": RA, "dec": DEC}
    Table(columns).write(tmp_path / "p.fits")
    Table(columns | {"other": [1, 2, 3]}).write(tmp_path / "q.fits")
    pd.testing.assert_frame_equal(read_positions(tmp_path / "q.fits"), read_positions(tmp_path / "p.fits"))


def test_a_votable_is_known_by_its_ucds(tmp_path):
    table = Table({"name": ["a", "b", "c"], "lon": RA, "lat": DEC})
    for name, ucd in (("name", "meta.id;meta.main"), ("lon", "pos.eq.ra;meta.main"), ("lat", "pos.eq.dec;meta.main")):
        table[name].meta["ucd"] = ucd
    table["lon"].unit = table["lat"].unit = "deg"
    table.write(tmp_path / "p.vot", format="votable")
    (tmp_path / "p.vot.gz").write_bytes(gzip.compress((tmp_path / "p.vot").read_bytes()))
    check(read_positions(tmp_path / "p.vot"), ["a", "b", "c"])
    check(read_positions(tmp_path / "p.vot.gz"), ["a", "b", "c"])


def test_hours_are_refused_wherever_the_unit_is_told(tmp_path):
    table = Table({"ra": RA, "dec": DEC})
    table["ra"].unit = "h"
    table.write(tmp_path / "p.vot", format="votable")
    field = pa.field("ra", pa.float64(), metadata={"unit": "h"})
    columns = pa.schema([field, pa.field("dec", pa.float64())])
    pq.write_table(pa.table([pa.array(RA), pa.array(DEC)], schema=columns), tmp_path / "p.parquet")
    table.write(tmp_path / "p.ecsv")
    for name in ("p.vot", "p.parquet", "p.ecsv"):
        with pytest.raises(DataError, match=r"hours.*Multiply it by 15"):
            read_positions(tmp_path / name)


# --- catalogues of surveys --------------------------------------------------------------------------------------------

LONG = [1237648720693755918, 1237648720693755919, 1237648720693755920]
SURVEY_TABLES = {
    "tractor": (
        {"release": [9010] * 3, "brickid": [330368] * 3, "objid": [0, 1, 2], "brick_primary": [True, False, True],
         "ra": RA, "dec": DEC, "type": ["PSF", "REX", "EXP"], "shape_r": [0.0, 1.0, 2.0]},
        ["9010-330368-0", None, "9010-330368-2"],
    ),
    "sweep": (
        {"RELEASE": [10000] * 3, "BRICKID": [1, 2, 3], "OBJID": [7, 7, 7], "RA": RA, "DEC": DEC},
        ["10000-1-7", "10000-2-7", "10000-3-7"],
    ),
    "mer": (
        {"OBJECT_ID": [-1 * n for n in LONG], "RIGHT_ASCENSION": RA, "DECLINATION": DEC,
         "RIGHT_ASCENSION_PSF_FITTING": [0.0] * 3, "SEGMENTATION_MAP_ID": [1, 2, 3], "TILE_INDEX": [102018211] * 3},
        [str(-n) for n in LONG],
    ),
    "rubin": (
        {"objectId": LONG, "coord_ra": RA, "coord_dec": DEC, "parentObjectId": [0, 1, 1], "tract": [5063] * 3},
        [str(n) for n in LONG],
    ),
    "rubin-dp0": (
        {"objectId": LONG, "coord_ra": RA, "coord_dec": DEC, "detect_isPrimary": [True, True, False]},
        [str(LONG[0]), str(LONG[1]), None],
    ),
    "hsc": (
        {"object_id": LONG, "isprimary": [False, True, True], "ra": RA, "dec": DEC},
        [None, str(LONG[1]), str(LONG[2])],
    ),
    "panstarrs": (
        {"objID": [LONG[0], LONG[0], LONG[1]], "primaryDetection": [1, 0, 1], "raStack": RA, "decStack": DEC},
        [str(LONG[0]), None, str(LONG[1])],
    ),
    "sdss": (
        {"objID": LONG, "run": [94] * 3, "camcol": [1] * 3, "mode": [1, 2, 1], "ra": RA, "dec": DEC},
        [str(LONG[0]), None, str(LONG[2])],
    ),
    "des": (
        {"COADD_OBJECT_ID": LONG, "TILENAME": ["a", "b", "c"], "RA": RA, "DEC": DEC, "ALPHAWIN_J2000": [0.0] * 3},
        [str(n) for n in LONG],
    ),
    "kids": (
        {"SeqNr": [1, 2, 3], "ID": ["KiDSDR4 J1", "KiDSDR4 J2", "KiDSDR4 J3"], "RAJ2000": RA, "DECJ2000": DEC},
        ["KiDSDR4 J1", "KiDSDR4 J2", "KiDSDR4 J3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "fits", "parquet"])
@pytest.mark.parametrize("survey", SURVEY_TABLES)
def test_identifiers_and_primary_rows_of_a_survey_are_kept(tmp_path, survey, kind):
    columns, expected = SURVEY_TABLES[survey]
    path, frame = tmp_path / f"objects.{kind}", pd.DataFrame(columns)
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "fits":
        Table(columns).write(path)
    else:
        frame.to_parquet(path)
    rows = read_positions(path)
    kept = [i for i, name in enumerate(expected) if name is not None]
    assert rows["source_id"].tolist() == [expected[i] for i in kept]
    np.testing.assert_array_equal(rows["ra"], [RA[i] for i in kept])
    np.testing.assert_array_equal(rows["dec"], [DEC[i] for i in kept])
    assert "radius" not in rows
    assert rows.index.tolist() == list(range(len(kept)))


def test_radians_are_told_by_their_unit(tmp_path):
    table = Table({"id": [1, 2, 3], "coord_ra": np.radians(RA), "coord_dec": np.radians(DEC)})
    table["coord_ra"].unit = table["coord_dec"].unit = "rad"
    table.write(tmp_path / "src.fits")
    rows = read_positions(tmp_path / "src.fits")
    np.testing.assert_allclose([rows["ra"], rows["dec"]], [RA, DEC], rtol=1e-14)


@pytest.mark.parametrize(("unit", "factor"), [("hourangle", 1 / 15), ("arcmin", 60), ("mas", 3.6e6), ("deg", 1)])
def test_angles_are_degrees_whatever_unit_a_votable_tells(tmp_path, unit, factor):
    table = Table({"id": [1, 2, 3], "ra": np.array(RA) * factor, "dec": DEC})
    table["ra"].unit = unit  # astropy writes hours of angle as 15deg
    table.write(tmp_path / "p.vot", format="votable")
    np.testing.assert_allclose(read_positions(tmp_path / "p.vot")["ra"], RA, rtol=1e-14)


def test_words_in_brackets_that_are_no_unit_change_nothing(tmp_path):
    pd.DataFrame({"RA (J2000)": RA, "DEC (J2000)": DEC}).to_csv(tmp_path / "p.csv", index=False)
    np.testing.assert_array_equal(read_positions(tmp_path / "p.csv")["ra"], RA)


def test_lines_of_comment_are_passed_over_and_words_with_a_hash_are_whole(tmp_path):
    text = "# made by hand\nid,ra,dec,label\na#1,10.1,2.2,spiral#2\n  # a remark\nb,10.2,2.3,#3\n"
    for name in ("p.csv", "p.csv.gz"):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        table = read_labels(tmp_path / name)
        assert table["source_id"].tolist() == ["a#1", "b"]
        assert table["label"].tolist() == ["spiral#2", "#3"]
        assert table["dec"].tolist() == [2.2, 2.3]


def test_labels_stay_with_their_rows_where_others_are_left_out(tmp_path):
    columns = SURVEY_TABLES["tractor"][0] | {"label": ["a", "b", "c"]}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    assert read_labels(tmp_path / "p.csv")["label"].tolist() == ["a", "c"]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_labels_of_whole_numbers_are_the_same_words_where_one_is_missing(tmp_path, missing):
    table = pd.DataFrame({"ra": RA, "dec": DEC, "label": [1, missing, 0]})
    table.to_parquet(tmp_path / "p.parquet")
    Table.from_pandas(table).write(tmp_path / "p.fits")
    for name in ("p.parquet", "p.fits"):
        assert read_labels(tmp_path / name)["label"].tolist() == ["1", "", "0"]


def test_a_table_without_any_primary_row_is_refused(tmp_path):
    columns = SURVEY_TABLES["hsc"][0] | {"isprimary": [0, 0, 0]}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(DataError, match="column isprimary calls no row primary"):
        read_positions(tmp_path / "p.csv")
