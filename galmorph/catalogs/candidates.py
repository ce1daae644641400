"""Ranked candidates: lenses, mergers and what the model does not know, by the queries in the folder catalogs/."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from galmorph.catalogs.query import run_query
from galmorph.errors import CatalogError
from galmorph.taxonomy import CLASS_MAPS

#: What can be looked for.
KINDS = ("lens", "merger", "unknown")


def find_candidates(
    files: Sequence[Path], classes: Sequence[str], provenance: Mapping[str, Any], kind: str, top: int
) -> pa.Table:
    """Best candidates of a kind among the primary rows.

    Lenses are ranked by their probability when the model knows the class; otherwise they are looked for among what it
    does not know. Mergers are ranked by the summed probability of all classes that mean a merger.

    Parameters
    ----------
    files : sequence of Path
        Partitions of a catalogue.
    classes : sequence of str
        Classes that the model knows.
    provenance : mapping
        Provenance of the catalogue. The largest value of `seeing` (FWHM in arcsec by band) tells what is resolved;
        without it nothing is taken for a point source.
    kind : {"lens", "merger", "unknown"}
        What is looked for.
    top : int
        How many rows, at most.

    Returns
    -------
    pyarrow.Table
        Best first, ties by object id. The column `score` is what the rows are ranked by.

    Raises
    ------
    CatalogError
        If there is no such kind, `top` is less than 1, or the classes of the model cannot tell.
    """
    if kind not in KINDS:
        raise CatalogError(f"no candidates of kind {kind!r}; kinds are {', '.join(KINDS)}")
    if top < 1:
        raise CatalogError(f"top must be at least 1, got {top}")
    columns = [f"p_{name}" for name in classes if _meaning(name) == kind]
    if kind == "merger" and not columns:
        raise CatalogError(
            f"this catalogue cannot rank mergers: its model knows {', '.join(classes)}, "
            "and none of these means a merger. Mergers may be among the candidates of kind unknown"
        )
    name = "lens_unknown" if kind == "lens" and not columns else kind
    variables = {"top": top, "class_columns": columns, "point_source_radius": _point_source_radius(provenance)}
    return run_query(files, query_text(name), variables=variables)


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


def _meaning(name: str) -> str:
    """Coarse class of a class, itself when no map knows it."""
    return CLASS_MAPS["shape"].get(name, name)


def _point_source_radius(provenance: Mapping[str, Any]) -> float:
    """Half-light radius (arcsec) of a point source, half a Gaussian's FWHM, in the worst seeing; 0 if unknown."""
    seeing = provenance.get("seeing")
    return max((0.5 * float(value) for value in seeing.values()), default=0.0) if isinstance(seeing, Mapping) else 0.0
