"""Other word features are preferred where order tells labels apart, and not where it says nothing."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.scorers.sparse.fit import fit_on_views, fit_some
from ramen.scorers.sparse.sample import sample_prefers
from ramen.scorers.sparse.scorer import SparseScorer

WORDS = ["red", "green", "blue", "round", "square", "small", "large", "old", "new"]


@pytest.fixture
def of_pairs(make_material):
    """A function: views and judge of texts of two words, whose label is a pair of words in this order or in any."""

    def make(ordered):
        material = make_material("training.epochs=0", "sparse.prior=0")
        views, rng = material.views(), np.random.default_rng(0)
        pairs = [(a, b) for a in WORDS for b in WORDS if a < b]
        n, n_labels = len(views.points), views.n_labels
        labels = rng.integers(0, 40, n)
        texts = []
        for label in labels.tolist():
            a, b = pairs[label // 2]
            second_first = label % 2 if ordered else rng.random() < 0.5
            texts.append(f"{b} {a}" if second_first else f"{a} {b}")
        views.source.points = texts
        targets = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), labels)), shape=(n, n_labels))
        views.targets, views.filtered = targets[views.rows], views.filtered * 0
        judge = material.judge(views, [])
        judge.held_out.targets = targets[judge.held_out.rows]
        return views, judge

    return make


def ask(views, judge):
    scorer = SparseScorer.fit(views, SparseScorer.default_params(views.config))
    return sample_prefers("words+pairs", scorer, {}, {"sparse": 2.0}, views, judge)


@pytest.mark.parametrize("ordered", [True, False])
def test_pairs_of_words_are_preferred_where_their_order_matters(of_pairs, ordered):
    assert ask(*of_pairs(ordered)) == ordered


def test_too_few_points_prefer_nothing(of_pairs):
    views, judge = of_pairs(True)
    judge.held_out.targets = judge.held_out.targets.multiply(0).tocsr()
    assert not ask(views, judge)


def test_some_labels_are_fitted_as_among_all_but_for_their_draws(make_views):
    views = make_views("training.epochs=0")
    params, some = SparseScorer.default_params(views.config), np.array([0, 7, 30])
    whole, part = fit_on_views(views, params), fit_some(views, params, some)
    assert part.weights.shape == (3, whole.weights.shape[1])
    for row, label in enumerate(some):
        one, other = part.weights[row].toarray().ravel(), whole.weights[label].toarray().ravel()
        assert one @ other > 0.95 * np.linalg.norm(one) * np.linalg.norm(other)
