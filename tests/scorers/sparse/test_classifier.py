"""The sparse head against LIBLINEAR on single labels, against its optimality conditions, and on ugly labels."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.svm import LinearSVC

from ramen.scorers.sparse import classifier
from ramen.scorers.sparse.classifier import FitSettings, SparseClassifier

POINTS, FEATURES, LABELS = 120, 40, 9
EXACT = {"passes": 3000, "min_weight": 0.0, "uniform": 0}


def fit_sparse(
    features, positives, negatives, skipped, prior=None, progress=lambda labels: None, labels=slice(None), **settings
):
    return classifier.fit_sparse(
        features, positives, negatives, skipped, prior, FitSettings(**settings), progress, labels
    )


def none(rows, columns):
    return sp.csr_matrix((rows, columns), dtype=np.float32)


@pytest.fixture
def problem():
    """Unit rows (one empty), labels of some rows, and every other row as a negative of every label."""
    rng = np.random.default_rng(0)
    rows = sp.random(POINTS, FEATURES, density=0.15, format="csr", dtype=np.float32, rng=rng).toarray()
    rows[7] = 0
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    positives = rng.random((LABELS, POINTS)) < 0.1
    return (
        sp.csr_matrix(rows),
        sp.csr_matrix(positives, dtype=np.float32),
        sp.csr_matrix(np.ones((LABELS, POINTS), np.float32)),
    )


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_single_labels_agree_with_liblinear(problem, C):
    rows, positives, everything = problem
    head = fit_sparse(rows, positives, everything, none(LABELS, POINTS), C=C, **EXACT)
    for label in range(LABELS):
        peer = LinearSVC(C=C, tol=1e-8, max_iter=100_000).fit(rows, positives[label].toarray().ravel())
        np.testing.assert_allclose(head.weights[label].toarray(), peer.coef_, atol=0.01)
        assert head.bias[label] == pytest.approx(peer.intercept_[0], abs=0.01)


@pytest.mark.parametrize("with_prior", [False, True])
def test_the_pull_is_towards_the_prior(problem, with_prior):
    rows, positives, everything = problem
    rng = np.random.default_rng(1)
    prior = sp.random(LABELS, FEATURES, density=0.2, format="csr", dtype=np.float32, rng=rng)
    head = fit_sparse(rows, positives, everything, none(LABELS, POINTS), prior if with_prior else None, C=0.5, **EXACT)
    signs = 2 * positives.toarray() - 1
    hinge = np.maximum(0, 1 - signs * ((head.weights @ rows.T).toarray() + head.bias[:, None]))
    moved = 2 * 0.5 * (signs * hinge) @ rows.toarray()  # where the gradient of the objective is zero
    start = prior.toarray() if with_prior else 0
    np.testing.assert_allclose(head.weights.toarray() - start, moved, atol=0.02)
    np.testing.assert_allclose(head.bias, (2 * 0.5 * signs * hinge).sum(1), atol=0.05)


def test_threads_and_blocks_change_nothing(problem, monkeypatch, threads):
    rows, positives, everything = problem
    options = {"C": 1.0, "uniform": 20, "seed": 5}

    def fit():
        return fit_sparse(rows, positives, none(LABELS, POINTS),
                          none(LABELS, POINTS), **options)  # fmt: skip

    with threads(4):
        many = fit()
    with threads(1):
        one = fit()
    monkeypatch.setattr("ramen.scorers.sparse.classifier._BLOCK", 2)
    blocks = fit()
    for other in (one, blocks):
        np.testing.assert_array_equal(many.weights.toarray(), other.weights.toarray())
        np.testing.assert_array_equal(many.bias, other.bias)
    options["seed"] = 6
    assert (fit().bias != many.bias).any()


def test_positives_and_skipped_pairs_are_never_negatives(problem):
    rows, positives, everything = problem
    all_but_five = np.ones((LABELS, POINTS), np.float32)
    all_but_five[:, :5] = 0
    skipped = sp.csr_matrix(all_but_five)
    only = fit_sparse(rows, positives, everything, skipped, C=1.0, passes=2000, min_weight=0.0, uniform=50)
    negatives = sp.csr_matrix(1 - all_but_five)
    same = fit_sparse(rows, positives, negatives, none(LABELS, POINTS), C=1.0, **EXACT)
    np.testing.assert_allclose(only.weights.toarray(), same.weights.toarray(), atol=0.01)


def test_small_weights_go_and_the_cap_keeps_the_largest(problem):
    rows, positives, everything = problem
    skipped = none(LABELS, POINTS)
    whole = fit_sparse(rows, positives, everything, skipped, C=1.0, **EXACT).weights.toarray()
    cut = fit_sparse(rows, positives, everything, skipped, C=1.0, passes=3000, uniform=0, min_weight=0.1, max_weights=7)
    assert cut.weights.has_sorted_indices
    for label in range(LABELS):
        large = np.flatnonzero(np.abs(whole[label]) >= 0.1)
        expected = np.sort(large[np.argsort(-np.abs(whole[label, large]), kind="stable")[:7]])
        assert cut.weights[label].indices.tolist() == expected.tolist()
        np.testing.assert_array_equal(cut.weights[label].data, whole[label, expected])


def test_a_label_without_points_keeps_its_prior_and_one_without_examples_nothing_else(problem):
    rows, positives, everything = problem
    positives = positives.tolil()
    positives[3] = 0
    positives = positives.tocsr()
    prior = sp.csr_matrix(([0.9], ([3], [2])), shape=(LABELS, FEATURES), dtype=np.float32)
    head = fit_sparse(rows, positives, everything, none(LABELS, POINTS), prior, C=1.0)
    assert head.weights[3, 2] > 0.3 and head.bias[3] < 0
    head = fit_sparse(rows, positives, none(LABELS, POINTS), none(LABELS, POINTS), prior, C=1.0, uniform=0)
    assert head.weights[3].toarray().ravel().tolist() == prior[3].toarray().ravel().tolist() and head.bias[3] == 0


def test_no_features_at_all():
    positives = sp.csr_matrix(np.eye(2, 3, dtype=np.float32))
    head = fit_sparse(none(3, 0), positives, none(2, 3), none(2, 3), C=1.0)
    assert head.weights.shape == (2, 0) and head.bias.shape == (2,)


def test_progress_counts_every_label(problem, monkeypatch):
    monkeypatch.setattr("ramen.scorers.sparse.classifier._BLOCK", 4)
    rows, positives, everything = problem
    seen = []
    fit_sparse(rows, positives, everything, none(LABELS, POINTS), progress=seen.append)
    assert seen == [4, 4, 1]


def test_what_is_saved_comes_back(problem, tmp_path):
    rows, positives, everything = problem
    head = fit_sparse(rows, positives, everything, none(LABELS, POINTS))
    head.save(tmp_path / "head.safetensors")
    loaded = SparseClassifier.load(tmp_path / "head.safetensors")
    assert (loaded.weights != head.weights).nnz == 0 and loaded.weights.shape == head.weights.shape
    np.testing.assert_array_equal(loaded.bias, head.bias)


def test_some_labels_are_fitted_as_among_all(problem):
    rows, positives, everything = problem
    arguments = (rows, positives, everything, none(LABELS, POINTS))
    whole = fit_sparse(*arguments, uniform=20, seed=5)
    parts = [
        fit_sparse(*arguments, uniform=20, seed=5, labels=part) for part in (slice(0, 4), slice(4, 4), slice(4, 9))
    ]
    assert (sp.vstack([part.weights for part in parts]) != whole.weights).nnz == 0
    np.testing.assert_array_equal(np.concatenate([part.bias for part in parts]), whole.bias)
