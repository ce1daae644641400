from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from make_bundle import make_bundle
from make_sky import BANDS, SCALE, make_tile, tile_wcs

from galmorph import labelling
from galmorph.cli import main
from galmorph.cutout_set import UNIT, read_cutout_set
from galmorph.cutouts import Framing, field_cutouts
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import ConfigError, DataError
from galmorph.labelling import make_labelled_cutouts
from galmorph.surveys import find_tiles, load_survey
from galmorph.tiles import read_tile

SIZE = 160
FRAMING = Framing(size=24, factor=1.5)


def truth(seed: int, ra: float = 150.0, objects: int = 8) -> pd.DataFrame:
    """Positions of the objects that `make_tile` draws."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(8, SIZE - 8, objects), rng.uniform(8, SIZE - 8, objects)
    sky = tile_wcs(ra, 2.0, SIZE).pixel_to_world_values(x, y)
    return pd.DataFrame({"objid": [f"{seed}-{n}" for n in range(objects)], "RA": sky[0], "Dec": sky[1]})


@pytest.fixture
def survey():
    return load_survey("mock-decals")


@pytest.fixture
def tiles(tmp_path):
    """Two tiles, and a table of their objects, with one unlabelled, one that is not there and one off the tiles."""
    make_tile(tmp_path / "tiles", "a", seed=1)
    make_tile(tmp_path / "tiles", "b", ra=151.0, seed=2)
    table = pd.concat([truth(1), truth(2, ra=151.0)], ignore_index=True)
    table["label"] = ["spiral", "elliptical"] * 8
    table.loc[3, "label"] = ""
    nowhere = pd.DataFrame({"objid": ["blank", "far"], "RA": [150.0, 10.0], "Dec": [2.0055, -5.0], "label": "ring"})
    pd.concat([table, nowhere]).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_cutouts_are_those_of_a_survey_run(tiles, survey):
    result = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set", framing=FRAMING)
    cutouts = read_cutout_set(tiles / "set")
    assert cutouts.meta["unit"] == UNIT
    assert cutouts.meta["bands"] == list(BANDS)
    assert cutouts.meta["pixel_scale"] == pytest.approx(SCALE, rel=1e-3)
    assert sum(result.counts.values()) == len(cutouts.labels) >= 12
    source = find_tiles([tiles / "tiles"], survey)[0][0]
    tile = read_tile(source, survey)
    field = extract(tile, DetectionConfig())
    expected = field_cutouts(field, tile, slice(None), FRAMING)
    here = cutouts.labels["tile"] == source.name
    for row in np.flatnonzero(here):
        x = cutouts.labels["x"].iloc[row]
        number = int(np.argmin(np.abs(field.objects["x"] - x)))
        np.testing.assert_array_equal(cutouts.images[row], expected.images[number])
    assert (cutouts.labels["match_arcsec"] <= 2.0).all()


def test_every_row_is_a_cutout_or_a_reject_with_its_reason(tiles, survey):
    result = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set", framing=FRAMING)
    table = pd.read_csv(tiles / "labels.csv", keep_default_na=False)
    rejects = pd.read_csv(tiles / "set" / "rejects.csv", keep_default_na=False)
    made = read_cutout_set(tiles / "set").labels
    assert sorted([*made["object_id"], *rejects["object_id"]]) == sorted(table["objid"])
    reasons = dict(zip(rejects["object_id"], rejects["reason"], strict=True))
    assert reasons["far"] == "lies on no tile"
    assert reasons["blank"].startswith("no detection within 2 arcsec on tile")
    assert result.rejected["object_id"].tolist() == rejects["object_id"].tolist()
    labels = dict(zip(table["objid"], table["label"], strict=True))
    assert made["label"].tolist() == [labels[name] for name in made["object_id"]]
    assert result.counts.get("", 0) == int((made["label"] == "").sum()) == 1


def test_a_second_row_of_an_object_is_told_that_another_has_its_detection(tiles, survey):
    table = pd.read_csv(tiles / "labels.csv", keep_default_na=False)
    first = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set", framing=FRAMING)
    made = read_cutout_set(first.path).labels["object_id"].iloc[0]
    again = table[table["objid"] == made].assign(objid="again", label="ring")
    pd.concat([table, again]).to_csv(tiles / "labels.csv", index=False)
    second = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set", framing=FRAMING)
    reasons = dict(zip(second.rejected["object_id"], second.rejected["reason"], strict=True))
    assert reasons["again"].startswith("the detection within 2 arcsec on tile")
    assert reasons["again"].endswith("is that of another row")
    assert reasons["blank"].startswith("no detection within 2 arcsec on tile")


def crop(folder, name, columns: slice) -> None:
    """Columns of the tile "whole" as a tile of its own."""
    (folder / "tiles").mkdir(exist_ok=True)
    for path in sorted((folder / "whole").glob("whole-*.fits")):
        with fits.open(path) as hdus:
            for hdu in hdus[1:]:
                hdu.data = hdu.data[:, columns]
                hdu.header["CRPIX1"] -= columns.start
            hdus.writeto(folder / "tiles" / path.name.replace("whole", name))


def test_an_object_on_two_tiles_is_taken_where_it_lies_deeper(tmp_path, survey):
    make_tile(tmp_path / "whole", "whole", seed=1, objects=14)
    crop(tmp_path, "left", slice(0, 110))
    crop(tmp_path, "right", slice(50, 160))
    truth(1, objects=14).assign(label="x").to_csv(tmp_path / "labels.csv", index=False)
    make_labelled_cutouts([tmp_path / "tiles"], survey, tmp_path / "labels.csv", tmp_path / "set")
    labels = read_cutout_set(tmp_path / "set").labels
    assert not labels["object_id"].duplicated().any()
    sides = set()
    for row in labels.itertuples():
        on_left = row.tile.startswith("left")
        column = row.x if on_left else row.x + 50
        if not 50 + 20 < column < 110 - 20:  # nearer to the edge in the middle than to any other
            sides.add(row.tile)
            assert on_left == (column < 80)
    assert len(sides) == 2


def test_a_tile_that_cannot_be_used_is_reported(tiles, survey):
    path = next((tiles / "tiles").glob("b-r*"))
    path.write_bytes(path.read_bytes()[:4000])
    result = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set")
    assert len(result.rejected_tiles) == 1
    assert path.name in next(iter(result.rejected_tiles.values()))
    assert (result.rejected["object_id"].str.startswith("2-")).sum() == 8


def test_a_tile_that_a_library_stumbles_over_costs_no_other(tiles, survey, monkeypatch):
    def stumble(tile, *arguments, **options):
        if tile.name == "b":
            raise IndexError("list index out of range")
        return extract(tile, *arguments, **options)

    monkeypatch.setattr(labelling, "extract", stumble)
    result = make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set")
    assert result.counts == {"": 1, "elliptical": 3, "spiral": 4}
    (reason,) = result.rejected_tiles.values()
    assert "the objects of tile b cannot be measured (IndexError: list index out of range). Look at the tile" in reason
    # What the machine lacks is not the tile's.
    monkeypatch.setattr(labelling, "read_tile", Mock(side_effect=MemoryError))
    with pytest.raises(MemoryError):
        make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "other")


def test_inputs_of_one_name_are_each_reported(tiles, survey):
    odd = [tiles / name / "notes.fits" for name in "xy"]
    for path in odd:
        path.parent.mkdir()
        path.write_text("no FITS")
    result = make_labelled_cutouts([tiles / "tiles", *odd], survey, tiles / "labels.csv", tiles / "set")
    assert set(result.rejected_tiles) == {str(path) for path in odd}
    # It may lie on one of these.
    reasons = dict(zip(result.rejected["object_id"], result.rejected["reason"], strict=True))
    assert reasons["far"] == "lies on no tile that can be used, and 2 cannot"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,ra,dec\n1,10,2\n", "has no column of labels; expected one called label, class, morphology"),
        ("id,ra,dec,label\n1,10,2,a\n1,11,2,b\n", r"1 identifiers stand in more than one row \(1\)"),
        ("id,ra,dec,label\n1,10,2,a\n", r"no row of .* has a cutout on 2 tiles; of 1 rows: lies on no tile"),
    ],
)
def test_tables_that_cannot_be_used(tiles, survey, text, message):
    (tiles / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set")
    assert not (tiles / "set").exists()


def test_no_tile_and_no_such_band(tiles, survey):
    with pytest.raises(DataError, match="no tile of survey mock-decals among the inputs"):
        make_labelled_cutouts([tiles / "nowhere"], survey, tiles / "labels.csv", tiles / "set")
    with pytest.raises(ConfigError, match="bands must be among g, r, z"):
        make_labelled_cutouts([tiles / "tiles"], survey, tiles / "labels.csv", tiles / "set", bands=["y"])


def test_the_command_cuts_as_a_model_wants_and_its_set_is_measured(tiles, capsys):
    bundle = make_bundle(tiles / "model", ["z", "g"], size=16)
    main([
        "cutouts", str(tiles / "tiles"), "--labels", str(tiles / "labels.csv"), "--out", str(tiles / "set"),
        "--survey", "mock-decals", "--model", str(bundle.path),
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert "spiral" in said
    assert "rows have no cutout" in said
    cutouts = read_cutout_set(tiles / "set")
    assert cutouts.meta["bands"] == ["z", "g"]
    assert cutouts.images.shape[1:] == (2, 16, 16)
    # Band z is three times as bright as g in these tiles.
    ratio = cutouts.images[:, 0].sum(axis=(1, 2)) / cutouts.images[:, 1].sum(axis=(1, 2))
    np.testing.assert_allclose(np.median(ratio), 3, rtol=0.1)
    main(["evaluate", str(bundle.path), str(tiles / "set"), "--resamples", "0"])
    assert "spiral" in capsys.readouterr().out


@pytest.mark.real
def test_the_galaxy_of_a_real_cube_is_cut_out(real_data, tmp_path):
    path = real_data / "decals_grz_cubes" / "decals_a_native_0.262.fits"
    survey = load_survey("legacysurvey")
    tile = read_tile(find_tiles([path], survey)[0][0], survey)
    rows, columns = tile.shape
    ra, dec = tile.wcs.pixel_to_world_values((columns - 1) / 2, (rows - 1) / 2)
    (tmp_path / "labels.csv").write_text(f"id,ra,dec,label\nmine,{ra},{dec},spiral\n")
    result = make_labelled_cutouts([path], survey, tmp_path / "labels.csv", tmp_path / "set", framing=FRAMING)
    assert result.counts == {"spiral": 1}
    image = read_cutout_set(tmp_path / "set").images[0]
    assert (image[:, 10:14, 10:14].mean(axis=(1, 2)) > 5 * np.abs(image[:, :2, :2]).mean(axis=(1, 2))).all()
