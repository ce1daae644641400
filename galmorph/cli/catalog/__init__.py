"""``galmorph catalog``: one small file for each verb, loaded when the verb is used."""

from cyclopts import App

app = App(name="catalog", help="Ask a catalogue.")
_VERBS = {
    "info": "What a catalogue holds: rows, classes, unknowns, flags, sky, and where it comes from.",
    "query": "Answer one SELECT over the table `catalog`, in DuckDB's SQL; nothing can be written or read besides.",
    "candidates": "List the best candidates of a kind, one row per object, best first.",
    "similar": "List the objects that look most like examples, best first.",
    "crossmatch": "Match a catalogue with another by position, and say how much of the other was recovered.",
    "diff": "Put two catalogues beside each other: changed labels, moved probabilities, new and lost objects.",
    "export": "Write rows of a catalogue for another program, with units, UCDs and where they come from.",
    "check": "Hold a catalogue against its own rules; exit code 1 if it breaks one.",
    "collect": "Put catalogues side by side into one HATS collection, with margins and indexes.",
}
for _verb, _help in _VERBS.items():
    app.command(f"galmorph.cli.catalog.{_verb}:{_verb}", name=_verb, help=_help)
