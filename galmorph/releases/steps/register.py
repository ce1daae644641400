"""The new model in the registry: beside the present one, and in use if it passed and shall be."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from galmorph.errors import RegistryError
from galmorph.registry import Reference, Registry
from galmorph.releases.description import Register
from galmorph.releases.steps.work import Step, Work
from galmorph.releases.weights import travelling_weights


def _depends(work: Work) -> dict[str, Any]:
    return {
        "register": None if work.release.register is None else asdict(work.release.register),
        "judge": work.facts("judge"),
        "new": work.facts("adapt").get("sha256"),
        "old": work.facts("begin")["sha256"],
    }


def _do(work: Work) -> dict[str, Any]:
    options, adapted, passed = work.release.register, work.facts("adapt"), bool(work.facts("judge").get("passed"))
    if options is None:
        return {"note": "no table [register]: no registry was told", "promoted": passed, "version": None}
    registry = Registry(options.registry, create=True)
    before = _present(work, registry, options)
    if "skipped" in adapted:
        return {"version": None, "promoted": False, "note": adapted["skipped"]}
    version = registry.register(
        Path(adapted["model"]),
        options.name,
        weights=Path(adapted["weights"]),
        facts={
            "parent": f"models:/{options.name}/{before}",
            "release": work.release.name,
            "gates": "passed" if passed else "failed",
            "report": str(work.page.resolve()),
        },
    )
    facts: dict[str, Any] = {"version": str(version), "promoted": False}
    champion = registry.champion(options.name)
    if champion is not None and champion.number == version.number:
        # An earlier call was stopped after it.
        return facts | {"promoted": True, "change": _change(registry, options.name)}
    registry.challenge(version)
    if not (passed and options.promote):
        return facts
    try:
        registry.promote(version, f"passed all gates of release {work.release.name}", expected=before)
    except RegistryError as error:
        return facts | {"note": str(error)}
    return facts | {"promoted": True, "change": _change(registry, options.name)}


def _present(work: Work, registry: Registry, options: Register) -> int:
    """Number of the present model's version under the name of this release's; a model without champion gets it."""
    begin = work.facts("begin")
    if begin["version"] is not None and Reference.parse(begin["reference"]).name == options.name:
        present = registry.get(begin["reference"])
    else:
        weights = work.release.adapt.weights
        kept = None if weights is None else travelling_weights(weights, work.journal.folder / "present.safetensors")
        present = registry.register(Path(begin["folder"]), options.name, weights=kept)
    if registry.champion(options.name) is None:
        registry.promote(present, f"was in use when release {work.release.name} came")
    return present.number


def _change(registry: Registry, name: str) -> str:
    record = registry.history(name)[-1]
    return f"{record.from_version} → {record.version}, {record.when}, {record.who}: {record.why}"


REGISTER = Step("register", _depends, _do)
