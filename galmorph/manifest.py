"""What the manifest of a model bundle says."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from galmorph.cutout_set import UNIT
from galmorph.cutouts import Framing
from galmorph.errors import BundleError, GalmorphError
from galmorph.names import NAME
from galmorph.scores import UnknownScore

#: Version of the manifest's layout that this code writes, and the newest that it reads.
FORMAT_VERSION = 1

#: Precisions that a graph may have beside float32.
FewerBits = Literal["int8", "float16"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnknownRule(_Strict):
    """When an object is called unknown: its score lies above the threshold."""

    score: UnknownScore = "entropy"
    threshold: float
    false_unknown_rate: float = Field(ge=0, le=1, description="share of known objects above it in source validation")


class FileEntry(_Strict):
    """A file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(_Strict):
    """Everything a survey run needs to know of a model.

    `pixel_scale` is that of the survey the model was trained on; a survey is refused outside
    `pixel_scale_range`, both in arcsec per pixel. A model of ``pixel values`` (pictures) fits no survey's tiles.
    """

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=NAME)
    description: str
    classes: list[str] = Field(min_length=1)
    private_classes: list[str] = Field(default=[], description="held out of training, to measure the unknown flag")
    survey: str
    bands: list[str] = Field(min_length=1)
    pixel_scale: float = Field(gt=0)
    pixel_scale_range: tuple[float, float]
    framing: Framing
    unit: Literal["nanomaggies arcsec-2", "pixel values"] = UNIT
    stretch: dict[str, Any]
    features: int = Field(ge=1, description="length of the feature vector")
    temperature: float = Field(gt=0)
    rho: float = Field(
        ge=0, description="boundary of entropy separation as trained, in nats; of entropies at temperature 1"
    )
    unknown: UnknownRule
    batch: int = Field(default=8, ge=1, description="batch size of a survey run; the last batch is padded")
    metrics: dict[str, Any]
    parity: dict[str, Any] = Field(description="largest difference between the exported graph and the trained network")
    precisions: dict[FewerBits, dict[str, Any]] = Field(
        default={}, description="how far graphs in fewer bits decide like the first"
    )
    training: dict[str, Any] = Field(description="recipe, seed, data digests, versions, commit")
    files: dict[str, FileEntry] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        for field in ("classes", "bands"):
            names = getattr(self, field)
            if len({name.lower() for name in names}) != len(names):
                raise ValueError(f"{field} has a name twice, or in other capitals: {names}")
        numbers = [self.unknown.threshold, self.temperature, self.rho, *self.pixel_scale_range]
        numbers += [measured["threshold"] for measured in self.precisions.values() if "threshold" in measured]
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise ValueError("thresholds, temperature, rho and pixel_scale_range must be finite numbers")
        if not 0 < self.pixel_scale_range[0] <= self.pixel_scale <= self.pixel_scale_range[1]:
            raise ValueError(
                f"pixel_scale {self.pixel_scale} must lie within pixel_scale_range {self.pixel_scale_range}"
            )
        return self


def parse_manifest(path: Path, raw: bytes) -> Manifest:
    """Manifest from its text; newer versions are named as such rather than failing on some field.

    Parameters
    ----------
    path : Path
        Its file, for errors.
    raw : bytes
        JSON.

    Returns
    -------
    Manifest

    Raises
    ------
    BundleError
        If it is not a manifest, or one of a newer galmorph.
    """
    try:
        facts = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}); copy the bundle again") from error
    version = facts.get("format_version") if isinstance(facts, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{path} has no format_version; it is not the manifest of a galmorph bundle")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version}, and this galmorph reads up to {FORMAT_VERSION}. "
            "Upgrade it with: pip install -U galmorph-survey"
        )
    try:
        return Manifest.model_validate(facts)
    except (ValidationError, GalmorphError) as error:
        raise BundleError(f"{path} is not a valid manifest: {_explain(error)}. Export the model again.") from error


def _explain(error: Exception) -> str:
    """First fault that validation found, in a line."""
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc'])) or 'manifest'}: {fault['msg']}"
    return str(error)
