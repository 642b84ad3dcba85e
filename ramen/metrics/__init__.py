"""Ranking metrics of extreme classification, with pyxclib's names and conventions; F1 at thresholds.

Needs numpy, scipy and numba, not torch.
"""

from ramen.metrics.propensity import inverse_propensity
from ramen.metrics.report import drop_filtered, report
from ramen.metrics.scores import ndcg, precision, psndcg, psprecision, psrecall, recall
from ramen.metrics.thresholds import best_threshold, best_thresholds, example_f1, f1_report, label_table
from ramen.metrics.trust import by_frequency, compare, intervals, per_point

__all__ = [
    "best_threshold",
    "best_thresholds",
    "by_frequency",
    "compare",
    "drop_filtered",
    "example_f1",
    "f1_report",
    "intervals",
    "inverse_propensity",
    "label_table",
    "ndcg",
    "per_point",
    "precision",
    "psndcg",
    "psprecision",
    "psrecall",
    "recall",
    "report",
]
