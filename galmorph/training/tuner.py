"""The tuner of entropy separation: boundary and margin are changed when the loss no longer falls (Algorithm 1)."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: Steps of the paper, one for each cycle of changes, in nats.
STEPS = (0.3, -0.3, 0.5, -0.5)

#: Epochs that have to pass before each change of a cycle: boundary up, margin up, margin doubled, next step.
WAITS = (5, 2, 2, 2)

#: How close the bounded tuner lets the boundary come to 0 and ln K, and the margin to where no sample could be
#: active, as fractions of these ranges.
GUARD = 0.05


@dataclass(frozen=True)
class Change:
    """A change that the tuner made.

    Parameters
    ----------
    epoch : int
        Epoch at whose end it was made, as counted by the training.
    parameter : {"rho", "margin"}
        What was changed.
    before, after : float
        Its value, in nats.
    loss : float
        The watched loss of that epoch.
    reverted : bool
        Whether this takes an earlier change back.
    """

    epoch: int
    parameter: str
    before: float
    after: float
    loss: float
    reverted: bool = False


@dataclass
class _Trial:
    """What a change that is on trial may be taken back to."""

    parameter: str
    before: float
    minimum: float


class Tuner:
    """Algorithm 1 of DeepAstroUDA.

    Once an epoch, if the loss is not below its minimum, the next change of the cycle is made when enough epochs have
    passed since the last: ``rho += step``, ``margin += step``, ``margin *= 2``, and the next step. Losses of
    target labels are never looked at. After the last step nothing changes any more, of which the paper says nothing.

    ``paper`` is the algorithm as printed, with its steps in nats and a minimum over the whole training: the margin can
    pass ln K, where the loss is dead. ``bounded`` takes steps as fractions of ``ln(K) / 2``, keeps the boundary
    between 0 and ln K where samples can be active, and margins that it sets below half of ln K, forgets the minimum at
    each change, and takes back a change after which the loss did not fall below what it was before. It has to be a loss
    that boundary and margin have no part in.

    Parameters
    ----------
    rho, margin : float
        First values, in nats.
    classes : int
        K.
    mode : {"paper", "bounded"}
        Which form.
    """

    def __init__(self, rho: float, margin: float, classes: int, mode: Literal["paper", "bounded"]) -> None:
        self.rho = rho
        self.margin = margin
        self.largest = math.log(classes)
        self.mode = mode
        self.step = 0
        self.waited = 0
        self.change = 0
        self.minimum = math.inf
        self.trial: _Trial | None = None
        self.changes: list[Change] = []

    def end_epoch(self, epoch: int, loss: float) -> None:
        """Look at the loss of an epoch, and perhaps change something.

        Parameters
        ----------
        epoch : int
            For the record.
        loss : float
            The watched loss.
        """
        self.waited += 1
        improved = loss < self.minimum
        self.minimum = min(self.minimum, loss)
        if improved or self.step >= len(STEPS) or self.waited <= WAITS[self.change]:
            return
        if self.trial is not None and self.minimum >= self.trial.minimum:
            self._revert(epoch, loss, self.trial)
            return
        self.trial = None
        if self.change == 3:
            self.step, self.change, self.waited = self.step + 1, 0, 0
            return
        parameter = "rho" if self.change == 0 else "margin"
        value = 2 * self.margin if self.change == 2 else getattr(self, parameter) + self._size()
        self._set(epoch, loss, parameter, value)
        self.change, self.waited = self.change + 1, 0

    def _size(self) -> float:
        return STEPS[self.step] * (self.largest / 2 if self.mode == "bounded" else 1.0)

    def _set(self, epoch: int, loss: float, parameter: str, value: float) -> None:
        """Change a parameter, on trial if bounded."""
        before = getattr(self, parameter)
        if self.mode == "bounded":
            value = self._bound(parameter, value)
            if value == before:
                return
            # The least of before is what the change is held against; what follows has its own.
            self.trial, self.minimum = _Trial(parameter, before, self.minimum), math.inf
        setattr(self, parameter, value)
        self.changes.append(Change(epoch, parameter, before, value, loss))

    def _bound(self, parameter: str, value: float) -> float:
        """The nearest value allowed."""
        if parameter == "rho":
            value = min(max(value, GUARD * self.largest), (1 - GUARD) * self.largest)
            # A margin of more than half of ln K, which a recipe may have, leaves no sample active about the middle.
            return value if self.margin < max(value, self.largest - value) else self.rho
        # Wherever the boundary is, one side of it is at least half of ln K wide.
        return min(max(value, 0.0), (1 - GUARD) * self.largest / 2)

    def _revert(self, epoch: int, loss: float, trial: _Trial) -> None:
        """Take a change back that made things no better."""
        now = getattr(self, trial.parameter)
        self.changes.append(Change(epoch, trial.parameter, now, trial.before, loss, reverted=True))
        setattr(self, trial.parameter, trial.before)
        self.minimum, self.trial, self.waited = trial.minimum, None, 0

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs, as plain values."""
        return {
            **{name: getattr(self, name) for name in ("rho", "margin", "step", "waited", "change", "minimum")},
            "trial": None if self.trial is None else asdict(self.trial),
            "changes": [asdict(change) for change in self.changes],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo `state_dict`."""
        for name in ("rho", "margin", "step", "waited", "change", "minimum"):
            setattr(self, name, state[name])
        self.trial = None if state["trial"] is None else _Trial(**state["trial"])
        self.changes = [Change(**change) for change in state["changes"]]
