"""Whether the new tiles are like what the present model was made for."""

from dataclasses import asdict
from typing import Any

from galmorph.releases.steps.work import Step, Work


def _depends(work: Work) -> dict[str, Any]:
    return {
        "model": work.facts("begin")["sha256"],
        "tiles": asdict(work.release.tiles),
        "look_at": work.release.notice.tiles,
    }


def _do(work: Work) -> dict[str, Any]:
    from galmorph.releases.notice import drift

    tiles, folder = work.release.tiles, work.place("drift", NOTICE)
    found = drift(
        list(tiles.inputs),
        work.present(),
        survey=tiles.survey,
        out=folder,
        tiles=work.release.notice.tiles,
        positions=tiles.positions,
        release=tiles.release,
        options=dict(tiles.options) or None,
        workers=work.release.score.workers,
    )
    return found.to_dict() | {"picture": str(folder / "drift.png"), "folder": str(folder)}


NOTICE = Step("notice", _depends, _do)
