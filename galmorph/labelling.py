"""Labelled cutouts from survey tiles and a table of labels, made by the code of a survey run."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import galmorph
from galmorph.cutout_set import REJECTS, UNIT, write_cutout_set
from galmorph.cutouts import Framing, field_cutouts
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import ConfigError, DataError
from galmorph.imaging import measure_imaging, measured_columns
from galmorph.positions import read_labels
from galmorph.progress import watched
from galmorph.sky import sky_to_pixel, within_reach
from galmorph.surveys import Survey, TileSource, find_tiles
from galmorph.tiles import Tile, read_tile, refuse_want_of_memory, why_unusable
from galmorph.truth import match

logger = logging.getLogger(__name__)

#: Cutouts unless another framing is asked for.
DEFAULT_FRAMING = Framing(size=64)

#: A detection within this many arcsec of a label's position is the labelled object.
MATCH_RADIUS = 2.0

#: Reason of a row whose position no tile covers.
NOWHERE = "lies on no tile"


@dataclass(frozen=True)
class Labelled:
    """What `make_labelled_cutouts` made.

    Parameters
    ----------
    path : Path
        The set of cutouts, with `REJECTS` in it.
    counts : dict
        Cutouts of each label, unlabelled ones under the empty word.
    rejected : pandas.DataFrame
        Rows of the table without a cutout: object_id, ra, dec, label, reason.
    rejected_tiles : dict
        Why tiles, or files given as tiles, were not used, by name.
    """

    path: Path
    counts: Mapping[str, int]
    rejected: pd.DataFrame
    rejected_tiles: Mapping[str, str]


@dataclass(frozen=True)
class _Found:
    """Cutouts of one tile, a row each, where in the label table the rows stand, and all detections of the tile."""

    rows: pd.DataFrame
    images: NDArray[np.float32]
    detections: pd.DataFrame


def make_labelled_cutouts(
    tiles: Sequence[str | Path],
    survey: Survey,
    labels: Path,
    out: Path,
    *,
    framing: Framing = DEFAULT_FRAMING,
    bands: Sequence[str] | None = None,
    detection: DetectionConfig | None = None,
    radius: float = MATCH_RADIUS,
) -> Labelled:
    """Cut labelled objects out of tiles.

    Tiles are read, searched and cut as in a survey run; each row of the table takes the nearest detection. An object on
    several tiles is taken from the one in whose interior it lies deepest. Every row without a cutout is in
    ``rejects.csv`` with the reason.

    Parameters
    ----------
    tiles : sequence of str or Path
        Files, folders and globs.
    survey : Survey
        Profile of the tiles.
    labels : Path
        Parquet, FITS, VOTable, ECSV or CSV with identifier, RA, Dec and `label`; an empty label gives an unlabelled
        cutout.
    out : Path
        Folder of the set to make.
    framing : Framing
        How cutouts are sized.
    bands : sequence of str, optional
        Bands in the order wanted; all of the survey unless given.
    detection : DetectionConfig, optional
        How objects are found.
    radius : float
        Largest distance of a detection from a row's position, arcsec.

    Returns
    -------
    Labelled
        Counts, and what was left out.

    Raises
    ------
    DataError
        If the table cannot be used, or no row has a cutout.
    ConfigError
        If a band is not the survey's, or `radius` is not positive.
    """
    bands = tuple(bands or survey.bands)
    strangers = [band for band in bands if band not in survey.bands]
    if strangers or not radius > 0:
        raise ConfigError(
            f"bands must be among {', '.join(survey.bands)} and the match radius positive; got {', '.join(bands)} "
            f"and {radius} arcsec"
        )
    table = read_labels(labels)
    sources, unusable = find_tiles(tiles, survey)
    refused = {item.name: item.reason for item in unusable}
    reasons = np.full(len(table), NOWHERE, dtype=object)
    parts, scales = [], []
    for source in watched(sources, "reading tiles"):
        try:
            tile = read_tile(source, survey)
            found = _cut(tile, table, reasons, framing, bands, detection or DetectionConfig(), radius)
        except Exception as error:  # whatever odd pixels make a library stumble over, the other tiles are not lost
            refuse_want_of_memory(error)
            refused[source.name] = why_unusable(source, error)
            logger.warning("tile %s is not used: %s", source.name, refused[source.name])
            continue
        parts.append(found)
        scales.append(tile.pixel_scale)
        # Let go before the next one is read.
        del tile
    if refused:
        reasons[reasons == NOWHERE] = f"lies on no tile that can be used, and {len(refused)} cannot"
    chosen, images = _deepest(parts)
    if not len(chosen):
        raise DataError(_nothing(labels, survey, sources, refused, reasons))
    reasons[chosen["row"].to_numpy()] = ""
    counts = _counts(chosen["label"])
    meta = {
        "survey": survey.name,
        "bands": list(bands),
        "pixel_scale": float(np.median(scales)),
        "framing": asdict(framing),
        "unit": UNIT,
        "classes": [name for name in counts if name],
        "counts": counts,
        "imaging": measure_imaging(
            pd.concat([part.detections for part in parts]), bands, survey.seeing, float(np.median(scales))
        ).to_dict(),
        "source": f"galmorph {galmorph.__version__} cutouts of {survey.name}",
    }
    out = Path(out)
    write_cutout_set(out, images, chosen.drop(columns=["row", "depth"]), meta)
    rejected = table[reasons != ""].assign(reason=reasons[reasons != ""]).rename(columns={"source_id": "object_id"})
    rejected.to_csv(out / REJECTS, index=False)
    return Labelled(out, counts, rejected.reset_index(drop=True), refused)


def _cut(
    tile: Tile,
    table: pd.DataFrame,
    reasons: NDArray[np.object_],
    framing: Framing,
    bands: Sequence[str],
    detection: DetectionConfig,
    radius: float,
) -> _Found:
    """Cut the labelled objects of a tile; say in `reasons` why a row that lies on it has no cutout."""
    field = extract(tile, detection, in_place=True)
    # Of a table of a whole survey few rows lie on the tile, and where each lies takes its time.
    near = np.flatnonzero(within_reach(tile.wcs, table["ra"].to_numpy(), table["dec"].to_numpy()))
    x, y = np.full(len(table), np.nan), np.full(len(table), np.nan)
    x[near], y[near] = sky_to_pixel(tile.wcs, table["ra"].to_numpy()[near], table["dec"].to_numpy()[near])
    on_tile = np.flatnonzero(tile.covers(x, y))
    here = table.iloc[on_tile]
    place, distance = match(field.objects, here, radius)
    alone = np.flatnonzero(place < 0)
    shared = match(field.objects, here.iloc[alone], radius)[0] >= 0
    within = f"within {radius:g} arcsec on tile {tile.name}"
    for chosen, reason in (
        (alone[~shared], f"no detection {within}"),
        (alone[shared], f"the detection {within} is that of another row"),
    ):
        rows = on_tile[chosen]
        # A row in the margin of a stripe may have its detection here; that it has none is for the other stripe to say.
        reasons[rows[tile.keeps(y[rows])]] = reason
    cutouts = field_cutouts(field, tile, place[place >= 0], framing)
    usable = ~cutouts.empty
    reasons[on_tile[place >= 0][~usable]] = f"no pixel of the cutout has valid data on tile {tile.name}"
    rows, distance = on_tile[place >= 0][usable], distance[place >= 0][usable]
    objects = field.objects.iloc[place[place >= 0][usable]].reset_index(drop=True)
    found = pd.DataFrame(
        {
            "object_id": table["source_id"].to_numpy()[rows],
            "label": table["label"].to_numpy()[rows],
            "tile": tile.name,
            **{name: objects[name].to_numpy() for name in ("ra", "dec", "x", "y", "radius", "snr", "flags")},
            **{name: objects[name].to_numpy(dtype=np.float32) for name in measured_columns(tile.bands)},
            "side_arcsec": cutouts.side[usable],
            "off_edge_fraction": cutouts.off_edge_fraction[usable],
            "bad_fraction": cutouts.bad_fraction[usable],
            "match_arcsec": distance,
            "row": rows,
            "depth": tile.edge_distance(objects["x"], objects["y"]),
        }
    )
    order = [tile.bands.index(band) for band in bands]
    return _Found(found, cutouts.images[usable][:, order], field.objects)


def _deepest(parts: Sequence[_Found]) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Of each row of the table the cutout from the tile in whose interior it lies deepest, in the table's order."""
    if not parts:
        return pd.DataFrame(), np.empty((0, 0, 0, 0), dtype=np.float32)
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    # Tiles come sorted by name, so that of equal depths the first tile's is taken.
    best = rows.sort_values("depth", ascending=False, kind="stable").drop_duplicates("row").sort_values("row")
    place = best.index.to_numpy()
    images = np.concatenate([part.images for part in parts])[place]
    return best.reset_index(drop=True), images


def _counts(names: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in names.value_counts().sort_index().items()}


def _nothing(
    labels: Path,
    survey: Survey,
    sources: Sequence[TileSource],
    refused: Mapping[str, str],
    reasons: NDArray[np.object_],
) -> str:
    """Why there is no cutout at all."""
    said = "; ".join(f"{name}: {reason}" for name, reason in list(refused.items())[:3])
    if len(sources) == 0:
        return f"no tile of survey {survey.name} among the inputs: {said or 'nothing was given'}"
    common, count = Counter(reasons.tolist()).most_common(1)[0]
    return (
        f"no row of {labels} has a cutout on {len(sources)} tiles; of {count} rows: {common}"
        + (f". Tiles set aside: {said}. Repair these, or check" if said else ". Check")
        + " that table and tiles show the same sky"
    )
