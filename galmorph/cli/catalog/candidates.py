"""``galmorph catalog candidates``: lenses, mergers, and what the model does not know."""

import sys
from pathlib import Path
from typing import Literal

from galmorph.catalogs import Wishes, open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.cli.catalog.options import Format, Output


def candidates(
    catalog: Path,
    /,
    *,
    kind: Literal["lens", "merger", "unknown"],
    top: int = 10,
    redder_than: float | None = None,
    pairs: bool = False,
    like: list[int] | None = None,
    truth: str | None = None,
    radius: str = "3arcsec",
    mosaic: Path | None = None,
    timeout: float = 60.0,
    memory: str = "2GB",
    format: Format = None,  # noqa: A002 - the option's name
    output: Output = None,
) -> None:
    """List the best candidates of a kind, one row per object, best first.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    kind
        What is looked for.
    top
        How many, at most.
    redder_than
        Of lenses, least colour (mag) between the first and the last band of the survey.
    pairs
        Look for mergers as pairs of detections within each other's apertures.
    like
        Object id of an example, by likeness to which the candidates are ranked; may be given many times.
    truth
        List of positions of true ones, or lenscat: marks them, and tells how pure the first N are.
    radius
        Largest separation of a candidate from its entry of that list.
    mosaic
        Picture to write of the candidates, from the tiles of the run.
    timeout
        Seconds after which a query is stopped.
    memory
        Most memory for a query and for its result.
    """
    chosen, words = format or format_of(output), ""
    wishes = Wishes(redder_than, pairs, like or ())
    found = open_catalog(catalog).candidates(kind, top, wishes, timeout=timeout, memory=memory)
    if mosaic is not None:
        from galmorph.run_folder import draw_rows, open_run

        captions = [f"{rank}: {row['score']:.3f}\n{row['label']}" for rank, row in enumerate(found.to_pylist(), 1)]
        draw_rows(open_run(catalog), found, captions, mosaic)
    if truth is not None:
        from galmorph.catalogs.purity import judge

        judged = judge(found, truth, kind, radius)
        found, words = judged.table, judged.summary()
    write_table(found, chosen, output)
    if words:
        print(words, file=sys.stderr if output is None and chosen != "table" else sys.stdout)
