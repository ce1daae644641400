"""The tiles with the model that is in use now."""

from dataclasses import asdict
from typing import Any

from galmorph.releases.rescoring import rescore, tile_files
from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    return {
        "model": work.in_use().sha256,
        "tiles": asdict(work.release.tiles),
        "files": tile_files(work.release.tiles),
        "embedding": work.release.score.embedding,
    }


def _do(work: Work) -> dict[str, Any]:
    bundle = work.in_use()
    facts = rescore(
        work.release.tiles,
        work.release.score,
        bundle,
        work.journal.folder / f"run-{bundle.sha256[:8]}",
        old=work.release.old_catalog,
        progress=work.progress,
    )
    return facts | {"model": bundle.manifest.name, "sha256": bundle.sha256}


RESCORE = Step("rescore", _depends, _do)
