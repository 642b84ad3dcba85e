"""Ranking metrics of extreme classification, with pyxclib's names and conventions.

Needs numpy, scipy and numba, not torch.
"""

from ramen.metrics.propensity import inverse_propensity
from ramen.metrics.report import drop_filtered, report
from ramen.metrics.scores import ndcg, precision, psndcg, psprecision, psrecall, recall

__all__ = [
    "drop_filtered",
    "inverse_propensity",
    "ndcg",
    "precision",
    "psndcg",
    "psprecision",
    "psrecall",
    "recall",
    "report",
]
