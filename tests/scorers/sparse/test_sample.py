"""Other word features are preferred where order tells labels apart, and not where it says nothing."""

import numpy as np
import pytest

from ramen.data.dataset import Texts
from ramen.scorers.sparse.sample import sample_prefers
from ramen.scorers.sparse.scorer import SparseScorer

WORDS = ["red", "green", "blue", "round", "square", "small", "large", "old", "new"]


def texts_of(rng, labels, ordered):
    """Two words each; a label is a pair of words in this order, or in any."""
    pairs = [(a, b) for a in WORDS for b in WORDS if a < b]
    texts = []
    for label in labels.tolist():
        a, b = pairs[label // 2]
        second_first = label % 2 if ordered else rng.random() < 0.5
        texts.append(f"{b} {a}" if second_first else f"{a} {b}")
    return Texts([f"p{i}" for i in range(len(texts))], texts, [""] * len(texts))


@pytest.mark.parametrize("ordered", [True, False])
def test_pairs_of_words_are_preferred_where_their_order_matters(make_views, ordered):
    views = make_views("training.epochs=0")
    rng = np.random.default_rng(0)
    n, n_labels = len(views.points), views.n_labels
    labels = rng.integers(0, 60, n)
    views.source.points = texts_of(rng, labels, ordered).joined()
    targets = np.zeros((n, n_labels), dtype=np.float32)
    targets[np.arange(n), labels] = 1
    views.targets = type(views.targets)(targets[views.rows])
    assert sample_prefers("words+pairs", SparseScorer.default_params(views.config), views) == ordered


def test_too_few_labels_with_points_prefer_nothing(make_views):
    views = make_views("training.epochs=0")
    views.targets = views.targets.multiply(views.targets.getnnz(0) < 4).tocsr()
    assert not sample_prefers("words+pairs", SparseScorer.default_params(views.config), views)
