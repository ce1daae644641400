"""The page that tells what the steps before gave, and what to do."""

from dataclasses import asdict
from typing import Any

from galmorph.releases.advice import Advice, advise
from galmorph.releases.report import Story, release_page
from galmorph.releases.steps.work import Step, Work


def advice_of(work: Work) -> Advice:
    """What to do, when all steps before the report are done."""
    options, facts = work.release.register, work.facts
    name, registry = (None, None) if options is None else (options.name, options.registry)
    in_use = work.in_use_words()
    return advise(facts("judge"), facts("register"), facts("diff"), name=name, in_use=in_use, registry=registry)


def _depends(work: Work) -> dict[str, Any]:
    return {step: entry.key for step, entry in work.done.items()} | {"in_use": work.in_use().sha256}


def _do(work: Work) -> dict[str, Any]:
    parts = {step: entry.facts for step, entry in work.done.items()}
    parts["register"] = parts["register"] | {"in_use": work.in_use_words()}
    seconds = {step: entry.seconds for step, entry in work.done.items()}
    story = Story(name=work.release.name, advice=advice_of(work), seconds=seconds, **parts)
    work.journal.keep(work.page.name, release_page(story))
    return {"page": str(work.page), "advice": asdict(story.advice)}


REPORT = Step("report", _depends, _do)
