"""Ranked candidates: lenses, mergers and what the model does not know, by the queries in the folder catalogs/."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from galmorph.catalogs.pairs import rank_pairs
from galmorph.catalogs.query import run_query
from galmorph.catalogs.schema import bands_of, classes_of
from galmorph.catalogs.similarity import SIMILARITY, embeddings_of, find_similar
from galmorph.errors import CatalogError
from galmorph.taxonomy import CLASS_MAPS

#: What can be looked for.
KINDS = ("lens", "merger", "unknown")


@dataclass(frozen=True)
class Wishes:
    """What is asked of candidates beyond their kind.

    Parameters
    ----------
    redder_than : float, optional
        Of lenses, least colour (mag) of the whole object between the first and the last band of the survey.
    pairs : bool
        Look for mergers as pairs of detections within each other's apertures, not by their probability.
    like : sequence of int
        Object ids of examples: candidates are ranked by their likeness to the nearest of these.
    """

    redder_than: float | None = None
    pairs: bool = False
    like: Sequence[int] = ()


def find_candidates(
    files: Sequence[Path],
    columns: pa.Schema,
    provenance: Mapping[str, Any],
    kind: str,
    top: int,
    wishes: Wishes | None = None,
    *,
    timeout: float = 60.0,
    memory: str = "2GB",
) -> pa.Table:
    """Best candidates of a kind among the primary rows.

    Lenses are ranked by their probability when the model knows the class; otherwise they are looked for among what it
    does not know. Mergers are ranked by the summed probability of all classes that mean a merger, or as pairs.

    Parameters
    ----------
    files : sequence of Path
        Partitions of a catalogue.
    columns : pyarrow.Schema
        Columns of the catalogue.
    provenance : mapping
        Provenance of the catalogue. The largest value of `seeing` (FWHM in arcsec by band) tells what is resolved;
        without it nothing is taken for a point source.
    kind : {"lens", "merger", "unknown"}
        What is looked for.
    top : int
        How many rows, at most.
    wishes : Wishes, optional
        What else is asked.
    timeout : float
        Seconds after which a query is stopped.
    memory : str
        Most memory for a query, and most for its result.

    Returns
    -------
    pyarrow.Table
        Best first, ties by object id. The column `score` is what the rows are ranked by.

    Raises
    ------
    CatalogError
        If there is no such kind, `top` is less than 1, the classes of the model cannot tell, or a wish does not go with
        the kind.
    """
    wishes = wishes or Wishes()
    _check(kind, top, wishes)
    classes, bands = classes_of(columns), bands_of(columns)
    if wishes.redder_than is not None and len(bands) < 2:
        raise CatalogError(f"this catalogue tells no colours: its one band is {bands[0]}. Leave the least colour out")
    probabilities = [f"p_{name}" for name in classes if meaning(name) == kind]
    if kind == "merger" and not probabilities and not wishes.pairs:
        raise CatalogError(
            f"this catalogue cannot rank mergers by their probability: its model knows {', '.join(classes)}, and none "
            "of these means a merger. Ask for pairs of detections in contact (--pairs), or look among the unknown"
        )
    name = "lens_unknown" if kind == "lens" and not probabilities else kind
    variables = {
        "top": None if wishes.like else top,
        "class_columns": probabilities,
        "point_source_radius": _point_source_radius(provenance),
        "blue_column": [f"flux_{bands[0]}"],
        "red_column": [f"flux_{bands[-1]}"],
        "redder_than": wishes.redder_than,
    }
    text = query_text("merger_pairs" if wishes.pairs else name)
    ask = partial(run_query, files, variables=variables, timeout=timeout, memory=memory)
    if wishes.pairs:
        return _pairs(ask, text, top)
    return _by_likeness(ask, text, files, wishes.like, top) if wishes.like else ask(text)


def _check(kind: str, top: int, wishes: Wishes) -> None:
    if kind not in KINDS:
        raise CatalogError(f"no candidates of kind {kind!r}; kinds are {', '.join(KINDS)}")
    if top < 1:
        raise CatalogError(f"top must be at least 1, got {top}")
    if wishes.redder_than is not None and kind != "lens":
        raise CatalogError(f"a least colour is asked of lenses, whose deflector it is; not of kind {kind}")
    if wishes.pairs and (kind != "merger" or wishes.like):
        raise CatalogError("pairs are mergers, ranked by how near the two are: neither another kind, nor by likeness")


def _pairs(ask: Callable[..., pa.Table], text: str, top: int) -> pa.Table:
    """The brighter ones of the best pairs: all columns are fetched of these alone."""
    rows = ask(f"SELECT object_id, ra, dec, radius, snr FROM (\n{text}\n) ORDER BY object_id")  # noqa: S608
    best = rank_pairs(rows, top)
    found = _in_order(ask, text, best["object_id"])
    for name in ("separation", "companion", "score"):
        found = found.add_column(0, name, best[name])
    return found


def _by_likeness(
    ask: Callable[..., pa.Table], text: str, files: Sequence[Path], like: Sequence[int], top: int
) -> pa.Table:
    """Candidates that are most like examples; the score is the likeness."""
    examples = embeddings_of(files, like)
    among = ask(f"SELECT object_id FROM (\n{text}\n)")["object_id"].to_numpy()  # noqa: S608
    nearest = find_similar(files, examples, top, leave_out=like, among=among)
    rows = _in_order(ask, text, nearest["object_id"])
    return rows.set_column(rows.column_names.index("score"), "score", nearest[SIMILARITY])


def _in_order(ask: Callable[..., pa.Table], text: str, object_ids: pa.ChunkedArray) -> pa.Table:
    """What a query says of some rows, in their order."""
    rows = ask(text, object_ids=object_ids.to_pylist())
    return rows.take(pc.index_in(object_ids, rows["object_id"].combine_chunks()))


def query_text(name: str) -> str:
    """SQL of a query by its name, the file `catalogs/NAME.sql` of the repository.

    Parameters
    ----------
    name : str
        Name of the file without its ending.

    Returns
    -------
    str
        The text. An installed package carries the files in `queries/`; a checkout uses the folder that people edit.
    """
    installed = Path(__file__).parent / "queries"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "catalogs"
    return (folder / f"{name}.sql").read_text(encoding="utf-8")


def meaning(name: str) -> str:
    """Coarse class of a class, itself when no map knows it.

    Parameters
    ----------
    name : str
        A class.

    Returns
    -------
    str
        Such as merger for merging and disturbed.
    """
    return CLASS_MAPS["shape"].get(name, name)


def _point_source_radius(provenance: Mapping[str, Any]) -> float:
    """Half-light radius (arcsec) of a point source, half a Gaussian's FWHM, in the worst seeing; 0 if unknown."""
    seeing = provenance.get("seeing")
    return max((0.5 * float(value) for value in seeing.values()), default=0.0) if isinstance(seeing, Mapping) else 0.0
