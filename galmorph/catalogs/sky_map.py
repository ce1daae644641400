"""Where a catalogue has rows, as a picture: the sky in Mollweide's projection, and a closer look at a small field."""

from pathlib import Path

import numpy as np
from cdshealpix.nested import healpix_to_lonlat
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from galmorph.catalogs.healpix import INDEX_ORDER, healpix_index
from galmorph.errors import CatalogError

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

#: Pixels of the map of the sky across; it is half as high.
WIDTH = 880
#: Catalogues whose rows reach no farther than this (degrees) from their centre get a second map of just them.
SMALL = 15.0
_BACKGROUND, _SKY, _LINE, _TEXT = (255, 255, 255), (236, 239, 244), (200, 206, 216), (70, 76, 90)
#: Colours of few and of many rows.
_FEW, _MANY = np.array([150, 190, 230.0]), np.array([18, 48, 110.0])
_MARK = (214, 69, 65)
_MARGIN = 24
#: Finest order whose pixels the maps count rows in.
_FINEST = 13
#: Order for the whole sky: pixels half a degree across, about a picture element.
_WHOLE = 7


def draw_sky(healpix: NDArray[np.int64], centre: tuple[float, float], extent: float, title: str, path: Path) -> None:
    """Draw how many rows there are where.

    Parameters
    ----------
    healpix : ndarray of int64, shape (n,)
        HEALPix pixels of order 29 of the rows.
    centre : tuple of float
        Middle of the rows, right ascension and declination in degrees.
    extent : float
        Largest angle (degrees) of a row from it.
    title : str
        A line above the map.
    path : Path
        Picture to write.

    Raises
    ------
    CatalogError
        If it cannot be written.
    """
    small = bool(len(healpix)) and extent <= SMALL
    height = WIDTH // 2
    canvas = Image.new(
        "RGB", (WIDTH + 2 * _MARGIN + (height + _MARGIN if small else 0), height + 3 * _MARGIN), _BACKGROUND
    )
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    canvas.paste(Image.fromarray(_mollweide(healpix)), (_MARGIN, 2 * _MARGIN))
    pen.text((_MARGIN, 10), title, fill=_TEXT, font=font)
    for ra in (240, 180, 120):
        x, y = _project(np.array([float(ra)]), np.array([0.0]))
        pen.text((_MARGIN + x[0] - 12, 2 * _MARGIN + y[0] + 2), f"{ra}°", fill=_TEXT, font=font)
    if small:
        x, y = _project(np.array([centre[0]]), np.array([centre[1]]))
        left, top = _MARGIN + float(x[0]), 2 * _MARGIN + float(y[0])
        pen.ellipse((left - 8, top - 8, left + 8, top + 8), outline=_MARK, width=2)
        field = max(1.15 * extent, 0.01)
        canvas.paste(Image.fromarray(_close(healpix, centre, field, height)), (WIDTH + 2 * _MARGIN, 2 * _MARGIN))
        words = f"ra {centre[0]:.3f}, dec {centre[1]:+.3f}; {2 * field:.3g}° across, north up, east left"
        pen.text((WIDTH + 2 * _MARGIN, 2 * _MARGIN + height + 4), words, fill=_TEXT, font=font)
    words = "right ascension grows to the left, 180° in the middle; darker: more rows"
    pen.text((_MARGIN, 2 * _MARGIN + height + 4), words, fill=_TEXT, font=font)
    try:
        canvas.save(path)
    except (OSError, ValueError) as error:
        raise CatalogError(f"the map {path} cannot be written: {error}") from error


def _mollweide(healpix: NDArray[np.int64]) -> Pixels:
    """The whole sky, right ascension 180 in the middle, growing to the left."""
    height = WIDTH // 2
    rows, columns = np.mgrid[:height, :WIDTH]
    x, y = (columns + 0.5) / (WIDTH / 2) - 1, 1 - (rows + 0.5) / (height / 2)
    inside = x**2 + y**2 < 1
    theta = np.arcsin(y[inside])
    dec = np.degrees(np.arcsin(np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1, 1)))
    ra = (180 - 180 * np.clip(x[inside] / np.cos(theta), -1, 1)) % 360
    picture = np.full((height, WIDTH, 3), _BACKGROUND, dtype=np.uint8)
    picture[inside] = _shade(healpix, ra, dec, _WHOLE)
    # Where the map is narrow, at the poles, a pixel of the sky may hold the middle of no picture element.
    pixels = np.unique(healpix >> (2 * (INDEX_ORDER - _WHOLE)))
    if len(pixels):
        longitude, latitude = (angle.deg for angle in healpix_to_lonlat(pixels.astype(np.uint64), _WHOLE))
        place_x, place_y = (place.astype(int) for place in _project(longitude, latitude))
        place_x, place_y = np.clip(place_x, 0, WIDTH - 1), np.clip(place_y, 0, height - 1)
        bare = (picture[place_y, place_x] == _SKY).all(axis=1) | (picture[place_y, place_x] == _BACKGROUND).all(axis=1)
        picture[place_y[bare], place_x[bare]] = _FEW.astype(np.uint8)
    lines = np.zeros((height, WIDTH), dtype=bool)
    for values, step in ((ra, 60.0), (dec, 30.0)):
        grid = np.zeros((height, WIDTH))
        grid[inside] = np.floor(values / step)
        lines[:, 1:] |= (grid[:, 1:] != grid[:, :-1]) & inside[:, 1:] & inside[:, :-1]
        lines[1:] |= (grid[1:] != grid[:-1]) & inside[1:] & inside[:-1]
    empty = (picture == _SKY).all(axis=2)
    picture[lines & empty] = _LINE
    return picture


def _project(ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Place of positions on the map of the sky, in its pixels."""
    latitude = np.radians(dec)
    theta = latitude.copy()
    for _ in range(50):  # Newton's method; at the poles it is there at once
        slope = 2 + 2 * np.cos(2 * theta)
        theta -= np.where(
            slope > 1e-9, (2 * theta + np.sin(2 * theta) - np.pi * np.sin(latitude)) / np.maximum(slope, 1e-9), 0
        )
    x = (180 - ra % 360) / 180 * np.cos(theta)
    return (x + 1) * WIDTH / 2, (1 - np.sin(theta)) * WIDTH / 4


def _close(healpix: NDArray[np.int64], centre: tuple[float, float], field: float, side: int) -> Pixels:
    """A field around the centre, half a side being `field` degrees (gnomonic)."""
    rows, columns = np.mgrid[:side, :side]
    reach = np.tan(np.radians(field))
    xi, eta = (1 - (columns + 0.5) / (side / 2)) * reach, (1 - (rows + 0.5) / (side / 2)) * reach
    ra0, dec0 = np.radians(centre[0]), np.radians(centre[1])
    ra = ra0 + np.arctan2(xi, np.cos(dec0) - eta * np.sin(dec0))
    dec = np.arcsin((np.sin(dec0) + eta * np.cos(dec0)) / np.sqrt(1 + xi**2 + eta**2))
    # Pixels about a fortieth of the picture, so that sparse rows make an area.
    order = int(np.clip(np.floor(np.log2(58.6 / (2 * field / 40))), 3, _FINEST))
    shades = _shade(healpix, np.degrees(ra).ravel() % 360, np.degrees(dec).ravel(), order)
    return shades.reshape(side, side, 3)


def _shade(healpix: NDArray[np.int64], ra: Floats, dec: Floats, order: int) -> Pixels:
    """Colours of places by the number of rows in their pixels."""
    pixels, counts = np.unique(healpix >> (2 * (INDEX_ORDER - order)), return_counts=True)
    shades = np.full((len(ra), 3), _SKY, dtype=np.uint8)
    if not len(pixels):
        return shades
    where = healpix_index(ra, dec, order)
    place = np.minimum(np.searchsorted(pixels, where), len(pixels) - 1)
    hit = pixels[place] == where
    strength = (np.log(counts[place[hit]]) / max(np.log(counts.max()), 1e-9))[:, None]
    shades[hit] = (_FEW + strength * (_MANY - _FEW)).astype(np.uint8)
    return shades
