import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from make_rows import write_parts
from PIL import Image

from galmorph.catalogs import export, open_catalog, write_catalog
from galmorph.catalogs.regions import cone
from galmorph.catalogs.sky_map import _project, draw_sky
from galmorph.cli import main
from galmorph.errors import CatalogError
from galmorph.flags import EDGE

#: Names that ADQL does not take as they are.
RENAMED = {"_healpix_29": "healpix_29", "primary": "primary_", "unknown": "unknown_"}

pytestmark = pytest.mark.filterwarnings("ignore:'nmgy' did not parse")


def test_fits_has_the_primary_rows_with_units_and_where_they_come_from(catalog, tmp_path):
    frame = catalog.to_pandas().query("primary")
    assert export(catalog, tmp_path / "out.fits") == len(frame)
    table, header = Table.read(tmp_path / "out.fits"), fits.getheader(tmp_path / "out.fits", 1)
    assert table["object_id"].tolist() == frame["object_id"].tolist()
    np.testing.assert_array_equal(table["p_merger"], frame["p_merger"])
    ucds = {header[f"TTYPE{i}"]: header.get(f"TUCD{i}") for i in range(1, header["TFIELDS"] + 1)}
    assert ucds["ra"] == "pos.eq.ra;meta.main"
    assert ucds["primary_"] == "meta.code"
    assert str(table["ra"].unit) == "deg"
    assert "survey: mock-decals" in list(header["COMMENT"])


def test_classes_and_bands_of_any_name_go_into_every_format(tmp_path):
    names = {"classes": ("lens", 'the "odd" one', "<b>,é"), "bands": ("g", "i'")}
    parts = write_parts(tmp_path / "parts", 20, fields=["plain"], **names)
    odd = open_catalog(write_catalog(parts, tmp_path / "catalog", provenance={}, **names))
    for suffix in ("fits", "vot", "csv", "parquet", "json", "txt"):
        assert export(odd, tmp_path / f"out.{suffix}") == sum(odd.to_pandas()["primary"])
    written = Table.read(tmp_path / "out.fits")
    primary = odd.to_pandas().query("primary")
    np.testing.assert_array_equal(written["p_the_odd_one"], primary['p_the "odd" one'])


def test_a_votable_is_valid_and_says_what_its_columns_are(catalog, tmp_path):
    export(catalog, tmp_path / "out.vot", where="p_merger > 0.5 OR unknown")
    tree = votable.parse_single_table(tmp_path / "out.vot", verify="exception")
    rows = catalog.to_pandas().query("primary and (p_merger > 0.5 or unknown)")
    assert tree.to_table()["object_id"].tolist() == rows["object_id"].tolist()
    fields = {field.name: field for field in tree.fields}
    for column in catalog.schema:
        name = RENAMED.get(column.name, column.name)
        assert fields[name].ucd == column.metadata[b"ucd"].decode()
        assert fields[name].description.split() == column.metadata[b"description"].decode().split()


def test_regions_are_circles_for_ds9(catalog, tmp_path):
    number = export(catalog, tmp_path / "out.reg", within=[cone(150.1, 2.2, "1arcmin")])
    lines = (tmp_path / "out.reg").read_text().splitlines()
    assert lines[2] == "icrs"
    assert number == len(lines) - 3 > 2
    rows = catalog.query('SELECT * FROM catalog WHERE "primary"', within=[cone(150.1, 2.2, "1arcmin")]).to_pylist()
    first = rows[0]
    assert f'circle({first["ra"]:.7f},{first["dec"]:.7f},{first["radius"]:.2f}")' in (tmp_path / "out.reg").read_text()
    assert sum("magenta" in line for line in lines) == sum(row["unknown"] for row in rows)


def test_columns_and_all_rows(catalog, tmp_path):
    export(catalog, tmp_path / "out.parquet", columns=["snr", "ra"], all_rows=True)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["snr", "ra"]
    assert table.num_rows == len(catalog.to_pandas())
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.xyz", {}, "tells no format"),
        ("out.fits", {"columns": ["redshift"]}, "has no column redshift"),
        ("out.fits", {"where": "redshift > 1"}, "redshift"),
        ("out.fits", {"where": "1 = 1); DROP VIEW catalog; --"}, "is no condition in SQL: .*syntax error"),
        ("out.fits", {"where": "false) OR (true"}, "is no condition in SQL: .*syntax error"),
        ("out.fits", {"where": "primary"}, 'no condition in SQL: .*write "primary", in quotation marks'),
        ("out.fits", {"where": "-- all of them"}, "is no condition in SQL"),
        *(
            ("out.fits", {"where": words}, "a condition is one expression, such as p_merger > 0.9")
            for words in (
                "true, false",
                "true AS x",
                "true x",
                "true FROM catalog",
                "true WHERE true",
                "true LIMIT 1",
                "true ORDER BY 1",
                "DISTINCT true",
                "true UNION SELECT true",
                "true; SELECT true",
                "true HAVING true",
                "true QUALIFY true",
                "true GROUP BY 1",
                "true USING SAMPLE 3",
            )
        ),
        (
            "out.fits",
            {"where": "label IN (SELECT content FROM read_text('/etc/passwd'))"},
            "nothing else, not read_text",
        ),
        ("out.reg", {"columns": ["snr"]}, "regions need the columns ra and dec"),
        ("no/such/folder/out.csv", {}, "cannot be written"),
        ("no/such/folder/out.reg", {}, "cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_told_in_words(name, options, words, catalog, tmp_path):
    with pytest.raises(CatalogError, match=words):
        export(catalog, tmp_path / name, **options)


def test_a_condition_may_have_comments_and_everything_that_an_expression_has(catalog, tmp_path):
    frame = catalog.to_pandas().query("primary")
    for where, expected in {
        "snr > 20 -- bright": frame["snr"] > 20,
        "snr > 20 /* bright */ OR\nunknown": (frame["snr"] > 20) | frame["unknown"],
        "label IN (SELECT label FROM catalog WHERE snr > 1e9)": frame["snr"] > 1e9,
        "(snr > 20) OR (unknown)": (frame["snr"] > 20) | frame["unknown"],
        "NOT has_flag(flags, 'EDGE') AND snr BETWEEN 10 AND 30": (
            (frame["flags"] & EDGE == 0) & frame["snr"].between(10, 30)
        ),
    }.items():
        assert export(catalog, tmp_path / "out.csv", where=where) == expected.sum()


def test_answers_say_what_their_columns_are(catalog):
    for table in (catalog.query("SELECT ra, snr AS dec FROM catalog LIMIT 1"), catalog.candidates("unknown", 2)):
        assert table.schema.field("ra").metadata[b"ucd"] == b"pos.eq.ra;meta.main"
    assert catalog.query("SELECT snr AS dec FROM catalog LIMIT 1").schema.field("dec").metadata is None  # another type


def picture(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def test_the_map_shows_where_the_rows_are(catalog, tmp_path):
    catalog.draw_sky(tmp_path / "sky.png")
    pixels = picture(tmp_path / "sky.png")
    blue = (pixels[:, :, 2] - pixels[:, :, 0]) > 30
    assert blue.any()
    for ra, dec in ((150.1, 2.2), (359.99, -30.0), (10.0, 89.9), (200.0, -89.9)):
        x, y = (int(v[0]) for v in _project(np.array([ra]), np.array([dec])))
        assert blue[48 + y - 3 : 48 + y + 4, max(24 + x - 3, 0) : 24 + x + 4].any(), (ra, dec)
    assert blue[48:488, 24:904].sum() < 200  # four fields of a fifth of a degree


def test_the_projection_by_hand():
    """Mollweide: the ellipse's ends at dec 0, the poles at top and bottom; at dec 30, sin(theta) = 0.404."""
    x, y = _project(np.array([180.0, 359.9999, 0.0, 180.0, 180.0]), np.array([0.0, 0.0, 0.0, 90.0, 30.0]))
    assert x[:4] == pytest.approx([440, 0, 880, 440], abs=0.01)
    assert y == pytest.approx([220, 220, 220, 0, 220 * (1 - 0.40397)], abs=0.05)


def test_a_small_field_is_shown_by_itself(parts, tmp_path):
    mine = [part for part in parts if part.name.startswith("north")]
    from make_rows import BANDS, CLASSES

    opened = open_catalog(write_catalog(mine, tmp_path / "c", provenance={}, classes=CLASSES, bands=BANDS))
    opened.draw_sky(tmp_path / "small.png")
    pixels = picture(tmp_path / "small.png")
    blue = (pixels[:, :, 2] - pixels[:, :, 0]) > 30
    assert pixels.shape[1] > 1300
    assert blue[:, 928:].mean() > 0.1
    with pytest.raises(CatalogError, match="cannot be written"):
        opened.draw_sky(tmp_path / "no" / "folder.png")


def test_an_empty_sky_can_be_drawn(tmp_path):
    draw_sky(np.empty(0, np.int64), (np.nan, np.nan), np.nan, "nothing", tmp_path / "sky.png")
    assert picture(tmp_path / "sky.png").shape == (512, 928, 3)


def test_the_commands(catalog, tmp_path, capsys):
    path = str(catalog.path)
    main(["catalog", "export", path, str(tmp_path / "o.csv"), "--columns", "ra,dec", "--cone", "150.1,2.2,1arcmin"])
    assert "rows in" in capsys.readouterr().out
    assert (tmp_path / "o.csv").read_text().startswith('"ra","dec"')
    main(["catalog", "info", path, "--sky", str(tmp_path / "s.png")])
    assert (tmp_path / "s.png").is_file()
