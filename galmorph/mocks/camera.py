"""What a survey profile says about noise and calibration, in the units in which tiles are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galmorph.errors import ConfigError
from galmorph.surveys import Survey, load_survey, survey_names

Float = NDArray[np.float32]

#: Keys of a profile's [mock] table that are needed, each one number per band.
MOCK_KEYS = ("sky", "gain")


@dataclass(frozen=True)
class Camera:
    """A survey as seen by the painter.

    Parameters
    ----------
    name : str
        Of the survey.
    bands : tuple of str
        In order.
    pixel_scale : float
        Arcsec per pixel.
    seeing : mapping of str to float
        Median FWHM per band in arcsec.
    counts_per_nanomaggy : ndarray of float32
        From the AB zero-points. Shape ``(bands,)``.
    gain : ndarray of float32
        Electrons per count. Shape ``(bands,)``.
    sky_variance : ndarray of float32
        Variance of the counts of an empty pixel: sky counts over gain. Shape ``(bands,)``.
    """

    name: str
    bands: tuple[str, ...]
    pixel_scale: float
    seeing: Mapping[str, float]
    counts_per_nanomaggy: Float
    gain: Float
    sky_variance: Float


def camera_of(survey: Survey) -> Camera:
    """Camera of a survey.

    Parameters
    ----------
    survey : Survey
        A profile with a [mock] table: `sky` (AB magnitude per square arcsec) and `gain` (electrons per count).

    Raises
    ------
    ConfigError
        If the profile does not say what it takes to draw the survey.
    """
    mock = survey.mock or {}
    missing = [key for key in MOCK_KEYS if any(band not in mock.get(key, {}) for band in survey.bands)]
    if missing or survey.pixel_scale is None or not survey.zero_point or not survey.seeing:
        able = [name for name in survey_names() if load_survey(name, complete=False).mock]
        raise ConfigError(
            f"survey {survey.name!r} cannot be mocked: that takes pixel_scale, zero_point, seeing and a [mock] table "
            f"with {' and '.join(MOCK_KEYS)} for every band in the profile. Profiles that have them: {', '.join(able)}"
        )
    zero_point, sky, gain = (
        np.array([table[band] for band in survey.bands]) for table in (survey.zero_point, mock["sky"], mock["gain"])
    )
    counts_per_nanomaggy = 10 ** (0.4 * (zero_point - 22.5))
    sky_counts = 10 ** (0.4 * (zero_point - sky)) * survey.pixel_scale**2
    return Camera(
        survey.name,
        survey.bands,
        survey.pixel_scale,
        survey.seeing,
        counts_per_nanomaggy.astype(np.float32),
        gain.astype(np.float32),
        (sky_counts / gain).astype(np.float32),
    )
