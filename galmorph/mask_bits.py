"""Bits of a mask by their numbers, or by the names that its header gives them."""

from collections.abc import Sequence
from pathlib import Path

from astropy.io import fits

from galmorph.errors import TileError
from galmorph.fits_planes import Plane


def mask_bits(plane: Plane, bits: Sequence[int | str], path: Path) -> int:
    """Number with the given bits set.

    Parameters
    ----------
    plane : Plane
        A mask.
    bits : sequence of int or str
        Numbers of bits, or their names, whose numbers stand in the mask's header.
    path : Path
        How errors call the file.

    Returns
    -------
    int

    Raises
    ------
    TileError
        If the header tells the numbers of none of the names.
    """
    names = [bit for bit in bits if isinstance(bit, str)]
    known = _named_bits(plane.header) if names else {}
    found = [known[name] for name in names if name in known]
    if names and not found:
        listed = ", ".join(sorted(known)) if known else "none"
        raise TileError(
            f"{path}: the header of {plane.hdu} names no mask bit {' or '.join(names)} (as MP_{names[0]}, or "
            f"in MSKN0000 and so on); it names {listed}. Use the mask of the release, or a profile with "
            f"the numbers of the bits"
        )
    return sum(1 << bit for bit in {*found, *(bit for bit in bits if isinstance(bit, int))})


def _named_bits(header: fits.Header) -> dict[str, int]:
    """Bits that a mask's header names: ``MP_NAME = bit`` (lsst.afw) or ``MSKNbit = NAME`` (lsst.images)."""
    found: dict[str, int] = {}
    for keyword, value in header.items():
        name, bit = keyword.removeprefix("MP_"), value
        if keyword.startswith("MSKN") and keyword[4:].isdecimal():
            name, bit = str(value), int(keyword[4:])
        elif not keyword.startswith("MP_"):
            continue
        if type(bit) is int and 0 <= bit < 63:
            found[name] = bit
    return found
