import numpy as np
import pytest
from astropy.io import fits
from make_releases import RELEASES, des, euclid, flat, header, panstarrs, save, sdss

from galmorph import survey_check
from galmorph.cli import main
from galmorph.survey_check import check_files
from galmorph.tiles import read_tile


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_is_known_by_its_own_profile_alone(tmp_path, release):
    survey, make = RELEASES[release]
    make(tmp_path)
    fits_, _ = check_files([tmp_path])
    assert [fit.survey for fit in fits_] == [survey]
    assert fits_[0].off == ()
    assert "30 x 24 pixels" in fits_[0].facts
    assert ("no noise" in fits_[0].facts) == (release in ("sdss", "stripe82"))


def test_what_is_off_is_said_though_the_tile_can_be_used(tmp_path):
    sdss(tmp_path)
    for path in tmp_path.glob("*.fits"):
        for key in ("CDELT1", "CDELT2"):
            fits.setval(path, key, value=fits.getval(path, key) * 2)
    (fit,), misfits = check_files([tmp_path])
    assert misfits == []
    assert fit.off == ("the pixel scale is 0.7920 arcsec, the native one of survey sdss 0.396 arcsec",)


def test_the_profile_that_the_names_fit_says_first_what_is_wrong(tmp_path):
    des(tmp_path)
    for path in tmp_path.glob("*_r.fits.fz"):
        with fits.open(path) as opened:
            opened[:3].writeto(path, overwrite=True)
    fits_, misfits = check_files(tmp_path.glob("*_[gri].fits.fz"))
    assert fits_ == []
    assert misfits[0].reasons[0].startswith("des: ")
    assert "has no HDU called WGT; it has 0 PRIMARY: no data; 1 SCI: image 30 x 24" in misfits[0].reasons[0]
    assert "1 SCI: image 30 x 24; 2 MSK" in misfits[0].contents


def test_missing_companions_are_named(tmp_path):
    euclid(tmp_path)
    next(tmp_path.rglob("*BGSUB-MOSAIC-NIR-J*")).unlink()
    _, misfits = check_files([tmp_path])
    assert any("no image of band NIR_J (EUC_MER_BGSUB-MOSAIC-NIR-J_TILE102018211-*.fits)" in r
               for misfit in misfits for r in misfit.reasons)  # fmt: skip


def test_a_file_of_no_survey_is_described(tmp_path):
    save(tmp_path / "odd.fits", fits.PrimaryHDU(np.zeros((3, 4), "f4"), header(0.3, BUNIT="Jy", FILTER="F814W")))
    fits_, (misfit,) = check_files([tmp_path / "odd.fits"])
    assert fits_ == []
    assert misfit.contents.startswith("0 PRIMARY: image 4 x 3. Its headers say FILTER = F814W, BUNIT = Jy")


def test_a_file_that_a_library_stumbles_over_costs_no_other(tmp_path, monkeypatch):
    sdss(tmp_path)
    panstarrs(tmp_path)

    def stumble(source, survey):
        if survey.name == "sdss":
            raise OverflowError("Numerical result out of range")
        return read_tile(source, survey)

    monkeypatch.setattr(survey_check, "read_tile", stumble)
    fits_, misfits = check_files([tmp_path])
    assert [fit.survey for fit in fits_] == ["panstarrs"]
    assert any(
        reason.startswith("sdss: ") and "cannot be measured (OverflowError: Numerical result out of range)" in reason
        for misfit in misfits
        for reason in misfit.reasons
    )


def test_the_command_says_it_in_words_and_by_its_exit_code(tmp_path, capsys):
    panstarrs(tmp_path / "good")
    main(["surveys", "check", str(tmp_path / "good")])
    shown = capsys.readouterr().out
    assert "fits panstarrs, layout stacks: tile skycell.1315.045 of rings.v3" in shown
    (tmp_path / "notes.txt").write_text("no tile")
    save(tmp_path / "x.fits", fits.PrimaryHDU(flat(1), header(0.2)))
    with pytest.raises(SystemExit) as stop:
        main(["surveys", "check", str(tmp_path / "notes.txt"), str(tmp_path / "x.fits"), str(tmp_path / "absent.fits")])
    assert stop.value.code == 1
    shown = capsys.readouterr().out
    for name in ("notes.txt", "x.fits", "absent.fits"):
        assert f"fits no profile {tmp_path / name}" in shown
    assert "galmorph surveys generic" in shown
    main(["surveys", "check", str(tmp_path / "x.fits"), "--survey", "generic", "--option.bands", "r",
          "--option.image", "{tile}.fits"])  # fmt: skip
    assert "fits generic, layout files" in capsys.readouterr().out
