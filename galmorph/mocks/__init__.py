"""Mock surveys: galaxies, lenses, mergers and stars, seen as a survey sees them, as tiles, truth and cutouts."""

from galmorph.mocks.config import MockConfig
from galmorph.mocks.make import MockResult, make_mock

__all__ = ["MockConfig", "MockResult", "make_mock"]
