"""STILTS, the command line of TOPCAT, reads what is exported. Debian has it: apt-get install stilts."""

import shutil
import subprocess

import pytest

from galmorph.catalogs import export

STILTS = shutil.which("stilts")
pytestmark = pytest.mark.skipif(STILTS is None, reason="stilts is not installed (apt-get install stilts)")


@pytest.mark.parametrize(("name", "kind"), [("rows.fits", "fits"), ("rows.vot", "votable")])
def test_stilts_reads_names_units_ucds_and_rows(name, kind, catalog, tmp_path):
    rows = export(catalog, tmp_path / name)
    assert STILTS is not None
    command = [STILTS, "tpipe", f"in={tmp_path / name}", f"ifmt={kind}", "cmd=meta Name Units UCD", "ofmt=csv"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "ra,deg,pos.eq.ra;meta.main" in told
    assert "primary_,,meta.code" in told
    rows_told = subprocess.run(
        [
            STILTS,
            "tpipe",
            f"in={tmp_path / name}",
            f"ifmt={kind}",
            "cmd=keepcols 'object_id label unknown_'",
            "ofmt=csv",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    frame = catalog.to_pandas(["object_id", "label", "unknown", "primary"])
    frame = frame[frame["primary"]]
    wanted = zip(frame["object_id"], frame["label"], frame["unknown"], strict=True)
    assert rows_told[1:] == [f"{one},{label},{str(unknown).lower()}" for one, label, unknown in wanted]
    count = subprocess.run(
        [STILTS, "tpipe", f"in={tmp_path / name}", f"ifmt={kind}", "omode=count"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"rows: {rows}" in count
