"""The catalogue: written in HATS layout, opened and asked questions.

The names below are the way in; each is imported when it is first used, since writing and opening need different
libraries, and those for writing take seconds to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galmorph.catalogs.candidates import KINDS, Wishes
    from galmorph.catalogs.catalog import Catalog, open_catalog
    from galmorph.catalogs.changes import Difference, diff
    from galmorph.catalogs.checking import check_catalog, repair_catalog
    from galmorph.catalogs.collection import collect
    from galmorph.catalogs.exporting import export
    from galmorph.catalogs.howto import how_to_open
    from galmorph.catalogs.info import CatalogInfo
    from galmorph.catalogs.matching import Crossmatch, crossmatch
    from galmorph.catalogs.output import FORMATS, write_table
    from galmorph.catalogs.write import write_catalog

_HOMES = {
    "FORMATS": "output",
    "KINDS": "candidates",
    "Catalog": "catalog",
    "CatalogInfo": "info",
    "Crossmatch": "matching",
    "Difference": "changes",
    "Wishes": "candidates",
    "check_catalog": "checking",
    "collect": "collection",
    "crossmatch": "matching",
    "diff": "changes",
    "export": "exporting",
    "how_to_open": "howto",
    "open_catalog": "catalog",
    "repair_catalog": "checking",
    "write_catalog": "write",
    "write_table": "output",
}

__all__ = [
    "FORMATS",
    "KINDS",
    "Catalog",
    "CatalogInfo",
    "Crossmatch",
    "Difference",
    "Wishes",
    "check_catalog",
    "collect",
    "crossmatch",
    "diff",
    "export",
    "how_to_open",
    "open_catalog",
    "repair_catalog",
    "write_catalog",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'galmorph.catalogs' has no attribute {name!r}")
    return getattr(import_module(f"galmorph.catalogs.{_HOMES[name]}"), name)
