"""Several catalogues side by side as one HATS collection, each with its margin and its index of identifiers."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hats.catalog.dataset.collection_properties import CollectionProperties

from galmorph.catalogs.angles import degrees_of
from galmorph.catalogs.catalog import Catalog, open_catalog
from galmorph.catalogs.id_index import KEY, write_index
from galmorph.catalogs.ledger import one_writer, replace_folder, restore_folder
from galmorph.catalogs.margin import write_margin
from galmorph.catalogs.properties import COLLECTION_FILE, MEMBERS, read_properties
from galmorph.errors import CatalogError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def collect(
    catalogs: Mapping[str, str | Path] | Sequence[str | Path],
    out: str | Path,
    *,
    margin: float | str = 10.0,
    default: str | None = None,
) -> Path:
    """Put catalogues into a collection: releases, models, surveys, side by side.

    A collection that is there keeps its other members. Files are linked, not copied, where the file system can. The new
    collection takes the place of the old one when it is complete, in one step where the file system can.

    Parameters
    ----------
    catalogs : mapping of str to path, or sequence of path
        Folders of catalogues by the names that they get; without names they are called by survey, release and model. A
        member of the same name is replaced.
    out : str or Path
        Folder of the collection.
    margin : float or str
        Rows so near to a partition of another's are kept with it, for matches across borders: arcsec, or with a unit.
    default : str, optional
        Name of the member that is opened when none is told; by default the first that is given here.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    CatalogError
        If a catalogue cannot be opened, two have the same name, a name cannot be that of a folder, or `out` exists and
        is no collection of galmorph, or another call writes it.
    """
    threshold = degrees_of(margin, "arcsec") * 3600
    named = dict(catalogs) if isinstance(catalogs, Mapping) else _named(catalogs)
    opened = {name: open_catalog(path) for name, path in named.items()}
    for name in opened:
        if not _NAME.fullmatch(name) or name.endswith((".margin", ".index")):
            raise CatalogError(
                f"{name!r} cannot be the name of a member; expected letters, digits, '.', '_' and '-', and not the "
                "end .margin or .index"
            )
    # What a link leads to is replaced, and the link stays.
    out, place = Path(out), Path(out).resolve()
    with one_writer(place):
        building, old = (place.with_name(f".{place.name}.{role}") for role in ("collecting", "replaced"))
        restore_folder(place, old)
        kept = [name for name in _members(place) if name not in opened]
        names = [*kept, *opened]
        first = default or next(iter(opened), names[0] if names else None)
        if first not in names:
            raise CatalogError(f"no member is called {first!r}; members are {', '.join(names) or 'none'}")
        for leftover in (building, old):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            building.mkdir(parents=True)
            for name in kept:
                for folder in (name, f"{name}.margin", f"{name}.index"):
                    if (place / folder).is_dir():
                        _link(place / folder, building / folder)
            for name, catalog in opened.items():
                _add(catalog, building, name, threshold)
            _describe(building, out.name, names, first)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        replace_folder(building, place, old)
    return out


def _named(paths: Sequence[str | Path]) -> dict[str, str | Path]:
    """Catalogues by survey, release and model."""
    found: dict[str, str | Path] = {}
    for path in paths:
        told = open_catalog(path).provenance
        words = [str(told[key]) for key in ("survey", "release", "model") if told.get(key)]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words)).strip("-.") or "catalog"
        if name in found:
            raise CatalogError(f"{found[name]} and {path} are both called {name}: tell names for them")
        found[name] = path
    return found


def _members(out: Path) -> list[str]:
    """Names of the catalogues that a collection has; none if there is no folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return []
    properties = read_properties(out / COLLECTION_FILE) if (out / COLLECTION_FILE).is_file() else {}
    if not properties.get(MEMBERS):
        raise CatalogError(f"{out} exists and is no collection of galmorph; it is left alone. Choose another place")
    return properties[MEMBERS].split()


def _add(catalog: Catalog, building: Path, name: str, threshold: float) -> None:
    """A catalogue with its margin and index."""
    _link(catalog.path, building / name)
    files = [building / name / file.relative_to(catalog.path) for file in catalog.files]
    write_margin(files, building / f"{name}.margin", f"{name}.margin", name, threshold)
    write_index(files, building / f"{name}.index", f"{name}.index", name)


def _link(source: Path, target: Path) -> None:
    """The files of a folder, once more; a catalogue's files are never changed in place."""

    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)

    shutil.copytree(source, target, copy_function=link)


def _describe(building: Path, name: str, names: Sequence[str], first: str) -> None:
    """The properties of the collection."""
    margins = [f"{first}.margin"] if (building / f"{first}.margin").is_dir() else None
    CollectionProperties.model_validate(
        {
            "obs_collection": name,
            "hats_primary_table_url": first,
            "all_margins": margins,
            "default_margin": margins[0] if margins else None,
            "all_indexes": {KEY: f"{first}.index"},
            "default_index": KEY,
            MEMBERS: " ".join(names),
        }
    ).to_properties_file(building)
