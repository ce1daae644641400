import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["galmorph.training", "galmorph.training.recipe", "galmorph.metrics"])
def test_importing_a_light_module_does_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_evaluating_needs_no_torch():
    code = "import sys, galmorph.training.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
