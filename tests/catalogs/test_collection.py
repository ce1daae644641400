import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hats import read_hats
from hats.io.validation import is_valid_catalog
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import check_catalog, collect, crossmatch, open_catalog, repair_catalog, write_catalog
from galmorph.catalogs.ledger import one_writer
from galmorph.catalogs.partitions import partition_of, span_of
from galmorph.cli import main
from galmorph.errors import CatalogError

PROVENANCE = {"survey": "mock-decals", "release": "1", "model": "test-model"}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A dense field in many partitions."""
    folder = tmp_path_factory.mktemp("many")
    parts = write_parts(folder / "parts", n=500, fields=["plain", "wrap"])
    arguments = {"provenance": PROVENANCE, "classes": CLASSES, "bands": BANDS, "max_rows": 60}
    return open_catalog(write_catalog(parts, folder / "catalog", **arguments))


@pytest.fixture(scope="module")
def collection(many, catalog, tmp_path_factory):
    out = tmp_path_factory.mktemp("collection") / "sky"
    return collect({"new": many.path, "old": catalog.path}, out, margin="20arcsec")


def test_hats_calls_it_valid(collection):
    assert is_valid_catalog(collection, strict=True)
    for member in ("new", "old", "new.margin", "old.margin"):
        assert is_valid_catalog(collection / member, strict=True), member


def test_the_default_member_is_opened_and_the_others_by_their_folders(collection, many, catalog):
    assert open_catalog(collection).info().rows == many.info().rows
    assert open_catalog(collection / "old").info().rows == catalog.info().rows
    assert check_catalog(collection) == []


def test_the_margin_has_every_row_near_a_partition_of_others(collection, many):
    """For each row: beside which partitions must it lie, by astropy's angles to their rows."""
    frame = many.to_pandas(["object_id", "_healpix_29", "ra", "dec"])
    where = SkyCoord(frame["ra"].to_numpy(), frame["dec"].to_numpy(), unit="deg")
    margins = {partition_of(file): pq.read_table(file, partitioning=None) for file in margin_files(collection, "new")}
    seen = 0
    for file in many.files:
        low, high = span_of(file)
        inside = frame["_healpix_29"].between(low, high - 1).to_numpy()
        there = margins.get(partition_of(file))
        ids = set(there["object_id"].to_pylist()) if there is not None else set()
        assert not ids & set(frame["object_id"][inside])
        _, angle, _ = where[~inside].match_to_catalog_sky(where[inside])
        near = set(frame["object_id"][~inside][angle < 20 * units.arcsec])
        assert near <= ids
        seen += len(near)
    assert seen > 50


def margin_files(collection, name):
    return sorted((collection / f"{name}.margin" / "dataset").rglob("Npix*.parquet"))


def test_rows_of_the_margin_are_whole_and_sorted(collection, many):
    rows = many.to_pandas().set_index("object_id")
    table = pq.read_table(margin_files(collection, "new")[0], partitioning=None)
    assert table.schema.equals(many.schema)
    assert (np.diff(table["_healpix_29"].to_numpy()) >= 0).all()
    assert table["entropy"].to_pylist() == rows.loc[table["object_id"].to_pylist(), "entropy"].tolist()


def test_the_index_finds_the_partition_of_an_object(collection, many):
    index = read_hats(collection / "new.index")
    for file in many.files[::9]:
        identifier = pq.read_table(file, columns=["object_id"], partitioning=None)["object_id"][0].as_py()
        (found,) = index.loc_partitions([identifier])
        assert (found.order, found.pixel) == partition_of(file)


def test_lsdb_opens_it_with_its_margin_and_matches_across_borders(collection, many):
    lsdb = pytest.importorskip("lsdb")
    opened = lsdb.open_catalog(collection, columns=["object_id", "ra", "dec"])
    assert opened.margin is not None
    assert len(opened.compute()) == many.info().rows
    plain = crossmatch(many.path, many.path, 15.0, find="all", all_rows=True).pairs
    pairs = opened.crossmatch(
        opened, radius_arcsec=15.0, n_neighbors=50, suffixes=("_a", "_b"), suffix_method="all_columns"
    )
    ours = sorted(zip(plain["object_id"].to_pylist(), plain["other_object_id"].to_pylist(), strict=True))
    frame = pairs.compute()
    assert sorted(zip(frame["object_id_a"], frame["object_id_b"], strict=True)) == ours


def test_a_collection_grows_and_members_are_replaced(many, catalog, tmp_path):
    out = collect([many.path], tmp_path / "sky")
    assert open_catalog(out).path.name == "mock-decals-1-test-model"
    collect({"second": catalog.path}, out, default="mock-decals-1-test-model")
    assert open_catalog(out).path.name == "mock-decals-1-test-model"
    assert open_catalog(out / "second").info().rows == catalog.info().rows
    collect({"second": many.path}, out)
    assert open_catalog(out).path.name == "second"
    assert open_catalog(out).info().rows == many.info().rows
    assert is_valid_catalog(out, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["sky"]


def test_what_a_link_leads_to_is_collected_into(catalog, tmp_path):
    collect({"one": catalog.path}, tmp_path / "disk" / "sky")
    (tmp_path / "sky").symlink_to(tmp_path / "disk" / "sky")
    for name in ("two", "three"):
        collect({name: catalog.path}, tmp_path / "sky")
        assert (tmp_path / "sky").is_symlink()
    assert all(open_catalog(tmp_path / "disk" / "sky" / name).info().rows for name in ("one", "two", "three"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "sky"]


def test_two_calls_do_not_collect_at_once(catalog, tmp_path):
    """The one that ended last would lose the members of the other."""
    with one_writer(tmp_path / "sky"), pytest.raises(CatalogError, match="another call writes"):
        collect({"one": catalog.path}, tmp_path / "sky")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_between_two_renames_loses_nothing(many, catalog, tmp_path):
    out = collect({"one": many.path}, tmp_path / "sky")
    out.rename(tmp_path / ".sky.replaced")
    collect({"two": catalog.path}, out)
    assert open_catalog(out / "one").info().rows == many.info().rows
    assert [path.name for path in tmp_path.iterdir()] == ["sky"]


def test_an_open_member_answers_while_the_collection_is_replaced(many, catalog, tmp_path):
    out = collect({"one": many.path}, tmp_path / "sky")
    opened = open_catalog(out)
    collect({"one": catalog.path}, out)
    assert opened.query("SELECT count(*) AS n FROM catalog")["n"][0].as_py() == catalog.info().rows


def test_files_are_linked_not_copied(collection, many):
    assert (collection / "new" / many.files[0].relative_to(many.path)).samefile(many.files[0])


def test_without_rows_there_is_no_margin(tmp_path):
    empty = write_catalog([], tmp_path / "catalog", provenance={}, classes=CLASSES, bands=BANDS)
    out = collect({"empty": empty}, tmp_path / "sky")
    assert is_valid_catalog(out, strict=True)
    assert open_catalog(out).info().rows == 0


@pytest.mark.parametrize(
    ("members", "arguments", "words"),
    [
        ({"a/b": None}, {}, "cannot be the name of a member"),
        ({"a.margin": None}, {}, "cannot be the name of a member"),
        ({"a": None}, {"default": "b"}, "no member is called 'b'; members are a"),
        ({"a": None}, {"margin": "3 furlongs"}, "is no angle"),
    ],
)
def test_what_cannot_be_collected(members, arguments, words, many, tmp_path):
    with pytest.raises(CatalogError, match=words):
        collect(dict.fromkeys(members, many.path), tmp_path / "sky", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_names_are_needed_where_two_are_called_alike(many, tmp_path):
    with pytest.raises(CatalogError, match="are both called mock-decals-1-test-model: tell names"):
        collect([many.path, many.path], tmp_path / "sky")


def test_what_is_no_collection_is_left_alone(many, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(CatalogError, match="is no collection of galmorph; it is left alone"):
        collect({"a": many.path}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_member_is_not_repaired_by_itself(collection):
    with pytest.raises(CatalogError, match="is the member of a collection"):
        repair_catalog(collection / "old")


def test_the_command_collects(many, tmp_path, capsys):
    main(["catalog", "collect", str(tmp_path / "sky"), str(many.path), "--name", "dr1"])
    assert "dr1 is opened by default" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["catalog", "collect", str(tmp_path / "sky"), str(many.path), "--name", "a", "--name", "b"])
    assert "1 catalogues need as many names, got 2" in capsys.readouterr().err


def test_the_sky_map_counts_rows(many):
    skymap = read_hats(many.path).catalog_info.skymap_order
    assert skymap == 10
    from hats.io.skymap import read_skymap

    counts = read_skymap(read_hats(many.path), None)
    healpix = many.to_pandas(["_healpix_29"])["_healpix_29"].to_numpy() >> 38
    assert counts.sum() == len(healpix)
    for pixel in np.unique(healpix)[::5]:
        assert counts[pixel] == (healpix == pixel).sum()


def test_the_match_radius_is_kept_and_checked_with(tmp_path):
    parts = write_parts(tmp_path / "parts", n=200, fields=["plain"])
    arguments = {"provenance": {}, "classes": CLASSES, "bands": BANDS}
    narrow = write_catalog(parts, tmp_path / "narrow", match_radius=0.0, **arguments)
    assert open_catalog(narrow).match_radius == 0.0
    assert "galmorph_match_radius=0.0" in (narrow / "hats.properties").read_text()
    assert check_catalog(narrow) == []
    assert [finding.rule for finding in check_catalog(narrow, 1.0)] == ["primary is true for one row per object"]
    assert all(open_catalog(narrow).to_pandas(["primary"])["primary"])
    assert repair_catalog(narrow) == []
    assert open_catalog(narrow).match_radius == 0.0


def test_a_summary_that_tells_other_numbers_is_found_and_repaired(tmp_path):
    parts = write_parts(tmp_path / "parts", n=50, fields=["plain"])
    out = write_catalog(parts, tmp_path / "catalog", provenance={}, classes=CLASSES, bands=BANDS)
    rows = open_catalog(out).info().rows
    text = (out / "summary.json").read_text()
    (out / "summary.json").write_text(text.replace(f'"rows": {rows}', '"rows": 7'))
    assert open_catalog(out).info().rows == 7
    assert [finding.rule for finding in check_catalog(out)] == ["the summary tells what the rows hold"]
    assert repair_catalog(out) == []
    (out / "summary.json").unlink()
    assert open_catalog(out).info().rows == rows


def test_nothing_of_the_session_is_left_for_the_next_question(many):
    first = many.query("SELECT count(*) AS n FROM catalog", within=[])["n"][0].as_py()
    for name in ("_given", "_rows", "_ranges_0"):
        with pytest.raises(CatalogError, match="nothing else"):
            many.query(f"SELECT * FROM {name}")
    assert many.query("SELECT count(*) AS n FROM catalog")["n"][0].as_py() == first
    many.candidates("lens", 3)
    assert many.query("SELECT getvariable('top') AS top")["top"][0].as_py() is None
