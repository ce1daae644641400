"""Runs on real survey files, from tiles to a catalogue."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from make_bundle import make_bundle
from make_sky import make_tile

import galmorph
from galmorph.cli import main
from galmorph.demo import data_folder
from galmorph.errors import BundleError, GalmorphError

pytestmark = pytest.mark.real

INFERENCE = Path(__file__).parents[1] / "inference"


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def options(name: str) -> dict[str, str]:
    """Options of a run configuration."""
    return tomllib.loads((INFERENCE / f"{name}.toml").read_text())["classify"]["option"]


def arcsec_from(rows, ra, dec):
    return 3600 * np.hypot((rows["ra"] - ra) * np.cos(np.radians(dec)), rows["dec"] - dec)


def test_decals_cubes_with_the_embedded_model(real_data, scheduler, tmp_path):
    cubes = [
        real_data / "decals_grz_cubes" / f"{name}.fits"
        for name in ("decals_a_native_0.262", "decals_c", "decals_bad_pix")
    ]
    result = galmorph.classify(cubes, "legacysurvey", data_folder() / "model", tmp_path / "run", scheduler=scheduler)
    report = result.report
    assert report.tiles == 3
    assert not report.rejected_tiles
    assert report.detected == report.scored + report.rejected >= 12
    # The cubes come at their own scales: said, and no reason to refuse.
    assert any("0.143" in warning for warning in report.warnings["decals_c"])
    rows = result.catalog.to_pandas()
    # The galaxy that a cutout of the viewer was asked for stands in its middle, and is its brightest object.
    for tile in ("decals_a_native_0.262", "decals_c"):
        brightest = rows[rows["tile"] == tile].nlargest(1, "flux_r").iloc[0]
        assert abs(brightest["x"] - brightest["y"]) < 20
        assert brightest["label"] != "star"
    assert (rows[rows["snr"] > 50]["flux_r"] > 0).all()
    assert rows.loc[rows["tile"] == "decals_bad_pix", "bad_fraction"].max() > 0.05


def test_one_galaxy_at_two_scales_has_one_flux(real_data, scheduler, tmp_path):
    cubes = [real_data / "decals_grz_cubes" / f"{name}.fits" for name in ("decals_a_native_0.262", "decals_a")]
    result = galmorph.classify(cubes, "legacysurvey", data_folder() / "model", tmp_path / "run", scheduler=scheduler)
    rows = result.catalog.to_pandas()
    native, fine = (
        rows[rows["tile"] == tile].nlargest(1, "flux_r").iloc[0] for tile in ("decals_a_native_0.262", "decals_a")
    )
    assert arcsec_from(fine, native["ra"], native["dec"]) < 1
    for band in ("g", "r", "z"):
        assert fine[f"flux_{band}"] == pytest.approx(native[f"flux_{band}"], rel=0.15)


def test_decam_ccds_with_weights_and_masks(real_data, scheduler, tmp_path):
    folder = real_data / "decam_ccd_triples" / "testcase6"
    bundle = make_bundle(tmp_path / "model", ["r"])
    result = galmorph.classify(
        folder, "generic", bundle, tmp_path / "run", options=options("decam-ccds"), scheduler=scheduler
    )
    assert result.report.scored >= 4
    rows = result.catalog.to_pandas()
    assert rows["snr"].max() > 20
    assert rows["tile"].str.contains("S4|S9").all()


def test_euclid_multi_extension_files(real_data, scheduler, tmp_path):
    bundle = make_bundle(tmp_path / "model", ["VIS", "NIR_Y", "NIR_J", "NIR_H"])
    files = real_data / "euclid_q1_mef" / "euclid_group_example_4band.fits"
    result = galmorph.classify(
        files, "generic", bundle, tmp_path / "run", options=options("euclid-cutouts"), scheduler=scheduler
    )
    rows = result.catalog.to_pandas()
    assert not result.report.rejected_tiles
    assert len(rows) > 10
    # Red galaxies of a group: brighter in H than in VIS.
    assert (rows["flux_NIR_H"] > rows["flux_VIS"])[rows["snr"] > 50].mean() > 0.8


def test_a_single_band_tile_and_a_three_band_model(real_data, tmp_path):
    tile = real_data / "legacy_tile_r" / "ESO479-G1_r_3000.fits.fz"
    single = {"bands": "r", "image": "{tile}_{band}_3000.fits", "seeing": "1.2"}
    with pytest.raises(BundleError, match=r"needs the bands g, r, z, and g, z is not among those there \(r\)"):
        galmorph.classify(tile, "generic", data_folder() / "model", tmp_path / "run", options=single)
    with pytest.raises(GalmorphError, match=r"ESO479-G1_r_3000\.fits\.fz"):
        galmorph.classify(tile, "legacysurvey", data_folder() / "model", tmp_path / "run")


def test_a_large_fpacked_tile(real_data, scheduler, tmp_path):
    tile = real_data / "legacy_tile_r" / "ESO479-G1_r_3000.fits.fz"
    bundle = make_bundle(tmp_path / "model", ["r"])
    single = {"bands": "r", "image": "{tile}_{band}_3000.fits", "seeing": "1.2"}
    result = galmorph.classify(tile, "generic", bundle, tmp_path / "run", options=single, scheduler=scheduler)
    rows = result.catalog.to_pandas()
    assert len(rows) > 1000
    # The galaxy that the tile is named after, at its middle, is one object, large and bright.
    central = rows.loc[arcsec_from(rows, 36.36808, -25.63792).idxmin()]
    assert arcsec_from(central, 36.36808, -25.63792) < 5
    assert central["flux_r"] > rows["flux_r"].quantile(0.998)
    assert central["radius"] > rows["radius"].quantile(0.99)


def test_odd_files_never_stop_a_run_that_holds_a_good_tile(real_data, scheduler, tmp_path):
    folder = tmp_path / "tiles"
    odd = sorted(path for path in (real_data / "odd_fits").rglob("*.fits*") if path.is_file())
    for number, path in enumerate(odd):
        name, _, endings = path.name.partition(".")
        (folder / f"{number}").mkdir(parents=True)
        shutil.copyfile(path, folder / f"{number}" / f"{name}.{endings}")
    make_tile(folder, "good", seed=1)
    bundle = make_bundle(tmp_path / "model", ["r"])
    single = {"bands": "r", "image": "{tile}.fits"}
    result = galmorph.classify(folder, "generic", bundle, tmp_path / "run", options=single, scheduler=scheduler)
    report = result.report
    assert report.tiles >= len(odd)
    assert report.scored > 0
    assert report.detected == report.scored + report.rejected
    assert len(report.rejected_tiles) > len(odd) / 3
    for name, reason in report.rejected_tiles.items():
        assert len(reason.split()) >= 6, (name, reason)
        assert "Traceback" not in reason
        assert "Error(" not in reason
    # Every file is either a tile that was scored, or set aside: the journal knows them all.
    done = {path.stem for path in (tmp_path / "run" / "parts").glob("*.parquet")}
    assert len(done) + len(report.rejected_tiles) == report.tiles
    assert sum(pq.read_metadata(path).num_rows for path in report.parts) == report.scored


def test_the_command_line_on_real_files(real_data, tmp_path, capsys):
    cubes = sorted((real_data / "decals_grz_cubes").glob("decals_[ae]*.fits"))
    main([
        "classify", *map(str, cubes), "--survey", "legacysurvey", "--model", str(data_folder() / "model"),
        "--out", str(tmp_path / "run"), "--workers", "1",
    ])  # fmt: skip
    shown = capsys.readouterr()
    assert "catalogue:" in shown.out
    main(["catalog", "query", str(tmp_path / "run" / "catalog"), "SELECT count(*) AS n FROM catalog"])
    assert int(capsys.readouterr().out.split()[-1]) > 5
