"""Survey images in, a catalogue of galaxy morphology out."""

__version__ = "0.1.0"
