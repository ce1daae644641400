"""Other people's data sets, turned into sets of cutouts: one function per layout.

What comes out is in ``pixel values``, has the published labels as words, and identifies objects, so that all images of
one object fall into one part when a training divides them.
"""

from galmorph.training.importers.convert import Faults, Images, Imported, convert, same_objects
from galmorph.training.importers.deepmerge import import_deepmerge
from galmorph.training.importers.folders import import_folders
from galmorph.training.importers.galaxy10 import import_galaxy10
from galmorph.training.importers.galaxy_zoo import GZ2_RULES, classes_by_votes, import_galaxy_zoo
from galmorph.training.importers.lsst import import_lsst
from galmorph.training.importers.pictures import import_pictures

__all__ = [
    "GZ2_RULES",
    "Faults",
    "Images",
    "Imported",
    "classes_by_votes",
    "convert",
    "import_deepmerge",
    "import_folders",
    "import_galaxy10",
    "import_galaxy_zoo",
    "import_lsst",
    "import_pictures",
    "same_objects",
]
