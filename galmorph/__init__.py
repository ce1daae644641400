"""Survey images in, a catalogue of galaxy morphology out.

The names below are the way in; each is imported when it is first used, so that ``import galmorph`` costs nothing.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from galmorph.bundle import Bundle, load_bundle
    from galmorph.catalogs import Catalog, open_catalog
    from galmorph.cutout_set import CutoutSet, read_cutout_set
    from galmorph.cutouts import Cutter, Framing
    from galmorph.detection import DetectionConfig, extract
    from galmorph.pipeline import Classification, classify
    from galmorph.releases.drift import Drift
    from galmorph.releases.notice import drift
    from galmorph.surveys import Survey, find_tiles, load_survey, survey_names
    from galmorph.tiles import Tile, read_tile

# The library logs; who uses it decides where to. Without this, warnings would go to the terminal by themselves.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "Bundle": "galmorph.bundle",
    "Catalog": "galmorph.catalogs",
    "Classification": "galmorph.pipeline",
    "CutoutSet": "galmorph.cutout_set",
    "Cutter": "galmorph.cutouts",
    "DetectionConfig": "galmorph.detection",
    "Drift": "galmorph.releases.drift",
    "Framing": "galmorph.cutouts",
    "Survey": "galmorph.surveys",
    "Tile": "galmorph.tiles",
    "classify": "galmorph.pipeline",
    "drift": "galmorph.releases.notice",
    "extract": "galmorph.detection",
    "find_tiles": "galmorph.surveys",
    "load_bundle": "galmorph.bundle",
    "load_survey": "galmorph.surveys",
    "open_catalog": "galmorph.catalogs",
    "read_cutout_set": "galmorph.cutout_set",
    "read_tile": "galmorph.tiles",
    "survey_names": "galmorph.surveys",
}

__all__ = [
    "Bundle",
    "Catalog",
    "Classification",
    "CutoutSet",
    "Cutter",
    "DetectionConfig",
    "Drift",
    "Framing",
    "Survey",
    "Tile",
    "classify",
    "drift",
    "extract",
    "find_tiles",
    "load_bundle",
    "load_survey",
    "open_catalog",
    "read_cutout_set",
    "read_tile",
    "survey_names",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'galmorph' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
