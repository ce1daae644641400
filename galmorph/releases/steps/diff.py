"""The catalogue so far beside the new one."""

from pathlib import Path
from typing import Any

from galmorph.releases.comparing import compare_catalogs
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    old = work.release.old_catalog
    return {"old": None if old is None else str(old), "new": work.done["rescore"].key}


def _do(work: Work) -> dict[str, Any]:
    old, new = work.release.old_catalog, Path(work.facts("rescore")["catalog"])
    if old is None:
        return {"skipped": "the description names no old catalogue"}
    if old.resolve() == new.resolve():
        return {"skipped": "the old catalogue is the new one"}
    return compare_catalogs(old, new, work.place("diff", DIFF))


DIFF = Step("diff", _depends, _do)
