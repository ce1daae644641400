"""One tile, from disk to its part: read, detect, cut, score, record."""

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from galmorph import flags
from galmorph.bundle import Bundle
from galmorph.cutouts import Cutouts, Cutter, field_cutter
from galmorph.detection import extract
from galmorph.errors import BundleError, RunError, TileError, TileUnavailableError
from galmorph.inference.config import RunConfig
from galmorph.inference.journal import Account, Journal, Reject
from galmorph.inference.line import Turns, one_ahead
from galmorph.inference.patience import within_patience
from galmorph.inference.records import refuse_changes
from galmorph.reference import LARGEST
from galmorph.scores import Scores
from galmorph.surveys import Survey, TileSource
from galmorph.surveys.stripes import MARGIN
from galmorph.tiles import Tile, read_tile, refuse_want_of_memory, why_unusable

if TYPE_CHECKING:
    from galmorph.inference.session import ScoringSession

logger = logging.getLogger(__name__)

#: Bytes of cutouts that are made at once; while they are scored, as many are made.
CHUNK_BYTES = 32 * 2**20

#: Cutouts with more than this share of pixels without data are flagged MASKED.
MASKED_FRACTION = 0.05


@dataclass
class TileReport:
    """What became of a tile, and how long it took.

    Parameters
    ----------
    tile : str
        Its name.
    account : Account
        Numbers of objects detected, scored and rejected, and what was odd about it.
    reason : str
        Why the tile was set aside; empty when it was not.
    seconds : dict
        Wall time of each stage, and what of it the model waited for; see `galmorph.inference.line.Turns`.
    attempts : int
        How often it was tried; more than once after faults of the machine.
    """

    tile: str
    account: Account
    reason: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    attempts: int = 1


def process_tile(
    source: TileSource,
    key: str,
    record: dict[str, Any],
    config: RunConfig,
    bundle: Bundle,
    session: "ScoringSession",
    journal: Journal,
    positions: pd.DataFrame | None = None,
) -> TileReport:
    """Take a tile from disk to its part.

    Parameters
    ----------
    source : TileSource
        Where the tile lies.
    key : str
        Digest of the configuration and of the tile's files, recorded in the part.
    record : dict
        Files of the tile as `key` has them; see `galmorph.inference.records`.
    config : RunConfig
        Settings of the run.
    bundle : Bundle
        The model.
    session : ScoringSession
        The model, loaded.
    journal : Journal
        The run folder.
    positions : pandas.DataFrame or None
        Given positions (`source_id`, `ra`, `dec`) of the whole run; those on the tile are measured,
        and nothing else of it.

    Returns
    -------
    TileReport
        A tile that cannot be used is recorded as rejected and reported, not raised.

    Raises
    ------
    TileUnavailableError
        If the tile's files are gone, have changed or cannot be read now.
    RunError, MemoryError
        If scoring, the run folder or memory fails: nothing that the tile is to blame for.
    """
    with session.line.tile() as turns:
        try:
            with turns.preparing():
                prepared = _prepare(source, record, config, bundle, positions, turns)
            rows, rejects = _score_objects(prepared, config, bundle, session, turns)
        except (TileUnavailableError, RunError):
            raise
        except Exception as error:  # whatever odd pixels make a library stumble over, it is this tile that is set aside
            refuse_want_of_memory(error)
            if not isinstance(error, TileError | BundleError):
                logger.exception("tile %s", source.name)
            account = Account(key, tile_rejected=True)
            reason = why_unusable(source, error)
            journal.write_rejected_tile(source.name, reason, account)
            return TileReport(source.name, account, reason, turns.seconds)
        detected = len(prepared.objects)
        account = Account(
            key, detected=detected, scored=rows.num_rows, rejected=len(rejects), warnings=prepared.warnings
        )
        journal.write_tile(source.name, rows, rejects, account)
        turns.lap("write")
        return TileReport(source.name, account, seconds=turns.seconds)


@dataclass(frozen=True)
class _Prepared:
    """What scoring needs of a tile; its other planes are let go."""

    name: str
    bands: tuple[str, ...]
    warnings: tuple[str, ...]
    objects: pd.DataFrame
    cutter: Cutter


def _prepare(
    source: TileSource,
    record: dict[str, Any],
    config: RunConfig,
    bundle: Bundle,
    positions: pd.DataFrame | None,
    turns: Turns,
) -> _Prepared:
    """Read a tile and find its objects."""
    tile = _read(source, record, config.survey)
    order = bundle.check_survey(source.name, tile.bands, tile.pixel_scale)
    turns.lap("read")
    found = extract(tile, config.detection, positions, in_place=True)
    edge = tile.edge_distance(found.objects["x"], found.objects["y"])
    objects = found.objects.assign(edge_distance=edge.astype(np.float32))
    framing = bundle.manifest.framing
    cutter = field_cutter(found, tile, framing, order)
    turns.lap("detect")
    notes = tile.warnings + found.warnings
    if tile.stripe is not None and framing.largest > 2 * MARGIN:
        notes += (
            f"cutouts of more than {2 * MARGIN:g} arcsec may reach beyond the rows that were read, which count as bad",
        )
    return _Prepared(tile.name, tile.bands, notes, objects, cutter)


def _read(source: TileSource, record: dict[str, Any], survey: Survey) -> Tile:
    """Read a tile whose files are those that were recorded, before and after."""

    def read() -> Tile:
        refuse_changes(source, record)
        tile = read_tile(source, survey)
        refuse_changes(source, record)
        return tile

    try:
        return within_patience(source.files, read)
    except OSError as error:
        raise TileUnavailableError(f"{error.filename} cannot be read now: {error.strerror or error}") from error


def _score_objects(
    tile: _Prepared, config: RunConfig, bundle: Bundle, session: "ScoringSession", turns: Turns
) -> tuple[pa.Table, list[Reject]]:
    """Cut and score the objects of a tile, in chunks that bound the memory."""
    facts, outputs = [], []
    for cutouts, seconds in one_ahead(_chunks(tile, bundle, session.batch)):
        turns.add("cut", seconds)
        with turns.scoring():
            outputs.append(_predict(session, cutouts))
        facts.append(cutouts.without_images())
    cutouts = Cutouts.joined(facts)
    logits, features = (np.concatenate(part) for part in zip(*outputs, strict=True))
    # What is not finite is rejected below, with the reason.
    with np.errstate(all="ignore"):
        scores = bundle.score(logits, features, config.precision)
    table = _rows(tile, cutouts, scores, features, config, bundle)
    reasons = _reasons(cutouts, logits, features)
    rejects = _rejects(tile.name, tile.objects, reasons)
    rows = table.filter(pa.array(reasons == ""))
    turns.lap("assemble")
    return rows.combine_chunks(), rejects


def _chunks(tile: _Prepared, bundle: Bundle, batch: int) -> Iterator[tuple[Cutouts, float]]:
    """Cutouts of a tile's objects and the time that they took; whole batches, one of none for no objects."""
    image = 4 * len(bundle.manifest.bands) * bundle.manifest.framing.size**2
    chunk = max(1, CHUNK_BYTES // (image * batch)) * batch
    for start in range(0, max(1, len(tile.objects)), chunk):
        objects = tile.objects.iloc[start : start + chunk]
        begin = time.perf_counter()
        cutouts = tile.cutter.cut(objects["x"], objects["y"], objects["radius"])
        yield cutouts, time.perf_counter() - begin


def _predict(session: "ScoringSession", cutouts: Cutouts) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        return session.predict(cutouts.images)
    except Exception as error:  # onnxruntime's classes share no base; its faults are those of a device, not of a tile
        raise RunError(f"scoring failed: {' '.join(str(error).split())[:200] or type(error).__name__}") from error


def _reasons(cutouts: Cutouts, logits: NDArray[np.float32], features: NDArray[np.float32]) -> NDArray[np.object_]:
    """Why each object cannot be scored; empty for those that can."""
    reasons = np.full(len(logits), "", dtype=object)
    finite = np.isfinite(logits).all(axis=1) & np.isfinite(features).all(axis=1)
    reasons[~finite] = "the model gave no finite scores for the cutout"
    reasons[cutouts.empty] = "no pixel of the cutout has valid data"
    return reasons


def _rejects(tile: str, objects: pd.DataFrame, reasons: NDArray[np.object_]) -> list[Reject]:
    refused = reasons != ""
    return [
        Reject(tile, "object", reason, row["number"], row["source_id"], row["ra"], row["dec"])
        for row, reason in zip(objects[refused].to_dict("records"), reasons[refused], strict=True)
    ]


def object_ids(survey: str, release: str, tile: str, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Identifiers that the survey, release, tile and number of an object always give.

    Returns
    -------
    ndarray of int64
        Positive, from the first 63 bits of a BLAKE2 hash.
    """
    stem = hashlib.blake2b(f"{survey}\0{release}\0{tile}\0".encode(), digest_size=8)
    ids = np.empty(len(numbers), dtype=np.int64)
    for i, number in enumerate(numbers):
        hasher = stem.copy()
        hasher.update(str(number).encode())
        ids[i] = int.from_bytes(hasher.digest(), "big") >> 1
    return ids


def _rows(
    tile: _Prepared,
    cutouts: Cutouts,
    scores: Scores,
    features: NDArray[np.float32],
    config: RunConfig,
    bundle: Bundle,
) -> pa.Table:
    """Rows of the catalogue for the objects of a tile."""
    objects, n = tile.objects, len(tile.objects)
    classes = bundle.manifest.classes
    numbers = objects["number"].to_numpy(dtype=np.int64)
    columns: dict[str, object] = {
        "object_id": object_ids(config.survey.name, config.survey.release, tile.name, numbers),
        "source_id": pa.array(objects["source_id"].astype(str).tolist(), pa.string()),
        "ra": objects["ra"].to_numpy(dtype=np.float64),
        "dec": objects["dec"].to_numpy(dtype=np.float64),
        "survey": pa.repeat(config.survey.name, n),
        "release": pa.repeat(config.survey.release, n),
        "tile": pa.repeat(tile.name, n),
        "number": numbers,
        "x": objects["x"].to_numpy(dtype=np.float32),
        "y": objects["y"].to_numpy(dtype=np.float32),
    }
    for name in ("radius", "half_light_radius", "ellipticity", "position_angle"):
        columns[name] = objects[name].to_numpy(dtype=np.float32)
    for band in tile.bands:
        for name in (f"flux_{band}", f"flux_err_{band}"):
            columns[name] = objects[name].to_numpy(dtype=np.float32)
    columns |= {
        "snr": objects["snr"].to_numpy(dtype=np.float32),
        "flags": _flags(objects["flags"].to_numpy(dtype=np.int32), cutouts),
        "bad_fraction": cutouts.bad_fraction,
        "off_edge_fraction": cutouts.off_edge_fraction,
        "edge_distance": objects["edge_distance"].to_numpy(dtype=np.float32),
        "cutout_side": cutouts.side.astype(np.float32),
    }
    columns |= {f"p_{name}": scores.probabilities[:, k].astype(np.float32) for k, name in enumerate(classes)}
    columns |= {
        "label": pa.array([classes[k] for k in scores.label], pa.string()),
        "confidence": scores.confidence.astype(np.float32),
        "entropy": scores.entropy.astype(np.float32),
        "energy": scores.energy.astype(np.float32),
        "unknown": scores.unknown,
        "anomaly_score": scores.anomaly_score.astype(np.float32),
        "model": pa.repeat(bundle.manifest.name, n),
    }
    if config.embedding:
        values = pa.array(np.clip(features, -LARGEST, LARGEST).astype(np.float16).ravel())
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(values, features.shape[1])
    return pa.table(columns)


def _flags(detection: NDArray[np.int32], cutouts: Cutouts) -> NDArray[np.int32]:
    """Flags of detection, and those that the cutout adds."""
    result = detection.copy()
    for where, bit in (
        (cutouts.off_edge_fraction > 0, flags.EDGE),
        (cutouts.bad_fraction > MASKED_FRACTION, flags.MASKED),
        (cutouts.missing_band, flags.MISSING_BAND),
        (cutouts.limited, flags.SIZE_LIMITED),
    ):
        result[where] |= bit
    return result
