import numpy as np
import pytest

from galmorph.errors import DataError
from galmorph.training.options import SplitOptions
from galmorph.training.split import check_no_copies, check_no_leak, split_objects, split_target

IDS = np.array([f"object-{n}" for n in range(5000)])
NAMES = np.array(["common", "common", "common", "rare"] * 1250)


def shares(parts):
    return [np.mean(parts == part) for part in ("train", "validation", "test")]


def test_shares():
    np.testing.assert_allclose(shares(split_objects(IDS, NAMES, SplitOptions())), [0.6, 0.2, 0.2], atol=0.03)


def test_part_depends_on_the_identifier_alone():
    parts = split_objects(IDS, NAMES, SplitOptions())
    some = np.random.default_rng(0).permutation(5000)[:100]
    np.testing.assert_array_equal(split_objects(IDS[some], NAMES[some], SplitOptions()), parts[some])


@pytest.mark.parametrize("stratified", [False, True])
def test_salt_gives_another_division(stratified):
    first = split_objects(IDS, NAMES, SplitOptions(stratified=stratified))
    second = split_objects(IDS, NAMES, SplitOptions(stratified=stratified, salt="other"))
    assert np.mean(first == second) == pytest.approx(0.6**2 + 0.2**2 + 0.2**2, abs=0.03)


def test_images_of_one_object_stay_together():
    ids = np.repeat(IDS[:200], 5)
    for stratified in (False, True):
        parts = split_objects(ids, np.repeat(NAMES[:200], 5), SplitOptions(stratified=stratified)).reshape(200, 5)
        assert (parts == parts[:, :1]).all()


# In floating point 0.1 + 0.2 is a little more than 0.3.
@pytest.mark.parametrize("expected", [(0.6, 0.2, 0.2), (0.1, 0.2, 0.7), (0.7, 0.1, 0.2)])
def test_stratified_shares_are_exact_in_each_class(expected):
    names = np.array(["a"] * 50 + ["b"] * 10 + ["c"] * 20)
    train, validation, test = expected
    options = SplitOptions(train=train, validation=validation, test=test, stratified=True)
    parts = split_objects(IDS[:80], names, options)
    for name, count in (("a", 50), ("b", 10), ("c", 20)):
        np.testing.assert_allclose(shares(parts[names == name]), expected, atol=1e-9, err_msg=str(count))


def test_stratified_needs_one_class_per_object():
    with pytest.raises(DataError, match="object x has images of different classes"):
        split_objects(np.array(["w", "x", "x"]), np.array(["a", "a", "b"]), SplitOptions(stratified=True))


def test_no_test_part():
    parts = split_objects(IDS, NAMES, SplitOptions(train=0.5, validation=0.5, test=0.0))
    assert set(parts) == {"train", "validation"}


def test_leak_is_found():
    check_no_leak({"train": np.array(["a", "a"]), "validation": np.array(["b"])})
    with pytest.raises(DataError, match="1 objects are in both train and test, for example a"):
        check_no_leak({"train": np.array(["a", "b"]), "validation": np.array(["c"]), "test": np.array(["a"])})


@pytest.mark.parametrize(("first", "second"), [("train", "validation"), ("train", "test"), ("validation", "test")])
def test_a_leak_between_any_two_parts_is_found(first, second):
    parts = {part: np.array([part]) for part in ("train", "validation", "test")}
    parts[first] = np.append(parts[first], "shared")
    parts[second] = np.append("shared", parts[second])
    with pytest.raises(DataError, match=f"1 objects are in both {first} and {second}, for example shared"):
        check_no_leak(parts)


@pytest.mark.parametrize("stratified", [False, True])
def test_two_domains_share_the_parts_of_shared_objects(stratified):
    options = SplitOptions(stratified=stratified)
    rng = np.random.default_rng(0)
    source = rng.permutation(IDS[:300])
    target = np.repeat(rng.permutation(IDS[200:500]), 2)
    names = np.where(np.arange(300) < 30, "rare", "common")
    source_parts = split_objects(source, names, options)
    target_parts = split_target(target, source, source_parts, options)
    part = dict(zip(source.tolist(), source_parts.tolist(), strict=True))
    for name, found in zip(target.tolist(), target_parts.tolist(), strict=True):
        assert part.get(name, found) == found
    np.testing.assert_allclose(shares(target_parts), [0.6, 0.2, 0.2], atol=0.07)
    # Whatever other objects the target shows.
    np.testing.assert_array_equal(split_target(target[:20], source, source_parts, options), target_parts[:20])
    check_no_leak(
        {
            part: np.concatenate([source[source_parts == part], target[target_parts == part]])
            for part in ("train", "validation", "test")
        }
    )


def test_splitting_domains_apart_by_class_leaks_and_is_found():
    names = np.where(np.arange(300) < 30, "rare", "common")
    options = SplitOptions(stratified=True)
    source, target = IDS[:300], IDS[100:400]
    parts = [split_objects(ids, names, options) for ids in (source, target)]
    with pytest.raises(DataError, match="objects are in both train and"):
        check_no_leak(
            {
                part: np.concatenate([source[parts[0] == part], target[parts[1] == part]])
                for part in ("train", "validation", "test")
            }
        )


def test_the_same_image_under_two_names_is_found():
    images = np.random.default_rng(0).normal(size=(6, 2, 4, 4)).astype(np.float32)
    ids = np.array(list("abcdef"))
    parts = {"train": [(images, np.array([0, 1, 2]), ids)], "test": [(images, np.array([4, 5]), ids)]}
    check_no_copies(parts)
    # Twice in one part is no leak.
    images[1] = images[0]
    check_no_copies(parts)
    images[5] = images[1]
    with pytest.raises(DataError, match="object a in the train part and object f in the test part have the same image"):
        check_no_copies(parts)


def test_images_that_agree_in_one_band_alone_are_no_copies():
    images = np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32)
    images[1, 0] = images[0, 0]
    ids = np.array(["a", "b"])
    check_no_copies({"train": [(images, np.array([0]), ids)], "test": [(images, np.array([1]), ids)]})


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_blank_images_are_no_copies_of_each_other(value):
    images = np.full((2, 1, 4, 4), value, dtype=np.float32)
    check_no_copies(
        {
            "train": [(images, np.array([0]), np.array(["a", "b"]))],
            "test": [(images, np.array([1]), np.array(["a", "b"]))],
        }
    )
