"""From a new release to a catalogue that follows it, as one call that can be stopped anywhere and goes on.

Steps: begin (which model is in use), notice, gather, adapt, judge, register, rescore, diff, report. Each is a function
of its own, and each one's result is a file in ``steps``; see `galmorph.releases.journal`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galmorph.bundle import Bundle, load_bundle
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import ConfigError, RegistryError
from galmorph.inference.config import file_sha256
from galmorph.inference.run import Progress
from galmorph.registry import CHAMPION, Reference, Registry, is_reference
from galmorph.releases.comparing import compare_catalogs
from galmorph.releases.description import Register, Release, load_release
from galmorph.releases.gate_options import GATES
from galmorph.releases.journal import Entry, Journal
from galmorph.releases.report import Advice, Story, release_page
from galmorph.releases.rescoring import rescore, tile_files
from galmorph.releases.weights import travelling_weights

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

logger = logging.getLogger(__name__)

#: In their order.
STEPS = ("begin", "notice", "gather", "adapt", "judge", "register", "rescore", "diff", "report")

#: Files in the folder of a release.
DESCRIPTION, REPORT = "release.toml", "report.html"

#: Called when a step is done, with its name, what it gave, and whether it was done before.
Told = Callable[[str, Mapping[str, Any], bool], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a release.

    Parameters
    ----------
    folder : Path
        Of the release.
    steps : dict
        What each step gave that was done.
    advice : Advice or None
        What to do; None if it was stopped before the report.
    report : Path or None
        The page.
    """

    folder: Path
    steps: dict[str, Mapping[str, Any]]
    advice: Advice | None
    report: Path | None


def retrain(
    release: Release | Path,
    out: Path | None = None,
    *,
    until: str | None = None,
    told: Told | None = None,
    progress: Progress | None = None,
    bar: bool = False,
    callbacks: "Sequence[Callback]" = (),
) -> Outcome:
    """Follow a new release: notice, gather, adapt, judge, register, score again, compare and report.

    The same call goes on where an interrupted one was, and does not repeat what is done; what changed in the
    description is done anew, with everything that builds on it. Which model is the present one is settled by the first
    call. A champion that was changed by hand since is what the tiles are scored with.

    Parameters
    ----------
    release : Release or Path
        The description, or its TOML file.
    out : Path, optional
        Folder; ``runs/releases/NAME`` by default.
    until : str, optional
        The last of `STEPS` to do.
    told : callable, optional
        Called after each step.
    progress : callable, optional
        Called after each tile that is scored.
    bar : bool
        Show a bar while training.
    callbacks : sequence of Callback
        Of Lightning, for the training.

    Returns
    -------
    Outcome
        What each step gave.

    Raises
    ------
    RunError
        If another call works in the folder.
    GalmorphError
        If something cannot be used. What is done is kept.
    """
    release = release if isinstance(release, Release) else load_release(release)
    if until is not None and until not in STEPS:
        raise ConfigError(f"{until!r} is no step; they are {', '.join(STEPS)}")
    folder = Path(out) if out is not None else Path("runs") / "releases" / release.name
    journal = Journal(folder)
    with journal.alone():
        journal.keep(DESCRIPTION, release.to_toml())
        return _Work(release, journal, until or STEPS[-1], told, progress, bar, callbacks).run()


class _Work:
    """One call: entries of the steps that are done, each made from those before."""

    def __init__(
        self,
        release: Release,
        journal: Journal,
        until: str,
        told: Told | None,
        progress: Progress | None,
        bar: bool,
        callbacks: "Sequence[Callback]",
    ) -> None:
        self.release, self.journal, self.until = release, journal, until
        self.told, self.progress, self.bar, self.callbacks = told, progress, bar, callbacks
        self.done: dict[str, Entry] = {}

    def run(self) -> Outcome:
        for step in STEPS[: STEPS.index(self.until) + 1]:
            entry, new = self.journal.do(step, getattr(self, f"_{step}_depends")(), getattr(self, f"_{step}"))
            self.done[step] = entry
            if self.told is not None:
                self.told(step, entry.facts, not new)
        reported = "report" in self.done
        return Outcome(
            self.journal.folder,
            {step: entry.facts for step, entry in self.done.items()},
            self._advice() if reported else None,
            self.journal.folder / REPORT if reported else None,
        )

    def _facts(self, step: str) -> dict[str, Any]:
        return self.done[step].facts

    def _place(self, what: str, step: str) -> Path:
        """A folder for a step's files that belongs to all that it depends on, so that a change never mixes them."""
        return self.journal.folder / f"{what}-{self.journal.key(step, getattr(self, f'_{step}_depends')())[:8]}"

    # begin: the present model, settled once

    def _begin_depends(self) -> dict[str, Any]:
        return {"model": self.release.model, "registry": self._registry_uri()}

    def _begin(self) -> dict[str, Any]:
        model = self.release.model
        if not is_reference(model):
            bundle = load_bundle(model)
            return {"reference": model, "folder": str(bundle.path), "sha256": bundle.sha256, "version": None}
        registry = Registry(self._registry_uri())
        version = registry.get(model)
        weights = registry.weights(version)
        return {
            "reference": str(version),
            "folder": str(registry.fetch(version)),
            "sha256": version.facts["sha256"],
            "version": version.number,
            "weights": None if weights is None else str(weights),
        }

    # notice

    def _notice_depends(self) -> dict[str, Any]:
        return {
            "model": self._facts("begin")["sha256"],
            "tiles": asdict(self.release.tiles),
            "look_at": self.release.notice.tiles,
        }

    def _notice(self) -> dict[str, Any]:
        from galmorph.releases.notice import drift

        tiles, folder = self.release.tiles, self._place("drift", "notice")
        found = drift(
            list(tiles.inputs),
            self._present(),
            survey=tiles.survey,
            out=folder,
            tiles=self.release.notice.tiles,
            options=dict(tiles.options) or None,
            workers=self.release.score.workers,
        )
        return found.to_dict() | {"picture": str(folder / "drift.png"), "folder": str(folder)}

    # gather

    def _gather_depends(self) -> dict[str, Any]:
        return {
            "wanted": self._wanted(),
            "model": self._facts("begin")["sha256"],
            "tiles": asdict(self.release.tiles),
            "gather": asdict(self.release.gather),
            "labels": [file_sha256(Path(table)) for table in self.release.gather.labels],
        }

    def _gather(self) -> dict[str, Any]:
        if not self._wanted():
            return {"skipped": self._why_not()}
        from galmorph.releases.gathering import gather_target

        catalog = Path(self._facts("notice")["folder"]) / "run" / "catalog"
        return gather_target(self.release, self._present(), catalog, self._place("gather", "gather"))

    # adapt

    def _adapt_depends(self) -> dict[str, Any]:
        gathered = self._facts("gather")
        facts: dict[str, Any] = {"gather": gathered.get("digests"), "adapt": asdict(self.release.adapt)}
        if "skipped" not in gathered:
            from galmorph.training.recipe import load_recipe

            recipe = load_recipe(self.release.adapt.recipe)
            facts |= {"recipe": recipe.to_dict(), "source": _digests(recipe.source.path, recipe.source.kind)}
        # The place where it computes changes nothing.
        del facts["adapt"]["device"]
        return facts | {"model": self._facts("begin")["sha256"]}

    def _adapt(self) -> dict[str, Any]:
        gathered = self._facts("gather")
        if "skipped" in gathered:
            return dict(gathered)
        from galmorph.releases.adapting import adapt

        weights = self._facts("begin").get("weights")
        made = adapt(
            self.release.adapt,
            self._place("adapt", "adapt"),
            target=Path(gathered["cutouts"]),
            labelled=gathered["labelled"] > 0,
            weights=None if weights is None else Path(weights),
            progress=self.bar,
            callbacks=self.callbacks,
        )
        return made.to_dict() | {"sha256": load_bundle(made.model).sha256}

    # judge

    def _judge_depends(self) -> dict[str, Any]:
        return {
            "gates": asdict(self.release.gates),
            "old": self._facts("begin")["sha256"],
            "new": self._facts("adapt").get("sha256"),
            "gather": self._facts("gather").get("digests"),
        }

    def _judge(self) -> dict[str, Any]:
        adapted, gathered = self._facts("adapt"), self._facts("gather")
        if "skipped" in adapted:
            return dict(adapted)
        from galmorph.releases.judging import Material, judge

        material = Material(Path(adapted["source"]), Path(gathered["cutouts"]), gathered["labelled"] > 0)
        gates = self.release.gates
        verdicts = judge(self._present(), load_bundle(adapted["model"]), material, gates)
        return {
            "verdicts": [verdict.to_dict() for verdict in verdicts],
            "not_asked": [name for name in GATES if getattr(gates, name) is None],
            # Without any gate nothing was shown.
            "passed": bool(verdicts) and all(verdict.passed for verdict in verdicts),
        }

    # register

    def _register_depends(self) -> dict[str, Any]:
        return {
            "register": None if self.release.register is None else asdict(self.release.register),
            "judge": self._facts("judge"),
            "new": self._facts("adapt").get("sha256"),
            "old": self._facts("begin")["sha256"],
        }

    def _register(self) -> dict[str, Any]:
        options, adapted, passed = self.release.register, self._facts("adapt"), self._facts("judge").get("passed")
        if options is None:
            note = "no table [register]: no registry was told"
            return {"note": note, "promoted": bool(passed), "version": None}
        registry = Registry(options.registry, create=True)
        before = self._register_present(registry, options)
        if "skipped" in adapted:
            return {"version": None, "promoted": False, "note": adapted["skipped"]}
        version = registry.register(
            Path(adapted["model"]),
            options.name,
            weights=Path(adapted["weights"]),
            facts={
                "parent": f"models:/{options.name}/{before}",
                "release": self.release.name,
                "gates": "passed" if passed else "failed",
                "report": str((self.journal.folder / REPORT).resolve()),
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
            registry.promote(version, f"passed all gates of release {self.release.name}", expected=before)
        except RegistryError as error:
            return facts | {"note": str(error)}
        return facts | {"promoted": True, "change": _change(registry, options.name)}

    def _register_present(self, registry: Registry, options: Register) -> int:
        """Number of the present model's version under the name of this release's; a model without champion gets it."""
        begin = self._facts("begin")
        if begin["version"] is not None and Reference.parse(begin["reference"]).name == options.name:
            present = registry.get(begin["reference"])
        else:
            weights = self.release.adapt.weights
            kept = None if weights is None else travelling_weights(weights, self.journal.folder / "present.safetensors")
            present = registry.register(Path(begin["folder"]), options.name, weights=kept)
        if registry.champion(options.name) is None:
            registry.promote(present, f"was in use when release {self.release.name} came")
        return present.number

    # rescore, with the model that is in use now

    def _rescore_depends(self) -> dict[str, Any]:
        return {
            "model": self._in_use().sha256,
            "tiles": asdict(self.release.tiles),
            "files": tile_files(self.release.tiles),
            "embedding": self.release.score.embedding,
        }

    def _rescore(self) -> dict[str, Any]:
        bundle = self._in_use()
        facts = rescore(
            self.release.tiles,
            self.release.score,
            bundle,
            self.journal.folder / f"run-{bundle.sha256[:8]}",
            old=self.release.old_catalog,
            progress=self.progress,
        )
        return facts | {"model": bundle.manifest.name, "sha256": bundle.sha256}

    # diff

    def _diff_depends(self) -> dict[str, Any]:
        old = self.release.old_catalog
        return {"old": None if old is None else str(old), "new": self.done["rescore"].key}

    def _diff(self) -> dict[str, Any]:
        old, new = self.release.old_catalog, Path(self._facts("rescore")["catalog"])
        if old is None:
            return {"skipped": "the description names no old catalogue"}
        if old.resolve() == new.resolve():
            return {"skipped": "the old catalogue is the new one"}
        return compare_catalogs(old, new, self._place("diff", "diff"))

    # report

    def _report_depends(self) -> dict[str, Any]:
        return {step: entry.key for step, entry in self.done.items()} | {"in_use": self._in_use().sha256}

    def _report(self) -> dict[str, Any]:
        register = self._facts("register") | {"in_use": self._in_use_words()}
        parts = {step: self._facts(step) for step in STEPS[:-1] if step != "register"}
        seconds = {step: entry.seconds for step, entry in self.done.items()}
        story = Story(name=self.release.name, advice=self._advice(), register=register, seconds=seconds, **parts)
        self.journal.keep(REPORT, release_page(story))
        return {"page": str(self.journal.folder / REPORT), "advice": asdict(story.advice)}

    # what several steps ask

    def _wanted(self) -> bool:
        """Whether the verdict on the release asks for a new model."""
        verdict, least = self._facts("notice")["verdict"], self.release.notice.retrain_at
        return least == "always" or verdict == "retrain" or (verdict == "recalibrate" and least == "recalibrate")

    def _why_not(self) -> str:
        verdict = self._facts("notice")["verdict"]
        return (
            f"no new model: the verdict on the release is {verdict!r}, and notice.retrain_at is "
            f"{self.release.notice.retrain_at!r}"
        )

    def _present(self) -> Bundle:
        return load_bundle(self._facts("begin")["folder"])

    def _in_use(self) -> Bundle:
        """The champion as it is now; without a registry the new model if it passed."""
        options = self.release.register
        if options is not None:
            registry = Registry(options.registry)
            champion = registry.get(Reference(options.name, CHAMPION))
            return load_bundle(registry.fetch(champion))
        return load_bundle(self._facts("adapt")["model"]) if self._facts("register")["promoted"] else self._present()

    def _in_use_words(self) -> str:
        options = self.release.register
        if options is not None:
            return str(Registry(options.registry).get(Reference(options.name, CHAMPION)))
        return str(self._in_use().path)

    def _registry_uri(self) -> str | None:
        return None if self.release.register is None else self.release.register.registry

    def _advice(self) -> Advice:
        judged, registered = self._facts("judge"), self._facts("register")
        if "skipped" in judged:
            return Advice(f"{judged['skipped']}. The tiles are scored with the present model.")
        options, version = self.release.register, registered["version"]
        changed = self._facts("diff").get("changed")
        look = f" Look at the objects that changed their label: {changed}." if changed else ""
        if not judged["passed"]:
            failed = ", ".join(dict.fromkeys(each["gate"] for each in judged["verdicts"] if not each["passed"]))
            asked = f"did not pass the gates {failed}" if failed else "was asked nothing: no gate is set"
            if options is not None and self._in_use_words() == version:
                return Advice(f"The new model is in use, and {asked}. Go back.", (_back(options.name),), stop=True)
            return Advice(
                f"Keep the present model: the new one {asked}. The tiles are scored with the model in use.", stop=True
            )
        if (version is not None and self._in_use_words() == version) or (version is None and registered["promoted"]):
            back = (_back(options.name),) if options is not None else ()
            return Advice(f"The new model passed all gates and is in use.{look}", back)
        note = f" {registered['note']}." if registered.get("note") else ""
        return Advice(
            f"The new model passed all gates and waits.{note} Promote it, and give the same command again to score the "
            "tiles with it.",
            (f"galmorph models promote {version} --why '…'",),
        )


def _back(name: str) -> str:
    return f"galmorph models rollback {name} --why '…'"


def _change(registry: Registry, name: str) -> str:
    record = registry.history(name)[-1]
    return f"{record.from_version} → {record.version}, {record.when}, {record.who}: {record.why}"


def _digests(path: Path, kind: str) -> Mapping[str, str] | None:
    """Digests of a set of cutouts; other kinds are known to their training."""
    return read_cutout_set(path).digests() if kind == "cutouts" else None
