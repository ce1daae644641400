import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import open_catalog, write_catalog
from galmorph.catalogs.similarity import embedding_length, embeddings_of
from galmorph.cli import main
from galmorph.errors import CatalogError

LENGTH = 16


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    paths = write_parts(folder / "parts", n=200, fields=["plain", "wrap"], embedding=LENGTH)
    out = write_catalog(paths, folder / "catalog", provenance={}, classes=CLASSES, bands=BANDS, max_rows=90)
    return open_catalog(out)


def by_hand(catalog, examples, leave_out=()):
    """Object ids and cosines of the primary rows, best first, by plain numpy in double precision."""
    frame = catalog.to_pandas(["object_id", "primary", "embedding"])
    frame = frame[frame["primary"] & ~frame["object_id"].isin(leave_out)]
    matrix = np.stack(frame["embedding"].to_list()).astype(float)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    directions = np.atleast_2d(examples) / np.linalg.norm(np.atleast_2d(examples), axis=1, keepdims=True)
    cosine = (matrix @ directions.T).max(axis=1)
    order = np.argsort(-cosine)
    return frame["object_id"].to_numpy()[order], cosine[order]


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("top", [1, 12, 10_000])
def test_the_nearest_are_those_of_plain_numpy(number, top, embedded):
    examples = np.random.default_rng(number).normal(size=(number, LENGTH))
    ids, cosine = by_hand(embedded, examples)
    found = embedded.similar(features=examples, top=top)
    assert found["object_id"].to_pylist() == ids[:top].tolist()
    np.testing.assert_allclose(found["similarity"].to_numpy(), cosine[:top], atol=1e-6)
    assert set(found["example"].to_pylist()) <= set(range(number))


def test_an_example_of_the_catalogue_is_not_like_itself(embedded):
    ids = embedded.query('SELECT object_id FROM catalog WHERE "primary" LIMIT 2')["object_id"].to_pylist()
    examples = embeddings_of(embedded.files, ids)
    expected, _ = by_hand(embedded, examples, leave_out=ids)
    found = embedded.similar(ids, top=5)
    assert found["object_id"].to_pylist() == expected[:5].tolist()
    assert embedded.similar(ids[::-1], top=5)["object_id"].to_pylist() == expected[:5].tolist()
    nearest = embeddings_of(embedded.files, found["object_id"].to_pylist())
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (nearest.astype(float), examples.astype(float))]
    assert found["example"].to_pylist() == (unit[0] @ unit[1].T).argmax(axis=1).tolist()


def test_rows_are_whole(embedded):
    found = embedded.similar(features=np.ones(LENGTH), top=7).to_pandas()
    frame = embedded.to_pandas().set_index("object_id").loc[found["object_id"]]
    for name in ("ra", "dec", "label", "tile", "x", "y", "radius"):
        assert found[name].tolist() == frame[name].tolist()
    assert frame["primary"].all()


def test_examples_from_a_list_of_positions(embedded, tmp_path):
    rows = embedded.query('SELECT object_id, ra, dec FROM catalog WHERE "primary" LIMIT 3').to_pandas()
    far = pd.DataFrame({"object_id": [0], "ra": [10.0], "dec": [70.0]})
    pd.concat([rows, far]).rename(columns={"object_id": "name"}).to_csv(tmp_path / "list.csv", index=False)
    found = embedded.similar(positions=tmp_path / "list.csv", top=9)
    assert found.equals(embedded.similar(rows["object_id"].tolist(), top=9))
    far.to_csv(tmp_path / "far.csv", index=False)
    with pytest.raises(CatalogError, match=r"none of the 1 positions lies within 3\.0 of a row"):
        embedded.similar(positions=tmp_path / "far.csv")


def test_ties_are_broken_by_object_id(tmp_path):
    paths = write_parts(tmp_path / "parts", n=60, fields=["plain"], embedding=2)
    for path in paths:
        table = pq.read_table(path)
        same = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 0.0] * len(table), pa.float16()), 2)
        table = table.set_column(table.column_names.index("embedding"), "embedding", same)
        pq.write_table(table, path)
    arguments = {"provenance": {}, "classes": CLASSES, "bands": BANDS, "max_rows": 20}
    catalog = open_catalog(write_catalog(paths, tmp_path / "catalog", **arguments))
    primary = catalog.query('SELECT object_id FROM catalog WHERE "primary" ORDER BY object_id')["object_id"].to_pylist()
    assert catalog.similar(features=[3, 4], top=10)["object_id"].to_pylist() == primary[:10]
    assert catalog.similar(features=[3, 4], top=1)["similarity"][0].as_py() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.ones(5), "must have 16 features, as the catalogue's; got shape"),
        (np.zeros(LENGTH), "zero or not finite"),
        (np.full(LENGTH, np.nan), "zero or not finite"),
        (np.stack([np.ones(LENGTH), np.zeros(LENGTH)]), "zero or not finite"),
        (None, "needs an example"),
    ],
)
def test_what_is_no_example_is_told_in_words(features, words, embedded):
    with pytest.raises(CatalogError, match=words):
        embedded.similar(features=features)


def test_what_is_not_there_is_told_in_words(embedded, catalog):
    with pytest.raises(CatalogError, match="no row has the object_id 12"):
        embedded.similar([12])
    with pytest.raises(CatalogError, match=r"keeps no embeddings.*--embedding"):
        catalog.similar([12])
    with pytest.raises(CatalogError, match="top must be at least 1"):
        embedded.similar(features=np.ones(LENGTH), top=0)


def test_the_command_lists_them(embedded, tmp_path, capsys):
    first = embedded.query('SELECT object_id FROM catalog WHERE "primary" LIMIT 1')["object_id"][0].as_py()
    main(["catalog", "similar", str(embedded.path), "--to", str(first), "--top", "4", "--format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert [row["object_id"] for row in shown] == embedded.similar([first], top=4)["object_id"].to_pylist()


def test_the_approximate_answer_is_nearly_the_exact_one(embedded, tmp_path):
    pytest.importorskip("usearch")
    copy = open_catalog(shutil.copytree(embedded.path, tmp_path / "catalog"))
    examples = np.random.default_rng(9).normal(size=(2, LENGTH))
    exact = copy.similar(features=examples, top=10)
    near = copy.similar(features=examples, top=10, approximate=True)
    assert len(set(exact["object_id"].to_pylist()) & set(near["object_id"].to_pylist())) >= 9
    assert near["similarity"].to_pylist() == sorted(near["similarity"].to_pylist(), reverse=True)
    assert near.schema.equals(exact.schema)
    first = exact["object_id"][0].as_py()
    assert first not in copy.similar([first], top=5, approximate=True)["object_id"].to_pylist()
    about = tmp_path / "catalog.likeness" / "about.json"
    made = about.stat().st_mtime_ns
    copy.similar(features=examples, top=3, approximate=True)
    assert about.stat().st_mtime_ns == made


def test_an_index_of_another_catalogue_is_made_anew(embedded, tmp_path):
    pytest.importorskip("usearch")
    paths = write_parts(tmp_path / "parts", n=80, fields=["wrap"], embedding=LENGTH)
    arguments = {"provenance": {}, "classes": CLASSES, "bands": BANDS}
    first = open_catalog(write_catalog(paths, tmp_path / "catalog", **arguments))
    first.similar(features=np.ones(LENGTH), top=2, approximate=True)
    second = open_catalog(write_catalog(paths[:1], tmp_path / "catalog", **arguments))
    found = second.similar(features=np.ones(LENGTH), top=1000, approximate=True)
    assert set(found["tile"].to_pylist()) == {"wrap-a"}
    assert found.num_rows > 0


def test_one_call_at_a_time_makes_an_index(embedded, tmp_path, monkeypatch):
    pytest.importorskip("usearch")
    copy = open_catalog(shutil.copytree(embedded.path, tmp_path / "catalog"))
    told = []

    def asked_meanwhile(files):
        if not told:
            told.append("")
            with pytest.raises(CatalogError, match="another call makes the index of embeddings") as refused:
                copy.similar(features=np.ones(LENGTH), top=2, approximate=True)
            told.append(str(refused.value))
        return embedding_length(files)

    monkeypatch.setattr("galmorph.catalogs.likeness_index.embedding_length", asked_meanwhile)
    assert copy.similar(features=np.ones(LENGTH), top=2, approximate=True).num_rows == 2
    assert "catalog.likeness" in told[1]


def test_without_usearch_it_says_what_to_install(embedded, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CatalogError, match=r"galmorph-survey\[likeness\]"):
        embedded.similar(features=np.ones(LENGTH), approximate=True)
