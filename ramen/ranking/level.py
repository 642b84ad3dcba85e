"""The level of a text: what makes scores of different texts comparable, so that one threshold fits all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ramen.stored import check_fields

DEPTH = 30  # labels of a text that its level depends on
_FIRST = 10
TEXT = "text"  # name of the level among the terms of a score


@dataclass(frozen=True)
class TextLevel:
    """A number that is added to the scores of all labels of a text: it changes no order within the text.

    A ranking is learned from comparisons within each text. How likely its first label is to be right depends on the
    other scores of the text, too: labels that all score high are often no better than the one that stands out.

    Attributes:
        best: weight of the highest score.
        first: of the mean of the ten highest.
        more: of the mean of the thirty highest.

    Example:
        >>> TextLevel(0.0, -1.0, 0.0).of(np.array([[3.0, 1.0, -np.inf]])).tolist()
        [-2.0]
    """

    best: float
    first: float
    more: float

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Return the levels, float32 (B,), of ranked scores (B, at least 30 or all), -inf for none; 0 for no score."""
        return (level_features(scores) @ np.array([self.best, self.first, self.more])).astype(np.float32)

    def facts(self) -> dict[str, float]:
        """Return the fields as JSON, for the run folder."""
        return asdict(self)

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None) -> TextLevel | None:
        """Restore from :meth:`facts`; None for None.

        Raises:
            InputError: a field is missing or no finite number.
        """
        if facts is None:
            return None
        return cls(**check_fields("level", facts, {field.name: "a number" for field in fields(cls)}))


def level_features(scores: np.ndarray) -> np.ndarray:
    """Return the highest score and the means of the first ten and thirty, float64 (B, 3); 0 where there is none.

    Args:
        scores: float (B, K), ranked, padded with -inf.
    """
    is_label = np.isfinite(scores[:, :DEPTH])
    values = np.where(is_label, scores[:, :DEPTH], 0.0).astype(np.float64)
    means = [
        values[:, :depth].sum(axis=1) / np.maximum(is_label[:, :depth].sum(axis=1), 1) for depth in (1, _FIRST, DEPTH)
    ]
    return np.stack(means, axis=1)
