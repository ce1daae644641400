"""One input, one result, whatever the order of the tiles, interruptions, and how many cutouts are held at once."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

import galmorph
from galmorph.bundle import load_bundle
from galmorph.demo import data_folder
from galmorph.inference import task
from galmorph.inference.cluster import even_threads
from galmorph.inference.session import ScoringSession

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """Tiles that overlap, of which two are one name and one is a copy; a bundle; a cluster in this process."""
    folder = tmp_path_factory.mktemp("sky")
    for i, name in enumerate(NAMES):
        make_tile(folder / name, "same" if i < 2 else name, ra=150 + i * 80 * 0.262 / 3600, seed=i, size=112, objects=5)
    bundle = make_bundle(folder / "model", list(BANDS))
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False,
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as local:  # fmt: skip
        yield folder, bundle, local.scheduler_address


def digests(out: Path) -> dict[str, str]:
    files = [*(out / "catalog").rglob("*"), *(out / "parts").glob("*.parquet")]
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }


def classify(sky, out: Path, names, **options):
    folder, bundle, scheduler = sky
    galmorph.classify([folder / name for name in names], "mock-decals", bundle, out, scheduler=scheduler, **options)
    return digests(out)


@pytest.fixture(scope="module")
def expected(sky, tmp_path_factory):
    return classify(sky, tmp_path_factory.mktemp("run") / "run", NAMES)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(NAMES),
    chunk=st.sampled_from([1, 20_000, 2**26]),
    first=st.sampled_from([(), ("c",), ("d", "c")]),
)
def test_order_chunks_and_interruptions_change_nothing(sky, expected, tmp_path_factory, order, chunk, first):
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "CHUNK_BYTES", chunk)
        if first:
            # A run of some of the tiles, which goes on with all of them.
            classify(sky, out, first)
        assert classify(sky, out, order) == expected


@pytest.mark.parametrize(
    ("available", "batch", "threads"), [(1, 64, 1), (7, 64, 4), (12, 64, 8), (6, 48, 6), (9, 1, 1)]
)
def test_threads_share_a_batch_evenly(available, batch, threads):
    assert even_threads(available, batch) == threads


def test_scores_do_not_depend_on_the_number_of_threads():
    bundle = load_bundle(data_folder() / "model")
    framing = bundle.manifest.framing
    images = np.random.default_rng(1).normal(size=(70, len(bundle.manifest.bands), framing.size, framing.size))
    scores = [
        ScoringSession(bundle, "cpu", even_threads(available, bundle.manifest.batch)).predict(images.astype(np.float32))
        for available in (1, 2, 5, 9)
    ]
    for logits, features in scores[1:]:
        np.testing.assert_array_equal(logits, scores[0][0])
        np.testing.assert_array_equal(features, scores[0][1])
