"""When the losses that adapt begin to count."""

from dataclasses import dataclass

from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import find_method

#: Share of all epochs over which their weights rise, where the recipe does not say.
RAMP = 0.2


@dataclass(frozen=True)
class Onset:
    """Warm-up and ramp of a training.

    Parameters
    ----------
    warmup : float
        Epochs on the source alone.
    ramp : float
        Epochs over which the losses that adapt then rise to their full weight.
    """

    warmup: float
    ramp: float

    @property
    def end(self) -> float:
        """Epochs until the weights are full."""
        # 0.05 and 0.2 of 12 epochs are 3, not a little more.
        return round(self.warmup + self.ramp, 6)

    def share(self, epoch: float) -> float:
        """Share of their weight that the losses have, at a time of the training.

        Parameters
        ----------
        epoch : float
            Epochs trained so far.

        Returns
        -------
        float
            0 during the warm-up, 1 after the ramp.
        """
        if epoch < self.warmup:
            return 0.0
        # Not by the quotient, which may fall short of 1 by rounding.
        if self.ramp == 0 or epoch >= self.end:
            return 1.0
        return min(1.0, (epoch - self.warmup) / self.ramp)


def onset(options: MethodOptions, epochs: int) -> Onset:
    """Warm-up and ramp as the recipe says, or in the shares of the training that suit the method.

    Parameters
    ----------
    options : MethodOptions
        Of the recipe.
    epochs : int
        Of the training.

    Returns
    -------
    Onset
        In epochs.

    Raises
    ------
    ConfigError
        If there is no such method.
    """
    warmup, ramp = options.warmup_epochs, options.ramp_epochs
    return Onset(
        find_method(options.name).warmup * epochs if warmup is None else warmup,
        RAMP * epochs if ramp is None else ramp,
    )
