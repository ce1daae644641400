"""A new model, trained on the source and adapted to what was gathered."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from galmorph.bundle import load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    gathered = work.facts("gather")
    facts: dict[str, Any] = {"gather": gathered.get("digests"), "adapt": asdict(work.release.adapt)}
    if "skipped" not in gathered:
        from galmorph.training.recipe import load_recipe

        recipe = load_recipe(work.release.adapt.recipe)
        facts |= {"recipe": recipe.to_dict(), "source": _digests(recipe.source.path, recipe.source.kind)}
    # The place where it computes changes nothing.
    del facts["adapt"]["device"]
    return facts | {"model": work.facts("begin")["sha256"]}


def _do(work: Work) -> dict[str, Any]:
    gathered = work.facts("gather")
    if "skipped" in gathered:
        return dict(gathered)
    from galmorph.releases.adapting import adapt

    weights = work.facts("begin").get("weights")
    made = adapt(
        work.release.adapt,
        work.place("adapt", ADAPT),
        target=Path(gathered["cutouts"]),
        labelled=gathered["labelled"] > 0,
        weights=None if weights is None else Path(weights),
        progress=work.bar,
        callbacks=work.callbacks,
    )
    return made.to_dict() | {"sha256": load_bundle(made.model).sha256}


def _digests(path: Path, kind: str) -> Mapping[str, str] | None:
    """Digests of a set of cutouts; other kinds are known to their training."""
    return read_cutout_set(path).digests() if kind == "cutouts" else None


ADAPT = Step("adapt", _depends, _do)
