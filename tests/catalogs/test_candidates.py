import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_rows import BANDS, CLASSES, make_field, write_parts

from galmorph import flags
from galmorph.catalogs import KINDS, open_catalog, write_catalog
from galmorph.catalogs.candidates import Wishes, query_text
from galmorph.catalogs.query import run_query
from galmorph.errors import CatalogError

FOLDER = Path(__file__).parents[2] / "catalogs"
ARTEFACTS = flags.MASKED | flags.MISSING_BAND | flags.SATURATED | flags.TRUNCATED
PROVENANCE = {"seeing": {"g": 1.3, "r": 1.2}}


def catalog_of(classes, tmp_path, provenance=PROVENANCE, n=200):
    paths = write_parts(tmp_path / "parts", n=n, fields=["plain", "wrap"], classes=classes)
    return open_catalog(write_catalog(paths, tmp_path / "catalog", provenance=provenance, classes=classes, bands=BANDS))


def chosen(catalog, table):
    """Full rows of candidates, best first."""
    frame = catalog.to_pandas().set_index("object_id")
    return frame.loc[table["object_id"].to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_primary_sound_and_ranked(kind, catalog):
    table = catalog.candidates(kind, 25)
    rows = chosen(catalog, table)
    assert table.num_rows == 25
    assert rows["primary"].all()
    assert not (rows["flags"] & ARTEFACTS).any()
    if kind != "lens":
        assert table["score"].to_pylist() == sorted(table["score"].to_pylist(), reverse=True)
    assert {"ra", "dec", "tile", "x", "y", "cutout_side", "label", "score"} <= set(table.column_names)


#: Rows that are alike but for one thing: the columns in which each differs from the sound one.
FLAWS = {
    "sound": {},
    **{flag.name: {"flags": flag.value} for flag in flags.FLAGS},
    "faint": {"snr": 19.9},
    "just bright": {"snr": 20.0},
    "point source": {"half_light_radius": 0.65},  # of the worst seeing, 1.3
    "nearly a point": {"half_light_radius": 0.75},
    "without aperture": {"radius": 0.0},
    "known": {"unknown": False},
    "blue": {"flux_z": 1.0},
    "second on another tile": {"tile": "plain-b", "edge_distance": 1.0},
}
DEFECTS = {"MASKED", "MISSING_BAND", "SATURATED", "TRUNCATED"}
UNMEASURED = {"NOT_DETECTED", "BAD_PHOTOMETRY"}
#: What each question leaves out beside second rows.
LEFT_OUT = {
    "lens": DEFECTS | UNMEASURED | {"LOW_SN"},
    "lens_unknown": DEFECTS | UNMEASURED | {"EDGE", "SIZE_LIMITED", "faint", "point source", "nearly a point"},
    "merger": DEFECTS | UNMEASURED | {"LOW_SN", "point source"},
    "merger_pairs": DEFECTS | UNMEASURED | {"LOW_SN", "point source", "nearly a point", "without aperture"},
    "unknown": DEFECTS | {"EDGE", "LOW_SN", "known"},
}


@pytest.fixture(scope="module")
def flawed(tmp_path_factory):
    """A catalogue of `FLAWS`, and what each object is; identifiers do not follow the order on the sky."""
    folder, classes = tmp_path_factory.mktemp("flawed"), (*CLASSES, "lens")
    row = make_field("plain", 9, 1, classes)["plain-a"].to_pylist()[0] | {
        "flags": 0, "snr": 50.0, "radius": 5.0, "half_light_radius": 2.0, "unknown": True,
        "flux_g": 1.0, "flux_z": 10.0,
    }  # fmt: skip
    rows = [row | {"dec": 2 + i / 60, "object_id": 7 * i % 31 + 1} | FLAWS[name] for i, name in enumerate(FLAWS)]
    rows[-1]["dec"] = rows[0]["dec"]
    for tile in ("plain-a", "plain-b"):
        pq.write_table(pa.Table.from_pylist([one for one in rows if one["tile"] == tile]), folder / f"{tile}.parquet")
    parts = sorted(folder.glob("*.parquet"))
    out = write_catalog(parts, folder / "catalog", provenance=PROVENANCE, classes=classes, bands=BANDS)
    return open_catalog(out), {one["object_id"]: name for one, name in zip(rows, FLAWS, strict=True)}


@pytest.mark.parametrize("question", LEFT_OUT)
def test_what_a_question_leaves_out(question, flawed):
    catalog, names = flawed
    variables = {
        "top": 100, "class_columns": [f"p_{question}"] if question in ("lens", "merger") else [],
        "point_source_radius": 0.65, "blue_column": ["flux_g"], "red_column": ["flux_z"], "redder_than": None,
    }  # fmt: skip
    found = run_query(catalog.files, query_text(question), variables=variables)["object_id"].to_pylist()
    assert set(names) - set(found) == {i for i, name in names.items() if name in LEFT_OUT[question] | {list(FLAWS)[-1]}}
    # All scores are equal, and of lenses among the unknown what is known comes last.
    assert found == sorted(found, key=lambda i: (question == "lens_unknown" and names[i] == "known", i))


@pytest.mark.parametrize("question", ["lens", "lens_unknown"])
def test_lenses_redder_than_a_colour(question, flawed):
    catalog, names = flawed
    variables = {
        "top": 100, "class_columns": ["p_lens"], "point_source_radius": 0.65,
        "blue_column": ["flux_g"], "red_column": ["flux_z"],
    }  # fmt: skip
    found = {
        limit: run_query(catalog.files, query_text(question), variables=variables | {"redder_than": limit})
        for limit in (None, -0.1, 0.0, 2.4, 2.6)
    }
    colours = {names[row["object_id"]]: row["colour"] for row in found[None].to_pylist()}
    assert colours.pop("blue") == 0
    assert set(colours.values()) == {2.5}
    count = len(colours)
    assert [table.num_rows for table in found.values()] == [count + 1, count + 1, count, count, 0]


def test_a_colour_takes_two_bands(tmp_path):
    parts = write_parts(tmp_path / "parts", n=5, fields=["plain"])
    for part in parts:
        rows = pq.read_table(part)
        pq.write_table(rows.drop_columns([name for name in rows.column_names if name.endswith(("_g", "_z"))]), part)
    catalog = open_catalog(
        write_catalog(parts, tmp_path / "catalog", provenance=PROVENANCE, classes=CLASSES, bands=("r",))
    )
    catalog.candidates("lens")
    with pytest.raises(CatalogError, match=r"tells no colours: its one band is r\. Leave the least colour out"):
        catalog.candidates("lens", wishes=Wishes(redder_than=0.5))


def test_mergers_by_the_probability_of_the_class(catalog):
    frame = catalog.to_pandas()
    good = frame[frame["primary"] & ((frame["flags"] & ARTEFACTS) == 0) & (frame["half_light_radius"] > 0.65)]
    best = good.sort_values(["p_merger", "object_id"], ascending=[False, True])["object_id"].head(10)
    assert catalog.candidates("merger", 10)["object_id"].to_pylist() == best.tolist()


def test_mergers_by_all_classes_that_mean_one(tmp_path):
    catalog = catalog_of(("disturbed", "merging", "round_smooth"), tmp_path)
    table = catalog.candidates("merger", 10)
    rows = chosen(catalog, table)
    assert table["score"].to_pylist() == pytest.approx((rows["p_disturbed"] + rows["p_merging"]).tolist())
    assert (rows["p_disturbed"].to_numpy() < table["score"].to_numpy()).all()


def test_no_class_means_a_merger(tmp_path):
    catalog = catalog_of(("elliptical", "spiral"), tmp_path)
    with pytest.raises(
        CatalogError, match="cannot rank mergers by their probability: its model knows elliptical, spiral"
    ):
        catalog.candidates("merger")


def test_lenses_by_their_probability_when_the_model_knows_them(tmp_path):
    catalog = catalog_of((*CLASSES, "lens"), tmp_path)
    table = catalog.candidates("lens", 10)
    rows = chosen(catalog, table)
    assert table["score"].to_pylist() == pytest.approx(rows["p_lens"].tolist())
    assert (rows["label"] == "lens").all()


def test_lenses_among_the_unknown_when_it_does_not(catalog):
    table = catalog.candidates("lens", 10)
    rows = chosen(catalog, table)
    assert rows["unknown"].all()
    assert table["score"].to_pylist() == sorted(rows["anomaly_score"].tolist(), reverse=True)
    assert (rows["snr"] >= 20).all()
    assert (rows["half_light_radius"] > 1.2 * 0.65).all()
    # Asked for all of them, what is unknown comes before what is not.
    flagged = catalog.candidates("lens", 10_000)["unknown"].to_pylist()
    assert flagged == sorted(flagged, reverse=True)
    assert False in flagged


def test_point_sources_stay_in_when_the_seeing_is_not_told(tmp_path):
    told, untold = catalog_of(CLASSES, tmp_path / "a"), catalog_of(CLASSES, tmp_path / "b", provenance={})
    assert min(told.candidates("lens", 10_000)["half_light_radius"].to_pylist()) > 0.78
    assert min(untold.candidates("lens", 10_000)["half_light_radius"].to_pylist()) < 0.78


def test_unknowns_are_unknown(catalog):
    rows = chosen(catalog, catalog.candidates("unknown", 10_000))
    assert rows["unknown"].all()
    assert len(rows) > 50


def test_ties_are_broken_by_object_id(tmp_path):
    paths = write_parts(tmp_path / "parts", n=100, fields=["plain"])
    for path in paths:
        table = pa.parquet.read_table(path)
        index = table.column_names.index("anomaly_score")
        pa.parquet.write_table(table.set_column(index, "anomaly_score", pa.array([1.0] * len(table))), path)
    catalog = open_catalog(write_catalog(paths, tmp_path / "c", provenance={}, classes=CLASSES, bands=BANDS))
    found = catalog.candidates("unknown", 20)["object_id"].to_pylist()
    assert found == sorted(found)
    assert len(found) == 20


@pytest.mark.parametrize(
    ("kind", "top", "words"), [("quasar", 10, "kinds are lens, merger"), ("lens", 0, "at least 1")]
)
def test_what_cannot_be_asked(kind, top, words, catalog):
    with pytest.raises(CatalogError, match=words):
        catalog.candidates(kind, top)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sql")), ids=lambda path: path.name)
def test_the_queries_of_the_folder_are_those_that_are_asked(path):
    assert query_text(path.stem) == path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").startswith("-- ")
    build = (FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf'"catalogs/{path.name}" = "galmorph/catalogs/queries/{path.name}"', build)
