"""Whether a model meets what it was made for: a verdict on how two samples of objects differ, in words.

`galmorph.releases.shift` measures the difference; `galmorph.releases.notice` reads catalogues and bundles for it. A
difference that statistics can see is not yet one that matters: a verdict asks for an effect of some size that is also
significant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from galmorph.imaging import Imaging
from galmorph.releases.shift import Shift, View

Verdict = Literal["as before", "recalibrate", "retrain"]
VERDICTS: tuple[Verdict, ...] = ("as before", "recalibrate", "retrain")


@dataclass(frozen=True)
class Limits:
    """From where on a difference matters.

    Parameters
    ----------
    significance : float
        Largest p-value, shared among all samples that are looked at.
    second : float
        Largest p-value of the discrepancy that supports the classifier; not shared.
    moved, other : float
        Area under the ROC curve of telling objects of one class, brightness and size apart, from which the model should
        be calibrated anew, or trained anew.
    stability : float
        Population stability index of a class's probability from which the model should be calibrated anew.
    unknown, many_unknown : float
        Change of the share of unknown objects from which the model should be calibrated anew; rise from which it should
        be trained anew.
    accuracy : float
        Drop of the accuracy estimated from the confidences from which the model should be trained anew.
    """

    significance: float = 0.01
    second: float = 0.05
    moved: float = 0.65
    other: float = 0.85
    stability: float = 0.25
    unknown: float = 0.05
    many_unknown: float = 0.2
    accuracy: float = 0.1


@dataclass(frozen=True)
class Region:
    """A part of the sky by itself.

    Parameters
    ----------
    name : str
        HEALPix order and pixel, nested.
    ra, dec : float
        Mean position of its objects, degrees.
    shift : Shift
        From the reference.
    verdict : str
        One of `VERDICTS`.
    reasons : tuple of str
        In words.
    """

    name: str
    ra: float
    dec: float
    shift: Shift
    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Drift:
    """A release beside what a model was made for.

    Parameters
    ----------
    verdict : {"as before", "recalibrate", "retrain"}
        What to do.
    reasons : tuple of str
        Why, in words; empty for *as before*.
    notes : tuple of str
        What could not be compared, and what is worth knowing.
    model : str
        Name of the model.
    release : str
        What was compared with it.
    shift : Shift or None
        Of all objects; None where the bundle has no objects to compare with, or too few are comparable.
    regions : tuple of Region
        Parts of the sky.
    imaging : dict of str to Imaging
        What images were like ``before`` and are ``now``, as far as it is known.
    view : View or None
        For a picture.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    model: str
    release: str
    shift: Shift | None
    regions: tuple[Region, ...]
    imaging: Mapping[str, Imaging]
    view: View | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; what is not a number is None."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "model": self.model,
            "release": self.release,
            "shift": None if self.shift is None else _plain(asdict(self.shift)),
            "regions": [_plain(asdict(region)) for region in self.regions],
            "imaging": {name: each.to_dict() for name, each in self.imaging.items()},
        }

    def summary(self) -> str:
        """What came out, for a person."""
        lines = [f"{self.release} beside model {self.model}: {self.verdict}"]
        lines += [f"  because {reason}" for reason in self.reasons]
        lines += describe_imaging(self.imaging)
        if self.shift is not None:
            lines += describe_shift(self.shift)
            lines.append(f"{len(self.regions)} parts of the sky by themselves: {_count(self.regions)}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def judge(shift: Shift, limits: Limits, looked_at: int = 1) -> tuple[Verdict, tuple[str, ...]]:
    """Weigh a shift.

    Parameters
    ----------
    shift : Shift
        From `compare`.
    limits : Limits
        What matters.
    looked_at : int
        Samples that are judged together, which share the significance.

    Returns
    -------
    verdict : str
        One of `VERDICTS`.
    reasons : tuple of str
        A line for each limit that is passed.
    """
    sure = limits.significance / looked_at
    found: list[tuple[Verdict, str]] = []
    # The discrepancy is a second opinion, and does not share its significance: permutations allow of no tiny p-values.
    if shift.auc >= limits.moved and shift.auc_p <= sure and shift.discrepancy_p <= limits.second:
        verdict: Verdict = "retrain" if shift.auc >= limits.other else "recalibrate"
        found.append(
            (
                verdict,
                f"objects of one class, brightness and size look different to the model: a classifier tells them from "
                f"those that it was made on with an AUC of {shift.auc:.2f} (0.5 would be chance)",
            )
        )
    for name, value in shift.stability.items():
        if value >= limits.stability and shift.stability_p[name] <= sure / len(shift.stability):
            was, is_now = shift.shares[name]
            found.append(
                (
                    "recalibrate",
                    f"the probability of {name} has another distribution (stability index {value:.2f}); it is the "
                    f"label of {is_now:.0%} of comparable objects, before of {was:.0%}",
                )
            )
    was, is_now = shift.unknown
    if abs(is_now - was) >= limits.unknown and shift.unknown_p <= sure:
        verdict = "retrain" if is_now - was >= limits.many_unknown else "recalibrate"
        found.append((verdict, f"{is_now:.0%} of comparable objects are called unknown, before {was:.0%}"))
    drop = shift.accuracy[0] - shift.accuracy[1]
    if drop >= limits.accuracy and drop >= norm.isf(sure) * _drop_error(shift):
        found.append(
            (
                "retrain",
                f"by the confidences about {shift.accuracy[1]:.0%} of the labels are right, before "
                f"{shift.accuracy[0]:.0%} (an estimate without labels)",
            )
        )
    return worst([verdict for verdict, _ in found]), tuple(reason for _, reason in found)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The gravest of verdicts."""
    return VERDICTS[max((VERDICTS.index(verdict) for verdict in verdicts), default=0)]


def conclude(
    shift: Shift | None, parts: Sequence[tuple[str, float, float, Shift]], limits: Limits
) -> tuple[Verdict, tuple[str, ...], tuple[Region, ...]]:
    """Weigh the shift of all objects and those of parts of the sky.

    Parameters
    ----------
    shift : Shift or None
        Of all objects.
    parts : sequence of tuple
        Name, RA, Dec and shift of each part of the sky.
    limits : Limits
        What matters.

    Returns
    -------
    verdict, reasons
        Of all together; a part that is graver than the whole is named.
    regions : tuple of Region
        The parts, each with its own.
    """
    looked_at = len(parts) + 1
    regions = tuple(Region(name, ra, dec, each, *judge(each, limits, looked_at)) for name, ra, dec, each in parts)
    verdict, reasons = ("as before", ()) if shift is None else judge(shift, limits, looked_at)
    graver = [region for region in regions if VERDICTS.index(region.verdict) > VERDICTS.index(verdict)]
    if graver:
        gravest = max(graver, key=lambda region: (VERDICTS.index(region.verdict), region.shift.auc))
        verdict = gravest.verdict
        reasons += (
            f"{len(graver)} of {len(regions)} parts of the sky differ more than the whole; around RA {gravest.ra:.3f}, "
            f"Dec {gravest.dec:+.3f}: {gravest.reasons[0]}",
        )
    return verdict, reasons, regions


def describe_imaging(imaging: Mapping[str, Imaging]) -> list[str]:
    """Lines about what images were like and are."""
    if set(imaging) != {"before", "now"}:
        return []
    was, is_now = imaging["before"], imaging["now"]
    lines = [
        f"pixels: {_from_to(was.pixel_scale, is_now.pixel_scale, '.3f', 'arcsec')}; most compact objects: "
        f"{_from_to(was.sharpness, is_now.sharpness, '.2f', 'arcsec across')}"
    ]
    return lines + [
        f"{band}: depth {_from_to(was.depth[band], is_now.depth[band], '.2f', 'mag')}, noise in a square arcsec "
        f"{_from_to(was.noise[band], is_now.noise[band], '.3g', 'nmgy')}, seeing by the profile "
        f"{_from_to(was.seeing.get(band, np.nan), is_now.seeing.get(band, np.nan), '.2f', 'arcsec')}"
        for band in is_now.noise
        if band in was.noise
    ]


def _from_to(was: float, is_now: float, digits: str, unit: str) -> str:
    """Two values in words; one that could not be measured is called so."""
    told = [f"{value:{digits}}" if np.isfinite(value) else "not measured" for value in (was, is_now)]
    return f"{told[0]} → {told[1]} {unit}"


def describe_shift(shift: Shift) -> list[str]:
    """Lines about a shift."""
    classes = ", ".join(
        f"{name} {value:.2f} ({shift.shares[name][0]:.0%} → {shift.shares[name][1]:.0%})"
        for name, value in shift.stability.items()
    )
    lines = [
        f"{shift.comparable} of {shift.objects} objects have a counterpart of like brightness and size; "
        f"{shift.beyond:.0%} lie beyond what the model was made on",
        f"looks, by {shift.basis}: AUC {shift.auc:.3f} (p = {shift.auc_p:.2g}), squared MMD {shift.discrepancy:.4f} "
        f"(p = {shift.discrepancy_p:.2g})",
        f"stability index of classes: {classes}",
        f"unknown: {shift.unknown[0]:.1%} → {shift.unknown[1]:.1%}",
    ]
    if np.isfinite(shift.accuracy[1]):
        lines.append(f"accuracy: {shift.accuracy[0]:.1%} measured → {shift.accuracy[1]:.1%} estimated without labels")
    return lines


def _drop_error(shift: Shift) -> float:
    """Standard error of the drop of accuracy, which is that of the share of confident objects."""
    before, now = shift.confident
    return float(np.sqrt((before * (1 - before) + now * (1 - now)) / max(shift.comparable, 1)))


def _count(regions: Sequence[Region]) -> str:
    counts = {name: sum(region.verdict == name for region in regions) for name in VERDICTS}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none has enough objects"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
