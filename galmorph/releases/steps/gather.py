"""Cutouts of the release to adapt to, if the verdict on it asks for a new model."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from galmorph.cutout_set import read_cutout_set
from galmorph.digests import file_sha256
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    notice, given = work.done["notice"].key, work.release.gather
    if not _wanted(work):
        return {"wanted": False, "notice": notice, "retrain_at": work.release.notice.retrain_at}
    facts = {"wanted": True, "gather": asdict(given), "labels": [file_sha256(Path(table)) for table in given.labels]}
    if given.cutouts is not None:
        return facts | {"cutouts": read_cutout_set(given.cutouts).digests()}
    from galmorph.releases.gathering import known_sets

    known = known_sets(work.release, work.present())
    return facts | {
        "notice": notice,
        "known": [read_cutout_set(path).digests() for path in known],
        "old_catalog": work.release.old_catalog,
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
