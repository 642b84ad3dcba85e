"""Features of pairs: a label's frequency beside that of the first candidates."""

import numpy as np
import scipy.sparse as sp

from ramen.ranking.candidates import Gathered
from ramen.ranking.overlap import LabelWords
from ramen.ranking.pair_features import FREQUENCY, PairFeatures
from ramen.scorers.base import Queries


def test_frequency_is_compared_with_the_first_three_by_the_sum():
    words = LabelWords.of(np.zeros(1, np.int32), sp.csr_matrix((6, 1), dtype=np.float32))
    counts = np.array([1, 7, 3, 0, 100, 50])
    features = PairFeatures.of(["one"], {"one": 1.0}, counts, words)
    labels = np.array([[0, 1, 2, 4, -1], [3, 5, -1, -1, -1]])
    scores = np.array([[0.9, 0.8, 0.7, 0.1, 0.0], [0.2, 0.1, 0.0, 0.0, 0.0]], np.float32)
    gathered = Gathered(labels, {"one": scores}, {"one": labels >= 0})
    rows = features.matrix(Queries(np.zeros((2, 1), np.float32), sp.csr_matrix((2, 1), dtype=np.float32)), gathered)
    column = features.names.index((FREQUENCY, "below the most frequent of the first 3"))
    logs = np.log1p(counts)
    expected = [[*(logs[[0, 1, 2, 4]] - logs[1]), 0.0], [logs[3] - logs[5], 0.0, 0.0, 0.0, 0.0]]
    np.testing.assert_allclose(rows[:, :, column], expected, atol=1e-6)
