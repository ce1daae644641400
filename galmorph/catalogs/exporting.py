"""Rows of a catalogue as a file for another program, with units, UCDs, descriptions and where they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galmorph.catalogs.nearest import no_column
from galmorph.catalogs.output import SUFFIXES, format_of, write_table
from galmorph.catalogs.standards import as_ds9
from galmorph.errors import CatalogError

if TYPE_CHECKING:
    from galmorph.catalogs.catalog import Catalog
    from galmorph.catalogs.regions import Region

#: Ends of the names of region files.
_REGIONS = (".reg", ".ds9")
#: What of the provenance goes into a file.
_FACTS = ("survey", "release", "model", "model_sha256", "galmorph", "acknowledgement")


def export(
    catalog: "Catalog",
    output: str | Path,
    *,
    columns: Sequence[str] | None = None,
    where: str = "",
    within: "Sequence[Region]" = (),
    all_rows: bool = False,
    timeout: float = 600.0,
    memory: str = "4GB",
) -> int:
    """Write rows of a catalogue to a file.

    Parameters
    ----------
    catalog : Catalog
        The catalogue.
    output : str or Path
        File: .fits, .vot, .csv, .parquet, .json, or .reg for regions of DS9.
    columns : sequence of str, optional
        Columns to write; by default all but the embedding.
    where : str
        Condition in SQL that rows have to fulfil, as ``p_merger > 0.9``.
    within : sequence of Region
        Parts of the sky that rows have to lie in.
    all_rows : bool
        Write all rows, not just one per object.
    timeout : float
        Seconds for the reading.
    memory : str
        Most memory for the rows.

    Returns
    -------
    int
        Number of rows that were written.

    Raises
    ------
    CatalogError
        If the name tells no format, there is no such column, the condition is none, or the file cannot be written.
    """
    path = Path(output)
    regions = path.suffix.lower() in _REGIONS
    if not regions and path.suffix.lower() not in SUFFIXES:
        raise CatalogError(
            f"the name {path.name} tells no format; expected one that ends in {', '.join([*SUFFIXES, *_REGIONS])}"
        )
    wanted = [name for name in catalog.schema.names if name != "embedding"] if columns is None else list(columns)
    strangers = [name for name in wanted if name not in catalog.schema.names]
    if strangers:
        raise no_column(catalog.path, strangers, catalog.schema.names)
    if where.strip():
        from galmorph.catalogs.query import check_condition  # DuckDB takes a while to load

        check_condition(where)
    conditions = ([] if all_rows else ['"primary"']) + ([f"(\n{where}\n)"] if where.strip() else [])
    kept = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in wanted)
    sql = f"SELECT {names} FROM catalog{kept} ORDER BY _healpix_29, object_id"  # noqa: S608 - examined before it runs
    table = catalog.query(sql, within=within, timeout=timeout, memory=memory)
    table = table.replace_schema_metadata(_facts(catalog.provenance))
    if regions:
        _write(path, as_ds9(table))
    else:
        write_table(table, format_of(path), path)
    return int(table.num_rows)


def _facts(provenance: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(provenance[name]) for name in _FACTS if provenance.get(name)}


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CatalogError(f"{path} cannot be written: {error.strerror}") from error
