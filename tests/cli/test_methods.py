from rich.console import Console

from galmorph.cli import main
from galmorph.cli.train import show_verdict
from galmorph.training.guard import Signs, judge
from galmorph.training.methods import METHODS
from galmorph.training.options import GuardOptions


def test_methods_are_listed_with_their_sources(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["methods"])
    lines = capsys.readouterr().out.splitlines()
    for name, method in METHODS.items():
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert method.summary in line
        assert method.reference in line
        # Its losses are the keys of weights, and stand whole in the next line.
        after = lines[lines.index(line) + 1]
        assert all(f"{loss} {weight:g}" in after for loss, weight in method.losses.items())
        assert ("needs a target" in after) == method.adapts


def test_a_verdict_of_the_guard_names_the_table_of_the_recipe(capsys):
    signs = Signs(
        images=9,
        source_change=0.0,
        source_error=0.0,
        sure=0.8,
        agreement=1.0,
        smallest_class=1.0,
        moved=0.0,
        clusters_change=0.0,
        confidence_change=0.0,
    )
    show_verdict(judge(signs, GuardOptions()), Console())
    said = " ".join(capsys.readouterr().out.split())
    assert "sign of harm: 9 target images are too few to adapt to" in said
    assert "goes on, not the adapted one ([guard] in the recipe)" in said
