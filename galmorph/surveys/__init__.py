"""Survey profiles: what a survey's files are called, what is in them and in which units."""

from galmorph.surveys.find import Rejected, TileSource, find_tiles, may_be_tile
from galmorph.surveys.layout import ImageLayer, Layout, MaskLayer, WeightLayer
from galmorph.surveys.profile import Option, Survey, load_survey, survey_names
from galmorph.surveys.stripes import Stripe

__all__ = [
    "ImageLayer",
    "Layout",
    "MaskLayer",
    "Option",
    "Rejected",
    "Stripe",
    "Survey",
    "TileSource",
    "WeightLayer",
    "find_tiles",
    "load_survey",
    "may_be_tile",
    "survey_names",
]
