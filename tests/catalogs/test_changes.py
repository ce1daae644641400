import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import diff, open_catalog, write_catalog
from galmorph.catalogs.changes import Difference, _inside, _mutual, stability
from galmorph.catalogs.changes_page import SHOWN, Shown, changes_page, to_show
from galmorph.cli import main
from galmorph.errors import CatalogError


def made(parts, out, **provenance):
    return write_catalog(parts, out, provenance=provenance, classes=CLASSES, bands=BANDS, max_rows=100)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A catalogue, and another in which stars became spirals, one tile is lost, one is new and all moved 0.2 arcsec."""
    folder = tmp_path_factory.mktemp("two")
    write_parts(folder / "parts", n=150, fields=["plain", "wrap", "north"])
    (folder / "other").mkdir()
    for path in (folder / "parts").glob("*.parquet"):
        frame = pq.read_table(path).to_pandas()
        frame["dec"] += np.where(frame["dec"] > 0, -0.2, 0.2) / 3600
        frame["object_id"] += 10**15
        star = (frame["label"] == "star") & ~frame["unknown"]
        frame.loc[star, "label"] = "spiral"
        frame.loc[star, ["p_star", "p_spiral"]] = frame.loc[star, ["p_spiral", "p_star"]].to_numpy()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "other" / path.name)
    old = [path for path in (folder / "parts").glob("*.parquet") if not path.name.startswith("north")]
    new = [path for path in (folder / "other").glob("*.parquet") if path.name != "wrap-b.parquet"]
    return made(old, folder / "old", survey="mock", release="1"), made(new, folder / "new", release="<script>alert(1)")


def test_objects_are_matched_counted_and_compared(two):
    old, new = (open_catalog(path).to_pandas().query("primary") for path in two)
    found = diff(*two)
    counts = found.counts()
    assert counts["same"] + counts["changed"] + counts["lost"] == len(old)
    assert counts["same"] + counts["changed"] + counts["new"] == len(new)
    rows = found.objects.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    both = rows[rows["status"].isin(["same", "changed"])]
    # Wherever one tile saw the object in both, the match is the row itself, moved.
    alone = both[(both["object_id_old"] + 10**15) == both["object_id_new"]]
    assert len(alone) > 0.95 * len(both)
    np.testing.assert_allclose(alone["separation"], 0.2, atol=1e-6)
    changed = both[both["status"] == "changed"]
    assert (changed["label_old"] == "star").mean() > 0.9
    assert (changed["label_new"] == "spiral").mean() > 0.9
    north = new["tile"].str.startswith("north").sum()
    assert counts["new"] - found.new_inside == north
    assert found.new_inside < 5
    lost = rows[rows["status"] == "lost"]
    assert (lost["tile"] == "wrap-b").mean() > 0.9
    assert found.matrix.to_numpy().sum() == len(both)
    assert found.matrix.loc["star", "spiral"] > 10
    assert found.matrix.loc["star", "star"] == 0


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ([0.0, 1.0], [0.3, 5.0], [0, -1]),  # the nearest of the second is nearer to the first
        ([0.0, 1.0], [0.9, 0.2], [1, 0]),
        ([0.5, 0.5], [0.0], [-1, 0]),  # of equal distances the smaller identifier's
        ([0.0], [0.5, 0.5], [1]),
        ([0.0], [2.1], [-1]),
        ([], [0.0], []),
        ([0.0], [], [-1]),
    ],
)
def test_one_object_are_rows_that_are_each_other_s_nearest(old, new, place):
    """Arcsec north of the equator, and up to two of them between rows of one object."""
    frames = [
        pd.DataFrame({"ra": 10.0, "dec": np.array(offsets) / 3600, "object_id": np.arange(len(offsets), 0, -1)})
        for offsets in (old, new)
    ]
    found, separation = _mutual(*frames, 2 / 3600)
    assert found.tolist() == place
    expected = [abs(offset - new[k]) if k >= 0 else np.nan for offset, k in zip(old, place, strict=True)]
    assert separation == pytest.approx(np.array(expected), nan_ok=True, abs=1e-6)


def test_rows_are_inside_where_the_other_catalogue_has_some():
    width = 4**19  # of a pixel of order 10 in those of order 29
    rows, other = (
        pd.DataFrame({"_healpix_29": np.array(pixels)}) for pixels in ([0, width - 1, width, 5 * width], [7])
    )
    assert (_inside(rows, other), _inside(other, rows), _inside(rows[:0], other)) == (2, 1, 0)


def test_the_summary_tells_what_share_is_called_something_else():
    objects = pa.table({"status": ["same"] * 6 + ["changed"] * 2 + ["new"] * 3 + ["lost"]})
    told = Difference(objects, pd.DataFrame(), {"star": 0.037}, 2, 1, ("one", "other")).summary()
    assert told.splitlines() == [
        "8 objects in both, 2 of them (25.0 %) called something else",
        "3 new (2 on sky that the old one covers), 1 lost (1 on sky that the new one covers)",
        "stability index (below 0.1: stable): star 0.037",
    ]


def test_shifts_and_stability_by_hand(two):
    found = diff(*two)
    old, new = (open_catalog(path).to_pandas().set_index("object_id") for path in two)
    rows = found.objects.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    rows = rows.query("status in ['same', 'changed']").head(40)
    columns = [f"p_{name}" for name in CLASSES]
    a, b = old.loc[rows["object_id_old"], columns].to_numpy(), new.loc[rows["object_id_new"], columns].to_numpy()
    np.testing.assert_allclose(rows["shift"], np.abs(a - b).sum(axis=1) / 2, atol=1e-6)
    assert found.stability["star"] > 0.25
    assert found.stability["merger"] < 0.02


def test_stability_index_by_hand():
    """Two bins occupied: shares 3.5/9 and 1.5/9 against 1.5/9 and 3.5/9 of four objects and half a one in each bin."""
    old, new = np.array([0.05, 0.05, 0.05, 0.95]), np.array([0.05, 0.95, 0.95, 0.95])
    assert stability(old, new) == pytest.approx(2 * (2 / 9) * np.log(3.5 / 1.5))
    assert stability(old, old) == 0
    assert np.isnan(stability(np.empty(0), old))


def test_a_catalogue_beside_itself(two):
    found = diff(two[0], two[0])
    counts = found.counts()
    assert (counts["changed"], counts["new"], counts["lost"]) == (0, 0, 0)
    assert set(found.stability.values()) == {0.0}
    assert (np.asarray(found.matrix) == np.diag(np.diag(found.matrix))).all()


def test_empty_catalogues(two, tmp_path):
    empty = made([], tmp_path / "empty")
    assert diff(two[0], empty).counts()["lost"] == diff(empty, two[0]).counts()["new"] > 100
    nothing = diff(empty, empty)
    assert nothing.objects.num_rows == 0
    assert "0 objects in both" in nothing.summary()
    assert "What changed" in changes_page(nothing, [])


def test_the_page_shows_what_changed_and_loads_nothing(two):
    found = diff(*two)
    pictures = np.random.default_rng(1).integers(0, 255, (SHOWN, 32, 32, 3)).astype(np.uint8)
    groups = [Shown("changed", to_show(found, "changed"), pictures), Shown("lost", to_show(found, "lost"))]
    page = changes_page(found, groups)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page
    assert page.count("data:image/jpeg;base64,") == SHOWN
    for value in (*found.counts().values(), found.matrix.loc["star", "spiral"]):
        assert f">{value}<" in page or value == found.counts()["same"]
    first = to_show(found, "changed")["shift"].to_pylist()
    assert first == sorted(first, reverse=True)


def test_the_command_writes_both(two, tmp_path, capsys):
    main(
        ["catalog", "diff", str(two[0]), str(two[1]), "--output", str(tmp_path / "c.parquet"),
         "--report", str(tmp_path / "c.html")]
    )  # fmt: skip
    captured = capsys.readouterr()
    assert captured.out.strip() == diff(*two).summary()
    assert "no pictures" in captured.err
    assert pq.read_table(tmp_path / "c.parquet").num_rows == diff(*two).objects.num_rows
    assert "</html>" in (tmp_path / "c.html").read_text()
    with pytest.raises(SystemExit):
        main(["catalog", "diff", str(two[0]), str(two[1]), "--report", str(tmp_path / "no" / "c.html")])
    assert "cannot be written" in capsys.readouterr().err


def test_what_is_no_catalogue_is_told(two, tmp_path):
    with pytest.raises(CatalogError, match="not the folder of a catalogue"):
        diff(two[0], tmp_path)
    copy = shutil.copytree(two[0], tmp_path / "copy")
    assert diff(two[0], copy, "2arcsec").counts()["changed"] == 0


def test_catalogues_without_common_objects_have_no_shares(tmp_path):
    parts = write_parts(tmp_path / "parts", n=30, fields=["plain", "wrap"])
    found = diff(made(parts[:2], tmp_path / "one"), made(parts[2:], tmp_path / "other"))
    first, second = found.summary().splitlines()
    assert first == "0 objects in both, 0 of them called something else"
    assert "lost (0 on sky that the new one covers)" in second
