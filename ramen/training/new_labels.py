"""What a run keeps so that a label can be added later: from a label's text to its part of every scorer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ramen.encoders.base import Encoder
from ramen.scorers.base import Scorer
from ramen.scorers.sparse.scorer import SparseWords
from ramen.scorers.vectors import LabelVectors
from ramen.training.fit import Choice, Fitter

_SAMPLE = 20_000  # labels from which a map is fitted
_RIDGE = 0.01  # of the mean of the diagonal


def label_maps(
    fitter: Fitter, encoder: Encoder, scorers: Mapping[str, Scorer], choice: Choice
) -> dict[str, np.ndarray]:
    """How each scorer's part of a label follows from its text.

    Args:
        fitter: of the run's own weights.
        encoder: trained.
        scorers: that the run keeps.
        choice: that they were fitted by.

    Returns:
        ``encoder``, float32 (d, d): a label's vector is its text's vector times that, of unit length; the encoder's
        label map, or where a teacher left the labels' vectors their ridge regression on texts. ``head``, float32
        (d, d): a label's row is its vector times that; the ridge regression of rows on vectors, so that a new label
        starts where labels of such vectors ended. ``sparse``, float32 (2,): the strength of the words of its text, and
        the bias that labels have on average.
    """
    maps = {}
    rows = np.unique(np.linspace(0, len(fitter.labels) - 1, min(_SAMPLE, len(fitter.labels))).astype(np.int64))
    vectors = fitter.labels.numpy()[rows]
    for name, scorer in scorers.items():
        if name == fitter.first and (fitter.material.teacher_labels is None or fitter.material.config.stage1.epochs):
            weight = encoder.label_map.weight.detach().cpu().numpy()
            maps[name] = np.eye(encoder.dim, dtype=np.float32) + weight.T
        elif name == fitter.first:
            maps[name] = _ridge(encoder.encode(fitter.material.tokens["labels"].some(rows)).numpy(), vectors)
        elif isinstance(scorer, LabelVectors):
            maps[name] = _ridge(vectors, np.concatenate([scorer.rows.block(row, row + 1) for row in rows.tolist()]))
        elif isinstance(scorer, SparseWords) and choice.sparse:
            strength = choice.sparse.prior or 1.0
            maps[name] = np.array([strength, float(np.mean(scorer.head.bias))], dtype=np.float32)
    return maps


def _ridge(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The matrix that takes vectors nearest to rows, float32 (d, d)."""
    squares = vectors.T.astype(np.float64) @ vectors
    squares += _RIDGE * max(float(np.trace(squares)) / len(squares), 1e-12) * np.eye(len(squares))
    return np.linalg.solve(squares, vectors.T.astype(np.float64) @ rows).astype(np.float32)
