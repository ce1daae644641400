from pathlib import Path

import pytest
from make_rows import BANDS, CLASSES, write_parts

from galmorph.catalogs import Catalog, open_catalog, write_catalog

PROVENANCE = {"survey": "mock-decals", "seeing": {"g": 1.3, "r": 1.2, "z": 1.1}, "model_sha256": "ab" * 32}


@pytest.fixture
def no_jit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the test starts do not compile hats' loops: that takes most of a minute; small data needs none."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_parts(tmp_path_factory.mktemp("run") / "parts")


@pytest.fixture(scope="session")
def catalog(parts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Four fields of two overlapping tiles each, in many partitions."""
    out = tmp_path_factory.mktemp("run") / "catalog"
    write_catalog(parts, out, provenance=PROVENANCE, classes=CLASSES, bands=BANDS, max_rows=200)
    return open_catalog(out)
