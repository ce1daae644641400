"""The present model, settled once."""

from typing import Any

from galmorph.bundle import load_bundle
from galmorph.registry import Registry, is_reference
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    return {"model": work.release.model, "registry": _registry(work)}


def _do(work: Work) -> dict[str, Any]:
    model = work.release.model
    if not is_reference(model):
        bundle = load_bundle(model)
        return {"reference": model, "folder": str(bundle.path), "sha256": bundle.sha256, "version": None}
    registry = Registry(_registry(work))
    version = registry.get(model)
    weights = registry.weights(version)
    return {
        "reference": str(version),
        "folder": str(registry.fetch(version)),
        "sha256": version.facts["sha256"],
        "version": version.number,
        "weights": None if weights is None else str(weights),
    }


def _registry(work: Work) -> str | None:
    return None if work.release.register is None else work.release.register.registry


BEGIN = Step("begin", _depends, _do)
