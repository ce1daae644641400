"""Methods: what a training minimises, as a named set of losses with weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from galmorph.errors import ConfigError
from galmorph.training.astrouda import Clustering, Separation
from galmorph.training.method_options import MethodOptions
from galmorph.training.outputs import Outputs
from galmorph.training.terms import (
    Balance,
    ConditionalAdversary,
    Confusion,
    Coral,
    CrossEntropy,
    DomainAdversary,
    Entropy,
    Facts,
    Fisher,
    Mmd,
    Neighbourhood,
    OneVsAll,
    OpenEntropy,
    Setting,
    Strangers,
    Term,
    merge_facts,
)

#: Every loss that a method can name.
TERMS: Mapping[str, type[Term]] = {
    "cross_entropy": CrossEntropy,
    "mmd": Mmd,
    "adversary": DomainAdversary,
    "conditional_adversary": ConditionalAdversary,
    "fisher": Fisher,
    "entropy": Entropy,
    "clustering": Clustering,
    "separation": Separation,
    "neighbourhood": Neighbourhood,
    "coral": Coral,
    "confusion": Confusion,
    "one_vs_all": OneVsAll,
    "open_entropy": OpenEntropy,
    "strangers": Strangers,
    "balance": Balance,
}


@dataclass(frozen=True)
class Method:
    """A method.

    Parameters
    ----------
    summary : str
        One line on what it does.
    reference : str
        Where it comes from.
    losses : mapping of str to float
        Weight of each loss; keys of `TERMS`. Weights are relative to the plain cross-entropy, see `Objective`.
    tuned : bool
        Whether the boundary of entropy separation is tuned in training, unless the recipe turns it off.
    warmup : float
        Share of a training that is on the source alone, unless the recipe says otherwise. What clusters the target must
        know its classes first; what aligns the domains need not.
    """

    summary: str
    reference: str
    losses: Mapping[str, float]
    tuned: bool = False
    warmup: float = 0.1

    @property
    def adapts(self) -> bool:
        """Whether it needs unlabelled images of a target."""
        return any(TERMS[name].adapts for name in self.losses)

    @property
    def open_head(self) -> bool:
        """Whether the network needs a classifier of each class against all others."""
        return any(TERMS[name].open_head for name in self.losses)


#: Every method by name.
METHODS: Mapping[str, Method] = {
    "source_only": Method(
        summary="weighted cross-entropy on the labelled source; no adaptation",
        reference="DeepAstroUDA (Ćiprijanović et al. 2023), equation 4",
        losses={"cross_entropy": 1.0},
    ),
    "mmd": Method(
        summary="maximum mean discrepancy of the domains, 19 Gaussian kernels",
        reference="DeepMerge II (Ćiprijanović et al. 2021), equation 6",
        losses={"cross_entropy": 1.0, "mmd": 1.0},
    ),
    "mmd_f": Method(
        summary="mmd with compact source classes (Fisher) and target entropy minimised",
        reference="DeepMerge II (Ćiprijanović et al. 2021), equations 6, 10, 11",
        losses={"cross_entropy": 1.0, "mmd": 1.0, "fisher": 1.0, "entropy": 0.05},
    ),
    "adversarial": Method(
        summary="a discriminator of domains with reversed gradient (DANN)",
        reference="DeepMerge II (Ćiprijanović et al. 2021), equation 9; Ganin et al. 2016",
        losses={"cross_entropy": 1.0, "adversary": 0.1},
    ),
    "adversarial_f": Method(
        summary="adversarial with compact source classes (Fisher) and target entropy minimised",
        reference="DeepMerge II (Ćiprijanović et al. 2021), equations 9 to 11",
        losses={"cross_entropy": 1.0, "adversary": 0.1, "fisher": 1.0, "entropy": 0.05},
    ),
    "dance": Method(
        summary="neighbourhood clustering and entropy separation of the target, open set",
        reference="DANCE (Saito et al. 2020)",
        losses={"cross_entropy": 1.0, "neighbourhood": 0.05, "separation": 0.05},
        warmup=0.4,
    ),
    "deepastrouda": Method(
        summary="adaptive and neighbourhood clustering with a bank, and tuned entropy separation, open set",
        reference="DeepAstroUDA (Ćiprijanović et al. 2023), equations 1 to 4, algorithm 1; neighbours as in DANCE",
        losses={"cross_entropy": 1.0, "clustering": 1.0, "separation": 0.1, "neighbourhood": 0.1},
        tuned=True,
        warmup=0.4,
    ),
    "coral": Method(
        summary="alignment of the domains' covariances",
        reference="Deep CORAL (Sun & Saenko 2016)",
        losses={"cross_entropy": 1.0, "coral": 1.0},
    ),
    "cdan": Method(
        summary="a discriminator of domains conditioned on the predicted class",
        reference="CDAN (Long et al. 2018)",
        losses={"cross_entropy": 1.0, "conditional_adversary": 0.1},
    ),
    "mcc": Method(
        summary="confusion between classes on the target minimised",
        reference="MCC (Jin et al. 2020)",
        losses={"cross_entropy": 1.0, "confusion": 1.0},
    ),
    "ovanet": Method(
        summary="a classifier of each class against all others, open set",
        reference="OVANet (Saito & Saenko 2021)",
        losses={"cross_entropy": 1.0, "one_vs_all": 1.0, "open_entropy": 0.1},
        warmup=0.4,
    ),
}


def find_method(name: str) -> Method:
    """Method of a name.

    Parameters
    ----------
    name : str
        A key of `METHODS`.

    Returns
    -------
    Method
        The method.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"method.name must be one of {', '.join(METHODS)}; got {name!r}")
    return METHODS[name]


class Objective(nn.Module):
    """The weighted sum of a method's losses.

    The cross-entropy's class weights sum to 1, which makes it 1/K of the plain one where classes are equally frequent,
    and less where they are not. The other losses are divided by as much (`Setting.scale`), so that their weights mean
    the same for any classes.

    Parameters
    ----------
    options : MethodOptions
        Which method, and weights that differ from its own.
    setting : Setting
        What losses have to know of data and network.

    Raises
    ------
    ConfigError
        If there is no such method, or a weight is given for a loss that there is not, or that needs a target or
        classifiers which the method does not have, or nothing is left that adapts.
    """

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__()
        method = find_method(options.name)
        losses = {**method.losses, **options.weights}
        # What weighs nothing is left out: it may keep a memory of the whole target.
        losses = {name: weight for name, weight in losses.items() if weight}
        self.tuned = method.tuned and options.separation.tuner != "off"
        if others := sorted({*options.weights} - {*TERMS}):
            raise ConfigError(f"method.weights names {', '.join(others)}; there are the losses {', '.join(TERMS)}")
        if not method.adapts and (others := [name for name in losses if TERMS[name].adapts]):
            raise ConfigError(
                f"method {options.name!r} looks at no target, and method.weights.{others[0]} is for those that do"
            )
        if not method.open_head and (others := [name for name in losses if TERMS[name].open_head]):
            raise ConfigError(
                f"method {options.name!r} has no classifiers of one class against all others, and "
                f"method.weights.{others[0]} is for ovanet, which has"
            )
        if method.adapts and not any(TERMS[name].adapts for name in losses):
            raise ConfigError(f"method.weights leaves {options.name!r} no loss that adapts; use method source_only")
        scale = setting.scale if options.class_weights else setting.classes
        self.weights = {name: weight if name == "cross_entropy" else weight / scale for name, weight in losses.items()}
        self.terms = nn.ModuleDict({name: TERMS[name](options, setting) for name in losses})

    @property
    def second(self) -> bool:
        """Whether a loss needs a second view of each image."""
        return any(TERMS[name].second for name in self.terms)

    @property
    def strangers(self) -> bool:
        """Whether a loss needs strangers."""
        return any(TERMS[name].strangers for name in self.terms)

    @property
    def adapts(self) -> bool:
        """Whether a loss needs the target."""
        return any(TERMS[name].adapts for name in self.terms)

    @property
    def separation(self) -> Separation | None:
        """The entropy separation, if the method has one."""
        return next((term for term in self.terms.values() if isinstance(term, Separation)), None)

    def end_epoch(self, epoch: int, loss: float, separation: float) -> None:
        """Let the tuner look at the loss of an epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.
        loss : float
            Mean of the total training loss: without a label of the target.
        separation : float
            Mean of the entropy separation, before weighting. A bounded tuner looks at the loss without it: it changes
            with boundary and margin though the network does not, and would judge the tuner's changes by themselves.
        """
        if self.separation is not None and self.tuned:
            tuner = self.separation.tuner
            own = self.weights["separation"] * separation if tuner.mode == "bounded" else 0.0
            tuner.end_epoch(epoch, loss - own)

    def forward(self, outputs: Outputs, adapting: float = 1.0) -> tuple[Tensor, dict[str, Tensor], Facts]:
        """Total loss of a step.

        Parameters
        ----------
        outputs : Outputs
            What the network gave.
        adapting : float
            Share of their weight that losses which adapt have; see `galmorph.training.onset.Onset`.

        Returns
        -------
        total : Tensor
            A scalar.
        parts : dict of str to Tensor
            Each loss before weighting.
        facts : dict of str to Tensor
            Other numbers worth logging.
        """
        values = {name: term(outputs) for name, term in self.terms.items()}
        parts: dict[str, Tensor] = {name: value for name, (value, _) in values.items()}
        shares = {name: adapting if TERMS[name].adapts else 1.0 for name in parts}
        total: Tensor = torch.stack([shares[name] * self.weights[name] * value for name, value in parts.items()]).sum()
        return total, parts, merge_facts({name: facts for name, (_, facts) in values.items()})
