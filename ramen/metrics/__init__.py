"""Ranking metrics of extreme classification, with pyxclib's names and conventions.

Needs numpy, scipy and numba, not torch.
"""

from ramen.metrics.propensity import inverse_propensity
from ramen.metrics.report import drop_filtered, report
from ramen.metrics.scores import ndcg, precision, psndcg, psprecision, psrecall, recall
from ramen.metrics.trust import by_frequency, compare, intervals, per_point

__all__ = [
    "by_frequency",
    "compare",
    "drop_filtered",
    "intervals",
    "inverse_propensity",
    "ndcg",
    "per_point",
    "precision",
    "psndcg",
    "psprecision",
    "psrecall",
    "recall",
    "report",
]
