"""``galmorph drift``: a catalogue or tiles beside the bundle of a model."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.bundle import Bundle, load_bundle
from galmorph.catalogs import Catalog, open_catalog
from galmorph.catalogs.healpix import INDEX_ORDER
from galmorph.detection import DetectionConfig
from galmorph.errors import CatalogError, DataError
from galmorph.imaging import NANOMAGGY, Imaging, measure_imaging, scale_of_pixels
from galmorph.pipeline import classify
from galmorph.reference import SOURCE, TARGET, ReferenceSample, read_sample
from galmorph.releases.drift import Drift, Limits, Verdict, conclude
from galmorph.releases.shift import FEWEST_REGION, Seen, Shift, compare
from galmorph.scores import score
from galmorph.surveys import Survey, TileSource, find_tiles, load_survey

logger = logging.getLogger(__name__)

#: Rows of a catalogue that are looked at; a larger one is sampled by its identifiers.
ROWS = 20_000
#: Tiles that are classified to be looked at, unless told otherwise.
TILES = 24
#: Parts of the sky that are looked at by themselves, at most.
REGIONS = 32
#: Folder of the run in the folder of the report.
RUN = "run"

_MIXING = np.uint64(0x9E3779B97F4A7C15)


def drift(
    source: str | Path | Catalog | Sequence[str | Path],
    against: str | Path | Bundle,
    *,
    survey: str | Path | Survey | None = None,
    out: str | Path | None = None,
    tiles: int = TILES,
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
        run = classify(files, profile, bundle, folder / RUN, detection=detection, workers=workers, embedding=True)
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
    before = seen_of_sample(sample.of(domain), bundle)
    now = seen_of_rows(rows, features, bundle)
    if before.brightness is None or now.brightness is None:
        notes.append(
            "the bundle does not tell how bright and large its objects are (its training set did not either), so that "
            "all objects of the catalogue are compared with them, whatever was chosen for training"
        )
        before, now = _unmeasured(before), _unmeasured(now)
    shift, view = compare(before, now, bundle.manifest.classes, seed=seed)
    if shift is None:
        notes.append(
            "too few objects are as bright and large as those that the model was made on: nothing can be said of "
            f"features and scores ({len(now)} objects here, {len(before)} in the bundle)"
        )
    parts = _parts(rows, before, now, bundle, seed)
    verdict, reasons, regions = conclude(shift, parts, limits)
    if shift is None and verdict == "as before":
        verdict, reasons = "retrain", ("the release shows other objects than those that the model was made on",)
    return Drift(verdict, reasons, tuple(notes), bundle.manifest.name, name, shift, regions, imaging, view)


def write_report(result: Drift, out: Path) -> None:
    """Write ``drift.json``, ``drift.txt`` and ``drift.png``."""
    import json

    from galmorph.releases.drift_picture import draw_drift

    out.mkdir(parents=True, exist_ok=True)
    (out / "drift.json").write_text(json.dumps(result.to_dict(), indent=2) + "\n")
    (out / "drift.txt").write_text(result.summary() + "\n")
    draw_drift(result, out / "drift.png")


@dataclass(frozen=True)
class _Chosen:
    """Which rows of a catalogue are looked at."""

    share: float
    seed: int

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        # Identifiers are hashes; mixed with the seed, another seed looks at other objects.
        mixed = (ids.astype(np.uint64) ^ np.uint64(self.seed)) * _MIXING
        return np.asarray((mixed >> np.uint64(11)).astype(np.float64) / 2.0**53 < self.share)


def read_rows(catalog: Catalog, most: int = ROWS, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.float32] | None]:
    """Primary rows of a catalogue, about `most` of them, and their features if it keeps them.

    Parameters
    ----------
    catalog : Catalog
        The catalogue; a partition at a time is in memory.
    most : int
        A larger catalogue is sampled by its identifiers.
    seed : int
        Of the sample.

    Returns
    -------
    rows : pandas.DataFrame
        All columns but the embedding.
    features : ndarray of float32 or None
        Shape ``(n, d)``.
    """
    names = [name for name in catalog.schema.names if name != "embedding"]
    kept = "embedding" in catalog.schema.names
    total = sum(pq.read_metadata(file).num_rows for file in catalog.files)
    chosen = _Chosen(min(1.0, most / max(total, 1)), seed)
    frames, features = [], []
    for file in catalog.files:
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            keys = opened.read_row_group(group, columns=["object_id", "primary"])
            wanted = keys.column("primary").to_numpy() & chosen.of(keys.column("object_id").to_numpy())
            if not wanted.any():
                continue
            frames.append(opened.read_row_group(group, columns=names).to_pandas()[wanted])
            if kept:
                column = opened.read_row_group(group, columns=["embedding"]).column("embedding").combine_chunks()
                flat = column.flatten().to_numpy(zero_copy_only=False)
                features.append(flat.reshape(len(column), -1)[wanted].astype(np.float32))
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)
    return rows, np.concatenate(features) if features else None


def seen_of_sample(sample: ReferenceSample, bundle: Bundle) -> Seen:
    """The objects of a bundle as its model sees them."""
    manifest = bundle.manifest
    scores = score(
        sample.logits,
        sample.features,
        bundle.reference,
        temperature=manifest.temperature,
        unknown_score=manifest.unknown.score,
        threshold=manifest.unknown.threshold,
    )
    known = np.isin(sample.label, manifest.classes)
    right = np.asarray(manifest.classes)[scores.label] == sample.label
    brightness, size = _measured(sample.measured, bundle)
    return Seen(
        scores.probabilities,
        scores.entropy,
        scores.energy,
        scores.anomaly_score,
        scores.unknown,
        sample.features,
        brightness,
        size,
        np.where(known, right.astype(float), np.nan),
    )


def seen_of_rows(rows: pd.DataFrame, features: NDArray[np.float32] | None, bundle: Bundle) -> Seen:
    """Rows of a catalogue as the model sees them."""
    probabilities = np.column_stack([rows[f"p_{name}"].to_numpy(dtype=float) for name in bundle.manifest.classes])
    entropy, energy, anomaly = (rows[name].to_numpy(dtype=float) for name in ("entropy", "energy", "anomaly_score"))
    brightness, size = _measured(rows, bundle)
    unknown = rows["unknown"].to_numpy(dtype=bool)
    return Seen(probabilities, entropy, energy, anomaly, unknown, features, brightness, size)


def _measured(table: pd.DataFrame, bundle: Bundle) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Magnitude in the middle one of the model's bands, and half-light radius; None unless both are there."""
    bands = bundle.manifest.bands
    flux = f"flux_{bands[len(bands) // 2]}"
    if not {flux, "half_light_radius"} <= set(table.columns):
        return None, None
    values = table[flux].to_numpy(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(values > 0, NANOMAGGY - 2.5 * np.log10(values), np.nan)
    return magnitude, table["half_light_radius"].to_numpy(dtype=np.float64)


def _unmeasured(sample: Seen) -> Seen:
    everything = {name: getattr(sample, name) for name in sample.__dataclass_fields__}
    return Seen(**(everything | {"brightness": None, "size": None}))


def _parts(
    rows: pd.DataFrame, before: Seen, now: Seen, bundle: Bundle, seed: int
) -> list[tuple[str, float, float, Shift]]:
    """Shift of each part of the sky that has objects enough."""
    order, pixels = regions_of(rows["_healpix_29"].to_numpy())
    found: list[tuple[str, float, float, Shift]] = []
    if len(np.unique(pixels)) == 1:
        return found  # the whole
    for pixel in np.unique(pixels):
        here = np.flatnonzero(pixels == pixel)
        if len(here) < FEWEST_REGION:
            continue
        shift, _ = compare(before, now.take(here), bundle.manifest.classes, seed=seed)
        if shift is None or shift.comparable < FEWEST_REGION:
            continue
        place = rows.iloc[here]
        ra = np.radians(place["ra"].to_numpy())
        middle = math.degrees(math.atan2(np.sin(ra).mean(), np.cos(ra).mean())) % 360
        found.append((f"{order}/{pixel}", middle, float(place["dec"].mean()), shift))
    return found


def regions_of(healpix: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """HEALPix pixels that divide objects into parts of the sky of some size.

    Parameters
    ----------
    healpix : ndarray of int
        Pixels of order 29, shape ``(n,)``.

    Returns
    -------
    order : int
        The finest, of at most `REGIONS` pixels that hold three times `FEWEST_REGION` objects in the median.
    pixels : ndarray of int
        Shape ``(n,)``.
    """
    best = 0
    for order in range(INDEX_ORDER + 1):
        counts = np.unique(healpix >> 2 * (INDEX_ORDER - order), return_counts=True)[1]
        if len(counts) > REGIONS or np.median(counts) < 3 * FEWEST_REGION:
            break
        best = order
    return best, healpix >> 2 * (INDEX_ORDER - best)


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
