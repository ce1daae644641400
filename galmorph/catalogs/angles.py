"""Angles as people write them: 3arcsec, 0.5deg, 2'."""

import re

from galmorph.errors import CatalogError

#: Degrees in a unit.
_UNITS = {
    "deg": 1.0, "d": 1.0, "°": 1.0,
    "arcmin": 1 / 60, "'": 1 / 60, "arcsec": 1 / 3600, '"': 1 / 3600, "as": 1 / 3600, "mas": 1 / 3_600_000,
}  # fmt: skip
_ANGLE = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*")


def degrees_of(text: str | float, unit: str) -> float:
    """An angle in degrees.

    Parameters
    ----------
    text : str or float
        A number, and after it perhaps a unit: deg, arcmin, arcsec or mas.
    unit : {"deg", "arcmin", "arcsec"}
        Unit of a number without one.

    Returns
    -------
    float
        Degrees.

    Raises
    ------
    CatalogError
        If it is no positive angle.
    """
    found = _ANGLE.fullmatch(str(text))
    if found is None or (found[2] or unit) not in _UNITS or float(found[1]) <= 0:
        raise CatalogError(f"{text!r} is no angle; expected a positive number and a unit, such as 3arcsec or 0.5deg")
    return float(found[1]) * _UNITS[found[2] or unit]
