"""``galmorph demo``."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from galmorph.catalogs import how_to_open
from galmorph.cli.screen import notes_on_run, tile_progress
from galmorph.demo import Demonstration, run_demo


def demo(*, out: Path = Path("galmorph-demo")) -> None:
    """Classify the embedded two-tile mock survey with the embedded model, and show what comes out.

    Parameters
    ----------
    out
        Folder for the run, its catalogue and the picture of candidates.
    """
    start = time.monotonic()
    console = Console(highlight=False)
    with tile_progress(console) as (progress, _):
        shown = run_demo(out, progress)
    notes_on_run(console, shown.result.report)
    _show_counts(console, shown)
    for kind, rows in shown.candidates.items():
        _show_candidates(console, kind, rows.to_pylist())
    _show_truth(console, shown)
    console.print(
        f"\ncatalogue: {shown.result.path}\npicture of the candidates: {shown.picture}\n", markup=False, soft_wrap=True
    )
    console.print(how_to_open(shown.result.path), markup=False, soft_wrap=True)
    console.print(
        f"\n{time.monotonic() - start:.0f} s. The model was trained on mocks and serves this demonstration only."
    )


def _show_counts(console: Console, shown: Demonstration) -> None:
    info = shown.catalog.info()
    table = Table("class", "objects", title="primary objects", title_justify="left", box=None, pad_edge=False)
    for name, count in info.classes.items():
        table.add_row(name, str(count))
    table.add_row("unknown", str(info.unknown))
    console.print()
    console.print(table)


def _show_candidates(console: Console, kind: str, rows: list[dict[str, object]]) -> None:
    table = Table(
        "rank", "score", "ra", "dec", "label", "unknown", "entropy",
        title=f"best {kind} candidates", title_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    for rank, row in enumerate(rows, start=1):
        table.add_row(
            str(rank),
            f"{row['score']:.3f}",
            f"{row['ra']:.5f}",
            f"{row['dec']:+.5f}",
            str(row["label"]),
            "yes" if row["unknown"] else "no",
            f"{row['entropy']:.3f}",
        )
    console.print()
    console.print(table)


def _show_truth(console: Console, shown: Demonstration) -> None:
    truth, manifest = shown.truth, shown.bundle.manifest
    console.print(
        f"\nbeside the truth ({truth.objects} labelled objects): {100 * truth.completeness:.1f} % detected, accuracy "
        f"{truth.accuracy:.3f}, mean recall over the known classes {truth.mean_recall:.3f}"
    )
    right = " and ".join(
        f"{shown.true_candidates[kind]} of {len(rows)} {kind}" for kind, rows in shown.candidates.items()
    )
    console.print(f"candidates that are what they look like: {right}")
    scores = ", ".join(f"{name} {value:.3f}" for name, value in truth.unknown_auroc.items())
    console.print(
        f"unknown ({', '.join(manifest.private_classes)}; no label of it was used in training): AUROC by {scores}; "
        f"flagged by {manifest.unknown.score} {100 * truth.unknown_recall:.0f} %, "
        f"known flagged by mistake {100 * truth.false_unknown:.0f} %"
    )
