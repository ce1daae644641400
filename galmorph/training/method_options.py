"""The recipe's table ``[method]`` and its own tables: settings of losses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from galmorph.training.options import STRICT, Count, Fraction, NotNegative, Positive


@dataclass(frozen=True, kw_only=True)
class ClusteringOptions:
    """Adaptive clustering; see `galmorph.training.losses.clustering`.

    Parameters
    ----------
    space : {"probability", "feature"}
        What is ranked: probabilities (DeepAstroUDA) or features (the code it builds on).
    match : {"ordered", "set"}
        Whether a pair is alike when the largest entries are the same in order, or as a set.
    top : int
        How many entries; of probabilities at most K - 1 are used, since K as a set would always agree.
    ambiguous : {"ignored", "apart"}
        What becomes of pairs that agree in the most probable class and not in the rest: they are left out, or pushed
        apart like all others that are not alike (DeepAstroUDA).
    alike_below : float, optional
        Unlabelled images whose entropy is above this, as a fraction of ln K, are alike to none; 1 leaves that out. By
        default 0.5 where the most probable class alone is compared, as it is of two classes, and 1 elsewhere.
    bank : bool
        Pair a batch with all images of both domains as last seen; otherwise within itself.
    adversarial : bool
        Let the classifier raise the loss that the encoder lowers (Li et al. 2021).
    """

    __pydantic_config__ = STRICT

    space: Literal["probability", "feature"] = "probability"
    match: Literal["ordered", "set"] = "ordered"
    top: Count = 3
    ambiguous: Literal["ignored", "apart"] = "ignored"
    alike_below: Annotated[float, Field(gt=0, le=1)] | None = None
    bank: bool = True
    adversarial: bool = False


@dataclass(frozen=True, kw_only=True)
class SeparationOptions:
    """Entropy separation; see `galmorph.training.losses.entropy_separation`.

    Parameters
    ----------
    rho : float
        Boundary between known and unknown, as a fraction of ln K.
    margin : float
        Samples this close to the boundary are left alone; as a fraction of ln K.
    tuner : {"off", "paper", "bounded"}
        How ``deepastrouda`` changes both in training; see `galmorph.training.tuner`. Other methods leave them.
    """

    __pydantic_config__ = STRICT

    rho: Annotated[float, Field(gt=0, lt=1)] = 0.5
    margin: Fraction = 0.15
    tuner: Literal["off", "paper", "bounded"] = "bounded"

    def __post_init__(self) -> None:
        if self.margin >= max(self.rho, 1 - self.rho):
            raise ValueError(
                f"the margin must be less than {max(self.rho, 1 - self.rho):g} with rho = {self.rho:g}, "
                "or no sample is ever active"
            )


@dataclass(frozen=True, kw_only=True)
class FisherOptions:
    """Fisher loss; see `galmorph.training.losses.fisher_ratio`.

    Parameters
    ----------
    within, between : float
        Weights of the two traces, lambda_w and lambda_b. DeepMerge II has 0.01 and, of an adversary with its own
        network, 0.0001 within.
    centroids : {"batch", "learned"}
        Class means of the batch, or parameters that are trained at ten times the learning rate.
    """

    __pydantic_config__ = STRICT

    within: Positive = 0.001
    between: Positive = 1.0
    centroids: Literal["batch", "learned"] = "batch"


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOptions:
    """The domain discriminator of adversarial methods; see `galmorph.training.losses.adversarial`.

    Parameters
    ----------
    hidden : int
        Units of its hidden layer.
    reversal : {"constant", "ramp"}
        Strength of the reversed gradient: 1, or rising from 0 as in Ganin et al. (2016).
    rate : float
        Its learning rate as a multiple of the network's.
    """

    __pydantic_config__ = STRICT

    hidden: Count = 1024
    reversal: Literal["constant", "ramp"] = "constant"
    rate: Positive = 1.0


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """What is minimised; see `galmorph.training.methods`.

    Parameters
    ----------
    name : str
        A key of `galmorph.training.methods.METHODS`.
    weights : mapping
        Weights of the method's losses where they differ from its own, 0 to leave one out, and of others to add: a
        method that adapts takes any but those of ``ovanet``'s classifiers, one that does not those that need no target.
        Of no method are
        ``strangers``, images made of two known ones (`galmorph.training.strangers`) that are to be answered evenly, 0.5
        is usual, and ``balance``, by which no class may vanish from the answers on the target, 0.3 is usual
        (`galmorph.training.losses.vanishing_loss`). ``neighbourhood`` is ``dance``'s and ``deepastrouda``'s, which
        is printed without (`galmorph.training.losses.neighbourhood_loss`).
    class_weights : bool
        Weight classes by inverse frequency (DeepAstroUDA, equation 4).
    label_smoothing : float
        Share of the target probability that is spread over all classes.
    warmup_epochs : float, optional
        Epochs on the source alone, before the losses that adapt begin to count. By default 40 % of all for methods that
        cluster the target (dance, deepastrouda, ovanet), 10 % for others; see `galmorph.training.onset`.
    ramp_epochs : float, optional
        Epochs over which their weights then rise linearly to the full, by default 20 % of all. Only later epochs can be
        the best.
    target_mix : {"estimated", "source"}
        Of losses that align domains (mmd, coral, adversaries): with ``estimated`` images of the source count as often
        as their class is estimated to be in the target, over what it is in the source
        (`galmorph.training.target_mix`); with ``source`` each counts once, as if the target had the source's mix.
    least_share : float
        For ``balance``: part of its share in the source that a class should keep among the answers on the target.
    confusion_temperature : float
        Divides logits in minimum class confusion; 2.5 in its paper (Jin et al. 2020).
    neighbour_temperature : float
        Divides cosines in neighbourhood clustering.
    clustering, separation, fisher, discriminator
        See the classes.
    """

    __pydantic_config__ = STRICT

    name: str = "source_only"
    weights: Mapping[str, NotNegative] = field(default_factory=dict)
    class_weights: bool = True
    label_smoothing: Fraction = 0.0
    warmup_epochs: NotNegative | None = None
    ramp_epochs: NotNegative | None = None
    target_mix: Literal["estimated", "source"] = "estimated"
    least_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    confusion_temperature: Positive = 1.0
    neighbour_temperature: Positive = 0.05
    clustering: ClusteringOptions = field(default_factory=ClusteringOptions)
    separation: SeparationOptions = field(default_factory=SeparationOptions)
    fisher: FisherOptions = field(default_factory=FisherOptions)
    discriminator: DiscriminatorOptions = field(default_factory=DiscriminatorOptions)
