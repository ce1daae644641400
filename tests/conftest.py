import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# The makers of small data are plain modules, shared by the tests of all rooms.
sys.path.insert(0, str(Path(__file__).parent / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real survey files, which are not part of the repository."""
    folder = Path(os.environ.get("GALMORPH_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real survey files not found at {folder}; set GALMORPH_REAL_DATA to their folder")
    return folder
