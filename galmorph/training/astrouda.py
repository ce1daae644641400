"""The two losses of DeepAstroUDA that keep something between steps: adaptive clustering and entropy separation."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from galmorph.training import losses
from galmorph.training.bank import Bank
from galmorph.training.method_options import MethodOptions
from galmorph.training.outputs import Outputs
from galmorph.training.terms import Facts, Setting, Term, target_of
from galmorph.training.tuner import Tuner

#: Entropy, as a fraction of ln K, with which an unlabelled image can still be alike to another where nothing but the
#: most probable class is compared.
SURE = 0.5


class Clustering(Term):
    """Adaptive clustering of a batch of both domains with the bank."""

    second = True

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.options = options.clustering
        self.source_images = sum(setting.counts)
        longest = max(1, setting.classes - 1) if self.options.space == "probability" else setting.features
        self.top = min(self.options.top, longest)
        self.alike_below = self._alike_below(setting.classes)
        self.bank = Bank(self.source_images + setting.target_images, setting.classes) if self.options.bank else None

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Similarity from the first view, scores from the second; the gradient is that of the batch alone."""
        source, target = outputs.source, target_of(outputs)
        rows = torch.cat([source.rows, target.rows + self.source_images])
        labels = torch.cat([outputs.labels, torch.full_like(target.rows, losses.NO_LABEL)])
        logits = torch.cat([source.first.logits, target.first.logits]).detach().float()
        probabilities = logits.softmax(dim=1)
        ranked = probabilities
        if self.options.space == "feature":
            ranked = torch.cat([source.first.features, target.first.features]).detach()
        codes = losses.rank_codes(ranked, self.top, ordered=self.options.match == "ordered")
        unsure = (labels == losses.NO_LABEL) & (losses.entropy(logits) > self.alike_below)
        # A code that no other image has.
        marks = losses.Marks(rows, torch.where(unsure, -1 - rows, codes), labels)
        others, theirs = probabilities, marks
        if self.bank is not None:
            self.bank.store(probabilities, marks)
            others, theirs = self.bank.known()
        if self.options.ambiguous == "ignored":
            marks, theirs = (m._replace(firsts=p.argmax(1)) for m, p in ((marks, probabilities), (theirs, others)))
        value, positive_rate = losses.clustering_loss(self._second(outputs), others, marks, theirs)
        return value, {"positive_rate": positive_rate}

    def _alike_below(self, classes: int) -> float:
        """The largest entropy with which an unlabelled image can be alike to another, in nats."""
        fraction = self.options.alike_below
        if fraction is None:
            fraction = SURE if self.top == 1 and self.options.space == "probability" else 1.0
        return math.inf if fraction == 1 else fraction * math.log(classes)

    def _second(self, outputs: Outputs) -> Tensor:
        """Probabilities of the second view of both domains."""
        views = [seen.second for seen in (outputs.source, target_of(outputs)) if seen.second is not None]
        if not self.options.adversarial:
            return torch.cat([view.logits for view in views]).float().softmax(dim=1)
        features = torch.cat([view.features for view in views])
        return against_head(outputs.head, features).float().softmax(dim=1)


def against_head(head: nn.Module, features: Tensor) -> Tensor:
    """Logits whose gradient is reversed for the head, and as it is for the features (Li et al. 2021, section 3.2).

    Parameters
    ----------
    head : Module
        The last layer.
    features : Tensor
        Shape ``(n, d)``.

    Returns
    -------
    Tensor
        Shape ``(n, K)``.
    """
    reversed_weights = {name: losses.reverse_gradient(value) for name, value in head.named_parameters()}
    logits: Tensor = functional_call(head, reversed_weights, (features,))
    return logits


class Separation(Term):
    """Entropy separation of the target; boundary and margin are the tuner's."""

    def __init__(self, options: MethodOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        largest = math.log(setting.classes)
        chosen = options.separation
        mode = "bounded" if chosen.tuner == "off" else chosen.tuner
        self.tuner = Tuner(chosen.rho * largest, chosen.margin * largest, setting.classes, mode)

    def forward(self, outputs: Outputs) -> tuple[Tensor, Facts]:
        """Of the first view."""
        logits, rho, margin = target_of(outputs).first.logits, self.tuner.rho, self.tuner.margin
        facts = {
            "active_fraction": losses.active_fraction(logits, rho, margin),
            "rho": torch.tensor(rho),
            "margin": torch.tensor(margin),
        }
        return losses.entropy_separation(logits, rho, margin), facts

    def get_extra_state(self) -> dict[str, Any]:
        """The tuner's state, which is part of a checkpoint."""
        return self.tuner.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Undo `get_extra_state`."""
        self.tuner.load_state_dict(state)
