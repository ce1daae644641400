"""``galmorph drift``: a catalogue or tiles beside the bundle of a model."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.band_order import exchanged_bands, light_shares, likely_order
from galmorph.bundle import Bundle, load_bundle
from galmorph.catalogs import Catalog, open_catalog
from galmorph.detection import DetectionConfig
from galmorph.errors import CatalogError, DataError
from galmorph.imaging import Imaging, measure_imaging, scale_of_pixels
from galmorph.pipeline import classify
from galmorph.reference import SOURCE, TARGET, read_sample
from galmorph.releases.drift import Drift, Limits, Verdict, conclude
from galmorph.releases.objects import read_rows, seen_of_rows, seen_of_sample, without_measures
from galmorph.releases.regions import shifts_of_regions
from galmorph.releases.shift import compare
from galmorph.surveys import Survey, TileSource, find_tiles, load_survey

#: Tiles that are classified to be looked at, unless told otherwise.
TILES = 24
#: Comparable objects below which a verdict carries a note; what `galmorph drift` notices was measured with 480.
FEW = 300
#: Folder of the run in the folder of the report.
RUN = "run"


def drift(
    source: str | Path | Catalog | Sequence[str | Path],
    against: str | Path | Bundle,
    *,
    survey: str | Path | Survey | None = None,
    out: str | Path | None = None,
    tiles: int = TILES,
    positions: str | Path | None = None,
    release: str | None = None,
    options: Mapping[str, str] | None = None,
    detection: DetectionConfig | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> Drift:
    """Say whether a release is like what a model was made for.

    Parameters
    ----------
    source : str, Path, Catalog or sequence of str or Path
        Catalogue that the model made (or its run folder), or tiles: files, folders and globs.
    against : str, Path or Bundle
        The model.
    survey : str, Path or Survey, optional
        Profile of the tiles.
    out : str or Path, optional
        Folder for ``drift.json``, ``drift.txt`` and ``drift.png``; tiles need one, for the run that classifies them.
    tiles : int
        Tiles to classify at most, chosen at random; 0 takes all.
    positions : str or Path, optional
        Table of positions to measure on tiles instead of detecting.
    release : str, optional
        Name of the data release of tiles, in place of the profile's.
    options : mapping, optional
        Settings of a profile that takes some.
    detection : DetectionConfig, optional
        How objects are found on tiles.
    workers : int, optional
        Processes that classify tiles.
    limits : Limits, optional
        From where on a difference matters.
    seed : int
        Of everything random.

    Returns
    -------
    Drift
        The verdict with its reasons.

    Raises
    ------
    GalmorphError
        If catalogue, tiles or bundle cannot be used, or the catalogue is of another model.
    """
    bundle = against if isinstance(against, Bundle) else load_bundle(against)
    folder = None if out is None else Path(out)
    catalog = _catalog(source)
    if catalog is None:
        assert not isinstance(source, Catalog)  # noqa: S101 - a catalogue is one
        chosen, profile = choose_tiles(
            [source] if isinstance(source, str | Path) else source, survey, options, tiles, seed
        )
        if folder is None:
            raise DataError("tiles are classified to be compared, and the run needs a folder: give out (--out)")
        files = [file for each in chosen for file in each.files]
        run = classify(
            files,
            profile,
            bundle,
            folder / RUN,
            positions=positions,
            release=release,
            detection=detection,
            workers=workers,
            embedding=True,
        )
        catalog = run.catalog
    result = drift_of_catalog(catalog, bundle, limits or Limits(), seed)
    if folder is not None:
        write_report(result, folder)
    return result


def choose_tiles(
    inputs: Sequence[str | Path],
    survey: str | Path | Survey | None,
    options: Mapping[str, str] | None,
    most: int,
    seed: int,
) -> tuple[list[TileSource], Survey]:
    """Some of a survey's tiles, and its profile."""
    if survey is None:
        raise DataError(
            f"{inputs[0] if inputs else 'nothing'} is no catalogue, and of tiles the survey must be known: "
            "give the name of its profile (--survey)"
        )
    profile = survey if isinstance(survey, Survey) else load_survey(survey, options)
    sources, unusable = find_tiles(list(inputs), profile)
    if not sources:
        why = "; ".join(item.reason for item in unusable[:3])
        raise DataError(f"no tile of survey {profile.name} among the inputs: {why or 'nothing was given'}")
    if most and len(sources) > most:
        places = np.sort(np.random.default_rng(seed).permutation(len(sources))[:most])
        sources = [sources[place] for place in places]
    return list(sources), profile


def drift_of_catalog(catalog: Catalog, bundle: Bundle, limits: Limits, seed: int = 0) -> Drift:
    """Say whether the objects of a catalogue are like those that the model of a bundle was made on.

    Parameters
    ----------
    catalog : Catalog
        Made by the model.
    bundle : Bundle
        The model.
    limits : Limits
        From where on a difference matters.
    seed : int
        Of everything random.

    Returns
    -------
    Drift
        The verdict. What an older bundle, or a catalogue without embeddings, does not allow is said in its notes.
    """
    _check_model(catalog, bundle)
    rows, features = read_rows(catalog, seed=seed)
    if not len(rows):
        raise CatalogError(f"{catalog.path} has no primary row, so that nothing can be compared")
    notes: list[str] = []
    sample = read_sample(bundle)
    domain = SOURCE
    if sample is not None:
        domain = TARGET if (sample.domain == TARGET).any() else SOURCE
    if sample is not None:
        notes += _exchanged(sample.of(domain).measured, rows, bundle.manifest.bands)
    imaging = _imaging(rows, catalog, bundle, domain, notes)
    release = " ".join(str(catalog.provenance.get(key, "")) for key in ("survey", "release")).strip()
    name = release or str(catalog.path)
    if sample is None:
        return _without_sample(bundle, rows, imaging, name, limits, notes)
    if features is None:
        notes.append(
            "the catalogue keeps no embeddings, so that looks are compared by scores and not by features; "
            "`galmorph classify --embedding` keeps them"
        )
    elif features.shape[1] != bundle.manifest.features:
        raise CatalogError(
            f"{catalog.path} keeps {features.shape[1]} features of an object, and model {bundle.manifest.name} gives "
            f"{bundle.manifest.features}; give the bundle that made the catalogue"
        )
    else:
        rows, features = _with_finite(rows, features, catalog, notes)
    before = seen_of_sample(sample.of(domain), bundle)
    now = seen_of_rows(rows, features, bundle)
    if before.brightness is None or now.brightness is None:
        notes.append(
            "the bundle does not tell how bright and large its objects are (its training set did not either), so that "
            "all objects of the catalogue are compared with them, whatever was chosen for training"
        )
        before, now = without_measures(before), without_measures(now)
    shift, view = compare(before, now, bundle.manifest.classes, seed=seed)
    if shift is None:
        notes.append(
            "too few objects are as bright and large as those that the model was made on: nothing can be said of "
            f"features and scores ({len(now)} objects here, {len(before)} in the bundle)"
        )
    elif shift.comparable < FEW:
        notes.append(
            f"only {shift.comparable} objects can be compared ({len(now)} here, {len(before)} in the bundle), which "
            "proves nothing but large changes: more tiles, or a model of more labelled objects, would tell more"
        )
    parts = shifts_of_regions(rows, before, now, bundle.manifest.classes, seed)
    verdict, reasons, regions = conclude(shift, parts, limits)
    if shift is None and verdict == "as before":
        verdict, reasons = "retrain", ("the release shows other objects than those that the model was made on",)
    return Drift(verdict, reasons, tuple(notes), bundle.manifest.name, name, shift, regions, imaging, view)


def write_report(result: Drift, out: Path) -> None:
    """Write ``drift.json``, ``drift.txt`` and ``drift.png``."""
    from galmorph.releases.drift_picture import draw_drift

    out.mkdir(parents=True, exist_ok=True)
    (out / "drift.json").write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    (out / "drift.txt").write_text(result.summary() + "\n")
    draw_drift(result, out / "drift.png")


def _exchanged(before: pd.DataFrame, now: pd.DataFrame, bands: Sequence[str]) -> list[str]:
    """A note where the bands of a catalogue look exchanged, by the colours of its objects."""
    columns = [f"flux_{band}" for band in bands]
    if not set(columns) <= set(before.columns):
        return []
    shares = (light_shares(table[columns].to_numpy(dtype=np.float64)) for table in (before, now))
    likes = exchanged_bands(bands, likely_order(*shares))
    if not likes:
        return []
    return [
        f"the bands look exchanged: by the colours of the objects {', '.join(likes)} of what the model was made on. "
        "Look which file was taken for which band before anything else: no training mends that"
    ]


def _imaging(rows: pd.DataFrame, catalog: Catalog, bundle: Bundle, domain: str, notes: list[str]) -> dict[str, Imaging]:
    """What images were like and are, as far as it is known."""
    seeing: Mapping[str, float] = catalog.provenance.get("seeing") or {}
    scales = [
        scale_of_pixels(*(tile[name].to_numpy(dtype=np.float64) for name in ("x", "y", "ra", "dec")))
        for _, tile in rows.groupby("tile", sort=False)
    ]
    scale = float(np.nanmedian(scales)) if np.isfinite(scales).any() else math.nan
    known = {"now": measure_imaging(rows, bundle.manifest.bands, seeing, scale)}
    facts = bundle.manifest.training.get("images_of", {}).get(domain) or {}
    if facts.get("imaging"):
        return {"before": Imaging.from_dict(facts["imaging"])} | known
    notes.append(
        "the bundle does not tell noise, depth and seeing of the images that it was made on, only their pixel scale of "
        f"{facts.get('pixel_scale', bundle.manifest.pixel_scale):.3f} arcsec: its training set was cut by an older "
        "galmorph or is of another kind"
    )
    return known


def _with_finite(
    rows: pd.DataFrame, features: NDArray[np.float32], catalog: Catalog, notes: list[str]
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Objects whose features are numbers: others are like nothing and unlike nothing."""
    finite = np.flatnonzero(np.isfinite(features).all(axis=1))
    if len(finite) == len(rows):
        return rows, features
    if not len(finite):
        raise CatalogError(
            f"{catalog.path}: of none of the {len(rows)} objects the features are finite, so that nothing can be "
            "compared; classify the tiles anew, without --embedding to compare scores"
        )
    notes.append(f"{len(rows) - len(finite)} of {len(rows)} objects are left out: their features are not finite")
    return rows.iloc[finite].reset_index(drop=True), features[finite]


def _without_sample(
    bundle: Bundle, rows: pd.DataFrame, imaging: dict[str, Imaging], name: str, limits: Limits, notes: list[str]
) -> Drift:
    """What can be said beside a bundle without objects: the share of unknown ones."""
    manifest = bundle.manifest
    notes.append(
        f"bundle {manifest.name} keeps no sample of objects (reference_sample.parquet), so that features, scores and "
        "classes cannot be compared, nor parts of the sky: export the model again from its checkpoint"
    )
    share, expected = float(rows["unknown"].mean()), manifest.unknown.false_unknown_rate
    reasons: tuple[str, ...] = ()
    if abs(share - expected) >= limits.unknown:
        reasons = (f"{share:.0%} of the objects are called unknown; {expected:.0%} of known ones were in validation",)
    notes.append("the verdict rests on the share of unknown objects alone")
    verdict: Verdict = "recalibrate" if reasons else "as before"
    return Drift(verdict, reasons, tuple(notes), manifest.name, name, None, (), imaging)


def _catalog(source: str | Path | Catalog | Sequence[str | Path]) -> Catalog | None:
    """A catalogue, given by itself, by its folder or by its run; None for anything else."""
    if isinstance(source, Catalog):
        return source
    if not isinstance(source, str | Path):
        if len(source) != 1:
            return None
        source = source[0]
    for folder in (Path(source), Path(source) / "catalog"):
        if (folder / "hats.properties").is_file():
            return open_catalog(folder)
    return None


def _check_model(catalog: Catalog, bundle: Bundle) -> None:
    """Refuse the catalogue of another model."""
    made_by = catalog.provenance.get("model_sha256")
    if made_by is not None and made_by != bundle.sha256:
        raise CatalogError(
            f"{catalog.path} was made by model {catalog.provenance.get('model')} ({str(made_by)[:12]}…), and the "
            f"bundle {bundle.path} is {bundle.manifest.name} ({bundle.sha256[:12]}…). Scores of different models "
            "cannot be compared: give that bundle, or tiles to be classified with this one"
        )
    if tuple(catalog.classes) != tuple(bundle.manifest.classes):
        raise CatalogError(
            f"{catalog.path} has the classes {', '.join(catalog.classes)}, and model {bundle.manifest.name} "
            f"{', '.join(bundle.manifest.classes)}; give the bundle that made the catalogue"
        )
