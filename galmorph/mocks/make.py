"""Make a mock survey: tiles, the truth about them, and labelled cutouts."""

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w

import galmorph
from galmorph.cutout_set import UNIT, write_cutout_set
from galmorph.cutouts import Framing
from galmorph.detection import DetectionConfig
from galmorph.errors import ConfigError
from galmorph.imaging import measure_imaging
from galmorph.mocks.camera import camera_of
from galmorph.mocks.config import MockConfig
from galmorph.mocks.exposure import expose
from galmorph.mocks.files import QUANTISE, tile_file, write_tile
from galmorph.mocks.match import TileCutouts, cut_tile, primary_tiles
from galmorph.mocks.sky import MockTile, make_sky, tile_grid
from galmorph.surveys import Survey

logger = logging.getLogger(__name__)

#: Cutouts unless another framing is asked for.
DEFAULT_FRAMING = Framing(size=64, factor=1.2)


@dataclass(frozen=True)
class MockResult:
    """What `make_mock` made.

    Parameters
    ----------
    path : Path
        The folder: `tiles/`, `truth.parquet`, `cutouts/`, `mock.toml`.
    tiles : tuple of str
        Names of the tiles.
    truth : pandas.DataFrame
        The table of `truth.parquet`.
    counts : dict
        Number of labelled cutouts of each fine class.
    """

    path: Path
    tiles: tuple[str, ...]
    truth: pd.DataFrame
    counts: dict[str, int]

    def __str__(self) -> str:
        labelled = self.truth[self.truth["label"] != ""]
        lines = [
            f"{len(self.tiles)} tiles in {self.path / 'tiles'}",
            f"{len(labelled)} labelled objects and {len(self.truth) - len(labelled)} of the background in "
            f"{self.path / 'truth.parquet'}",
            f"{sum(self.counts.values())} cutouts in {self.path / 'cutouts'}: "
            + ", ".join(f"{name} {count}" for name, count in self.counts.items()),
            f"{int((~labelled['detected']).sum())} labelled objects were not detected",
        ]
        return "\n".join(lines)


def make_mock(
    out: str | Path,
    survey: Survey,
    tiles: int,
    seed: int,
    *,
    config: MockConfig | None = None,
    framing: Framing | None = None,
    detection: DetectionConfig | None = None,
    quantise: float = QUANTISE,
    workers: int = 1,
) -> MockResult:
    """Draw a mock survey and cut its labelled objects out as a survey run would.

    The same arguments give the same bytes for any number of workers. Seeds below 1000 are for training,
    1000 to 1999 for evaluation, 2000 is the demonstration's: a model that is judged on one of those must not
    have been trained on it.

    Parameters
    ----------
    out : str or Path
        Folder to make. Files in it that the mock also has are replaced; tiles that it has not are refused, since its
        truth would not tell of them.
    survey : Survey
        A profile with a [mock] table.
    tiles : int
        Number of tiles; neighbours overlap.
    seed : int
        Decides the sky; surveys of one seed (and configuration) see the same objects with independent noise.
    config : MockConfig, optional
        What is on the sky.
    framing : Framing, optional
        Of the cutouts; `DEFAULT_FRAMING` unless given.
    detection : DetectionConfig, optional
        How objects are found for the cutouts.
    quantise : float
        Pixels are stored to the noise over this number.
    workers : int
        Processes.

    Returns
    -------
    MockResult

    Raises
    ------
    ConfigError
        If the survey cannot be mocked, `tiles`, `seed`, `quantise` or `workers` is out of range, or the folder holds
        tiles of another mock.
    """
    if tiles < 1 or seed < 0 or workers < 1 or not 1 <= quantise <= 64:
        raise ConfigError(
            "a mock needs at least one tile and one worker, a seed of at least 0 and quantise between 1 and 64; "
            f"got {tiles} tiles, {workers} workers, seed {seed}, quantise {quantise}"
        )
    camera = camera_of(survey)
    out = Path(out)
    config, framing, detection = config or MockConfig(), framing or DEFAULT_FRAMING, detection or DetectionConfig()
    grid = tile_grid(tiles, seed, config)
    _refuse_others(out / "tiles", {tile_file(tile, band) for tile in grid for band in survey.bands})
    sky = make_sky(grid, seed, config)
    truth = primary_tiles(sky, grid, camera.pixel_scale, config)
    (out / "tiles").mkdir(parents=True, exist_ok=True)
    job = partial(_tile, out, truth, survey, config, framing, detection, seed, quantise)
    cut = _run(job, grid, workers)
    found = pd.concat([part.objects for part in cut], ignore_index=True)
    truth = truth.merge(found.drop(columns=["label", "tile"]), on="object_id", how="left", validate="one_to_one")
    truth["detected"] = truth["detected"].fillna(False).astype(bool)
    truth.to_parquet(out / "truth.parquet", index=False)
    labels = found.merge(truth[["object_id", "fine_class", "ra", "dec"]], on="object_id", validate="one_to_one")
    # Not in the truth, which has half-light radii of its own.
    labels = pd.concat([labels, pd.concat([part.measured for part in cut], ignore_index=True)], axis=1)
    detections = pd.concat([part.detections for part in cut], ignore_index=True)
    imaging = measure_imaging(detections, survey.bands, survey.seeing, camera.pixel_scale)
    description = _description(survey, framing, seed, labels) | {"imaging": imaging.to_dict()}
    write_cutout_set(out / "cutouts", np.concatenate([part.images for part in cut]), labels, description)
    settings = _settings(survey, tiles, seed, config, framing, detection, quantise)
    (out / "mock.toml").write_text(tomli_w.dumps(settings))
    return MockResult(out, tuple(tile.name for tile in grid), truth, description["fine_counts"])


def _refuse_others(folder: Path, own: set[str]) -> None:
    """Refuse a folder with files beside those of this mock."""
    others = sorted(path.name for path in folder.glob("[!.]*") if path.name not in own)
    if others:
        raise ConfigError(
            f"{folder} holds {len(others)} files that are not of this mock, the first is {others[0]}: its truth would "
            "not tell of them. Give another folder, or remove what is there"
        )


def _run(job: "partial[TileCutouts]", grid: list[MockTile], workers: int) -> list[TileCutouts]:
    """The job for every tile, results in the order of tiles."""
    if workers == 1:
        return [job(tile) for tile in grid]
    # Spawned, not forked: safe beside threads, and the same on every system.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(grid)), mp_context=context) as pool:
        return list(pool.map(job, grid))


def _tile(
    out: Path,
    truth: pd.DataFrame,
    survey: Survey,
    config: MockConfig,
    framing: Framing,
    detection: DetectionConfig,
    seed: int,
    quantise: float,
    tile: MockTile,
) -> TileCutouts:
    """Draw one tile, write it, read it back and cut its objects out."""
    exposure = expose(tile, truth, camera_of(survey), config, seed)
    paths = write_tile(out / "tiles", tile, exposure, survey, quantise)
    cut = cut_tile(paths, tile, truth, survey, framing, detection)
    logger.info("tile %s: %d labelled objects found", tile.name, len(cut.objects))
    return cut


def _counts(names: pd.Series) -> dict[str, int]:
    """Number of rows of each name, sorted by name."""
    return {str(name): int(count) for name, count in names.value_counts().sort_index().items()}


def _description(survey: Survey, framing: Framing, seed: int, labels: pd.DataFrame) -> dict[str, Any]:
    """Facts about the set of cutouts."""
    return {
        "survey": survey.name,
        "bands": list(survey.bands),
        "pixel_scale": survey.pixel_scale,
        "framing": asdict(framing),
        "unit": UNIT,
        "classes": sorted(set(labels["label"])),
        "counts": _counts(labels["label"]),
        "fine_counts": _counts(labels["fine_class"]),
        "source": f"galmorph {galmorph.__version__} mock of {survey.name}, seed {seed}",
        "seed": seed,
    }


def _settings(
    survey: Survey,
    tiles: int,
    seed: int,
    config: MockConfig,
    framing: Framing,
    detection: DetectionConfig,
    quantise: float,
) -> dict[str, Any]:
    """Everything that decided the mock, fit for TOML."""
    sky = {key: value for key, value in asdict(config).items() if value is not None}
    return {
        "galmorph": galmorph.__version__,
        "seed": seed,
        "tiles": tiles,
        "quantise": quantise,
        "sky": sky,
        "framing": asdict(framing),
        "detection": {key: value for key, value in asdict(detection).items() if value is not None},
        "survey": survey.to_dict(),
    }
