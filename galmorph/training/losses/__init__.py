"""Losses: functions of tensors, one idea a file."""

from galmorph.training.losses.adversarial import (
    Discriminator,
    domain_loss,
    multilinear_map,
    randomised_map,
    reversal_ramp,
    reverse_gradient,
)
from galmorph.training.losses.balance import vanishing_loss
from galmorph.training.losses.clustering import NO_LABEL, Marks, clustering_loss, rank_codes
from galmorph.training.losses.confusion import class_confusion
from galmorph.training.losses.coral import coral
from galmorph.training.losses.cross_entropy import class_weights, weighted_cross_entropy
from galmorph.training.losses.entropy import active_fraction, entropy, entropy_minimisation, entropy_separation
from galmorph.training.losses.fisher import class_centroids, fisher_ratio
from galmorph.training.losses.mmd import VARIANCES, mmd
from galmorph.training.losses.neighbourhood import neighbourhood_loss
from galmorph.training.losses.one_vs_all import joint_logits, one_vs_all_loss, open_entropy
from galmorph.training.losses.strangers import stranger_loss

__all__ = [
    "NO_LABEL",
    "VARIANCES",
    "Discriminator",
    "Marks",
    "active_fraction",
    "class_centroids",
    "class_confusion",
    "class_weights",
    "clustering_loss",
    "coral",
    "domain_loss",
    "entropy",
    "entropy_minimisation",
    "entropy_separation",
    "fisher_ratio",
    "joint_logits",
    "mmd",
    "multilinear_map",
    "neighbourhood_loss",
    "one_vs_all_loss",
    "open_entropy",
    "randomised_map",
    "rank_codes",
    "reversal_ramp",
    "reverse_gradient",
    "stranger_loss",
    "vanishing_loss",
    "weighted_cross_entropy",
]
