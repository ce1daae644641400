"""The losses as parts of a method: what each takes from a training step, and what it keeps between steps."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import harmonic_mean
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from galmorph.errors import ConfigError
from galmorph.training import losses
from galmorph.training.gather import gather
from galmorph.training.method_options import MethodOptions
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.target_mix import TargetMix

#: Learned centroids of the Fisher loss learn faster than the network by this factor (DeepMerge II's code).
CENTROID_RATE = 10.0

#: Longest outer product of features and probabilities; beyond it the randomised map of CDAN is used.
LONGEST_MAP = 4096

#: Length of the randomised map (Long et al. 2018).
RANDOM_MAP = 1024

Facts = dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """What losses have to know before the first step.

    Parameters
    ----------
    counts : sequence of int
        Training images of each class.
    target_images : int
        Unlabelled training images; 0 without a target.
    embedding, features : int
        Lengths of what the encoder gives and of what the last layer takes.
    """

    counts: Sequence[int]
    target_images: int = 0
    embedding: int = 0
    features: int = 0

    @property
    def classes(self) -> int:
        """K."""
        return len(self.counts)

    @property
    def scale(self) -> float:
        """The plain cross-entropy over the weighted one, of images drawn as the training set's; K for equal counts."""
        return sum(self.counts) / harmonic_mean(self.counts)


class Term(nn.Module, ABC):
    """A loss of a method.

    Attributes
    ----------
    adapts : bool
        Whether it needs the target, and counts only after the warm-up.
    second : bool
        Whether it needs a second view of each image.
    strangers : bool
        Whether it needs strangers made of the source batch.
    open_head : bool
        Whether it needs classifiers of each class against all others.
    rate : float
        Learning rate of its own parameters as a multiple of the network's.
    """

    adapts: ClassVar[bool] = True
    second: ClassVar[bool] = False
    strangers: ClassVar[bool] = False
    open_head: ClassVar[bool] = False
    rate: float = 1.0

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Loss of a step, and numbers worth a place in the log."""


def target_of(outputs: Outputs) -> Seen:
    """The target of a step; methods that adapt are given one."""
    if outputs.target is None:
        raise ConfigError("this method adapts to unlabelled images: give the recipe a table [target]")
    return outputs.target


class CrossEntropy(Term):
    """Weighted cross-entropy of the source batch, with weights from the frequencies of classes."""

    adapts = False
    weights: Tensor

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.smoothing = options.label_smoothing
        counts = setting.counts if options.class_weights else [1] * setting.classes
        self.register_buffer("weights", losses.class_weights(counts), persistent=False)

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        logits = outputs.source.first.logits
        return losses.weighted_cross_entropy(logits, outputs.labels, self.weights, self.smoothing), {}


class Alignment(Term):
    """A loss that makes the domains' features alike, with images of the source in the target's mix of classes."""

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.mix = TargetMix(setting.counts, options.class_weights) if options.target_mix == "estimated" else None

    def weights(self, outputs: Outputs) -> Tensor | None:
        """What each image of the source counts."""
        if self.mix is None:
            return None
        self.mix.renew(target_of(outputs).first.logits)
        return self.mix.weights(outputs.labels)


class Mmd(Alignment):
    """Maximum mean discrepancy of the domains' embeddings."""

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first views."""
        source, target = outputs.source.first.embedding, target_of(outputs).first.embedding
        return losses.mmd(source, target, weights=self.weights(outputs)), {}


class Coral(Alignment):
    """Difference of the covariances of the domains' embeddings."""

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first views."""
        source, target = outputs.source.first.embedding, target_of(outputs).first.embedding
        return losses.coral(source, target, self.weights(outputs)), {}


class DomainAdversary(Alignment):
    """A discriminator of domains whose gradient is reversed for the network."""

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.options = options.discriminator
        self.rate = self.options.rate
        self.discriminator = losses.Discriminator(self.length(setting), self.options.hidden)

    def length(self, setting: Setting) -> int:
        """Length of what the discriminator takes."""
        return setting.embedding

    def taken(self, seen: Seen) -> Tensor:
        """What the discriminator takes of a batch."""
        return seen.first.embedding

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Binary cross-entropy of the discriminator, and how often it is right."""
        strength = losses.reversal_ramp(outputs.progress) if self.options.reversal == "ramp" else 1.0
        taken = [self.taken(seen).float() for seen in (outputs.source, target_of(outputs))]
        values = self.discriminator(losses.reverse_gradient(torch.cat(taken), strength))
        source, target = values.split([len(part) for part in taken])
        right = (source > 0).float().mean() / 2 + (target <= 0).float().mean() / 2
        return losses.domain_loss(source, target, self.weights(outputs)), {"discriminator_accuracy": right}


class ConditionalAdversary(DomainAdversary):
    """The discriminator sees features together with the predictions (CDAN)."""

    first: Tensor
    second_matrix: Tensor

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.randomised = setting.embedding * setting.classes > LONGEST_MAP
        if self.randomised:
            self.register_buffer("first", torch.randn(setting.embedding, RANDOM_MAP))
            self.register_buffer("second_matrix", torch.randn(setting.classes, RANDOM_MAP))

    def length(self, setting: Setting) -> int:
        """Length of the map."""
        whole = setting.embedding * setting.classes
        return whole if whole <= LONGEST_MAP else RANDOM_MAP

    def taken(self, seen: Seen) -> Tensor:
        """The map; predictions are held constant."""
        features, p = seen.first.embedding, seen.first.logits.detach().float().softmax(dim=1)
        if self.randomised:
            return losses.randomised_map(features, p, self.first, self.second_matrix)
        return losses.multilinear_map(features, p)


class Fisher(Term):
    """Compactness of the source's classes."""

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.options = options.fisher
        self.rate = CENTROID_RATE
        self.classes = setting.classes
        learned = self.options.centroids == "learned"
        self.centroids = nn.Parameter(torch.randn(self.classes, setting.embedding)) if learned else None

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Trace ratio of the embeddings."""
        embedding, labels = outputs.source.first.embedding, outputs.labels
        centroids, present = losses.class_centroids(embedding, labels, self.classes)
        if self.centroids is not None:
            centroids, present = self.centroids, torch.ones_like(present)
        within, between = self.options.within, self.options.between
        return losses.fisher_ratio(embedding, labels, centroids, present, within, between), {}


class Entropy(Term):
    """Entropy of the target, to be minimised."""

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        return losses.entropy_minimisation(target_of(outputs).first.logits), {}


class Balance(Term):
    """No class vanishes among the answers on the target."""

    shares: Tensor
    missing: Tensor

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.least = options.least_share
        counts = torch.tensor(setting.counts, dtype=torch.float32)
        self.register_buffer("shares", counts / counts.sum(), persistent=False)
        # What class weights took out of the answers, so that images that tell nothing have the source's shares.
        missing = self.shares if options.class_weights else torch.ones_like(counts)
        self.register_buffer("missing", missing.log(), persistent=False)

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        return losses.vanishing_loss(target_of(outputs).first.logits + self.missing, self.shares, self.least), {}


class Confusion(Term):
    """Minimum class confusion of the target."""

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.temperature = options.confusion_temperature

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        return losses.class_confusion(target_of(outputs).first.logits, self.temperature), {}


class Neighbourhood(Term):
    """Neighbourhood clustering of the target, with a memory of features (DANCE)."""

    memory: Tensor

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.temperature = options.neighbour_temperature
        self.register_buffer("memory", torch.zeros(setting.target_images, setting.features))
        # Until its gradient is taken, a step needs the memory as it was.
        self.seen: tuple[Tensor, Tensor] | None = None
        # Functions that are given the module: copies of it, and those in other processes, have to see to their own.
        self.register_state_dict_pre_hook(Neighbourhood.remember)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(Neighbourhood.forget)  # type: ignore[no-untyped-call]

    def forget(self, *_: object) -> None:
        """Drop the features of the last step: the memory is that of another time."""
        self.seen = None

    def remember(self, *_: object) -> None:
        """Let the features of the last step replace what the memory had of these images."""
        if self.seen is not None:
            rows, features = self.seen
            self.memory[rows] = features
            self.seen = None

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view, beside what was seen of all images before it."""
        self.remember()
        target = target_of(outputs)
        features = target.first.features
        prototypes = outputs.head.weight
        assert isinstance(prototypes, Tensor)  # noqa: S101 - both kinds of heads have weights
        value = losses.neighbourhood_loss(features, self.memory, prototypes, target.rows, self.temperature)
        lengths_of_one = functional.normalize(features.detach().float(), dim=1)
        self.seen = gather(target.rows), gather(lengths_of_one)
        return value, {}


class OneVsAll(Term):
    """One classifier for each class against all others, on the source (OVANet)."""

    adapts = False
    open_head = True

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Half of both parts, as in the authors' code."""
        return 0.5 * losses.one_vs_all_loss(_open(outputs.source), outputs.labels), {}


class OpenEntropy(Term):
    """Entropy of those classifiers on the target (OVANet)."""

    open_head = True

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        return losses.open_entropy(_open(target_of(outputs))), {}


class Strangers(Term):
    """Even answers for strangers, and no class's own classifier that takes them for its class."""

    adapts = False
    strangers = True

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of those made of the source batch."""
        made = outputs.strangers
        assert made is not None  # noqa: S101 - the step makes them for an objective with this loss
        return losses.stranger_loss(made.logits, made.open_logits), {}


def _open(seen: Seen) -> Tensor:
    """Logits of the classifiers of each class against all others."""
    values = seen.first.open_logits
    assert values is not None  # noqa: S101 - methods with such a loss build the head
    return values


def merge_facts(parts: Mapping[str, Facts]) -> Facts:
    """Facts of all losses of a method, whose names do not meet."""
    return {name: value for facts in parts.values() for name, value in facts.items()}
