"""``galmorph gather``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console


def gather(
    catalog: Path,
    /,
    *,
    against: Path,
    out: Path,
    count: int = 2000,
    known: Annotated[tuple[Path, ...], Parameter(consume_multiple=1, negative=())] = (),
    labels: Annotated[tuple[Path, ...], Parameter(consume_multiple=1, negative=())] = (),
    old_catalog: Path | None = None,
    trust: float | None = None,
    beyond: Annotated[bool, Parameter(negative=())] = False,
    vet: int = 0,
    order: Literal["active", "uncertain", "diverse", "random"] = "diverse",
    seed: int = 0,
) -> None:
    """Cut objects of a new release out of its tiles, to adapt to, with the labels that are known.

    Parameters
    ----------
    catalog
        Catalogue of the release in its run folder, made by the present model.
    against
        Folder of that model's bundle.
    out
        Folder of the set of cutouts to make.
    count
        Objects to sample, evenly over the sky, brightness, size and entropy.
    known
        Sets of cutouts that the model was trained on: their objects keep identifiers, labels and parts of the split.
    labels
        Tables of people's labels: object_id, ra, dec, label, who, when (Parquet, CSV or FITS).
    old_catalog
        Catalogue of the earlier release, to write beside each object what it was called there.
    trust
        Confidence from which that counts as a label, in the training part only; never unless given.
    beyond
        Objects too that are brighter, fainter, larger or smaller than any that the model was made on.
    vet
        Objects without label to list in OUT/to_vet.csv for people to look at: filled in, it is a table of labels. Their
        pictures are in OUT/to_vet.jpg.
    order
        diverse: different from one another; active: uncertain too, for a model that is nearly right; uncertain; random.
    seed
        Of everything random.
    """
    from galmorph.releases.gather import gather as run

    made = run(
        catalog,
        against,
        out,
        count=count,
        known=known,
        labels=labels,
        old_catalog=old_catalog,
        trust=trust,
        beyond=beyond,
        vet=vet,
        order=order,
        seed=seed,
    )
    console = Console(highlight=False)
    parts = ", ".join(f"{name} {number}" for name, number in made.parts.items())
    console.print(f"{made.images} cutouts in {made.path}: {parts}", markup=False, soft_wrap=True)
    sources = ", ".join(f"{name} {number}" for name, number in made.labelled.items())
    console.print(f"with a label from: {sources or 'nobody'}", markup=False, soft_wrap=True)
    if made.to_vet is not None:
        console.print(f"to look at, the most useful first: {made.to_vet}", markup=False, soft_wrap=True)
