import pytest

from galmorph.errors import ConfigError
from galmorph.taxonomy import CLASS_MAPS, GALAXY10_CLASSES, MOCK_CLASSES, map_labels


def test_galaxy10_numbers_become_the_nine_classes_of_the_paper():
    assert len(GALAXY10_CLASSES) == 10
    nine = [name for name in GALAXY10_CLASSES if name in CLASS_MAPS["galaxy10"]]
    # Numbers 4 to 9 become 3 to 8, and the lens is 9.
    assert [nine.index(GALAXY10_CLASSES[number]) for number in (0, 1, 2, 4, 5, 6, 7, 8, 9)] == list(range(9))
    assert list(CLASS_MAPS["galaxy10"]) == [*nine, "lens"]
    assert set(nine) == set(list(MOCK_CLASSES)[:9])
    with pytest.raises(ConfigError, match="does not say what in_between_smooth become"):
        map_labels(["in_between_smooth"], "galaxy10")


def test_spirals_of_either_sense_are_one_class_and_dont_know_is_no_label():
    labels = ["spiral_clockwise", "spiral_anticlockwise", "dont_know", "", "merger"]
    assert map_labels(labels, "galaxy_zoo_1") == ["spiral", "spiral", "", "", "merger"]


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_maps_say_what_they_cannot_map(name):
    with pytest.raises(ConfigError, match=f"class map '{name}' does not say what teapot become"):
        map_labels(["teapot"], name)


def test_no_such_map():
    with pytest.raises(ConfigError, match="no class map is called 'x'; known maps: shape, fine, galaxy10"):
        map_labels([], "x")
