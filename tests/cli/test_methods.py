from galmorph.cli import main
from galmorph.training.methods import METHODS


def test_methods_are_listed_with_their_sources(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    main(["methods"])
    lines = capsys.readouterr().out.splitlines()
    for name, method in METHODS.items():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert method.summary in line
        assert method.reference in line
