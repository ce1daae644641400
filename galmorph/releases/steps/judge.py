"""Whether the new model may take the place of the present one: what the gates say."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from galmorph.bundle import load_bundle
from galmorph.releases.gate_options import GATES
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    return {
        "gates": asdict(work.release.gates),
        "old": work.facts("begin")["sha256"],
        "new": work.facts("adapt").get("sha256"),
        "gather": work.facts("gather").get("digests"),
    }


def _do(work: Work) -> dict[str, Any]:
    adapted, gathered = work.facts("adapt"), work.facts("gather")
    if "skipped" in adapted:
        return dict(adapted)
    from galmorph.releases.judging import Material, judge

    material = Material(Path(adapted["source"]), Path(gathered["cutouts"]), gathered["labelled"] > 0)
    gates = work.release.gates
    asked = gates.asked()
    verdicts = judge(work.present(), load_bundle(adapted["model"]), material, gates)
    return {
        "verdicts": [verdict.to_dict() for verdict in verdicts],
        "not_asked": [name for name in GATES if name not in asked],
        # Without any gate nothing was shown.
        "passed": bool(verdicts) and all(verdict.passed for verdict in verdicts),
    }


JUDGE = Step("judge", _depends, _do)
