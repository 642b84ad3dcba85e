"""The level of a text: one threshold for all texts, the same order within each."""

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.errors import InputError
from ramen.metrics import best_threshold, f1_report
from ramen.ranking.level import TEXT, TextLevel, level_features
from ramen.ranking.ranker import Ranker
from ramen.training.calibrate import fit_level

LEVEL = TextLevel(0.5, -1.0, 0.25)


@pytest.fixture
def scorers(makers):
    return {name: make(np.random.default_rng(5), 200) for name, make in makers.items()}


@pytest.fixture
def rankers(scorers):
    weights = dict.fromkeys(scorers, 1.0) | {"neighbours": 0.0}
    return Ranker(scorers, weights), Ranker(scorers, weights, level=LEVEL)


@pytest.mark.parametrize("k", [1, 7, 100, 150, 200])
def test_it_shifts_the_scores_of_a_text_alike_whatever_k(rankers, queries, k):
    plain, shifted = rankers
    asked = queries(np.random.default_rng(0))
    labels, scores = plain.rank(asked, k)
    same, higher = shifted.rank(asked, k)
    assert (same == labels).all()
    levels = LEVEL.of(plain.rank(asked, 100)[1])
    found = labels >= 0
    np.testing.assert_allclose(higher[found], (scores + levels[:, None])[found], atol=1e-5)
    assert np.isneginf(higher[~found]).all()
    each, of_each = shifted.rank_each(asked, k)
    assert (each[""] == labels).all()
    np.testing.assert_allclose(of_each[found], higher[found], atol=1e-5)


def test_the_terms_still_add_up_to_the_score(rankers, queries):
    asked = queries(np.random.default_rng(1))
    labels, scores = rankers[1].rank(asked, 5)
    for parts in (rankers[1].parts(asked, labels), rankers[1].parts_of_any(asked, labels)):
        assert TEXT in parts and TEXT not in rankers[0].parts(asked, labels)
        np.testing.assert_allclose(sum(parts.values())[labels >= 0], scores[labels >= 0], atol=1e-5)


def ranked(rng, n):
    """Scores that compare within a text only: each text adds a number of its own to true log odds."""
    odds = np.sort(rng.normal(-2.0, 2.0, (n, 40)), axis=1)[:, ::-1]
    right = rng.random((n, 40)) < 1 / (1 + np.exp(-odds))
    labels = np.tile(np.arange(40), (n, 1))
    return labels, (odds + rng.normal(0, 5.0, (n, 1))).astype(np.float32), sp.csr_matrix(right.astype(np.float32))


def test_it_is_found_where_scores_do_not_compare_between_texts():
    rng = np.random.default_rng(0)
    level = fit_level(*ranked(rng, 400))
    assert level is not None
    labels, scores, right = ranked(rng, 400)
    f1 = [
        f1_report(labels, some, best_threshold(labels, some, right), right)["micro-F1"]
        for some in (scores, scores + level.of(scores)[:, None])
    ]
    assert f1[1] > f1[0] + 5


def test_none_without_right_labels_or_wrong_ones():
    labels, scores, right = ranked(np.random.default_rng(0), 20)
    assert fit_level(labels, scores, sp.csr_matrix(right.shape)) is None
    assert fit_level(labels, scores, sp.csr_matrix(np.ones(right.shape))) is None
    assert fit_level(labels, -scores[:, ::-1], sp.csr_matrix(right.toarray()[:, ::-1])) is None


def test_texts_with_few_labels_or_none():
    scores = np.array([[3.0, 1.0, -np.inf], [-np.inf] * 3])
    assert level_features(scores).tolist() == [[3.0, 2.0, 2.0], [0.0, 0.0, 0.0]]
    assert LEVEL.of(scores).dtype == np.float32


def test_what_is_stored_comes_back_or_is_refused():
    assert TextLevel.read(LEVEL.facts()) == LEVEL and TextLevel.read(None) is None
    with pytest.raises(InputError, match="level"):
        TextLevel.read({"best": 1.0, "first": 2.0})
    with pytest.raises(InputError, match="expected a number"):
        TextLevel.read({"best": float("nan"), "first": 0.0, "more": 0.0})
