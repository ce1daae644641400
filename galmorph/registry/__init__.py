"""The registry of models: versions of bundles with their lineage, and aliases that say which one is in use.

MLflow keeps it, in an sqlite file beside the results or on a server. A bundle is kept as the plain files that it is,
and its digests are verified whenever it is taken out; nothing is unpickled. Without MLflow, folders of bundles are
used as they are.
"""

from galmorph.registry.names import PREFIX, Reference, is_reference
from galmorph.registry.promotion import CHALLENGER, CHAMPION, Promotion
from galmorph.registry.registry import Registry, fetch_bundle
from galmorph.registry.store import DEFAULT, store_uri
from galmorph.registry.version import Version

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "DEFAULT",
    "PREFIX",
    "Promotion",
    "Reference",
    "Registry",
    "Version",
    "fetch_bundle",
    "is_reference",
    "store_uri",
]
