"""From tiles to a catalogue: the whole way, as one call."""

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import tomli_w

import galmorph
from galmorph import catalogs
from galmorph.bundle import Bundle, load_bundle
from galmorph.detection import DetectionConfig
from galmorph.errors import RunError
from galmorph.inference.cluster import Announce, machines_of
from galmorph.inference.config import RunConfig, run_config
from galmorph.inference.devices import Machine, choose_precision
from galmorph.inference.hold import held
from galmorph.inference.journal import POSITIONS, Journal, read_json, write_text
from galmorph.inference.measure import measure
from galmorph.inference.plan import Measurement, Plan, choose_sample, predict
from galmorph.inference.records import Hashing
from galmorph.inference.run import Progress, RunReport, run_tiles
from galmorph.inference.spawned import refuse_import
from galmorph.positions import read_positions
from galmorph.surveys import Rejected, Survey, TileSource, find_tiles, load_survey

if TYPE_CHECKING:
    from galmorph.catalogs import Catalog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classification:
    """Result of `classify`.

    Parameters
    ----------
    report : RunReport
        Numbers of tiles and objects, rejections with reasons, times.
    path : Path
        The catalogue.
    """

    report: RunReport
    path: Path

    @property
    def catalog(self) -> "Catalog":
        """The catalogue, opened."""
        return galmorph.open_catalog(self.path)


def classify(
    tiles: str | Path | Sequence[str | Path],
    survey: str | Path | Survey,
    model: str | Path | Bundle,
    out: str | Path,
    *,
    positions: str | Path | None = None,
    options: Mapping[str, str] | None = None,
    release: str | None = None,
    detection: DetectionConfig | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    embedding: bool = False,
    retry_rejected: bool = False,
    progress: Progress | None = None,
    hashing: Hashing | None = None,
    announce: Announce | None = None,
) -> Classification:
    """Classify the objects of survey tiles and write a catalogue.

    A call that was stopped goes on where it stopped when it is repeated. Worker processes of this machine import the
    script that starts them: it has to call below ``if __name__ == "__main__":``.

    Parameters
    ----------
    tiles : str, Path or sequence of them
        Files, folders or globs.
    survey : str, Path or Survey
        Name of a built-in profile, path of a profile in TOML, or a loaded profile.
    model : str, Path or Bundle
        Model bundle.
    out : str or Path
        Run folder; the catalogue is its subfolder ``catalog``.
    positions : str or Path, optional
        Table of positions (Parquet, FITS, VOTable, ECSV or CSV with RA and Dec) to measure instead of detecting.
    options : mapping, optional
        Settings of a profile that takes some, such as ``generic``.
    release : str, optional
        Name of the data release, in place of the profile's.
    detection : DetectionConfig, optional
        How objects are found.
    workers : int, optional
        Worker processes on this machine; by default one per core.
    scheduler : str, optional
        Address of a Dask scheduler to use instead, or the file that it wrote.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``tensorrt:N``.
    precision : {"auto", "float32", "int8", "float16"}
        Which of the bundle's graphs scores; ``auto`` is the fastest for the device that the bundle holds, see
        `galmorph.inference.devices.choose_precision`. A run that goes on keeps its precision.
    embedding : bool
        Keep the feature vectors in the catalogue, as float16.
    retry_rejected : bool
        Process the tiles that an earlier call set aside, and no others.
    progress : callable, optional
        Called after every tile with the number done, the number of all, and the tile's report.
    hashing : callable, optional
        Called while the tiles' files are read to know them, with the bytes done and those of all.
    announce : callable, optional
        Told in words where the cluster's dashboard is, what the run waits for, and a precision that nobody asked for;
        logged by default.

    Returns
    -------
    Classification
        Report and catalogue.

    Raises
    ------
    GalmorphError
        If the survey, the model or the run folder cannot be used. A tile that cannot be used is not an error: it is
        set aside with its reason, unless no tile is left.
    """
    if scheduler is None:
        refuse_import()  # before the folder is asked for, which the process that imports holds
    survey_tiles = _tiles(tiles, survey, model, options, release)
    profile, bundle = survey_tiles.profile, survey_tiles.bundle
    folder, announce = Path(out), announce or logger.info
    _note_survey(bundle, profile, announce)
    table = None if positions is None else read_positions(Path(positions))
    with held(Journal(folder)):
        config = _config(survey_tiles, positions, detection, embedding, precision, device, scheduler, folder, announce)
        report = run_tiles(
            survey_tiles.sources,
            survey_tiles.unusable,
            bundle,
            config,
            folder,
            positions=table,
            workers=workers,
            scheduler=scheduler,
            device=device,
            retry_rejected=retry_rejected,
            progress=progress,
            hashing=hashing,
            announce=announce,
        )
        if len(report.rejected_tiles) == report.tiles:
            raise RunError(_no_tiles(profile, list(report.rejected_tiles.values())))
        write_text(folder / "run.toml", tomli_w.dumps(_without_none(config.to_dict())))
        return Classification(report, _write(report, bundle, profile, config))


def plan(
    tiles: str | Path | Sequence[str | Path],
    survey: str | Path | Survey,
    model: str | Path | Bundle,
    *,
    sample: int = 6,
    positions: str | Path | None = None,
    options: Mapping[str, str] | None = None,
    detection: DetectionConfig | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    embedding: bool = False,
) -> Plan:
    """Predict what a survey will take, from a sample of its tiles that goes the whole way on this machine.

    Parameters
    ----------
    tiles, survey, model, positions, options, detection, workers, device, precision, embedding
        As for `classify`.
    sample : int
        Tiles that are measured.

    Returns
    -------
    Plan
        Time, memory and disk of the survey; workers for a deadline.

    Raises
    ------
    GalmorphError
        If the survey or the model cannot be used, or no tile of the sample.
    """
    survey_tiles = _tiles(tiles, survey, model, options, None)
    profile, bundle = survey_tiles.profile, survey_tiles.bundle
    table = None if positions is None else read_positions(Path(positions))
    config = _config(survey_tiles, positions, detection, embedding, precision, device, None)
    chosen = choose_sample(survey_tiles.sources, sample)
    with tempfile.TemporaryDirectory(prefix="galmorph-plan-") as scratch:
        folder = Path(scratch) / "run"
        with held(Journal(folder)):
            measured, report = measure(chosen, bundle, config, folder, positions=table, workers=workers, device=device)
            if len(report.rejected_tiles) == report.tiles:
                raise RunError(_no_tiles(profile, list(report.rejected_tiles.values())))
            measured = _with_catalogue(measured, report, bundle, profile, config)
    return predict(measured, survey_tiles.sources)


def _with_catalogue(
    measured: Measurement, report: RunReport, bundle: Bundle, survey: Survey, config: RunConfig
) -> Measurement:
    """Add what catalogues of one part and of all take; before the first, libraries are loaded as well."""
    catalog = report.folder / "catalog"
    disk = _bytes_below(report.folder)
    outside = Journal(report.folder).reject_file(POSITIONS)

    def cost(parts: list[Path]) -> tuple[float, int]:
        """Seconds and bytes of a catalogue."""
        shutil.rmtree(catalog, ignore_errors=True)
        begin = time.perf_counter()
        _write(replace(report, parts=parts), bundle, survey, config)
        return time.perf_counter() - begin, _bytes_below(catalog)

    one = report.parts[:1]
    (first, _), small, whole = cost(one), cost(one), cost(report.parts)
    seconds, size = (max(0, more - less) for more, less in zip(whole, small, strict=True))
    objects = max(1, report.scored - pq.read_metadata(one[0]).num_rows)
    return replace(
        measured,
        catalogue=first + seconds,
        catalogue_per_object=seconds / objects,
        disk=disk,
        disk_once=outside.stat().st_size if outside.exists() else 0,
        catalogue_disk=whole[1],
        catalogue_disk_per_object=size / objects,
    )


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class _Survey:
    """What a run begins with: profile, model, tiles, and inputs that are none."""

    profile: Survey
    bundle: Bundle
    sources: list[TileSource]
    unusable: list[Rejected]


def _tiles(
    tiles: str | Path | Sequence[str | Path],
    survey: str | Path | Survey,
    model: str | Path | Bundle,
    options: Mapping[str, str] | None,
    release: str | None,
) -> _Survey:
    """Find the tiles, and check that the model fits the survey."""
    profile = survey if isinstance(survey, Survey) else load_survey(survey, options)
    if release is not None:
        profile = replace(profile, release=release)
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    # Bands are checked before any tile is read; the pixel scale is each tile's own.
    bundle.check_survey(f"survey {profile.name}", profile.bands, bundle.manifest.pixel_scale)
    inputs = [tiles] if isinstance(tiles, str | Path) else list(tiles)
    sources, unusable = find_tiles(inputs, profile)
    if not sources:
        raise RunError(_no_tiles(profile, [item.reason for item in unusable]))
    return _Survey(profile, bundle, sources, unusable)


def _note_survey(bundle: Bundle, profile: Survey, announce: Announce) -> None:
    """Say that a model knows other surveys than that of the tiles."""
    manifest = bundle.manifest
    target = (manifest.training.get("target") or {}).get("facts", {})
    known = dict.fromkeys([manifest.survey, *([target["survey"]] if "survey" in target else [])])
    if profile.name not in known:
        announce(
            f"model {manifest.name} was trained on {' and '.join(known)}, and these tiles are of {profile.name}: "
            "`galmorph drift` tells how much that matters"
        )


def _config(
    tiles: _Survey,
    positions: str | Path | None,
    detection: DetectionConfig | None,
    embedding: bool,
    precision: str,
    device: str,
    scheduler: str | None,
    folder: Path | None = None,
    announce: Announce = logger.info,
) -> RunConfig:
    """Settings of a run, with the precision that suits the machines that will score, or that the folder's run has."""
    machines = machines_of(scheduler) if precision == "auto" else []
    if precision == "auto" and folder is not None:
        precision = _precision_before(folder, tiles.bundle, machines)
    if precision == "auto" and not machines and len(tiles.bundle.precisions) > 1:
        announce(
            "no worker is there to tell what it computes with: the run scores in float32, which all can. The model has "
            f"{' and '.join(tiles.bundle.precisions[1:])} too, which --precision gives in a new folder"
        )
    return run_config(
        tiles.bundle,
        tiles.profile,
        detection or DetectionConfig(),
        None if positions is None else Path(positions),
        embedding,
        choose_precision(precision, tiles.bundle, device, machines),
    )


def _precision_before(folder: Path, bundle: Bundle, machines: Sequence[Machine]) -> str:
    """Precision of the run that a folder holds, for a call on other machines to go on with it; else ``auto``.

    Not int8 where a machine lacks what it takes to add up without overflow; one that joins later is refused.
    """
    run_file = Journal(folder).run_file
    before = read_json(run_file).get("config", {}).get("precision") if run_file.exists() else None
    fits = before in bundle.precisions and (before != "int8" or all(machine.fast_integers for machine in machines))
    return str(before) if fits else "auto"


def _write(report: RunReport, bundle: Bundle, survey: Survey, config: RunConfig) -> Path:
    """Make the catalogue of a run."""
    # Through the package: libraries for writing take seconds to load, which can wait until the tiles are done.
    return catalogs.write_catalog(
        report.parts,
        report.folder / "catalog",
        provenance={
            "model": bundle.manifest.name,
            "model_sha256": bundle.sha256,
            "precision": config.precision,
            "survey": survey.name,
            "release": survey.release,
            "seeing": dict(survey.seeing),
            "tiles": report.tiles - len(report.rejected_tiles),
            "config_sha256": config.digest(),
            "galmorph": galmorph.__version__,
            "acknowledgement": survey.acknowledgement,
        },
        classes=bundle.manifest.classes,
        bands=survey.bands,
    )


def _no_tiles(profile: Survey, reasons: Sequence[str]) -> str:
    listed = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    return f"no usable tile of survey {profile.name} among the inputs: {listed or 'nothing was given'}"


def _without_none(value: Any) -> Any:
    """Settings without unset ones, which TOML cannot express."""
    if isinstance(value, Mapping):
        return {str(key): _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
