"""The tiles of a release with the model in use: what is scored already is not scored again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galmorph.bundle import Bundle
from galmorph.detection import DetectionConfig
from galmorph.inference.config import run_config
from galmorph.inference.records import tile_records
from galmorph.inference.run import Progress
from galmorph.pipeline import classify
from galmorph.releases.description import Score, Tiles
from galmorph.surveys import find_tiles, load_survey


def rescore(
    tiles: Tiles, score: Score, bundle: Bundle, out: Path, *, old: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Score the tiles of a release, unless a catalogue by this model is there already.

    Parameters
    ----------
    tiles : Tiles
        The release.
    score : Score
        How.
    bundle : Bundle
        The model in use.
    out : Path
        Run folder, made or gone on with: tiles that it has are not scored again.
    old : Path, optional
        Catalogue so far. If it lies in a run of the same model, settings and tiles, it is the new one too.
    progress : callable, optional
        Called after every tile.

    Returns
    -------
    dict
        `catalog`, numbers of `tiles`, of those `resumed` and `set_aside`, of objects `detected` and `scored`, and
        `again`: whether anything had to be scored.

    Raises
    ------
    GalmorphError
        If the tiles cannot be used.
    """
    if old is not None and _holds(old, tiles, score, bundle):
        return {"catalog": str(old), "again": False, "why": "the old catalogue is of this model and of these tiles"}
    done = classify(
        list(tiles.inputs),
        tiles.survey,
        bundle,
        out,
        positions=tiles.positions,
        options=dict(tiles.options) or None,
        release=tiles.release,
        workers=score.workers,
        scheduler=score.scheduler,
        device=score.device,
        embedding=score.embedding,
        progress=progress,
    )
    report = done.report
    return {
        "catalog": str(done.path),
        "again": report.resumed < report.tiles,
        "tiles": report.tiles,
        "resumed": report.resumed,
        "set_aside": len(report.rejected_tiles),
        "detected": report.detected,
        "scored": report.scored,
    }


def tile_files(tiles: Tiles) -> dict[str, list[Any]]:
    """Names, sizes and times of change of the files of a release's tiles, by tile: what tells that more have come."""
    sources, _ = find_tiles(list(tiles.inputs), load_survey(tiles.survey, dict(tiles.options) or None))
    files: dict[str, list[Any]] = {}
    for source in sources:
        status = [(path.name, path.stat()) for path in source.files if path.exists()]
        files[source.name] = [[name, found.st_size, found.st_mtime_ns] for name, found in status]
    return files


def _holds(catalog: Path, tiles: Tiles, score: Score, bundle: Bundle) -> bool:
    """Whether a catalogue lies in a run of this model, these settings and these tiles."""
    record = _run(catalog)
    if record is None:
        return False
    survey = load_survey(tiles.survey, dict(tiles.options) or None)
    if tiles.release is not None:
        from dataclasses import replace

        survey = replace(survey, release=tiles.release)
    config = run_config(bundle, survey, DetectionConfig(), tiles.positions, score.embedding)
    if record.get("config_sha256") != config.digest():
        return False
    sources, _ = find_tiles(list(tiles.inputs), survey)
    known = record.get("tiles", {})
    return {source.name for source in sources} <= set(known) and tile_records(sources, known) == {
        source.name: known[source.name] for source in sources
    }


def _run(catalog: Path) -> Mapping[str, Any] | None:
    try:
        record = json.loads((catalog.parent / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
