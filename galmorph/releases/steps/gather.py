"""Cutouts of the release to adapt to, if the verdict on it asks for a new model."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from galmorph.digests import file_sha256
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    return {
        "wanted": _wanted(work),
        "model": work.facts("begin")["sha256"],
        "tiles": asdict(work.release.tiles),
        "gather": asdict(work.release.gather),
        "labels": [file_sha256(Path(table)) for table in work.release.gather.labels],
    }


def _do(work: Work) -> dict[str, Any]:
    if not _wanted(work):
        return {
            "skipped": f"no new model: the verdict on the release is {work.facts('notice')['verdict']!r}, and "
            f"notice.retrain_at is {work.release.notice.retrain_at!r}"
        }
    from galmorph.releases.gathering import gather_target

    catalog = Path(work.facts("notice")["folder"]) / "run" / "catalog"
    return gather_target(work.release, work.present(), catalog, work.place("gather", GATHER))


def _wanted(work: Work) -> bool:
    """Whether the verdict on the release asks for a new model."""
    verdict, least = work.facts("notice")["verdict"], work.release.notice.retrain_at
    return least == "always" or verdict == "retrain" or (verdict == "recalibrate" and least == "recalibrate")


GATHER = Step("gather", _depends, _do)
