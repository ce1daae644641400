"""``galmorph catalog collect``: releases and models side by side, as one HATS collection."""

from pathlib import Path

from galmorph import catalogs
from galmorph.errors import CatalogError


def collect(
    collection: Path,
    /,
    *members: Path,
    name: list[str] | None = None,
    margin: str = "10arcsec",
    default: str | None = None,
) -> None:
    """Put catalogues side by side into one HATS collection, with margins and indexes of object ids.

    Parameters
    ----------
    collection
        Folder of the collection; one that is there keeps its other members.
    members
        Folders of catalogues.
    name
        Name of each in the collection; by survey, release and model by default.
    margin
        Rows so near to a partition are kept with it, for matches across borders.
    default
        Member that is opened when none is told.
    """
    if name is not None and len(name) != len(members):
        raise CatalogError(f"{len(members)} catalogues need as many names, got {len(name)}")
    given = dict(zip(name, members, strict=True)) if name is not None else list(members)
    if name is not None and len(given) != len(name):
        raise CatalogError(f"two catalogues have the same name: {', '.join(name)}")
    catalogs.collect(given, collection, margin=margin, default=default)
    opened = catalogs.open_catalog(collection)
    print(f"{collection}: {opened.path.name} is opened by default")
