import io
import json
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from make_bundle import files, manifest
from make_rows import BANDS, CLASSES, make_field, write_parts

import galmorph
from galmorph.bundle import SAMPLE, load_bundle, write_bundle
from galmorph.catalogs import write_catalog
from galmorph.cli import main
from galmorph.errors import BundleError, CatalogError, DataError
from galmorph.manifest import UnknownRule
from galmorph.reference import ReferenceSample, join_samples, read_sample, write_sample
from galmorph.releases.description import Adapt, Release, Tiles
from galmorph.releases.drift import Limits
from galmorph.releases.gate_options import EstimateGate, Gates, SourceGate
from galmorph.releases.notice import drift_of_catalog
from galmorph.releases.objects import read_rows
from galmorph.releases.regions import regions_of
from galmorph.releases.steps.notice import NOTICE

FEATURES = 2 * len(BANDS)


def sample(seed: int = 1, n: int = 300) -> ReferenceSample:
    """Objects as the catalogue's rows are."""
    rows = make_field("plain", n, seed, embedding=FEATURES)["plain-a"].to_pandas()
    p = rows[[f"p_{name}" for name in CLASSES]].to_numpy()
    features = np.stack(rows["embedding"]).astype(np.float32)
    measured = rows[["radius", "snr", "half_light_radius", *(f"flux_{band}" for band in BANDS)]].astype(np.float32)
    label = rows["label"].to_numpy(dtype=np.str_)
    return ReferenceSample(np.full(len(rows), "source"), label, np.log(p).astype(np.float32), features, measured)


def bundle_of(path, reference: ReferenceSample | None, **changes):
    facts = manifest(
        list(BANDS),
        classes=list(CLASSES),
        unknown=UnknownRule(score="entropy", threshold=0.9, false_unknown_rate=0.4),
        **changes,
    )
    content = files(len(BANDS), 16, len(CLASSES)) | ({} if reference is None else {SAMPLE: write_sample(reference)})
    return write_bundle(path, facts, content)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_of(tmp_path_factory.mktemp("bundle") / "model", sample())


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, bundle):
    folder = tmp_path_factory.mktemp("run")
    parts = write_parts(folder / "parts", n=300, seed=5, fields=("plain", "wrap"), embedding=FEATURES)
    provenance = {"survey": "mock", "release": "2", "model_sha256": bundle.sha256, "seeing": dict.fromkeys(BANDS, 1.2)}
    write_catalog(parts, folder / "catalog", provenance=provenance, classes=CLASSES, bands=BANDS)
    return galmorph.open_catalog(folder / "catalog")


def test_a_sample_is_read_as_it_was_written(bundle, tmp_path):
    found, made = read_sample(load_bundle(bundle.path)), sample()
    np.testing.assert_array_equal(found.logits, made.logits)
    np.testing.assert_array_equal(found.features, made.features)
    np.testing.assert_array_equal(found.label, made.label)
    np.testing.assert_array_equal(found.measured["snr"], made.measured["snr"])
    both = join_samples([made, replace(made, domain=np.full(len(made), "target"))])
    assert len(both.of("target")) == len(both.of("source")) == len(made)
    wrong = bundle_of(tmp_path / "wrong", replace(made, features=made.features[:, 1:]))
    with pytest.raises(BundleError, match="5 features of each object; expected 5 and 6"):
        read_sample(wrong)


def test_the_same_kind_of_sky_is_as_before(catalog, bundle, tmp_path):
    found = galmorph.drift(catalog, bundle, out=tmp_path / "report")
    assert found.verdict == "as before"
    assert found.reasons == ()
    assert found.shift.basis == "features"
    assert found.release == "mock 2"
    assert found.imaging["now"].pixel_scale == pytest.approx(0.262, rel=1e-3)
    assert any("does not tell noise" in note for note in found.notes)
    told = f"only {found.shift.comparable} objects can be compared"
    assert any(told in note for note in found.notes)
    written = json.loads((tmp_path / "report" / "drift.json").read_text())
    assert written["verdict"] == "as before"
    assert (tmp_path / "report" / "drift.png").read_bytes().startswith(b"\x89PNG")


def test_a_target_is_what_an_adapted_model_was_made_for(catalog, tmp_path):
    made = sample()
    elsewhere = replace(made, features=made.features + 3, domain=np.full(len(made), "target"))
    adapted = bundle_of(tmp_path / "model", join_samples([made, elsewhere]))
    catalog = replace(catalog, provenance={**catalog.provenance, "model_sha256": adapted.sha256})
    found = drift_of_catalog(catalog, adapted, Limits())
    assert found.verdict == "retrain"
    assert "look different" in found.reasons[0]
    assert np.isnan(found.shift.accuracy[0]) or found.shift.accuracy[0] > 0


def test_older_bundles_and_catalogues_say_what_they_lack(catalog, bundle, tmp_path, capsys):
    older = bundle_of(tmp_path / "older", None)
    known = replace(catalog, provenance={**catalog.provenance, "model_sha256": older.sha256})
    found = drift_of_catalog(known, older, Limits())
    assert found.shift is None
    assert any("keeps no sample of objects" in note for note in found.notes)
    assert any("rests on the share of unknown objects alone" in note for note in found.notes)
    found.summary()
    parts = write_parts(tmp_path / "parts", n=200, seed=5, fields=("plain",))
    write_catalog(parts, tmp_path / "catalog", provenance={"survey": "mock"}, classes=CLASSES, bands=BANDS)
    main(["drift", str(tmp_path), "--against", str(bundle.path)])
    shown = capsys.readouterr().out
    assert "keeps no embeddings" in shown
    assert "looks, by scores" in shown


def red(table):
    """The same objects, each band with twice the light of the one before."""
    return table.assign(**{f"flux_{band}": table[f"flux_{band}"] * 2**place for place, band in enumerate(BANDS)})


def test_bands_that_look_exchanged_are_told_first(catalog, tmp_path, monkeypatch):
    def coloured(*args, **settings):
        rows, features = read_rows(*args, **settings)
        return red(rows), features

    monkeypatch.setattr("galmorph.releases.notice.read_rows", coloured)
    made = sample()
    first, last = f"flux_{BANDS[0]}", f"flux_{BANDS[-1]}"
    samples = {
        "same": red(made.measured),
        "exchanged": red(made.measured).rename(columns={first: last, last: first}),
        "older": red(made.measured).drop(columns=[first]),
    }
    for name, measured in samples.items():
        model = bundle_of(tmp_path / name, replace(made, measured=measured))
        known = replace(catalog, provenance={**catalog.provenance, "model_sha256": model.sha256})
        notes = drift_of_catalog(known, model, Limits()).notes
        told = f"the bands look exchanged: by the colours of the objects {BANDS[-1]} like {BANDS[0]}, {BANDS[0]} like"
        assert [told in note for note in notes] == [name == "exchanged", *[False] * (len(notes) - 1)]


def test_enough_objects_carry_no_note(catalog, bundle, monkeypatch):
    monkeypatch.setattr("galmorph.releases.notice.FEW", 100)
    found = drift_of_catalog(catalog, bundle, Limits())
    assert found.shift.comparable > 100
    assert not any("can be compared" in note for note in found.notes)


def test_objects_whose_features_are_not_finite_are_left_out_and_counted(catalog, bundle, monkeypatch):
    rows, features = read_rows(catalog)
    features[[3, 10], 0] = np.nan, np.inf
    monkeypatch.setattr("galmorph.releases.notice.read_rows", lambda *_, **__: (rows, features))
    found = drift_of_catalog(catalog, bundle, Limits())
    assert found.shift.objects == len(rows) - 2
    assert any(f"2 of {len(rows)} objects are left out: their features" in note for note in found.notes)
    features[:] = np.nan
    with pytest.raises(CatalogError, match=f"of none of the {len(rows)} objects the features are finite"):
        drift_of_catalog(catalog, bundle, Limits())


def _without_embedding(content):
    table, out = pq.read_table(io.BytesIO(content)), io.BytesIO()
    pq.write_table(table.drop_columns("embedding"), out)
    return out.getvalue()


def _within(content):
    return content[:64] + bytes(len(content) // 2) + content[64 + len(content) // 2 :]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_within, "cannot be read"),
        (lambda content: content[:-208] + bytes(200) + content[-8:], "cannot be read"),
        (_without_embedding, "there is no column embedding"),
    ],
)
def test_a_damaged_partition_is_named(damage, words, catalog, bundle, tmp_path, capsys):
    folder = shutil.copytree(catalog.path, tmp_path / "catalog")
    file = galmorph.open_catalog(folder).files[-1]
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(SystemExit):
        main(["drift", str(folder), "--against", str(bundle.path)])
    told = capsys.readouterr().err
    assert f"partition {file} " in told
    assert words in told
    assert "copy the catalogue again" in told


def test_what_cannot_be_compared_is_refused(catalog, bundle, tmp_path):
    other = bundle_of(tmp_path / "other", sample(2))
    with pytest.raises(CatalogError, match="Scores of different models cannot be compared"):
        galmorph.drift(catalog, other)
    with pytest.raises(DataError, match="of tiles the survey must be known"):
        galmorph.drift(tmp_path / "nothing", bundle)
    with pytest.raises(DataError, match="no tile of survey mock-decals"):
        galmorph.drift(tmp_path / "nothing", bundle, survey="mock-decals")


def test_tiles_are_looked_at_as_they_will_be_scored(catalog, bundle, tmp_path, monkeypatch):
    options, positions = {"a": "b"}, tmp_path / "positions.csv"
    tiles = Tiles(inputs=("tiles",), survey="mock-decals", release="DR10", options=options, positions=positions)
    gates = Gates(source=SourceGate(), estimate=EstimateGate())
    release = Release(name="dr10", model="m", tiles=tiles, adapt=Adapt(recipe=tmp_path / "recipe.toml"), gates=gates)
    work = Mock(release=release, present=lambda: bundle, place=lambda *_: tmp_path / "drift")
    monkeypatch.setattr("galmorph.releases.notice.choose_tiles", lambda *given: ([Mock(files=["file"])], given))
    classify = Mock(return_value=Mock(catalog=catalog))
    monkeypatch.setattr("galmorph.releases.notice.classify", classify)
    NOTICE.do(work)
    files, (_, survey, given, *_), *_ = classify.call_args.args
    assert (files, survey, given) == (["file"], "mock-decals", options)
    assert classify.call_args.kwargs["release"] == "DR10"
    assert classify.call_args.kwargs["positions"] == positions


def test_a_large_catalogue_is_sampled_by_its_identifiers(catalog):
    some, features = read_rows(catalog, 100, seed=1)
    again, _ = read_rows(catalog, 100, seed=1)
    others, _ = read_rows(catalog, 100, seed=2)
    assert 40 < len(some) < 160
    assert len(features) == len(some)
    assert some["object_id"].tolist() == again["object_id"].tolist() != others["object_id"].tolist()
    assert some["primary"].all()


def test_parts_of_the_sky_have_objects_enough():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 12 * 4**29, 10_000)
    order, found = regions_of(pixels)
    assert order == 0
    assert len(np.unique(found)) == 12
    assert regions_of(pixels[:50])[0] == 0
