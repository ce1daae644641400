"""Every published layout, on small files of the same shape."""

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galmorph.cutout_set import PIXEL_VALUES, read_cutout_set
from galmorph.errors import ConfigError, DataError
from galmorph.taxonomy import CLASS_MAPS, GALAXY10_CLASSES, map_labels
from galmorph.training.importers import (
    GZ2_RULES,
    classes_by_votes,
    import_deepmerge,
    import_folders,
    import_galaxy10,
    import_galaxy_zoo,
    import_lsst,
    import_pictures,
)
from galmorph.training.options import SplitOptions
from galmorph.training.split import split_objects

RNG = np.random.default_rng(0)


@pytest.fixture
def deepmerge(tmp_path):
    y = np.array([0, 1, 1, 0])
    for name, noise in (("SimSim_SOURCE_{}_Illustris2_pristine", 0), ("SimSim_TARGET_{}_Illustris2_noisy", 1)):
        images = np.arange(4 * 3 * 6 * 6, dtype=np.float64).reshape(4, 3, 6, 6) + noise * RNG.normal(size=(4, 3, 6, 6))
        np.save(tmp_path / f"{name.format('X')}.npy", images)
        np.save(tmp_path / f"{name.format('y')}.npy", y[:, None] if noise else y)
    return tmp_path


def test_deepmerge_domains_show_the_same_galaxies(deepmerge):
    result = import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim")
    source, target = (read_cutout_set(deepmerge / "set" / domain) for domain in ("source", "target"))
    assert result["source"].counts == result["target"].counts == {"merger": 2, "non_merger": 2}
    assert source.labels["label"].tolist() == ["non_merger", "merger", "merger", "non_merger"]
    assert source.labels["object_id"].tolist() == target.labels["object_id"].tolist()
    assert source.meta["unit"] == PIXEL_VALUES
    assert source.meta["bands"] == ["F814W", "F356W", "F160W"]
    np.testing.assert_array_equal(source.images, np.arange(432).reshape(4, 3, 6, 6))


def test_deepmerge_files_that_do_not_fit(deepmerge):
    with pytest.raises(DataError, match=r"cannot read .*SimReal_SOURCE_X_Illustris0\.npy"):
        import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_real")
    np.save(deepmerge / "SimSim_TARGET_y_Illustris2_noisy.npy", np.array([1, 1, 1, 0]))
    with pytest.raises(DataError, match="labels of the pristine and of the noisy images differ"):
        import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim")
    np.save(deepmerge / "SimSim_SOURCE_y_Illustris2_pristine.npy", np.array([1, 0, 1]))
    with pytest.raises(DataError, match="as many labels 0 or 1"):
        import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim")


def test_a_label_that_deepmerge_lacks_is_named_and_refused_before_anything_is_written(deepmerge):
    for name in ("SOURCE_y_Illustris2_pristine", "TARGET_y_Illustris2_noisy"):
        np.save(deepmerge / f"SimSim_{name}.npy", np.array([1, np.nan, 1, 0]))
    with pytest.raises(DataError, match=r"1 of 4 images cannot be used: SimSim_SOURCE_X\S+ image 1 has no label"):
        import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim")
    result = import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim", faults="skip")
    assert [made.counts for made in result.values()] == [{"merger": 2, "non_merger": 1}] * 2


def test_a_fault_in_the_target_leaves_no_source_beside_it(deepmerge):
    images = np.load(deepmerge / "SimSim_TARGET_X_Illustris2_noisy.npy")
    images[2] = np.nan
    np.save(deepmerge / "SimSim_TARGET_X_Illustris2_noisy.npy", images)
    with pytest.raises(DataError, match=r"noisy\.npy image 2 holds values that are not finite"):
        import_deepmerge(deepmerge, deepmerge / "set", experiment="sim_sim")
    assert not (deepmerge / "set").exists()


def test_blank_images_have_no_part_in_what_deepmerge_is_standardised_by(tmp_path):
    images, y = RNG.normal(3, 1, size=(40, 3, 6, 6)), np.arange(40) % 2
    spoilt = images.copy()
    spoilt[:4] = 0
    for name in ("SimReal_SOURCE_{}_Illustris0", "SimReal_TARGET_{}_postmergers_SDSS"):
        np.save(tmp_path / f"{name.format('X')}.npy", spoilt)
        np.save(tmp_path / f"{name.format('y')}.npy", y)
    with pytest.raises(DataError, match=r"4 of 40 images cannot be used: .* image 0 is blank"):
        import_deepmerge(tmp_path, tmp_path / "set", experiment="sim_real", standardise=True)
    import_deepmerge(tmp_path, tmp_path / "set", experiment="sim_real", standardise=True, faults="skip")
    cutouts = read_cutout_set(tmp_path / "set" / "source")
    ids = cutouts.labels["object_id"].to_numpy(dtype=str)
    train = cutouts.images[
        split_objects(ids, np.full(36, ""), SplitOptions(train=0.7, validation=0.1, test=0.2)) == "train"
    ]
    np.testing.assert_allclose(train.mean(axis=(0, 2, 3)), 0, atol=1e-5)


def test_deepmerge_is_standardised_by_the_training_part_of_each_domain(tmp_path):
    y = np.arange(60) % 2
    for name, level in (("SOURCE_{}_Illustris0", 0.6), ("TARGET_{}_postmergers_SDSS", 25.0)):
        bands = level * np.array([1.0, 2.0, 3.0])[:, None, None]
        images = bands * (1 + 0.3 * RNG.normal(size=(60, 3, 6, 6)))
        np.save(tmp_path / f"SimReal_{name.format('X')}.npy", images)
        np.save(tmp_path / f"SimReal_{name.format('y')}.npy", y)
    import_deepmerge(tmp_path, tmp_path / "set", experiment="sim_real", standardise=True)
    division = SplitOptions(train=0.7, validation=0.1, test=0.2)
    for domain in ("source", "target"):
        cutouts = read_cutout_set(tmp_path / "set" / domain)
        ids = cutouts.labels["object_id"].to_numpy(dtype=str)
        parts = split_objects(ids, np.full(60, ""), division)
        train = cutouts.images[parts == "train"]
        np.testing.assert_allclose(train.mean(axis=(0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(train.std(axis=(0, 2, 3)), 1, atol=1e-5)
        # The others did not take part: were they in the mean too, it would be theirs that is 0.
        assert np.abs(cutouts.images.mean(axis=(0, 2, 3))).max() > 1e-3


@pytest.fixture
def lsst(tmp_path):
    for part, n in (("train", 6), ("valid", 3), ("test", 3)):
        np.save(tmp_path / f"labels_{part}.npy", np.eye(3)[np.arange(n) % 3])
        for year in ("Y1", "Y10"):
            np.save(tmp_path / f"images_{year}_{part}.npy", RNG.normal(size=(n, 3, 8, 8)).astype(np.float32))
    return tmp_path


def test_lsst_years_show_the_same_galaxies_and_mergers_can_be_left_out(lsst):
    source = import_lsst(lsst, lsst / "y10", year="Y10", drop=("merger",))
    target = import_lsst(lsst, lsst / "y1", year="Y1")
    assert (source.counts, source.dropped) == ({"elliptical": 4, "spiral": 4}, {"merger": 4})
    assert target.counts == {"elliptical": 4, "merger": 4, "spiral": 4}
    rows, others = read_cutout_set(lsst / "y10"), read_cutout_set(lsst / "y1")
    both = rows.labels.merge(others.labels, on="object_id")
    assert len(both) == 8
    assert (both["label_x"] == both["label_y"]).all()
    place = others.labels.index[others.labels["object_id"] == "lsst-valid-1"][0]
    np.testing.assert_array_equal(others.images[place], np.load(lsst / "images_Y1_valid.npy")[1])


def test_lsst_labels_that_are_not_one_hot_are_missing(lsst):
    hot = np.eye(3)[np.arange(6) % 3]
    hot[2] = 0
    hot[4] = 1
    np.save(lsst / "labels_train.npy", hot)
    with pytest.raises(DataError, match=r"images_Y1_train\.npy image 2 has no label.*--faults skip"):
        import_lsst(lsst, lsst / "set", year="Y1")
    result = import_lsst(lsst, lsst / "set", year="Y1", faults="skip")
    assert list(result.faults) == ["images_Y1_train.npy image 2", "images_Y1_train.npy image 4"]
    hot[2], hot[4] = [0, 0, np.nan], [-1, 0, 0]
    np.save(lsst / "labels_train.npy", hot)
    assert list(import_lsst(lsst, lsst / "set", year="Y1", faults="skip").faults) == list(result.faults)
    np.save(lsst / "labels_train.npy", hot[:, :2])
    with pytest.raises(DataError, match=r"expected images \(n, 3, N, N\) and labels \(n, 3\)"):
        import_lsst(lsst, lsst / "set", year="Y1")


@pytest.fixture
def galaxy10(tmp_path):
    path = tmp_path / "Galaxy10_DECals.h5"
    with h5py.File(path, "w") as file:
        file["images"] = RNG.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
        file["ans"] = (np.arange(20) % 10).astype(np.uint8)
        file["ra"], file["dec"] = np.linspace(10, 12, 20), np.linspace(-5, 5, 20)
        file["redshift"], file["pxscale"] = np.full(20, 0.05), np.full(20, 0.262)
    return path


def test_galaxy10_gives_the_nine_classes(galaxy10, tmp_path):
    result = import_galaxy10(galaxy10, tmp_path / "set", size=8)
    assert result.dropped == {"in_between_smooth": 2}
    cutouts = read_cutout_set(tmp_path / "set")
    assert set(map_labels(cutouts.labels["label"], "galaxy10")) == set(CLASS_MAPS["galaxy10"]) - {"lens"}
    assert cutouts.meta["pixel_scale"] == pytest.approx(2 * 0.262)
    assert cutouts.meta["framing"]["angle"] == pytest.approx(16 * 0.262)
    # Pictures, whose first channel is shown red and is the z band: not g, r, z.
    assert cutouts.meta["bands"] == ["red", "green", "blue"]
    with h5py.File(galaxy10) as file:
        first = file["images"][0].astype(float)
    np.testing.assert_allclose(cutouts.images[0, 1], first[:, :, 1].reshape(8, 2, 8, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_galaxy10_answers_out_of_range_and_other_files(galaxy10, tmp_path):
    with pytest.raises(DataError, match=r"nothing\.h5 does not exist"):
        import_galaxy10(tmp_path / "nothing.h5", tmp_path / "set")
    with h5py.File(galaxy10, "a") as file:
        file["ans"][4] = 11
    with pytest.raises(DataError, match=r"Galaxy10_DECals\.h5 image 4 has no label"):
        import_galaxy10(galaxy10, tmp_path / "set")
    with h5py.File(galaxy10, "a") as file:
        del file["ans"]
        file["ans"] = np.full(20, 0.5)
    with pytest.raises(DataError, match=r"Galaxy10_DECals\.h5 image 0 has no label"):
        import_galaxy10(galaxy10, tmp_path / "set")
    for scales in (np.nan, np.linspace(0.2, 0.4, 20)):
        with h5py.File(galaxy10, "a") as file:
            file["pxscale"][:] = scales
        with pytest.raises(DataError, match=r"Galaxy10.*: pxscale, arcsec per pixel, is to be one number, and has"):
            import_galaxy10(galaxy10, tmp_path / "set")
    with h5py.File(galaxy10, "a") as file:
        del file["pxscale"]
    with pytest.raises(DataError, match="is not Galaxy10 DECaLS"):
        import_galaxy10(galaxy10, tmp_path / "set")
    galaxy10.write_bytes(b"no hdf")
    with pytest.raises(DataError, match="is not Galaxy10 DECaLS"):
        import_galaxy10(galaxy10, tmp_path / "set")


def test_galaxy10_with_lenses_in_the_frame_and_the_bands_of_another_set(galaxy10, tmp_path):
    (tmp_path / "lenses").mkdir()
    for n in range(3):
        Image.fromarray(RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "lenses" / f"{n}.png")
    bands = ("i", "r", "g")
    result = import_galaxy10(galaxy10, tmp_path / "set", lenses=tmp_path / "lenses", angle=2.0, size=8, bands=bands)
    cutouts = read_cutout_set(tmp_path / "set")
    assert result.counts["lens"] == 3
    assert cutouts.labels["object_id"].tolist()[-3:] == ["lens-0", "lens-1", "lens-2"]
    assert cutouts.meta["framing"]["angle"] == 2.0
    assert cutouts.meta["pixel_scale"] == pytest.approx(0.25)
    assert cutouts.meta["bands"] == list(bands)
    with h5py.File(galaxy10) as file:
        # 2 arcsec are 7.6 pixels of 0.262; of 16 the same number is taken away on both sides.
        first = file["images"][0][4:12, 4:12, 0]
    np.testing.assert_array_equal(cutouts.images[0, 0], first)
    # Lenses have no position: they are nobody else's objects.
    rows = import_galaxy10(galaxy10, tmp_path / "again", lenses=tmp_path / "lenses", same_objects_as=tmp_path / "set")
    assert read_cutout_set(rows.path).labels["object_id"].tolist() == cutouts.labels["object_id"].tolist()
    with pytest.raises(DataError, match=r"image 0 shows 4\.192 arcsec: an angle of 5 cannot be cut out of it"):
        import_galaxy10(galaxy10, tmp_path / "large", angle=5.0)


def test_no_more_than_so_many_images_of_a_class(galaxy10, tmp_path):
    one = import_galaxy10(galaxy10, tmp_path / "one", most=1)
    assert set(one.counts.values()) == {1}
    assert len(one.counts) == 9
    with pytest.raises(ConfigError, match=r"^framing needs factor > 0"):
        import_galaxy10(galaxy10, tmp_path / "none", factor=0.0, size=8)
    assert import_galaxy10(galaxy10, tmp_path / "two", most=2).counts == dict.fromkeys(one.counts, 2)
    kept = read_cutout_set(tmp_path / "one").labels["object_id"]
    assert sorted(kept, key=lambda name: int(name.split("-")[1])) == kept.tolist()
    assert set(kept) < set(read_cutout_set(tmp_path / "two").labels["object_id"])


def test_a_folder_for_each_class(tmp_path):
    for domain, shape in (("amazon", (30, 30)), ("webcam", (20, 40))):
        for name in ("mug", "bike"):
            folder = tmp_path / domain / "images" / name
            folder.mkdir(parents=True)
            for n in range(2):
                Image.fromarray(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(folder / f"frame_{n}.jpg")
        result = import_folders(tmp_path / domain / "images", tmp_path / f"{domain}-set", survey=domain, size=16)
        assert result.counts == {"bike": 2, "mug": 2}
    one, other = (read_cutout_set(tmp_path / f"{domain}-set") for domain in ("amazon", "webcam"))
    assert one.labels["object_id"].tolist()[0] == "amazon-bike-frame_0"
    assert not set(one.labels["object_id"]) & set(other.labels["object_id"])
    assert one.meta["framing"] == other.meta["framing"]
    assert one.images.shape == (4, 3, 16, 16)
    with pytest.raises(DataError, match="holds no folders"):
        import_folders(tmp_path / "amazon" / "images" / "mug", tmp_path / "set")


def test_a_folder_without_pictures_is_told_and_passed_over(tmp_path, caplog):
    for name in ("bike", "mug"):
        (tmp_path / "classes" / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"none of the 2 folders in .*classes, as bike, holds a picture"):
        import_folders(tmp_path / "classes", tmp_path / "set")
    galaxy(40, 4.0).save(tmp_path / "classes" / "mug" / "1.png")
    assert import_folders(tmp_path / "classes", tmp_path / "set", size=16).counts == {"mug": 1}
    assert f"{tmp_path / 'classes' / 'bike'} holds no picture and is passed over" in caplog.text


def votes(**fractions):
    """A row with these fractions, and 0 for all other answers of the rules."""
    answers = {answer for rule in GZ2_RULES.values() for answer in rule}
    row = dict.fromkeys([f"{answer}_debiased" for answer in answers], 0.0)
    for key, value in fractions.items():
        row[next(name for name in row if f"_{key}_" in f"{name}_")] = value
    return row


def test_classes_by_votes():
    disc = {"a02_features_or_disk": 0.9, "a15_no": 0.8}
    face_on = disc | {"a05_no": 0.9, "a08_spiral": 0.9}
    table = pd.DataFrame(
        [
            votes(a01_smooth=0.8, a15_no=0.9, a16_completely_round=0.7),
            votes(**face_on, a06_bar=0.6, a07_no_bar=0.4),
            votes(**face_on, a06_bar=0.4, a07_no_bar=0.6, a30_loose=0.5),
            votes(**disc, a04_yes=0.6, a27_no_bulge=0.6),
            votes(a01_smooth=0.9, a14_yes=0.6, a24_merger=0.5),
            votes(a14_yes=0.6, a24_merger=0.5, a21_disturbed=0.5),  # two classes
            votes(a01_smooth=0.9, a15_no=0.9, a16_completely_round=0.49),  # none
        ]
    )
    expected = ["round_smooth", "barred_spiral", "loose_spiral", "edge_on_no_bulge", "merging", "", ""]
    assert classes_by_votes(table) == expected
    with pytest.raises(DataError, match="lacks 1 columns that the rules name: t03_bar_a06_bar_debiased"):
        classes_by_votes(table.drop(columns="t03_bar_a06_bar_debiased"))
    with pytest.raises(DataError, match="column t03_bar_a06_bar_debiased of the table of votes holds words"):
        classes_by_votes(table.assign(t03_bar_a06_bar_debiased="n/a?"))
    with pytest.raises(DataError, match=r"a01_smooth_debiased .* goes up to 90; .* Divide votes in percent by 100"):
        classes_by_votes(100 * table)


def test_galaxy_zoo_pictures_are_found_by_identifier(tmp_path):
    rows = [votes(a01_smooth=0.8, a15_no=0.9, a16_completely_round=0.7)] * 2 + [votes()]
    table = pd.DataFrame(rows).assign(dr7objid=["587722981742084144", "587722981742084145", "3"], ra=10.0, dec=1.0)
    table.to_csv(tmp_path / "gz2.csv.gz", index=False)
    for name in ("587722981742084144.jpg", "3.png"):
        Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    with pytest.raises(DataError, match="has no picture 587722981742084145"):
        import_galaxy_zoo(tmp_path / "gz2.csv.gz", tmp_path, tmp_path / "set")
    result = import_galaxy_zoo(tmp_path / "gz2.csv.gz", tmp_path, tmp_path / "set", faults="skip", unlabelled=True)
    assert result.counts == {"": 1, "round_smooth": 1}
    assert list(result.faults) == ["587722981742084145"]
    assert read_cutout_set(tmp_path / "set").labels["object_id"].tolist() == ["587722981742084144", "3"]
    table.assign(dr7objid=["587722981742084144", None, None]).to_csv(tmp_path / "gaps.csv", index=False)
    result = import_galaxy_zoo(tmp_path / "gaps.csv", tmp_path, tmp_path / "set", faults="skip", unlabelled=True)
    assert list(result.faults.values()) == [f"row {n} of {tmp_path / 'gaps.csv'} has no object_id" for n in (2, 3)]


def test_galaxies_of_no_class_are_told_and_twice_the_same_is_refused(tmp_path, caplog):
    rows = [votes(a01_smooth=0.8, a15_no=0.9, a16_completely_round=0.7)] + [votes()] * 2
    table = pd.DataFrame(rows).assign(dr7objid=["1", "2", "3"], ra=10.0, dec=1.0)
    path = tmp_path / "gz2.csv.gz"
    table.to_csv(path, index=False)
    Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "1.JPG")
    assert import_galaxy_zoo(path, tmp_path, tmp_path / "set").counts == {"round_smooth": 1}
    assert caplog.messages == [f"{path}: 2 of 3 galaxies reach the votes of no class, or of several, and are left out"]
    table.iloc[1:].to_csv(path, index=False)
    with pytest.raises(DataError, match=r"2 of 2 galaxies reach the votes of no class, or of several; nothing is left"):
        import_galaxy_zoo(path, tmp_path, tmp_path / "set")
    table.assign(dr7objid=["1", "2", "1"]).to_csv(path, index=False)
    with pytest.raises(DataError, match="1 galaxies stand in more than one row, such as 1"):
        import_galaxy_zoo(path, tmp_path, tmp_path / "set")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cannot read the table of votes .*gz2"):
        import_galaxy_zoo(path, tmp_path, tmp_path / "set")


@pytest.mark.real
def test_rules_find_every_class_but_the_rarest_in_the_stripe_82_table(real_data):
    path = real_data / "catalogs" / "gz2_stripe82_coadd_table5.csv.gz"
    counts = pd.Series(classes_by_votes(pd.read_csv(path))).value_counts()
    assert set(GALAXY10_CLASSES) <= set(counts.index)
    assert counts.drop("").sum() > 0.3 * counts.sum()
    assert counts["in_between_smooth"] > counts["merging"]


@pytest.mark.real
def test_galaxy_zoo_1_pictures_of_sdss(real_data, tmp_path):
    folder = real_data / "sdss_gz1"
    table = pd.read_csv(folder / "labels.csv", dtype=str).groupby("label").head(5)
    table.to_csv(tmp_path / "labels.csv", index=False)
    result = import_pictures(folder, tmp_path / "set", labels=tmp_path / "labels.csv", survey="sdss", size=72)
    assert len(result.counts) == 6
    cutouts = read_cutout_set(tmp_path / "set")
    assert sorted(cutouts.labels["object_id"]) == sorted(table["OBJID"])
    words = map_labels(cutouts.labels["label"], "galaxy_zoo_1")
    assert set(words) == {"elliptical", "spiral", "edge_on", "merger", ""}
    # Galaxies are in the middle of their pictures, brighter than the sky at the corners.
    centre, corner = cutouts.images[:, :, 30:42, 30:42], cutouts.images[:, :, :8, :8]
    assert (centre.mean(axis=(1, 2, 3)) > corner.mean(axis=(1, 2, 3))).mean() > 0.9


def galaxy(side, radius, x=0.0, y=0.0, *, seed=0):
    """A grey picture of a round galaxy on a sky that is not black."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.hypot(columns - x, rows - y)
    light = 180 * np.exp(-distance / radius) + 20 + 2 * np.random.default_rng(seed).normal(size=(side, side))
    return Image.fromarray(np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))


def half_light(image):
    """Radius of half the light of a picture about its middle, in pixels."""
    rows, columns = np.mgrid[: image.shape[-1], : image.shape[-1]] - (image.shape[-1] - 1) / 2
    order = np.hypot(rows, columns).ravel().argsort()
    light = image[0].ravel()[order].cumsum()
    return np.hypot(rows, columns).ravel()[order][np.searchsorted(light, light[-1] / 2)]


def test_framed_pictures_show_galaxies_of_any_zoom_alike(tmp_path):
    small = galaxy(200, 6.0)
    small.save(tmp_path / "small.png")
    small.resize((300, 300)).crop((50, 50, 250, 250)).save(tmp_path / "large.png")
    import_pictures(tmp_path, tmp_path / "set", unlabelled=True, factor=1.0, size=64)
    made = read_cutout_set(tmp_path / "set")
    large, small = (half_light(image) for image in made.images)
    assert made.labels["object_id"].tolist() == ["large", "small"]
    # One is half as large again as the other, and the limit of its visible extent is a little farther out.
    assert small == pytest.approx(large, rel=0.3)
    # The sky of 20 is gone, and values are still those of the picture.
    assert np.abs(made.images[:, :, :4, :4].mean()) < 5
    assert 100 < made.images.max() < 200
    assert made.meta["framing"]["mode"] == "radius"


def test_a_picture_of_an_error_message_has_nothing_at_its_centre(tmp_path):
    galaxy(200, 6.0).save(tmp_path / "galaxy.png")
    message = Image.new("RGB", (200, 200))
    message.paste((255,) * 3, (10, 10, 90, 20))
    message.save(tmp_path / "message.png")
    with pytest.raises(DataError, match=r"message\.png: it is blank at its centre: every value there is 0"):
        import_pictures(tmp_path, tmp_path / "set", unlabelled=True, factor=1.0, size=32)
    import_pictures(tmp_path, tmp_path / "set", unlabelled=True, factor=1.0, size=32, faults="skip")
    assert read_cutout_set(tmp_path / "set").labels["object_id"].tolist() == ["galaxy"]


def test_galaxy10_framed_by_the_radius_is_of_one_frame_with_pictures(tmp_path):
    path = tmp_path / "Galaxy10_DECals.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.stack([np.asarray(galaxy(80, radius, seed=4)) for radius in (4.0, 8.0)])
        file["ans"], file["ra"], file["dec"] = np.array([0, 2], dtype=np.uint8), np.zeros(2), np.zeros(2)
        file["redshift"], file["pxscale"] = np.zeros(2), np.full(2, 0.262)
    import_galaxy10(path, tmp_path / "decals", factor=1.0, size=32)
    (tmp_path / "jpegs").mkdir()
    galaxy(120, 6.0).save(tmp_path / "jpegs" / "1.png")
    import_pictures(tmp_path / "jpegs", tmp_path / "pictures", unlabelled=True, factor=1.0, size=32)
    decals, pictures = (read_cutout_set(tmp_path / name) for name in ("decals", "pictures"))
    assert decals.meta["framing"] == pictures.meta["framing"]
    first, second = (half_light(image) for image in decals.images)
    # One is twice as large on the sky.
    assert first == pytest.approx(second, rel=0.3)
    with pytest.raises(DataError, match="takes no angle"):
        import_galaxy10(path, tmp_path / "wrong", factor=1.0, size=32, angle=5.0)


def test_framing_by_radius_needs_a_size_and_no_angle(tmp_path):
    galaxy(100, 5.0).save(tmp_path / "one.png")
    for wrong in ({}, {"size": 32, "angle": 20.0}):
        with pytest.raises(DataError, match="radius"):
            import_pictures(tmp_path, tmp_path / "set", unlabelled=True, factor=1.0, **wrong)


def test_several_folders_without_tables_are_one_unlabelled_set(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        galaxy(40, 4.0).save(tmp_path / folder / f"{folder}1.png")
    made = import_pictures([tmp_path / "a", tmp_path / "b"], tmp_path / "set", unlabelled=True)
    assert made.counts == {"": 2}
    with pytest.raises(DataError, match="one table of labels was given for 2 folders"):
        import_pictures([tmp_path / "a", tmp_path / "b"], tmp_path / "set", labels=tmp_path / "labels.csv")
