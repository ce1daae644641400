"""``galmorph evaluate`` on several domains at once."""

import json

import pytest
from make_bundle import make_bundle
from make_cutouts import make_cutouts

from galmorph.cli import main


@pytest.fixture
def domains(tmp_path):
    """A bundle and two sets of cutouts that fit it."""
    bundle = make_bundle(tmp_path / "model", ["g", "r", "z"], size=24, classes=["round_smooth", "merging"])
    sets = [make_cutouts(tmp_path / name, each=5, seed=seed) for seed, name in enumerate(("first", "second"))]
    for path in sets:
        meta = json.loads((path / "dataset.json").read_text())
        (path / "dataset.json").write_text(json.dumps(meta | {"framing": vars(bundle.manifest.framing)}))
    return [str(bundle.path), *map(str, sets)]


def test_json_has_an_entry_per_domain_with_intervals(capsys, domains, tmp_path):
    written = tmp_path / "new" / "out.json"
    main(["evaluate", *domains, "--resamples", "50", "--format", "json", "--output", str(written)])
    entries = json.loads(capsys.readouterr().out)
    assert [entry["data"] for entry in entries] == domains[1:]
    low, high = entries[0]["intervals"]["unknown"]["auroc"]["all"]["entropy"]
    assert low <= entries[0]["unknown"]["auroc"]["all"]["entropy"] <= high
    assert json.loads(written.read_text()) == entries


def test_table_has_a_column_per_domain(capsys, domains, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    main(["evaluate", *domains, "--resamples", "0"])
    rows = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["accuracy"][0] == "accuracy"
    assert len(rows["accuracy"]) == 3
    assert any(name.startswith("oracle h score") for name in rows)
