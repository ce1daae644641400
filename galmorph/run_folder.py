"""What a run folder tells of its images: the tiles with their survey, for pictures of rows and for new examples."""

import copy
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from galmorph.bundle import Bundle, Precision
from galmorph.cutouts import Framing, field_cutter
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import DataError, RunError
from galmorph.gallery import pictures
from galmorph.render import mosaic
from galmorph.surveys import Survey, TileSource, find_tiles
from galmorph.tiles import read_tile

logger = logging.getLogger(__name__)

#: Pixels of a picture: more than a model takes, since people look at it.
PICTURE_SIZE = 128
#: What stands for a setting that a record leaves out, by what its reader complains of: one after the other is tried.
_UNSET: dict[str, Any] = {"missing": None, "tuple_type": [], "dict_type": {}}


@dataclass(frozen=True)
class RunFolder:
    """Tiles and settings of a run; made by `open_run`.

    Parameters
    ----------
    path : Path
        The folder.
    sources : tuple of TileSource
        Tiles whose files are still there.
    survey : Survey
        Profile of the run.
    detection : DetectionConfig
        How objects were found.
    """

    path: Path
    sources: tuple[TileSource, ...]
    survey: Survey
    detection: DetectionConfig

    def pictures(self, rows: pa.Table, size: int = PICTURE_SIZE) -> NDArray[np.uint8]:
        """Colour pictures of catalogue rows.

        Parameters
        ----------
        rows : pyarrow.Table
            Rows with the columns `tile`, `x`, `y` and `radius`.
        size : int
            Pixels along a side.

        Returns
        -------
        ndarray of uint8
            The shape is ``(len(rows), size, size, 3)``.

        Raises
        ------
        DataError
            If the files of a row's tile are not there any more.
        """
        there = {source.name for source in self.sources}
        gone = sorted(set(rows.column("tile").to_pylist()) - there)
        if gone:
            raise DataError(
                f"the files of tile {gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''} are not any more "
                f"where {self.path / 'run.json'} says, so that there can be no pictures; put them back there"
            )
        return pictures(rows, self.sources, self.survey, self.detection, Framing(size=size))


def open_run(path: str | Path) -> RunFolder:
    """Read what a run folder tells of its tiles.

    Parameters
    ----------
    path : str or Path
        Run folder, or the catalogue in it.

    Returns
    -------
    RunFolder
        Tiles and settings.

    Raises
    ------
    RunError
        If the folder is no run folder.
    """
    folder = Path(path)
    folder = folder if (folder / "run.json").is_file() else folder.parent
    try:
        document = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        settings, tiles = document["config"], document["tiles"]
        survey = _survey(settings["survey"])
        detection = TypeAdapter(DetectionConfig).validate_python(settings["detection"])
        files = [Path(entry["path"]) for tile in tiles.values() for entry in tile["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} lies in no run folder, so that its images cannot be found ({error}); "
            "give the catalogue where the run left it, RUN/catalog"
        ) from error
    sources, _ = find_tiles([file for file in files if file.exists()], survey)
    return RunFolder(folder, tuple(source for source in sources if source.name in tiles), survey, detection)


def draw_rows(run: RunFolder, rows: pa.Table, captions: Sequence[str], path: Path, columns: int = 5) -> None:
    """Write a mosaic of catalogue rows.

    Parameters
    ----------
    run : RunFolder
        Where their tiles are.
    rows : pyarrow.Table
        Rows with the columns `tile`, `x`, `y` and `radius`; at least one.
    captions : sequence of str
        One for each.
    path : Path
        Picture to write, of a kind that Pillow knows by its name.
    columns : int
        Pictures in a row.

    Raises
    ------
    DataError
        If there are no rows, the tiles are not there any more, or the picture cannot be written.
    """
    if not rows.num_rows:
        raise DataError(f"there are no rows to show; {path} is not written")
    images = run.pictures(rows)
    try:
        mosaic(images, captions, columns=columns, side=PICTURE_SIZE).save(path)
    except (OSError, ValueError) as error:
        raise DataError(f"the picture {path} cannot be written: {error}") from error


def features_of_image(
    image: Path,
    bundle: Bundle,
    survey: Survey,
    detection: DetectionConfig,
    device: str = "auto",
    precision: Precision = "float32",
) -> NDArray[np.float32]:
    """Features of the object nearest to the centre of an image, as a survey run would have made them.

    Parameters
    ----------
    image : Path
        A file of a tile, as the profile describes; its other bands lie beside it.
    bundle : Bundle
        The model.
    survey : Survey
        Profile that can read the image.
    detection : DetectionConfig
        How objects are found.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision : {"float32", "int8", "float16"}
        Which of the bundle's graphs, as in the run that the features are compared with.

    Returns
    -------
    ndarray of float32, shape (1, d)
        Features.

    Raises
    ------
    DataError
        If the image is no tile of the survey or shows no object near its centre.
    """
    from galmorph.inference.session import ScoringSession

    sources, unusable = find_tiles([image], survey)
    if len(sources) != 1 and (len({source.files for source in sources}) != 1 or unusable):
        reasons: Sequence[Any] = [item.reason for item in unusable]
        raise DataError(
            f"{image} is not one image of survey {survey.name}: {'; '.join(reasons) or 'no tile found'}. "
            "Name the profile that fits it with --survey"
        )
    # Of a large image, the stripes that show its middle: the object there may be kept by the one or the other.
    shown = [_central(source, bundle, survey, detection) for source in sources if _shows_middle(source)]
    found = [each for each in shown if each is not None]
    if not found:
        raise DataError(f"{image} shows no object near its centre; expected one there")
    distance, side, cutout = min(found, key=itemgetter(0))
    if distance > side / 2:
        logger.warning("%s: the object nearest to its centre lies %.1f arcsec from it, and is taken", image, distance)
    _, features = ScoringSession(bundle, device, precision=precision).predict(cutout)
    return features


def _shows_middle(source: TileSource) -> bool:
    """Whether the rows of a tile's middle are read of a stripe; of a whole tile all are."""
    if source.stripe is None:
        return True
    first, stop = source.stripe.read
    return first <= (source.stripe.shape[0] - 1) / 2 < stop


def _central(
    source: TileSource, bundle: Bundle, survey: Survey, detection: DetectionConfig
) -> tuple[float, float, NDArray[np.float32]] | None:
    """Distance from the centre and side of the cutout (arcsec), and the cutout, of the object nearest to the centre."""
    tile = read_tile(source, survey)
    order = bundle.check_survey(tile.name, tile.bands, tile.pixel_scale)
    field = extract(tile, detection, in_place=True)
    if not len(field.objects):
        return None
    height, width = tile.shape
    distance = np.hypot(field.objects["x"] - (width - 1) / 2, field.objects["y"] - (height - 1) / 2)
    nearest = field.objects.iloc[[int(np.argmin(distance))]]
    cutouts = field_cutter(field, tile, bundle.manifest.framing, order).cut(
        nearest["x"], nearest["y"], nearest["radius"]
    )
    return float(distance.min() * tile.pixel_scale), float(cutouts.side[0]), cutouts.images


def _survey(values: dict[str, Any]) -> Survey:
    """A profile from the settings that a run recorded, which leave out what is not set and what came later."""
    adapter, filled = TypeAdapter(Survey), copy.deepcopy(values)
    for _ in range(len(_UNSET)):
        try:
            return adapter.validate_python(filled)
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] in _UNSET and (problem["type"] == "missing" or problem["input"] is None):
                    place: Any = filled
                    for key in problem["loc"][:-1]:
                        place = place[key]
                    place[problem["loc"][-1]] = copy.copy(_UNSET[problem["type"]])
    return adapter.validate_python(filled)
