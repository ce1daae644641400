"""Morphological classes: names, meanings, and how fine classes merge into coarse ones."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from galmorph.errors import ConfigError

#: What an object of no known class is called.
UNKNOWN = "unknown"

#: Classes that the mock surveys draw. The first nine are those of Galaxy Zoo DECaLS in DeepAstroUDA (section 4.2.1).
MOCK_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "disturbed": "one galaxy with an asymmetric, disturbed envelope or tidal debris",
        "merging": "two galaxies in contact, with bridges or tails",
        "round_smooth": "elliptical galaxy, round in projection",
        "cigar_smooth": "elliptical or lenticular galaxy, strongly flattened in projection",
        "barred_spiral": "spiral galaxy with a bar",
        "tight_spiral": "unbarred spiral galaxy with tightly wound arms",
        "loose_spiral": "unbarred spiral galaxy with open arms",
        "edge_on_no_bulge": "disc galaxy seen edge-on, no visible bulge",
        "edge_on_bulge": "disc galaxy seen edge-on, with a bulge",
        "lens": "galaxy-scale strong gravitational lens: a deflector with arcs or a ring",
        "star": "unresolved point source",
    }
)

#: Classes of Galaxy10 DECaLS in the order of its numbers, 0 to 9 (astroNN's documentation of the set).
GALAXY10_CLASSES: tuple[str, ...] = (
    "disturbed",
    "merging",
    "round_smooth",
    "in_between_smooth",
    "cigar_smooth",
    "barred_spiral",
    "tight_spiral",
    "loose_spiral",
    "edge_on_no_bulge",
    "edge_on_bulge",
)

#: The one of them that is not among DeepAstroUDA's nine.
GALAXY10_LEFT_OUT = "in_between_smooth"

#: Named maps from fine to coarse classes; what becomes the empty word is unlabelled. ``galaxy10`` is DeepAstroUDA's
#: nine classes and the lenses: a set that holds anything else does not pass it.
CLASS_MAPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "shape": MappingProxyType(
            {
                "disturbed": "merger",
                "merging": "merger",
                "round_smooth": "elliptical",
                "cigar_smooth": "elliptical",
                "barred_spiral": "spiral",
                "tight_spiral": "spiral",
                "loose_spiral": "spiral",
                "edge_on_no_bulge": "edge_on",
                "edge_on_bulge": "edge_on",
                "lens": "lens",
                "star": "star",
            }
        ),
        "fine": MappingProxyType({name: name for name in MOCK_CLASSES}),
        "galaxy10": MappingProxyType({name: name for name in (*GALAXY10_CLASSES, "lens") if name != GALAXY10_LEFT_OUT}),
        "galaxy_zoo_1": MappingProxyType(
            {
                "elliptical": "elliptical",
                "spiral_clockwise": "spiral",
                "spiral_anticlockwise": "spiral",
                "edge_on": "edge_on",
                "merger": "merger",
                "dont_know": "",
            }
        ),
    }
)


def map_labels(labels: Iterable[str], map_name: str) -> list[str]:
    """Coarse classes of fine ones.

    Parameters
    ----------
    labels : iterable of str
        Fine classes; the empty string, an unlabelled object, stays empty.
    map_name : str
        A key of `CLASS_MAPS`.

    Returns
    -------
    list of str
        Coarse classes, in the order given.

    Raises
    ------
    ConfigError
        If there is no such map, or a label is not in it.
    """
    if map_name not in CLASS_MAPS:
        raise ConfigError(f"no class map is called {map_name!r}; known maps: {', '.join(CLASS_MAPS)}")
    mapping = CLASS_MAPS[map_name]
    labels = list(labels)
    strangers = sorted({label for label in labels if label and label not in mapping})
    if strangers:
        raise ConfigError(
            f"class map {map_name!r} does not say what {', '.join(strangers)} become; it maps {', '.join(mapping)}"
        )
    return [mapping[label] if label else "" for label in labels]
