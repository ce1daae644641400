"""Small files in the layouts of public releases: their names and folders, HDUs, keywords, units and bits of masks.

Every image holds `NANOMAGGIES` in each pixel, with a noise of `SIGMA`, one spoiled pixel at `SPOILED`, which is a row
and a column, and one saturated at `SATURATED`.

``python make_releases.py FOLDER`` writes one tile of each release to look at.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from make_tiles import make_wcs

SHAPE = (24, 30)
NANOMAGGIES, SIGMA = 3.0, 0.5
SPOILED, SATURATED = (3, 4), (7, 9)
ALPHA = 2.5 * np.log10(np.e)


def flat(value: float, dtype: str = "f4") -> np.ndarray:
    """Image of one value."""
    return np.full(SHAPE, value, dtype=dtype)


def bits(bad: int, saturated: int | None, dtype: str = "i4") -> np.ndarray:
    """Mask with the two special pixels."""
    mask = np.zeros(SHAPE, dtype=dtype)
    mask[SPOILED] = 1 << bad
    if saturated is not None:
        mask[SATURATED] = 1 << saturated
    return mask


def counts(zero_point: float) -> float:
    """Counts of the flux at a zero-point."""
    return NANOMAGGIES * 10 ** (0.4 * (zero_point - 22.5))


def sigma(zero_point: float) -> float:
    """Noise in counts at a zero-point."""
    return SIGMA * 10 ** (0.4 * (zero_point - 22.5))


def header(scale: float, **cards: object) -> fits.Header:
    """WCS of the pixel scale, and more cards."""
    result = make_wcs(SHAPE, scale).to_header()
    result.update(cards)
    return result


def plane_cards(planes: dict[str, int]) -> dict[str, object]:
    """Cards of lsst.afw that name the bits of a mask, long ones by the convention HIERARCH."""
    return {f"{'HIERARCH ' if len(name) > 5 else ''}MP_{name}": bit for name, bit in planes.items()}


def packed(data: np.ndarray, head: fits.Header, name: str | None = None) -> fits.CompImageHDU:
    """Image as fpack writes it, without loss."""
    return fits.CompImageHDU(data, head, name=name, compression_type="GZIP_2", quantize_level=0.0)


def save(path: Path, *hdus: fits.hdu.base._BaseHDU) -> Path:
    """Write HDUs, after an empty primary one unless the first is primary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = [] if isinstance(hdus[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    fits.HDUList([*first, *hdus]).writeto(path)
    return path


def legacysurvey(folder: Path, bands: str = "grz") -> Path:
    """DR10 coadd/123/1234p567."""
    where = folder / "coadd" / "123" / "1234p567"
    head, stem = header(0.262, BUNIT="nanomaggy"), "legacysurvey-1234p567"
    for band in bands:
        save(where / f"{stem}-image-{band}.fits.fz", packed(flat(NANOMAGGIES), head))
        save(where / f"{stem}-invvar-{band}.fits.fz", packed(flat(SIGMA**-2), header(0.262)))
        save(where / f"{stem}-depth-{band}.fits.fz", packed(flat(9.0), header(0.262)))
    mask, wise = bits(6, 4, "i2"), np.ones(SHAPE, "u1")
    hdus = [
        packed(data, header(0.262), name) for name, data in (("MASKBITS", mask), ("WISEM1", wise), ("WISEM2", wise))
    ]
    save(where / f"{stem}-maskbits.fits.fz", *hdus)
    return where


def sdss(folder: Path) -> Path:
    """DR17 frames/301/3836/4; HDUs 1 to 3 are the calibration vector, the sky and the astrometry."""
    for band in "gri":
        head = header(0.396, BUNIT="nanomaggy", FILTER=band)
        save(
            folder / f"frame-{band}-003836-4-0084.fits",
            fits.PrimaryHDU(flat(NANOMAGGIES), head),
            fits.ImageHDU(np.ones(SHAPE[1], "f4")),
            fits.BinTableHDU.from_columns([fits.Column("ALLSKY", "4E", array=np.zeros((1, 4)))]),
        )
    return folder


def stripe82(folder: Path) -> Path:
    """DR7 raw/100006/2/corr/4: unsigned counts above the soft bias, with the counts of magnitude 20."""
    for band in "gri":
        head = header(0.396, SOFTBIAS=1000, FLUX20=counts(22.5) * 10 / NANOMAGGIES * 50, FILTER=band)
        save(folder / f"fpC-100006-{band}4-0500.fit", fits.PrimaryHDU((flat(0) + 1150).astype("u2"), head))
    return folder


def des(folder: Path) -> Path:
    """DR2 dr2_tiles/DES0557-4331: SCI, MSK and WGT, fpacked, and the coadds without the local background."""
    head = header(0.263, MAGZERO=30.0)
    for band in "gri":
        for ending in ("", "_nobkg"):
            save(
                folder / f"DES0557-4331_r4587p03_{band}{ending}.fits.fz",
                packed(flat(counts(30.0)), head, "SCI"),
                packed(bits(0, None), head, "MSK"),
                packed(flat(sigma(30.0) ** -2), head, "WGT"),
            )
    save(folder / "DES0557-4331_r4587p03_det.fits.fz", packed(flat(0), head, "SCI"))
    return folder


def hsc(folder: Path) -> Path:
    """PDR3 deepCoadd-results: a folder for each band, tract and patch."""
    planes = plane_cards({"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 3, "EDGE": 4, "DETECTED": 5, "NO_DATA": 8})
    for band in "GRI":
        path = folder / f"HSC-{band}" / "9813" / "4,4" / f"calexp-HSC-{band}-9813-4,4.fits"
        mask = bits(8, 1)
        mask[0, 0] = 1 << 5  # a detection spoils nothing
        head = header(0.168)
        save(
            path,
            fits.PrimaryHDU(header=fits.Header({"FLUXMAG0": 10 ** (27 / 2.5)})),
            fits.ImageHDU(flat(counts(27.0)), head, name="IMAGE"),
            fits.ImageHDU(mask, header(0.168, **planes), name="MASK"),
            fits.ImageHDU(flat(sigma(27.0) ** 2), head, name="VARIANCE"),
        )
    return folder


def kids(folder: Path) -> Path:
    """DR4: image, weight and flags in primary HDUs; weights are relative."""
    noise = np.random.default_rng(1).normal(0, sigma(0.0), SHAPE)
    for band in "gri":
        stem = f"KiDS_DR4.0_129.0_-0.5_{band}"
        save(folder / f"{stem}_sci.fits", fits.PrimaryHDU((counts(0.0) + noise).astype("f4"), header(0.2)))
        save(folder / f"{stem}_wei.fits", fits.PrimaryHDU(flat(7.0), header(0.2)))
        save(folder / f"{stem}_msk.fits", fits.PrimaryHDU(bits(6, 1), header(0.2)))
    return folder


def panstarrs(folder: Path) -> Path:
    """DR2 rings.v3.skycell/1315/045: the asinh scaling, an EXPTIME for each band, the matrix of the WCS as PC001001."""
    for number, band in enumerate("gri", 1):
        exposure = 400.0 * number
        point = 25 + 2.5 * np.log10(exposure)
        offset, soft = 2.0, 5.0
        head = header(0.25, EXPTIME=exposure, BOFFSET=offset, BSOFTEN=soft)
        for key in ("PC1_1", "PC1_2", "PC2_1", "PC2_2"):
            head.pop(key, None)
        head["CDELT1"] = head["CDELT2"] = 0.25 / 3600
        head["PC001001"], head["PC001002"], head["PC002001"], head["PC002002"] = -1.0, 0.0, 0.0, 1.0
        stem = folder / f"rings.v3.skycell.1315.045.stk.{band}.unconv"
        scaled = ALPHA * np.arcsinh((flat(counts(point), "f8") - offset) / (2 * soft))
        linear_head = head.copy()
        del linear_head["BOFFSET"], linear_head["BSOFTEN"]
        save(Path(f"{stem}.fits"), packed(scaled.astype("f4"), head))
        save(Path(f"{stem}.wt.fits"), packed(flat(sigma(point) ** 2), linear_head))
        save(Path(f"{stem}.mask.fits"), packed(bits(3, 5, "i2"), linear_head))
    return folder


def rubin(folder: Path, release: str = "dp1") -> Path:
    """DP1 and DP2 deep coadds in the Butler's tree; the header of the mask names its bits in two ways."""
    run = {"dp1": "LSSTComCam_runs_DRP_DP1_v29_0_0_DM-50260", "dp2": "LSSTCam_runs_DRP_DP2_v30_0_8_DM-55060"}[release]
    names = {"dp1": ["BAD", "SAT", "CR", "NO_DATA"], "dp2": ["NO_DATA", "INTERPOLATED", "SATURATED", "CLIPPED"]}[
        release
    ]
    bad, full = names.index("NO_DATA"), next(i for i, name in enumerate(names) if name.startswith("SAT"))
    if release == "dp1":
        cards = plane_cards({name: i for i, name in enumerate(names)})
    else:
        cards = {f"MSKN{i:04d}": name for i, name in enumerate(names)} | {f"MSKM{i:04d}": 1 << i for i in range(4)}
    for band in "gri":
        save(
            folder / "5063" / "14" / band / f"deep_coadd_5063_14_{band}_lsst_cells_v1_{run}_2025_{band}x.fits",
            packed(flat(counts(31.4)), header(0.2, BUNIT="nJy"), "IMAGE"),
            packed(bits(bad, full), header(0.2, **cards), "MASK"),
            packed(flat(sigma(31.4) ** 2), header(0.2, BUNIT="nJy**2"), "VARIANCE"),
        )
    return folder


def rubin_dp2(folder: Path) -> Path:
    """DP2."""
    return rubin(folder, "dp2")


def euclid(folder: Path) -> Path:
    """Q1 MER/102018211: VIS and NISP in folders of their own; every name has its own checksum and date."""
    points = {"VIS": 24.6, "NIR-Y": 29.8, "NIR-J": 30.0, "NIR-H": 29.9}
    for number, (band, point) in enumerate(points.items()):
        where = folder / "102018211" / ("VIS" if band == "VIS" else "NISP")
        rms = flat(sigma(point))
        rms[0, :2] = np.inf, 0
        kinds = {
            f"BGSUB-MOSAIC-{band}": fits.PrimaryHDU(flat(counts(point)), header(0.1, MAGZERO=point)),
            f"MOSAIC-{band}-RMS": fits.PrimaryHDU(rms, header(0.1)),
            f"MOSAIC-{band}-FLAG": fits.PrimaryHDU(bits(0, None), header(0.1)),
            f"BGMOD-{band}": fits.PrimaryHDU(flat(0.0), header(0.1)),
        }
        for kind, (name, hdu) in enumerate(kinds.items()):
            stamp = f"{number}{kind}BD03_20241018T1427{number}{kind}.276838Z_00.00"
            save(where / f"EUC_MER_{name}_TILE102018211-{stamp}.fits", hdu)
    return folder


#: Survey profile and maker of each release.
RELEASES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "legacysurvey": ("legacysurvey", legacysurvey),
    "sdss": ("sdss", sdss),
    "stripe82": ("sdss-stripe82", stripe82),
    "des": ("des", des),
    "hsc": ("hsc", hsc),
    "kids": ("kids", kids),
    "panstarrs": ("panstarrs", panstarrs),
    "rubin-dp1": ("rubin", rubin),
    "rubin-dp2": ("rubin", rubin_dp2),
    "euclid": ("euclid", euclid),
}

if __name__ == "__main__":
    for release, (_, make) in RELEASES.items():
        make(Path(sys.argv[1]) / release)
