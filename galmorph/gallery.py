"""Pictures of catalogue rows, cut from their tiles as the model saw them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from galmorph.cutouts import Cutter, Framing, field_cutter
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import DataError
from galmorph.render import rgb
from galmorph.surveys import Survey, TileSource
from galmorph.tiles import read_tile


def pictures(
    rows: pa.Table, sources: Sequence[TileSource], survey: Survey, detection: DetectionConfig, framing: Framing
) -> NDArray[np.uint8]:
    """Colour pictures of catalogue rows; each tile is opened once.

    Parameters
    ----------
    rows : pyarrow.Table
        Rows of a catalogue with the columns `tile`, `x`, `y` and `radius`.
    sources : sequence of TileSource
        Tiles of the run.
    survey : Survey
        Profile of the run.
    detection : DetectionConfig
        Settings of the run, for the same background.
    framing : Framing
        How cutouts are sized.

    Returns
    -------
    ndarray of uint8
        The shape is ``(len(rows), N, N, 3)``.

    Raises
    ------
    DataError
        If a row lies on a tile that is not among the sources.
    """
    table = rows.to_pandas()
    by_name = {source.name: source for source in sources}
    images = np.zeros((len(table), len(survey.bands), framing.size, framing.size), dtype=np.float32)
    for name, group in table.groupby("tile"):
        if name not in by_name:
            raise DataError(f"a row lies on tile {name}, which is not among the tiles given: {', '.join(by_name)}")
        places = table.index.get_indexer(group.index)
        images[places] = (
            _cutter(by_name[str(name)], survey, detection, framing).cut(group["x"], group["y"], group["radius"]).images
        )
    return rgb(images, bands=survey.bands)


def _cutter(source: TileSource, survey: Survey, detection: DetectionConfig, framing: Framing) -> Cutter:
    tile = read_tile(source, survey)
    return field_cutter(extract(tile, detection, in_place=True), tile, framing)
