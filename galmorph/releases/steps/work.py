"""What a step is, and what it is given: the description, and what the steps before it gave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galmorph.bundle import Bundle, load_bundle
from galmorph.inference.run import Progress
from galmorph.registry import CHAMPION, Reference, Registry, Version
from galmorph.releases.description import Register, Release
from galmorph.releases.journal import Entry, Journal

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

#: What tells of it, in the folder of a release.
PAGE = "report.html"


@dataclass(frozen=True)
class Step:
    """A part of following a release.

    Parameters
    ----------
    name : str
        As it is told and written down.
    depends : callable
        Gives what its result depends on, JSON-able: settings, and what steps before it gave.
    do : callable
        Does it, and gives facts.
    """

    name: str
    depends: "Callable[[Work], Mapping[str, Any]]"
    do: "Callable[[Work], Mapping[str, Any]]"


@dataclass(frozen=True)
class Work:
    """One call of `galmorph.releases.retraining.retrain`.

    Parameters
    ----------
    release : Release
        The description.
    journal : Journal
        In the folder of the release.
    progress : callable or None
        Called after each tile that is scored.
    bar : bool
        Show a bar while training.
    callbacks : sequence of Callback
        Of Lightning, for the training.
    done : dict of str to Entry
        Steps that are done, in their order.
    """

    release: Release
    journal: Journal
    progress: Progress | None = None
    bar: bool = False
    callbacks: "Sequence[Callback]" = ()
    done: dict[str, Entry] = field(default_factory=dict)

    def do(self, step: Step) -> bool:
        """Do a step, unless it is done, and say whether it had to be."""
        entry, new = self.journal.do(step.name, step.depends(self), lambda: step.do(self))
        self.done[step.name] = entry
        return new

    def facts(self, step: str) -> dict[str, Any]:
        """What a step before gave."""
        return self.done[step].facts

    def place(self, what: str, step: Step) -> Path:
        """A folder for a step's files that belongs to all that it depends on, so that a change never mixes them."""
        return self.journal.folder / f"{what}-{self.journal.key(step.name, step.depends(self))[:8]}"

    @property
    def page(self) -> Path:
        """The page that tells of the release."""
        return self.journal.folder / PAGE

    def present(self) -> Bundle:
        """The model that was in use when the release came."""
        return load_bundle(self.facts("begin")["folder"])

    def in_use(self) -> Bundle:
        """The champion as it is now; without a registry the new model if it passed."""
        if self.release.register is not None:
            registry, champion = self._champion(self.release.register)
            return load_bundle(registry.fetch(champion))
        return load_bundle(self.facts("adapt")["model"]) if self.facts("register")["promoted"] else self.present()

    def in_use_words(self) -> str:
        """What the model in use is called: a version of the registry, or a folder."""
        if self.release.register is not None:
            return str(self._champion(self.release.register)[1])
        return str(self.in_use().path)

    @staticmethod
    def _champion(options: Register) -> tuple[Registry, Version]:
        registry = Registry(options.registry)
        return registry, registry.get(Reference(options.name, CHAMPION))
