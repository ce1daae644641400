"""One input, one result, whatever the order of the tiles, interruptions, and how many cutouts are held at once."""

import hashlib
from pathlib import Path

import pytest
from distributed import LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_bundle import make_bundle
from make_sky import BANDS, make_tile

import galmorph
from galmorph.inference import task

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
