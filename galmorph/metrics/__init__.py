"""How good predictions are. Arrays in, numbers out; nothing here chooses anything but what is called oracle.

Every measure takes `weights` of the shape ``(..., n)``, the number of times that each object counts, and gives an array
of the shape ``(...)``; without them each object counts once, and the result is a number. Weights drawn by
`resamples` give the measure's bootstrap distribution in one call. What compares two samples takes no weights.
"""

from galmorph.metrics.bootstrap import in_chunks, interval, resamples
from galmorph.metrics.confusion import confusion_matrix, h_score, recall_precision_f1
from galmorph.metrics.probability import brier, calibration_error, negative_log_likelihood
from galmorph.metrics.ranking import auroc, average_precision, best_h_score, oscr
from galmorph.metrics.shift import Discrepancy, Separation, discrepancy, separation, stability

__all__ = [
    "Discrepancy",
    "Separation",
    "auroc",
    "average_precision",
    "best_h_score",
    "brier",
    "calibration_error",
    "confusion_matrix",
    "discrepancy",
    "h_score",
    "in_chunks",
    "interval",
    "negative_log_likelihood",
    "oscr",
    "recall_precision_f1",
    "resamples",
    "separation",
    "stability",
]
