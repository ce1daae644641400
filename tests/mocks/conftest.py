import pytest

from galmorph.mocks import MockConfig, make_mock
from galmorph.surveys import load_survey


@pytest.fixture(scope="session")
def decals():
    return load_survey("mock-decals")


@pytest.fixture(scope="session")
def small_sky():
    return MockConfig(tile_side=120.0, overlap=0.2, density=4.0, background_density=4.0)


@pytest.fixture(scope="session")
def mock(tmp_path_factory, decals, small_sky):
    """Two small overlapping tiles of the mock DECaLS."""
    return make_mock(tmp_path_factory.mktemp("mock"), decals, 2, 1500, config=small_sky)
