"""Losses: functions of tensors, one idea a file."""

from galmorph.training.losses.cross_entropy import class_weights, weighted_cross_entropy

__all__ = ["class_weights", "weighted_cross_entropy"]
