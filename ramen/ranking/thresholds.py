"""The probabilities from which labels are predicted, for the highest F1 of held-out points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics import best_threshold, best_thresholds
from ramen.stored import check_fields

_KINDS = {"common": "a number", "labels": "a list of numbers", "values": "a list of numbers"}
_DIGITS = 6


@dataclass(frozen=True)
class Thresholds:
    """A probability for all labels, for micro-F1, and one for each label, for macro-F1.

    Attributes:
        common: for all labels.
        labels: ascending indices of the labels with one of their own; the others, and labels added later, take the
            common one.
        values: of these labels.

    Example:
        >>> Thresholds(0.5, [1], [0.25]).by_label(3)
        array([0.5 , 0.25, 0.5 ], dtype=float32)
    """

    common: float
    labels: list[int]
    values: list[float]

    @classmethod
    def choose(cls, labels: np.ndarray, probabilities: np.ndarray, targets: sp.csr_matrix) -> Thresholds | None:
        """Choose the thresholds by held-out points.

        Args:
            labels: int64 (V, C), ranked, -1 for none.
            probabilities: float (V, C).
            targets: CSR (V, L).

        Returns:
            None if no label is right.
        """
        best = best_threshold(labels, probabilities, targets)
        if not np.isfinite(best):
            return None
        common = round(best, _DIGITS)
        by_label = best_thresholds(labels, probabilities, targets, common).astype(np.float64).round(_DIGITS)
        others = np.flatnonzero(by_label != common)  # after rounding: float32 holds hardly any common threshold
        return cls(common, others.tolist(), by_label[others].tolist())

    def by_label(self, n_labels: int) -> np.ndarray:
        """Return the threshold of each label, float32 (n_labels,)."""
        thresholds = np.full(n_labels, self.common, dtype=np.float32)
        thresholds[self.labels] = self.values
        return thresholds

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON, for the run folder."""
        return asdict(self)

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None, n_labels: int) -> Thresholds | None:
        """Restore from :meth:`facts`; None for None.

        Raises:
            InputError: a field is missing or of another type, or the labels do not ascend below ``n_labels``.
        """
        if facts is None:
            return None
        fields = check_fields("thresholds", facts, _KINDS)
        labels, values = fields["labels"], fields["values"]
        if len(labels) != len(values):
            raise InputError(f"thresholds: found {len(values)} values, expected one for each of {len(labels)} labels")
        if not all(isinstance(label, int) and 0 <= label < n_labels for label in labels):
            raise InputError(f"thresholds: labels: expected whole numbers from 0 to {n_labels - 1}")
        if any(second <= first for first, second in pairwise(labels)):
            raise InputError("thresholds: labels: found numbers that do not ascend, expected them to")
        if not all(0 <= value <= 1 for value in (fields["common"], *values)):
            raise InputError("thresholds: expected numbers of 0 to 1")
        return cls(float(fields["common"]), labels, values)
