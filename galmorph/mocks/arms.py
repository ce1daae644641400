"""The plane of an inclined disc, and where spiral arms run in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galmorph.mocks.profiles import Float, rotate


@dataclass(frozen=True)
class DiscPlane:
    """Orientation of a thin disc on the sky.

    Parameters
    ----------
    position_angle : float
        Of the line of nodes, degrees east of north.
    cos_i : float
        Cosine of the inclination.
    spin : float
        1 or -1: the sense in which arms unwind on the sky.
    """

    position_angle: float
    cos_i: float
    spin: float

    def from_sky(self, east: Float, north: Float) -> tuple[Float, Float]:
        """Coordinates in the disc of offsets on the sky."""
        along, across = rotate(east, north, self.position_angle)
        return along, across * np.float32(self.spin / self.cos_i)

    def to_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Offsets on the sky (east, north) of coordinates in the disc."""
        angle, across = np.radians(self.position_angle), y * self.cos_i * self.spin
        return x * np.sin(angle) - across * np.cos(angle), x * np.cos(angle) + across * np.sin(angle)


class Arms:
    """Logarithmic arms of one galaxy: the azimuth of a ridge is ``ln(r / start) / tan(pitch)``.

    Real arms wander and differ, so the azimuth gets slow waves in ln(r) and each arm its own strength.

    Parameters
    ----------
    row : mapping
        Parameters of the galaxy; `arm_count` and `pitch_angle` (degrees) are used.
    start : float
        Radius at which arms begin, in half-light radii.
    angle : float
        Azimuth at which the first arm begins, radians.
    rng : numpy.random.Generator
        Source of the irregularities.
    """

    def __init__(self, row: Mapping[str, Any], start: float, angle: float, rng: np.random.Generator) -> None:
        self.count = int(row["arm_count"])
        self.start, self.angle = start, angle
        self._winding = float(1 / np.tan(np.radians(float(row["pitch_angle"]))))
        self._waves = (rng.normal(0.0, [0.3, 0.2, 0.12]) * 2 / self.count).tolist()
        self._phases = rng.uniform(0, 2 * np.pi, 3).tolist()
        self._imbalance = float(rng.uniform(0.0, 0.22))
        self._spurs = float(rng.uniform(0.0, 0.2))

    def azimuth(self, r: NDArray[Any]) -> NDArray[Any]:
        """Azimuth of the first arm at radius `r` (half-light radii), radians."""
        log_r = np.log(np.maximum(r, 0.03) / self.start).astype(r.dtype)
        azimuth = log_r * self._winding + self.angle
        for order, (wave, phase) in enumerate(zip(self._waves, self._phases, strict=True), start=1):
            azimuth += wave * np.sin(2 * order * log_r + phase)
        return np.asarray(azimuth, dtype=r.dtype)

    def phase(self, r: Float, azimuth: Float) -> Float:
        """Azimuth from the first arm's ridge, radians."""
        return np.asarray(azimuth - self.azimuth(r))

    def ridge(self, phase: Float, lag: float, sharpness: float) -> Float:
        """How close a place is to an arm, from 0 to about 1.

        Parameters
        ----------
        phase : ndarray of float32
            From `phase`.
        lag : float
            Shift of the ridge towards the inner edge of the arms, in radians of arm phase.
        sharpness : float
            Concentration of the ridge: its full width at half maximum is about ``2 sqrt(1.4 / sharpness)``
            radians of arm phase.
        """
        waves = np.cos(np.float32(self.count) * phase - np.float32(lag))
        ridge = np.exp(np.float32(sharpness) * (waves - 1))
        ridge *= 1 - np.float32(self._imbalance) * (1 - np.cos(phase))
        spurs = np.exp(np.float32(2 * sharpness) * (np.cos(np.float32(2 * self.count) * phase + np.float32(2.5)) - 1))
        return np.asarray(ridge + np.float32(self._spurs) * spurs, dtype=np.float32)
