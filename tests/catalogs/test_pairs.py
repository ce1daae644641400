import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from make_rows import BANDS, write_parts

from galmorph.catalogs import Wishes, candidates, open_catalog, write_catalog
from galmorph.catalogs.pairs import close_pairs, rank_pairs
from galmorph.catalogs.purity import _shares, judge
from galmorph.catalogs.query import run_query
from galmorph.catalogs.similarity import embeddings_of
from galmorph.cli import main
from galmorph.errors import CatalogError


@pytest.mark.parametrize("centre", [(150.0, 2.0), (0.0, -30.0), (77.0, 89.99)])
def test_pairs_are_those_of_astropy(centre):
    rng = np.random.default_rng(5)
    n = 120
    dec = np.minimum(centre[1] + rng.normal(0, 0.004, n), 90.0)
    ra = (centre[0] + rng.normal(0, 0.004, n) / np.cos(np.radians(centre[1]))) % 360
    radius = rng.lognormal(1.0, 1.2, n)
    where = SkyCoord(ra, dec, unit="deg")
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(n), 2)
        if where[i].separation(where[j]).arcsec <= min(radius[i], radius[j])
    }
    first, second, separation = close_pairs(ra, dec, radius)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert len(first) == len(expected) > 10
    assert np.allclose(separation, where[first].separation(where[second]).arcsec, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_make_no_pair(n):
    assert [len(part) for part in close_pairs(np.zeros(n), np.zeros(n), np.ones(n))] == [0, 0, 0]


def test_the_brighter_one_stands_for_the_pair_and_once():
    rows = pa.table(
        {
            "object_id": [1, 2, 3, 4],
            "ra": [10.0, 10.0, 10.0, 50.0],
            "dec": [0.0, 1 / 3600, -2 / 3600, 0.0],
            "radius": [4.0, 4.0, 4.0, 4.0],
            "snr": [30.0, 20.0, 10.0, 99.0],
        }
    )
    ranked = rank_pairs(rows, 10)
    # 1-2 are 1 arcsec apart, 1-3 two, 2-3 three: 1 is the brighter of two pairs and stands once, 2 of the third.
    assert ranked["object_id"].to_pylist() == [1, 2]
    assert ranked["companion"].to_pylist() == [2, 3]
    assert ranked["score"].to_pylist() == pytest.approx([0.75, 0.25])
    assert ranked["separation"].to_pylist() == pytest.approx([1.0, 3.0])
    assert rank_pairs(rows, 1)["object_id"].to_pylist() == [1]


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense")
    classes = ("elliptical", "spiral")
    parts = write_parts(folder / "parts", n=400, fields=["plain"], classes=classes, embedding=6)
    provenance = {"seeing": {"r": 1.0}}
    return open_catalog(write_catalog(parts, folder / "c", provenance=provenance, classes=classes, bands=BANDS))


def test_pairs_of_a_catalogue_touch(dense):
    found = dense.candidates("merger", 20, Wishes(pairs=True))
    frame = dense.to_pandas().set_index("object_id")
    for row in found.to_pylist():
        both = frame.loc[[row["object_id"], row["companion"]]]
        assert both["primary"].all()
        assert row["separation"] <= both["radius"].min() + 1e-6
        assert both["snr"].iloc[0] >= both["snr"].iloc[1]
    assert found.num_rows > 3


def test_lenses_can_be_asked_to_be_red(dense):
    found = dense.candidates("lens", 10_000, Wishes(redder_than=0.2))
    assert found.num_rows > 0
    assert min(found["colour"].to_pylist()) > 0.2
    every = dense.candidates("lens", 10_000).to_pandas()
    assert (every["colour"] > 0.2).sum() == found.num_rows < len(every)
    frame = dense.to_pandas().set_index("object_id").loc[every["object_id"]]
    assert every["colour"].tolist() == pytest.approx(
        (2.5 * np.log10(frame["flux_z"].to_numpy() / frame["flux_g"].to_numpy())).tolist(), abs=1e-5
    )


def test_candidates_like_examples(dense):
    every = dense.candidates("lens", 10_000)["object_id"].to_numpy()
    example = int(every[3])
    found = dense.candidates("lens", 8, Wishes(like=[example]))
    vectors = embeddings_of(dense.files, every.tolist()).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[3]
    order = [int(every[i]) for i in np.argsort(-cosine) if every[i] != example]
    assert found["object_id"].to_pylist() == order[:8]
    assert found["score"].to_pylist() == pytest.approx(sorted(cosine, reverse=True)[1:9], abs=1e-3)


@pytest.mark.parametrize(("kind", "wishes"), [("merger", Wishes(pairs=True)), ("lens", Wishes(like=[0]))])
def test_all_columns_are_fetched_of_the_best_alone(kind, wishes, dense, monkeypatch):
    example = int(dense.candidates("lens", 4)["object_id"][3].as_py())
    wishes = replace(wishes, like=[example] if wishes.like else ())
    expected = dense.candidates(kind, 10_000, wishes).slice(0, 5)
    answers, limits = [], []

    def watch(*args, timeout, memory, **rest):
        answers.append(run_query(*args, timeout=timeout, memory=memory, **rest))
        limits.append((timeout, memory))
        return answers[-1]

    monkeypatch.setattr(candidates, "run_query", watch)
    found = dense.candidates(kind, 5, wishes, timeout=30.0, memory="300MB")
    assert found.equals(expected)
    assert found.num_rows == 5
    assert limits == [(30.0, "300MB")] * 2
    assert all(answer.num_rows <= 5 for answer in answers if answer.num_columns > 5)
    assert max(answer.num_rows for answer in answers) > 20


def test_limits_of_candidates_can_be_told(dense, capsys):
    options = ["catalog", "candidates", str(dense.path), "--kind", "merger", "--pairs", "--format", "csv"]
    with pytest.raises(SystemExit):
        main([*options, "--memory", "much"])
    assert "memory is a number and KB, MB" in capsys.readouterr().err
    main([*options, "--memory", "1GB", "--timeout", "100"])
    assert len(capsys.readouterr().out.splitlines()) > 3


@pytest.mark.parametrize(
    ("kind", "wishes", "words"),
    [
        ("merger", Wishes(redder_than=1), "asked of lenses"),
        ("lens", Wishes(pairs=True), "pairs are mergers"),
        ("merger", Wishes(pairs=True, like=[1]), "pairs are mergers"),
        ("merger", Wishes(), "Ask for pairs"),
    ],
)
def test_wishes_that_do_not_go_together(kind, wishes, words, dense):
    with pytest.raises(CatalogError, match=words):
        dense.candidates(kind, 5, wishes)


@pytest.mark.parametrize(
    ("true", "shares"),
    [
        ([], {}),
        ([True], {1: 1.0}),
        ([True, False, True], {1: 1.0, 2: 0.5, 3: 2 / 3}),
        ([False] * 9 + [True], {1: 0.0, 2: 0.0, 5: 0.0, 10: 0.1}),
        ([True] * 11 + [False], {1: 1.0, 2: 1.0, 5: 1.0, 10: 1.0, 12: 11 / 12}),
    ],
)
def test_shares_are_those_of_one_two_five_and_so_on(true, shares):
    assert _shares(np.array(true, dtype=bool)) == pytest.approx(shares)


def test_purity_of_the_first(dense, tmp_path, capsys):
    found = dense.candidates("lens", 6).to_pandas()
    truth = found.iloc[[0, 3, 4]][["ra", "dec"]].assign(label=["lens", "lens", "spiral"])
    truth["dec"] += 1 / 3600
    truth.to_csv(tmp_path / "truth.csv", index=False)
    options = ["--kind", "lens", "--top", "6", "--truth", str(tmp_path / "truth.csv"), "--format", "csv"]
    main(["catalog", "candidates", str(dense.path), *options])
    shown = capsys.readouterr()
    assert [line.split(",")[1] for line in shown.out.splitlines()[1:]] == [
        "true",
        *["false"] * 2,
        "true",
        *["false"] * 2,
    ]
    assert shown.err.startswith(
        "true, by a list of 2: 100% of the first 1, 50% of the first 2, 40% of the first 5, 33%"
    )
    truth.assign(label="star").to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(SystemExit):
        main(["catalog", "candidates", str(dense.path), *options])
    assert "tells of no lens: column label never says lens" in capsys.readouterr().err
    # As lenscat has it: the column tells something else, and the list is of lenses altogether.
    truth.assign(type=["galaxy", "galaxy", "cluster"]).drop(columns="label").to_csv(tmp_path / "truth.csv", index=False)
    main(["catalog", "candidates", str(dense.path), *options])
    assert "column type names no class (cluster, galaxy): every entry counts as lens" in (
        err := capsys.readouterr().err
    )
    assert "true, by a list of 3:" in err
    with pytest.raises(CatalogError, match=r"truth\.csv has no column morphology; it has ra, dec, type"):
        judge(dense.candidates("lens", 6), tmp_path / "truth.csv", "lens", labels="morphology")
