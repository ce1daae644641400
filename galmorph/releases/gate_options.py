"""The gates of a release, as frozen dataclasses: what a new model has to show before it may take the old one's place.

A gate that is not in the file is not asked for; one that is asked for and cannot be computed is not passed.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from galmorph.training.options import STRICT, Count, Natural

Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True, kw_only=True)
class SourceGate:
    """The source's test part, which both models are measured on: nothing is forgotten.

    Parameters
    ----------
    measure : {"accuracy", "mean_recall"}
        Of objects of known classes, the unknown flag aside.
    drop : float
        Most that it may fall.
    familiar : float
        Most that the old model's measure on this set may lie below what its manifest recorded on its own test part. A
        set whose labels or bands are wrong is not what the old model learned from, and proves nothing. 1 does not
        ask.
    """

    __pydantic_config__ = STRICT

    measure: Literal["accuracy", "mean_recall"] = "accuracy"
    drop: Share = 0.03
    familiar: Share = 0.05


@dataclass(frozen=True, kw_only=True)
class TargetGate:
    """Objects of the new release with labels from the tables of ``[gather]``.

    Parameters
    ----------
    measure : {"h_score", "accuracy", "mean_recall", "mean_accuracy"}
        ``h_score`` (harmonic mean of known and unknown recall) and ``mean_accuracy`` (known classes and all
        unknown ones as one more) need labelled objects of classes that the model does not know; the others leave the
        flag aside.
    gain : float
        Least change; negative allows a loss.
    least_objects : int
        Fewest labelled objects that prove anything.
    """

    __pydantic_config__ = STRICT

    measure: Literal["h_score", "accuracy", "mean_recall", "mean_accuracy"] = "h_score"
    gain: Change = 0.0
    least_objects: Count = 30


@dataclass(frozen=True, kw_only=True)
class EstimateGate:
    """Accuracy on the new release estimated without its labels (average thresholded confidence, Garg et al. 2022).

    An estimate, not a measurement: it holds as far as confidence means the same on both surveys.

    Parameters
    ----------
    gain : float
        Least change of the estimate.
    """

    __pydantic_config__ = STRICT

    gain: Change = 0.0


@dataclass(frozen=True, kw_only=True)
class CalibrationGate:
    """Whether the new model's probabilities mean what they say.

    Parameters
    ----------
    error : float
        Largest expected calibration error on the source's test part.
    temperature : float
        Largest temperature that the probabilities there may still need. The error hardly sees that a model which is
        nearly always right is far too sure of itself; its entropies tell nothing of the unknown then.
    target_error : float or None
        Largest on the labelled objects of the new release; None does not ask.
    """

    __pydantic_config__ = STRICT

    error: Share = 0.1
    temperature: Annotated[float, Field(gt=1)] = 4.0
    target_error: Share | None = None


@dataclass(frozen=True, kw_only=True)
class UnknownGate:
    """Share of the new release's objects that the new model calls unknown.

    Parameters
    ----------
    least, most : float
        What is plausible.
    """

    __pydantic_config__ = STRICT

    least: Share = 0.0
    most: Share = 0.3

    def __post_init__(self) -> None:
        if not self.least < self.most:
            raise ValueError(f"least must be below most, got {self.least:g} and {self.most:g}")


@dataclass(frozen=True, kw_only=True)
class AgreementGate:
    """Share of bright objects of the new release to which both models give the same class.

    Parameters
    ----------
    least : float
        Smallest.
    brightest : float
        Which objects are bright: this share of all, by signal to noise.
    """

    __pydantic_config__ = STRICT

    least: Share = 0.8
    brightest: Annotated[float, Field(gt=0, le=1)] = 0.25


@dataclass(frozen=True, kw_only=True)
class Int8Gate:
    """The graph in whole numbers beside that in floating point, on objects of the new release.

    Parameters
    ----------
    least : float
        Smallest share of objects to which both give the same class.
    """

    __pydantic_config__ = STRICT

    least: Share = 0.98


@dataclass(frozen=True, kw_only=True)
class SpeedGate:
    """Time of the new model for the same images, over that of the old one, in one thread.

    Parameters
    ----------
    most : float
        Largest.
    """

    __pydantic_config__ = STRICT

    most: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.5


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What is asked of a new model.

    Parameters
    ----------
    source, target, estimate, calibration, unknown, agreement, int8, speed
        See the classes; None does not ask.
    decide_by : {"interval", "value"}
        ``interval``: the whole 95 % bootstrap interval has to keep the limit, so that few objects prove little.
        ``value``: the number itself.
    resamples : int
        That intervals are taken from.
    seed : int
        Of the resamples.
    """

    __pydantic_config__ = STRICT

    source: SourceGate | None = None
    target: TargetGate | None = None
    estimate: EstimateGate | None = None
    calibration: CalibrationGate | None = None
    unknown: UnknownGate | None = None
    agreement: AgreementGate | None = None
    int8: Int8Gate | None = None
    speed: SpeedGate | None = None
    decide_by: Literal["interval", "value"] = "interval"
    resamples: Annotated[int, Field(ge=100)] = 1000
    seed: Natural = 0

    def asked(self) -> dict[str, Any]:
        """Options of the gates that are asked for, by name, in the order of the report."""
        return {name: options for name in GATES if (options := getattr(self, name)) is not None}


#: Names of the gates in the order of the report.
GATES = ("source", "target", "estimate", "calibration", "unknown", "agreement", "int8", "speed")
