"""What decides the rows of a run: two runs of one configuration on one set of tiles give the same bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import galmorph
from galmorph.bundle import Bundle, Precision
from galmorph.detection import DetectionConfig
from galmorph.digests import file_sha256
from galmorph.surveys import Survey


@dataclass(frozen=True)
class RunConfig:
    """Settings of a survey run that change its rows.

    Workers, devices and schedulers are not among them: they change how long a run takes, not what it finds.

    Parameters
    ----------
    survey : Survey
        Resolved profile.
    model : str
        Name of the bundle.
    model_sha256 : str
        Identity of the bundle.
    detection : DetectionConfig
        How objects are found.
    positions_sha256 : str or None
        Digest of the table of given positions.
    embedding : bool
        If the feature vectors are kept, as float16.
    precision : {"float32", "int8", "float16"}
        Which of the bundle's graphs scores.
    """

    survey: Survey
    model: str
    model_sha256: str
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    positions_sha256: str | None = None
    embedding: bool = False
    precision: Precision = "float32"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able settings."""
        return {
            "survey": self.survey.to_dict(),
            "model": self.model,
            "model_sha256": self.model_sha256,
            "detection": asdict(self.detection),
            "positions_sha256": self.positions_sha256,
            "embedding": self.embedding,
            "precision": self.precision,
            # Detection and cutting are code as well as settings.
            "galmorph": galmorph.__version__,
        }

    def digest(self) -> str:
        """SHA-256 of the settings."""
        return digest(self.to_dict())


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-able facts, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def run_config(
    bundle: Bundle,
    survey: Survey,
    detection: DetectionConfig,
    positions: Path | None,
    embedding: bool,
    precision: Precision = "float32",
) -> RunConfig:
    """Resolve the configuration of a run."""
    return RunConfig(
        survey=survey,
        model=bundle.manifest.name,
        model_sha256=bundle.sha256,
        detection=detection,
        positions_sha256=None if positions is None else file_sha256(positions),
        embedding=bool(embedding),
        precision=precision,
    )
