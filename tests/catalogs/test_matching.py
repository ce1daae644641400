import gzip
import itertools
import logging
import os
import shutil
import sys

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.table import Table
from make_rows import BANDS, CLASSES

from galmorph.catalogs import crossmatch, matching, open_catalog, tables, write_catalog
from galmorph.catalogs.matching import match_positions
from galmorph.cli import main
from galmorph.errors import CatalogError, DataError


def shifted(catalog, tmp_path, name="list.csv", every=7, arcsec=1.0):
    """Every so many primary rows, moved north or, near a pole, away from it; and a place far from all."""
    frame = catalog.to_pandas()
    frame = frame[frame["primary"]].iloc[::every][["object_id", "ra", "dec"]].reset_index(drop=True)
    frame["dec"] -= np.sign(frame["dec"]) * arcsec / 3600
    lost = pd.DataFrame({"object_id": [1], "ra": [80.0], "dec": [40.0]})
    frame = pd.concat([frame, lost], ignore_index=True).rename(columns={"object_id": "name"})
    frame.to_csv(tmp_path / name, index=False)
    return frame


def independent(frame, other, radius):
    """Pairs by astropy: (row of frame, row of other, arcsec)."""
    a, b = (SkyCoord(f["ra"].to_numpy(), f["dec"].to_numpy(), unit="deg") for f in (frame, other))
    i, j, angle, _ = search_around_sky(a, b, radius * units.arcsec)
    return i, j, angle.arcsec


def test_every_moved_row_is_found_again_and_the_lost_one_is_not(catalog, tmp_path):
    moved = shifted(catalog, tmp_path)
    found = crossmatch(catalog.path, tmp_path / "list.csv", "3arcsec")
    pairs = found.pairs.to_pandas()
    assert found.entries == len(moved)
    assert found.matched == found.covered == len(pairs) == len(moved) - 1
    assert found.missed == 0
    assert (pairs["object_id"] == pairs["other_name"]).mean() > 0.97  # another object may be nearer to a few
    assert np.median(pairs["separation"]) == pytest.approx(1.0, abs=1e-6)
    assert pairs["other_name"].tolist() == [n for n in moved["name"] if n in set(pairs["other_name"])]
    assert sum(found.labels.values()) == found.matched
    assert f"{len(pairs)} pairs" in found.summary()


def test_what_lies_on_the_catalogue_and_has_no_pair_is_missed(catalog, tmp_path):
    frame = catalog.to_pandas().query("primary")
    frame = frame[frame["tile"].str.startswith("plain")].iloc[:5]
    # Five entries on rows, two in pixels (3.4 arcmin) with rows but away from these, one where there is nothing.
    places = [
        *zip(frame["ra"], frame["dec"], strict=True),
        *((ra, dec + 5e-4) for ra, dec in frame[["ra", "dec"]].to_numpy()[:2]),
    ]
    pd.DataFrame([*places, (80.0, 40.0)], columns=["ra", "dec"]).to_csv(tmp_path / "list.csv", index=False)
    found = crossmatch(catalog.path, tmp_path / "list.csv", 0.1)
    assert (found.entries, found.covered, found.matched, found.missed) == (8, 7, 5, 2)
    called = frame["label"].where(~frame["unknown"], "unknown").value_counts().to_dict()
    assert found.labels == called
    assert list(found.labels.values()) == sorted(called.values(), reverse=True)


@pytest.mark.parametrize("radius", [0.5, 20.0, 400.0])
def test_all_pairs_are_those_of_astropy(radius, catalog, tmp_path):
    moved = shifted(catalog, tmp_path)
    frame = catalog.to_pandas().query("primary")
    i, j, angle = independent(frame, moved, radius)
    expected = sorted(zip(moved["name"].to_numpy()[j], frame["object_id"].to_numpy()[i], angle.round(6), strict=True))
    pairs = crossmatch(catalog.path, tmp_path / "list.csv", radius, find="all").pairs.to_pandas()
    assert expected == sorted(zip(pairs["other_name"], pairs["object_id"], pairs["separation"].round(6), strict=True))


def test_partitions_are_matched_with_partitions(catalog):
    """The catalogue with itself, across the borders of its partitions, at RA 0 and at the poles."""
    frame = catalog.to_pandas()
    i, j, _ = independent(frame, frame, 5.0)
    ids = frame["object_id"].to_numpy()
    pairs = crossmatch(catalog.path, catalog.path, 5.0, find="all", all_rows=True).pairs.to_pandas()
    assert sorted(zip(ids[i], ids[j], strict=True)) == sorted(
        zip(pairs["object_id"], pairs["other_object_id"], strict=True)
    )
    assert len(pairs) > len(frame)


def test_partitions_are_closed_once_they_are_read(catalog):
    assert len(catalog.files) > 5
    before = len(psutil.Process().open_files())
    pieces = tables.open_table(catalog.path, primary_only=False).pieces
    assert sum(len(piece.places(None).ra) for piece in pieces) == catalog.info().rows
    assert len(psutil.Process().open_files()) == before


def test_nearest_is_the_nearest(catalog, tmp_path):
    shifted(catalog, tmp_path, every=3)
    every = crossmatch(catalog.path, tmp_path / "list.csv", 60.0, find="all").pairs.to_pandas()
    nearest = crossmatch(catalog.path, tmp_path / "list.csv", 60.0).pairs.to_pandas()
    assert nearest["separation"].tolist() == every.groupby("other_name", sort=False)["separation"].min().tolist()


def write_as(kind, frame, path):
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind in ("fits", "vot"):
        Table.from_pandas(frame).write(path, format="fits" if kind == "fits" else "votable")
    else:
        frame.to_csv(path, index=False)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "fits", "vot"])
def test_either_side_may_be_a_file(kind, catalog, tmp_path):
    moved = shifted(catalog, tmp_path).rename(columns={"ra": "RAJ2000", "dec": "DEJ2000"})
    write_as(kind, moved, tmp_path / f"other.{kind}")
    expected = crossmatch(catalog.path, tmp_path / "list.csv").pairs
    found = crossmatch(catalog.path, tmp_path / f"other.{kind}").pairs
    assert found["object_id"].to_pylist() == expected["object_id"].to_pylist()
    assert found["other_name"].to_pylist() == expected["other_name"].to_pylist()
    turned = crossmatch(tmp_path / f"other.{kind}", catalog.path, find="all").pairs
    assert sorted(turned["other_object_id"].to_pylist()) == sorted(
        crossmatch(catalog.path, tmp_path / "list.csv", find="all").pairs["object_id"].to_pylist()
    )


@pytest.mark.parametrize("kind", ["small groups", "no statistics", "no pixels"])
def test_partitions_as_others_write_them(kind, catalog, tmp_path):
    shifted(catalog, tmp_path)
    copy = shutil.copytree(catalog.path, tmp_path / "copy")
    (copy / "provenance.json").unlink()
    for file in open_catalog(catalog.path).files:
        table = pq.read_table(file, partitioning=None)
        table = table.drop_columns("_healpix_29") if kind == "no pixels" else table
        statistics = kind != "no statistics"
        pq.write_table(table, copy / file.relative_to(catalog.path), row_group_size=7, write_statistics=statistics)
    for radius in (3.0, 400.0):
        options = {"find": "all", "columns": ["object_id", "snr", "tile"]}
        expected = crossmatch(catalog.path, tmp_path / "list.csv", radius, all_rows=True, **options).pairs
        found = crossmatch(copy, tmp_path / "list.csv", radius, **options).pairs
        assert found.num_rows > 20
        for name in ("object_id", "other_name", "snr", "tile", "separation"):
            assert found[name].to_pylist() == expected[name].to_pylist()


def test_only_what_can_have_pairs_is_read(catalog, tmp_path, monkeypatch):
    frame = catalog.to_pandas()
    one = frame[frame["tile"].str.startswith("plain") & frame["primary"]].iloc[[0]][["ra", "dec"]]
    one.to_csv(tmp_path / "one.csv", index=False)
    opened = []
    real = pq.ParquetFile
    monkeypatch.setattr(tables.pq, "ParquetFile", lambda path: opened.append(path) or real(path))
    found = crossmatch(catalog.path, tmp_path / "one.csv")
    assert found.matched == 1
    assert 0 < len(opened) < len(catalog.files) / 2
    for file in opened:
        assert {"plain-a", "plain-b"} & set(pq.read_table(file, partitioning=None)["tile"].to_pylist())


def test_columns_can_be_chosen(catalog, tmp_path):
    shifted(catalog, tmp_path)
    pairs = crossmatch(catalog.path, tmp_path / "list.csv", columns=["snr"], other_columns=[]).pairs
    assert pairs.column_names == ["separation", "object_id", "ra", "dec", "snr", "other_name", "other_ra", "other_dec"]
    frame = catalog.to_pandas().set_index("object_id")
    assert pairs["snr"].to_pylist() == frame.loc[pairs["object_id"].to_pylist(), "snr"].tolist()
    with pytest.raises(CatalogError, match=r"has no column redshift; it has .* and \d+ others"):
        crossmatch(catalog.path, tmp_path / "list.csv", columns=["redshift"])


def test_columns_of_the_position_can_be_told(catalog, tmp_path):
    moved = shifted(catalog, tmp_path).rename(columns={"ra": "lens_l", "dec": "lens_b"})
    moved.to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(DataError, match="no column of right ascension"):
        crossmatch(catalog.path, tmp_path / "odd.csv")
    found = crossmatch(catalog.path, tmp_path / "odd.csv", other_position=("lens_l", "lens_b"))
    assert found.matched == len(moved) - 1
    with pytest.raises(CatalogError, match="has no column lens_x; it has name, lens_l, lens_b"):
        crossmatch(catalog.path, tmp_path / "odd.csv", other_position=("lens_x", "lens_b"))


def test_rows_without_a_position_match_nothing_and_are_counted(catalog, tmp_path, caplog):
    moved = shifted(catalog, tmp_path)
    moved.loc[2, "ra"] = np.nan
    moved.to_csv(tmp_path / "gap.csv", index=False)
    with caplog.at_level(logging.WARNING):
        found = crossmatch(catalog.path, tmp_path / "gap.csv")
    assert found.entries == len(moved) - 1
    assert moved["name"][2] not in found.pairs["other_name"].to_pylist()
    assert f"1 of {len(moved)} rows have no position" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ra,dec\n10:00:00.1,+2:12:00\n", "hours or degrees, minutes and seconds"),
        ("ra [h],dec\n10.1,2.2\n", "is in hours"),
        ("ra,dec\n400,2\n", "degrees from -180 to 360; 1 of 1 rows do not, the first is row 1 with 400"),
        ("ra,dec\nnorth,2\n", "'north' in row 1, which is no number"),
        ("x,y\n1,2\n", "no column of right ascension"),
    ],
)
def test_what_is_no_position_is_told_in_words(text, words, catalog, tmp_path):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises((CatalogError, DataError), match=words):
        crossmatch(catalog.path, tmp_path / "bad.csv")


def test_a_list_of_no_rows_has_no_pairs(catalog, tmp_path):
    (tmp_path / "none.csv").write_text("name,ra,dec\n")
    found = crossmatch(catalog.path, tmp_path / "none.csv")
    assert (found.pairs.num_rows, found.entries, found.matched, found.covered) == (0, 0, 0, 0)
    assert found.pairs["object_id"].type == pa.int64()


def test_a_list_without_identifiers_has_numbers_and_long_ones_keep_their_digits(catalog, tmp_path):
    moved = shifted(catalog, tmp_path)
    moved.drop(columns="name").to_csv(tmp_path / "bare.csv", index=False)
    assert crossmatch(catalog.path, tmp_path / "bare.csv").pairs["other_row"][0].as_py() == 1
    moved["name"] = "12345678901234567890123"
    moved["zip"] = "007"
    moved.to_csv(tmp_path / "long.csv", index=False)
    pairs = crossmatch(catalog.path, tmp_path / "long.csv").pairs
    assert set(pairs["other_name"].to_pylist()) == {"12345678901234567890123"}
    assert set(pairs["other_zip"].to_pylist()) == {"007"}


def test_a_column_of_the_name_of_another_keeps_its_values(catalog, tmp_path):
    moved = shifted(catalog, tmp_path).drop(columns="name").assign(row=lambda frame: 1000 + np.arange(len(frame)))
    moved.to_csv(tmp_path / "row.csv", index=False)
    pairs = crossmatch(catalog.path, tmp_path / "row.csv").pairs
    assert pairs["other_row"].to_pylist() == [999 + number for number in pairs["other_row_2"].to_pylist()]
    chosen = crossmatch(catalog.path, tmp_path / "row.csv", other_columns=["row"]).pairs
    assert chosen["other_row"].equals(pairs["other_row"])
    moved.assign(id=np.arange(len(moved))).to_csv(tmp_path / "both.csv", index=False)
    pairs = crossmatch(catalog.path, tmp_path / "both.csv").pairs
    assert pairs["other_row"].to_pylist() == [1000 + number for number in pairs["other_id"].to_pylist()]
    moved.assign(separation=7.0, other_ra=8.0).to_csv(tmp_path / "odd.csv", index=False)
    pairs = crossmatch(tmp_path / "odd.csv", catalog.path).pairs.to_pandas()
    assert (pairs["separation"] <= 3).all()
    assert (pairs[["separation_2", "other_ra"]] == [7.0, 8.0]).all(axis=None)
    assert np.abs(pairs["other_ra_2"] - pairs["ra"]).max() < 1


def write_as_run(parts, out):
    write_catalog(parts, out, provenance={}, classes=CLASSES, bands=BANDS, max_rows=200)


@pytest.mark.parametrize("turned", [False, True])
def test_a_catalogue_that_is_replaced_meanwhile_is_matched_again(turned, parts, tmp_path, monkeypatch):
    """Another tile of the run is written when the pairs are found and their columns not yet read."""
    first, second = parts[:1], parts[:2]
    write_as_run(first, tmp_path / "catalog")
    frame = open_catalog(tmp_path / "catalog").to_pandas()[["object_id", "ra", "dec"]]
    frame.rename(columns={"object_id": "id"}).to_csv(tmp_path / "list.csv", index=False)
    left = [first, second]
    real = matching._ordered

    def slow(pairs):
        found = real(pairs)
        if left:
            write_as_run(left.pop(), tmp_path / "catalog")
        return found

    monkeypatch.setattr(matching, "_ordered", slow)
    tables_of = [tmp_path / "catalog", tmp_path / "list.csv"]
    pairs = crossmatch(*tables_of[:: -1 if turned else 1], 0.001, all_rows=True).pairs.to_pandas()
    ids = ("id", "other_object_id") if turned else ("object_id", "other_id")
    assert not left
    assert len(pairs) == len(frame)
    assert (pairs[ids[0]] == pairs[ids[1]]).all()


def test_a_catalogue_that_is_replaced_all_the_time_is_told(parts, tmp_path, monkeypatch):
    write_as_run(parts[:1], tmp_path / "catalog")
    real = matching._ordered
    properties = tmp_path / "catalog" / "hats.properties"
    again = itertools.count(1)

    def touch(pairs):
        os.utime(properties, ns=(next(again), next(again)))
        return real(pairs)

    monkeypatch.setattr(matching, "_ordered", touch)
    with pytest.raises(CatalogError, match="replaced faster than it can be read"):
        crossmatch(tmp_path / "catalog", tmp_path / "catalog")


def test_of_the_other_catalogue_only_what_is_near_is_read_and_once(catalog, parts, tmp_path, monkeypatch):
    field = [part for part in parts if part.name.startswith("plain")]
    write_as_run(field, tmp_path / "catalog")
    read, entries = [], len(catalog.to_pandas().query("primary"))
    expected = crossmatch(tmp_path / "catalog", catalog.path)
    real = tables._Partition.places
    monkeypatch.setattr(tables._Partition, "places", lambda self, within: read.append(self.path) or real(self, within))
    found = crossmatch(tmp_path / "catalog", catalog.path)
    others = [path for path in read if path.is_relative_to(catalog.path)]
    near = {file for file in catalog.files if "plain" in str(pq.read_table(file, partitioning=None)["tile"][0])}
    assert near == set(others)
    assert len(others) == len(near) < len(catalog.files)
    assert found.entries == entries
    assert (
        found.matched
        == found.covered
        == expected.matched
        == len(open_catalog(tmp_path / "catalog").to_pandas().query("primary"))
    )
    assert crossmatch(tmp_path / "catalog", catalog.path, all_rows=True).entries == len(catalog.to_pandas())


def test_known_lists_are_installed_by_name(catalog, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [])
        with pytest.raises(CatalogError, match="pip install --no-deps lenscat"):
            tables._packaged("lenscat")
    (tmp_path / "lenscat" / "data").mkdir(parents=True)
    (tmp_path / "lenscat" / "__init__.py").write_text("raise ImportError('not to be imported')")
    shifted(catalog, tmp_path).rename(columns={"ra": "RA [deg]", "dec": "DEC [deg]"}).to_csv(
        tmp_path / "lenscat" / "data" / "catalog.csv", index=False
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert crossmatch(catalog.path, "lenscat").matched > 0


@pytest.mark.parametrize("radius", ["3parsec", "", "-1", "0", "three"])
def test_a_radius_is_a_positive_angle(radius, catalog, tmp_path):
    shifted(catalog, tmp_path)
    with pytest.raises(CatalogError, match="is no angle"):
        crossmatch(catalog.path, tmp_path / "list.csv", radius)


def test_pairs_by_hand():
    i, j, separation = match_positions(
        np.array([10.0, 0.0001, 50.0]), np.array([60.0, 0.0, -90.0]),
        np.array([10.0 + 2 / 3600, 359.9999, 230.0]), np.array([60.0, 0.0, -89.9999]), 0.001,
    )  # fmt: skip
    assert list(zip(i, j, strict=True)) == [(0, 0), (1, 1), (2, 2)]
    assert separation == pytest.approx([1.0, 0.72, 0.36], abs=1e-6)


def test_the_command_says_what_came_out(catalog, tmp_path, capsys):
    shifted(catalog, tmp_path)
    main(["catalog", "crossmatch", str(catalog.path), str(tmp_path / "list.csv"), "--output", str(tmp_path / "p.fits")])
    said = capsys.readouterr().out
    table = Table.read(tmp_path / "p.fits")
    assert f"{len(table)} pairs" in said
    assert "0 missed" in said
    assert table["separation"].unit == units.arcsec


@pytest.mark.real
def test_known_lenses_among_galaxy_zoo_and_space_warps(real_data):
    lists = real_data / "catalogs"
    zoo, lenses = lists / "gz2_stripe82_coadd_table5.csv.gz", lists / "lenscat_catalog.csv.gz"
    warps = real_data / "cfhtls_lenses" / "catalog.csv"
    for path in (zoo, lenses, warps):
        if not path.is_file():
            pytest.skip(f"{path} is not there")
    found = crossmatch(zoo, lenses, 3.0, columns=[], other_columns=["grading"])
    assert found.pairs.num_rows == found.matched == 53
    assert found.entries == 32838
    # By astropy: 98 pairs of 89 candidates with lenses; two papers may list one lens as two.
    frames = [pd.read_csv(path).rename(columns={"RA [deg]": "ra", "DEC [deg]": "dec"}) for path in (lenses, warps)]
    i, j, _ = independent(*frames, 3.0)
    every, nearest = crossmatch(lenses, warps, 3.0, find="all"), crossmatch(lenses, warps, 3.0)
    assert every.pairs.num_rows == len(i) == 98
    assert nearest.matched == len(set(j)) == 89
