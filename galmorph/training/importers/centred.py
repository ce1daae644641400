"""Pictures framed by the object at their centre, as a survey run frames what it finds."""

from dataclasses import replace

import numpy as np
import pandas as pd
from astropy.wcs import WCS
from numpy.typing import NDArray

from galmorph.cutouts import Framing, field_cutouts
from galmorph.detection import DetectionConfig, extract
from galmorph.errors import DataError, TileError
from galmorph.tiles import Tile
from galmorph.training.importers.convert import Images
from galmorph.training.pictures import each_band, is_blank

Float32 = NDArray[np.float32]

#: Width of a point source in pixels, which pictures do not state; that of surveys' viewers at their usual zoom.
SEEING = 3.5

#: Smallest frame in pixels, and what no picture of an object has one value in.
CENTRE = int(4 * SEEING)

#: Side of the boxes that the background is measured in, in sides of the picture.
BOX = 0.5

#: Widest frame in pixels: none in practice, and the same for all pictures, so that sets of them fit each other.
WIDEST = 10_000.0


def framing_of(size: int, factor: float) -> Framing:
    """Framing by an object's radius, with a pixel of the picture for an arcsec.

    Parameters
    ----------
    size : int
        Pixels a side of the result.
    factor : float
        Half side in radii of the object.

    Returns
    -------
    Framing
        Of mode "radius".
    """
    return Framing(size=size, factor=factor, min_angle=CENTRE, max_angle=WIDEST)


def framed(images: Images, factor: float | None, size: int | None, angle: float | None) -> Images:
    """A data set whose images are framed by the radius of the object at their centre.

    Parameters
    ----------
    images : Images
        The data set.
    factor : float or None
        Half side in radii of the object; None leaves the images as they are.
    size : int or None
        Pixels a side of the result, which framing needs.
    angle : float or None
        A fixed angle, which goes without.

    Returns
    -------
    Images
        The same rows.

    Raises
    ------
    DataError
        If the choice makes no sense.
    """
    if factor is None:
        return images
    if size is None or angle is not None:
        raise DataError("framing by the object's radius needs a size, and takes no angle")
    framing = framing_of(size, factor)
    return replace(images, framing=framing, frame=lambda image: frame_object(image, framing))


def frame_object(image: Float32, framing: Framing) -> Float32:
    """The object at the centre of a picture, found, measured and cut out as on a tile.

    Parameters
    ----------
    image : ndarray of float32
        Shape ``(bands, N, N)``.
    framing : Framing
        From `framing_of`.

    Returns
    -------
    ndarray of float32
        The background is subtracted; values are still the picture's. Shape ``(bands, size, size)``.

    Raises
    ------
    DataError
        If nothing is to be seen at the centre, as on a viewer's page of an error, or nothing can be measured.
    """
    bands, side = len(image), image.shape[1]
    middle = slice(max(0, (side - CENTRE) // 2), (side + CENTRE) // 2)
    if is_blank(centre := image[:, middle, middle]):
        raise DataError(f"it is blank at its centre: every value there is {each_band(centre)}")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [180.0, 0.0]
    wcs.wcs.crpix = [(side + 1) / 2] * 2
    wcs.wcs.cdelt = [-1 / 3600, 1 / 3600]
    names = tuple(str(number) for number in range(bands))
    clean = np.zeros((side, side), dtype=bool)
    valid = np.ones(image.shape, dtype=bool)
    tile = Tile("picture", names, image, None, clean, valid, wcs, 1.0, (), (SEEING,) * bands, names)
    position = pd.DataFrame({"source_id": ["centre"], "ra": [180.0], "dec": [0.0]})
    try:
        field = extract(tile, DetectionConfig(background_box=BOX * side, default_radius=2 * SEEING), position)
    except TileError as error:
        raise DataError(f"no object can be measured: {error}") from error
    cut: Float32 = field_cutouts(field, tile, slice(0, 1), framing).images[0]
    return cut
