"""Bits of the `flags` column, written once: constants, decoder and documentation come from here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FlagDefinition:
    """One bit of the `flags` column.

    Parameters
    ----------
    bit : int
        Position of the bit, 0 the least significant.
    name : str
        Upper-case name.
    description : str
        What is true of an object that has the bit set.
    """

    bit: int
    name: str
    description: str

    @property
    def value(self) -> int:
        """The integer with only this bit set."""
        return 1 << self.bit


FLAGS = (
    FlagDefinition(0, "EDGE", "the cutout reaches beyond the edge of the tile"),
    FlagDefinition(1, "MASKED", "more than one pixel in twenty of the cutout is masked or has no data"),
    FlagDefinition(2, "MISSING_BAND", "at least one band has no valid pixel in the cutout"),
    FlagDefinition(3, "BLENDED", "the object was deblended from a neighbour"),
    FlagDefinition(4, "SATURATED", "a pixel of the object, or of a hole without data that it touches, is saturated"),
    FlagDefinition(5, "LOW_SN", "the signal-to-noise ratio in the detection image is below ten"),
    FlagDefinition(
        6,
        "SIZE_LIMITED",
        "the size of the cutout was limited by the smallest or largest that the model takes",
    ),
    FlagDefinition(7, "NOT_DETECTED", "the position was given and nothing was detected there"),
    FlagDefinition(8, "TRUNCATED", "the object itself touches the edge of the tile"),
    FlagDefinition(9, "BAD_PHOTOMETRY", "flux or radius could not be measured reliably"),
)

(
    EDGE,
    MASKED,
    MISSING_BAND,
    BLENDED,
    SATURATED,
    LOW_SN,
    SIZE_LIMITED,
    NOT_DETECTED,
    TRUNCATED,
    BAD_PHOTOMETRY,
) = (flag.value for flag in FLAGS)


def decode(value: int) -> list[str]:
    """Names of the bits set in a value of the `flags` column.

    Parameters
    ----------
    value : int
        Value of the column.

    Returns
    -------
    list of str
        Names, lowest bit first.

    Raises
    ------
    ValueError
        If a bit is set that no flag defines.
    """
    unknown = value & ~sum(flag.value for flag in FLAGS)
    if unknown:
        raise ValueError(f"flags {value} has undefined bits set ({unknown:#x}); defined are bits 0 to {len(FLAGS) - 1}")
    return [flag.name for flag in FLAGS if value & flag.value]
