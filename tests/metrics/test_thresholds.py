import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from ramen import metrics
from ramen.errors import InputError
from ramen.metrics.thresholds import LEAST_POSITIVES

SCORES = {"precision": precision_score, "recall": recall_score, "F1": f1_score}


@st.composite
def ranked_lists(draw):
    """Ranked labels, with padding, ties, -inf, repeats, rows and labels without a true pair, and weighted targets."""
    n_rows, n_labels, width = draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    label, score = st.integers(-1, n_labels - 1), st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5, 1.0])
    labels = np.array([[draw(label) for _ in range(width)] for _ in range(n_rows)])
    scores = np.array([[draw(score) for _ in range(width)] for _ in range(n_rows)])
    targets = np.array([[draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])) for _ in range(n_labels)] for _ in range(n_rows)])
    return labels, scores, sp.csr_matrix(targets)


def indicator(labels, scores, threshold, n_labels):
    predicted = np.zeros((len(labels), n_labels), dtype=int)
    lowest = np.broadcast_to(threshold, n_labels)
    for row, (of_row, values) in enumerate(zip(labels, scores, strict=True)):
        for label, score in zip(of_row, values, strict=True):
            if label >= 0 and score > -np.inf and score >= lowest[label]:
                predicted[row, label] = 1
    return predicted


def check_against_sklearn(labels, scores, targets, threshold):
    true = (targets.toarray() != 0).astype(int)
    predicted = indicator(labels, scores, threshold, targets.shape[1])
    got = metrics.f1_report(labels, scores, threshold, targets)
    table = metrics.label_table(labels, scores, threshold, targets)
    tested = np.flatnonzero(true.any(axis=0))
    if true.shape[1] == 1:  # scikit-learn takes one column for a binary problem: an empty one keeps it multi-label
        true, predicted = (np.pad(matrix, ((0, 0), (0, 1))) for matrix in (true, predicted))
    for name, score in SCORES.items():
        expected = 100 * score(true, predicted, average="micro", zero_division=0)
        assert got[f"micro-{name}"] == pytest.approx(expected)
        expected = 100 * score(true, predicted, labels=tested, average="macro", zero_division=0) if len(tested) else 0
        assert got[f"macro-{name}"] == pytest.approx(expected)
        expected = 100 * score(true, predicted, average=None, zero_division=0)[: targets.shape[1]]
        np.testing.assert_allclose(table[name], expected)
    expected = 100 * f1_score(true, predicted, average="samples", zero_division=0)
    assert got["example-F1"] == pytest.approx(expected)
    by_row = metrics.example_f1(labels, scores, threshold, targets)
    for row, value in enumerate(by_row):
        one = f1_score(true[row : row + 1], predicted[row : row + 1], average="samples", zero_division=0)
        assert value == pytest.approx(100 * one)
    assert got["labels per text"] == pytest.approx(predicted.sum(1).mean())
    n_labels = targets.shape[1]
    np.testing.assert_array_equal(table["support"], true.sum(0)[:n_labels])
    np.testing.assert_array_equal(table["predicted"], predicted.sum(0)[:n_labels])
    np.testing.assert_array_equal(table["right"], (predicted & true).sum(0)[:n_labels])


@given(ranked_lists(), st.sampled_from([-np.inf, -0.5, 0.25, 0.6, np.inf]))
def test_figures_are_those_of_scikit_learn(lists, threshold):
    check_against_sklearn(*lists, threshold)


@given(ranked_lists(), st.data())
def test_figures_at_a_threshold_for_each_label_are_those_of_scikit_learn(lists, data):
    thresholds = [data.draw(st.sampled_from([-np.inf, 0.0, 0.5, np.inf])) for _ in range(lists[2].shape[1])]
    check_against_sklearn(*lists, np.array(thresholds, dtype=np.float32))


def test_figures_of_random_rankings_are_those_of_scikit_learn():
    check_against_sklearn(*random_lists(200, 50, 20), 0.4)


def random_lists(n_rows, n_labels, width, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.argsort(rng.random((n_rows, n_labels)), axis=1)[:, :width]
    scores = rng.random((n_rows, width)).astype(np.float32)
    is_true = rng.random((n_rows, width)) < scores
    rows = np.repeat(np.arange(n_rows), width).reshape(labels.shape)
    targets = sp.csr_matrix((np.ones(is_true.sum()), (rows[is_true], labels[is_true])), (n_rows, n_labels))
    return labels, scores, targets


@given(ranked_lists())
def test_no_threshold_has_a_higher_micro_f1(lists):
    labels, scores, targets = lists
    threshold = metrics.best_threshold(labels, scores, targets)
    best = metrics.f1_report(labels, scores, threshold, targets)["micro-F1"]
    others = [metrics.f1_report(labels, scores, other, targets)["micro-F1"] for other in np.unique(scores)]
    assert best == pytest.approx(max(others))
    assert np.isinf(threshold) == (max(others) == 0)


@given(ranked_lists())
def test_no_threshold_of_a_label_has_a_higher_f1(lists):
    labels, scores, targets = lists
    thresholds = metrics.best_thresholds(labels, scores, targets, default=0.3, least=1, shrinkage=0)
    best = metrics.label_table(labels, scores, thresholds, targets)["F1"]
    others = [metrics.label_table(labels, scores, other, targets)["F1"] for other in [0.3, *np.unique(scores)]]
    np.testing.assert_allclose(best, np.max(others, axis=0))
    assert thresholds.dtype == np.float32
    assert thresholds.shape == (targets.shape[1],)


def test_labels_with_few_true_pairs_take_the_default():
    labels, scores, targets = random_lists(60, 12, 6)
    keep = sp.csr_matrix(targets.toarray() * (np.arange(60)[:, None] < np.array([60] * 6 + [8] * 6)))
    support = keep.getnnz(0)
    thresholds = metrics.best_thresholds(labels, scores, keep, default=0.9)
    own = metrics.best_thresholds(labels, scores, keep, default=0.9, least=1, shrinkage=0)
    few = support < LEAST_POSITIVES
    assert few.any()
    assert not few.all()
    np.testing.assert_array_equal(thresholds[few], np.float32(0.9))
    between = (thresholds - own) / np.where(own == np.float32(0.9), 1.0, np.float32(0.9) - own)
    moved = ~few & (own != np.float32(0.9))
    np.testing.assert_allclose(between[moved], 5 / (support[moved] + 5), rtol=1e-4)


def test_a_label_that_is_never_ranked_right_takes_the_default():
    labels, scores = np.array([[0], [0], [0]]), np.array([[0.9], [0.8], [0.7]])
    targets = sp.csr_matrix([[0, 1], [0, 1], [0, 1]])
    assert metrics.best_thresholds(labels, scores, targets, 0.25, least=1).tolist() == [0.25, 0.25]


def test_nothing_ranked_and_nothing_true():
    labels, scores, targets = np.full((2, 3), -1), np.zeros((2, 3)), sp.csr_matrix((2, 4))
    assert metrics.best_threshold(labels, scores, targets) == np.inf
    assert set(metrics.f1_report(labels, scores, 0.5, targets).values()) == {0.0}
    assert metrics.best_thresholds(labels, scores, targets, 0.5).tolist() == [0.5] * 4


def test_padding_may_have_any_score():
    labels, scores = np.array([[1, -1]]), np.array([[0.5, np.nan]])
    assert metrics.best_threshold(labels, scores, sp.csr_matrix([[0, 1]])) == 0.5


LABELS, VALUES, TARGETS = np.array([[0, 1]]), np.array([[0.5, 0.2]]), sp.csr_matrix([[1, 0]])


@pytest.mark.parametrize(
    ("labels", "scores", "threshold", "message"),
    [
        (np.array([[0, 2]]), VALUES, 0.5, "label 2, expected 0 to 1"),
        (np.array([[0, 1], [1, 0]]), np.zeros((2, 2)), 0.5, "labels: 2 rows, expected 1"),
        (LABELS, np.zeros((1, 3)), 0.5, r"scores: float64 \(1, 3\), expected floats of shape \(1, 2\)"),
        (LABELS, [[0.5, 0.2]], 0.5, "scores: list, expected floats"),
        (LABELS, np.array([[0.5, np.nan]]), 0.5, "scores: row 0: a score is NaN"),
        (LABELS, VALUES, np.zeros(3), r"threshold: shape \(3,\), expected a number or one for each label: \(2,\)"),
        (LABELS, VALUES, np.nan, "threshold: found NaN"),
    ],
)
def test_bad_input_is_named(labels, scores, threshold, message):
    with pytest.raises(InputError, match=message):
        metrics.f1_report(labels, scores, threshold, TARGETS)


def test_bad_options_are_named():
    with pytest.raises(InputError, match="least is 0"):
        metrics.best_thresholds(LABELS, VALUES, TARGETS, 0.5, least=0)
    with pytest.raises(InputError, match="shrinkage is -1"):
        metrics.best_thresholds(LABELS, VALUES, TARGETS, 0.5, shrinkage=-1)
