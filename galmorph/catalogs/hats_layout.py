"""Files of the HATS layout beside the data: properties, partitions, Parquet metadata. None tells the time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hats.catalog.dataset.table_properties import TableProperties
from hats.catalog.partition_info import PartitionInfo
from hats.io.file_io.file_io import write_fits_image
from hats.io.parquet_metadata import write_parquet_metadata
from hats.pixel_math.healpix_pixel import HealpixPixel
from numpy.typing import NDArray

from galmorph import __version__
from galmorph.catalogs.partitions import INDEX_ORDER, Partition

#: Version of what galmorph keeps in a catalogue; a newer one is refused on opening.
FORMAT = 1
PROVENANCE_FILE = "provenance.json"
SKY_MAP_FILE = "skymap.fits"
#: Order of the sky map: pixels 3.4 arcmin across.
SKY_MAP_ORDER = 10
_PREFIX = "galmorph_"


def write_layout(
    folder: Path,
    partitions: Sequence[Partition],
    healpix: NDArray[np.int64],
    provenance: Mapping[str, Any],
    settings: Mapping[str, float],
    name: str,
) -> None:
    """Write everything of a HATS catalogue but the data, which is already in the folder.

    Parameters
    ----------
    folder : Path
        Folder of the catalogue.
    partitions : sequence of Partition
        All partitions, whose files are written.
    healpix : ndarray of int64, shape (n,)
        HEALPix pixels of order 29 of all rows, for the map of how many there are where.
    provenance : mapping
        Where the catalogue comes from; anything that JSON can hold. It is kept whole in `provenance.json`, and its
        short values are repeated in `hats.properties`.
    settings : mapping
        `match_radius` (arcsec) and `max_rows`, as the writer had them.
    name : str
        Name of the catalogue.
    """
    pixels = [HealpixPixel(part.order, part.pixel) for part in partitions]
    PartitionInfo(pixels).write_to_file(catalog_path=folder)
    rows = write_parquet_metadata(folder)
    properties = TableProperties.model_validate(
        {
            "catalog_name": name,
            "catalog_type": "object",
            "total_rows": rows,
            "ra_column": "ra",
            "dec_column": "dec",
            "healpix_column": "_healpix_29",
            "healpix_order": INDEX_ORDER,
            "hats_max_rows": settings["max_rows"],
            "skymap_order": SKY_MAP_ORDER,
            "hats_builder": f"galmorph {__version__}",
            "hats_version": "v1.0",
            f"{_PREFIX}match_radius": str(settings["match_radius"]),
            **_short_values(provenance),
        }
    )
    properties.to_properties_file(folder)
    counts = np.bincount(healpix >> (2 * (INDEX_ORDER - SKY_MAP_ORDER)), minlength=12 * 4**SKY_MAP_ORDER)
    write_fits_image(counts, folder / SKY_MAP_FILE)
    document = {"format": FORMAT, "galmorph": __version__, "provenance": provenance, "settings": settings}
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")


def _short_values(provenance: Mapping[str, Any], prefix: str = _PREFIX) -> dict[str, str]:
    """Values that fit a line of a properties file; lists and long texts stay in the JSON file."""
    lines: dict[str, str] = {}
    for key, value in sorted(provenance.items()):
        if isinstance(value, Mapping):
            lines |= _short_values(value, f"{prefix}{key}_")
        elif isinstance(value, str | int | float) and len(str(value)) <= 500:
            lines[f"{prefix}{key}"] = " ".join(str(value).split())
    return lines
