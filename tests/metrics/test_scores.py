"""The metrics against a plain reference, an example worked by hand and values stored from pyxclib's conventions."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ramen import metrics
from ramen.errors import InputError

PLAIN = ["precision", "ndcg", "recall"]
WEIGHTED = ["psprecision", "psndcg", "psrecall"]


def compute(name, pred, targets, weights, k):
    function = getattr(metrics, name)
    return function(pred, targets, weights, k) if name in WEIGHTED else function(pred, targets, k)


# --- a plain reference: one loop per definition ---------------------------------------------------------------


def reference(name, ranked, truth_sets, weights, k):
    """Fractions at k, from lists of ranked labels and sets of true labels."""

    def gain(labels, true, weighted, discounted):
        total, seen = 0.0, set()
        for place, label in enumerate(labels[:k]):
            if label in true and label not in seen:
                total += (weights[label] if weighted else 1.0) / (math.log2(place + 2) if discounted else 1.0)
            seen.add(label)
        return total

    def mean(rows, weighted, discounted):
        values = []
        for labels, true in zip(rows, truth_sets, strict=True):
            value = gain(labels, true, weighted, discounted)
            if discounted:
                value /= sum(1 / math.log2(place + 2) for place in range(max(1, min(k, len(true)))))
            elif name.endswith("recall"):
                value /= max(1, len(true))
            else:
                value /= k
            values.append(value)
        return sum(values) / len(values)

    weighted, discounted = name in WEIGHTED, name.endswith("ndcg")
    if not weighted:
        return mean(ranked, False, discounted)
    best = mean([sorted(true, key=lambda label: -weights[label]) for true in truth_sets], True, discounted)
    return mean(ranked, True, discounted) / best if best else 0.0


@st.composite
def cases(draw):
    """Ranked ints with padding and, but for as many columns as labels, repeats; targets with empty rows; ties."""
    n_rows, n_labels = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    columns = draw(st.integers(1, 8))
    distinct = st.permutations([*range(n_labels), *[-1] * columns]).map(lambda row: row[:columns])
    repeated = st.lists(st.integers(-1, n_labels - 1), min_size=columns, max_size=columns)
    ranked = draw(
        st.lists(
            distinct if columns == n_labels else repeated,
            min_size=n_rows,
            max_size=n_rows,
        )
    )
    targets = draw(st.lists(st.sets(st.integers(0, n_labels - 1)), min_size=n_rows, max_size=n_rows))
    weights = draw(st.lists(st.sampled_from([1.0, 1.5, 4.0]), min_size=n_labels, max_size=n_labels))
    return ranked, targets, weights, n_labels


def truth_matrix(truth_sets, n_labels):
    dense = np.zeros((len(truth_sets), n_labels), dtype=np.float32)
    for row, labels in enumerate(truth_sets):
        dense[row, sorted(labels)] = 1
    return sp.csr_matrix(dense)


@given(cases())
def test_ranked_ints_agree_with_the_reference(case):
    ranked, targets, weights, n_labels = case
    columns = len(ranked[0])
    assume(columns != n_labels or np.max(ranked) > 1 or np.min(ranked) < 0)  # else perhaps an indicator matrix
    for name in PLAIN + WEIGHTED:
        got = compute(name, np.array(ranked), truth_matrix(targets, n_labels), np.array(weights), columns)
        expected = [reference(name, ranked, targets, weights, k) for k in range(1, columns + 1)]
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=name)


@given(st.data())
def test_sparse_scores_agree_with_the_reference(data):
    n_rows, n_labels = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    score = st.sampled_from([None, -1.0, 0.0, 0.5, 0.5, 2.0])  # None is not stored; equal scores are common
    table = [[data.draw(score) for _ in range(n_labels)] for _ in range(n_rows)]
    targets = [data.draw(st.sets(st.integers(0, n_labels - 1))) for _ in range(n_rows)]
    weights = np.linspace(1, 2, n_labels)
    stored = [(row, label, s) for row, scores in enumerate(table) for label, s in enumerate(scores) if s is not None]
    rows, labels, values = zip(*stored, strict=True) if stored else ((), (), ())
    pred = sp.csr_matrix((np.array(values, dtype=np.float32), (rows, labels)), shape=(n_rows, n_labels))
    ranked = [
        sorted((label for label, s in enumerate(scores) if s is not None), key=lambda label: (-scores[label], label))
        for scores in table
    ]
    for name in PLAIN + WEIGHTED:
        got = compute(name, pred, truth_matrix(targets, n_labels), weights, n_labels)
        expected = [reference(name, ranked, targets, weights, k) for k in range(1, n_labels + 1)]
        np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=name)


@given(st.data())
def test_every_form_of_the_same_predictions_gives_the_same(data):
    """Lists, ints, sparse and dense scores (-inf where a label is not proposed), sparse and dense targets."""
    n_rows, n_labels = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    table = np.array([[data.draw(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])) for _ in range(n_labels)]
                      for _ in range(n_rows)])  # fmt: skip
    targets = truth_matrix([data.draw(st.sets(st.integers(0, n_labels - 1))) for _ in range(n_rows)], n_labels)
    rows, labels = np.nonzero(table > -np.inf)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    single = table.astype(np.float32)
    sparse = sp.csr_matrix((single[rows, labels], (rows, labels)), shape=table.shape)
    unsorted = sp.coo_matrix((single[rows, labels][shuffled], (rows[shuffled], labels[shuffled])), shape=table.shape)
    lists = [
        sorted(np.flatnonzero(scores > -np.inf).tolist(), key=lambda label: -scores[label])
        for scores in table  # noqa: B023
    ]
    forms = [lists, sparse, sparse.astype(np.float64), unsorted.tocsr(), unsorted, table, single]
    for name in PLAIN + WEIGHTED:
        found = [compute(name, form, targets, np.linspace(1, 2, n_labels), n_labels) for form in forms]
        found.append(compute(name, sparse, targets.toarray(), np.linspace(1, 2, n_labels), n_labels))
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0], err_msg=name)


# --- worked by hand, from the definitions of Jain et al. (KDD 2016) --------------------------------------------


def test_example_worked_by_hand():
    """Two points, four labels with 1/p = 1, 2, 4, 8.

    Point 0 has {0, 2} and is ranked 2, 1, 0: right, wrong, right. Point 1 has {3} and is ranked 0, 3, 1: only second.
    Gains 4, 0, 1 and 0, 8, 0; the best that is attainable 4, 1, 0 and 8, 0, 0.
    """
    targets = sp.csr_matrix([[1, 0, 1, 0], [0, 0, 0, 1]])
    pred = np.array([[2, 1, 0], [0, 3, 1]])
    weights = np.array([1.0, 2.0, 4.0, 8.0])
    d2, d3 = 1 / math.log2(3), 0.5
    expected = {
        "precision": [1 / 2, 2 / 4, 3 / 6],
        "recall": [1 / 4, (1 / 2 + 1) / 2, 2 / 2],
        "ndcg": [1 / 2, (1 / (1 + d2) + d2) / 2, ((1 + d3) / (1 + d2) + d2) / 2],
        "psprecision": [4 / 12, 12 / 13, 13 / 13],
        "psndcg": [
            4 / 12,
            (4 / (1 + d2) + 8 * d2) / ((4 + d2) / (1 + d2) + 8),
            ((4 + d3) / (1 + d2) + 8 * d2) / ((4 + d2) / (1 + d2) + 8),
        ],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(compute(name, pred, targets, weights, 3), values, atol=1e-12, err_msg=name)


# --- stored values ---------------------------------------------------------------------------------------------

# Computed once with pyxclib's formulas on the tie-free case below; the last digit is rounded.
STORED = {
    "precision": [0.25, 0.2916666667, 0.3055555556, 0.2916666667, 0.3],
    "ndcg": [0.25, 0.2822377339, 0.2942267728, 0.3003458685, 0.3211715828],
    "recall": [0.0513888889, 0.1263888889, 0.2125, 0.2708333333, 0.3388888889],
    "psprecision": [0.4838607481, 0.5720069477, 0.6064184977, 0.6300724651, 0.7200800344],
    "psndcg": [0.4838607481, 0.5518925112, 0.5805500965, 0.5920277726, 0.6369607714],
    "psrecall": [0.4021653265, 0.4990792695, 0.5682346780, 0.6109098570, 0.6965945901],
}


@pytest.fixture
def stored_case():
    targets, scores = np.zeros((12, 9)), np.zeros((12, 9))
    for i in range(12):
        for j in range(9):
            targets[i, j] = (i * i + 3 * j * j + i * j) % 7 in (1, 3) and i % 4 != 3
            scores[i, j] = ((i * 37 + j * 53) % 101 + 1) / 102 if (i + 2 * j) % 3 else 0
    return sp.csr_matrix(targets), sp.csr_matrix(scores)


@pytest.mark.parametrize("name", PLAIN + WEIGHTED)
def test_values_of_pyxclibs_conventions(stored_case, name):
    targets, scores = stored_case
    weights = metrics.inverse_propensity(targets, A=0.6, B=2.6)
    np.testing.assert_allclose(compute(name, scores, targets, weights, 5), STORED[name], atol=1e-9)


# --- choices of our own, each once by itself -------------------------------------------------------------------


def test_rows_without_truth_stay_in_the_mean():
    targets = sp.csr_matrix([[1, 0], [0, 0]])
    pred = np.array([[0, 1], [0, 1]])
    for name in PLAIN:
        assert compute(name, pred, targets, None, 1)[0] == 0.5
    for name in WEIGHTED:
        assert compute(name, pred, targets, np.ones(2), 1)[0] == 1.0


def test_truth_is_binarised_and_left_as_it_was():
    stored = sp.csr_matrix((np.array([2.0, 0.0, 3.0]), ([0, 0, 1], [0, 1, 1])), shape=(2, 2))
    pred = np.array([[0, 1], [0, 1]])
    np.testing.assert_allclose(metrics.precision(pred, stored, 2), [0.5, 0.5])
    assert stored.nnz == 3
    np.testing.assert_array_equal(stored.data, [2.0, 0.0, 3.0])


def test_all_zero_truth_gives_zero_not_nan():
    targets = sp.csr_matrix((3, 4))
    for name in PLAIN + WEIGHTED:
        np.testing.assert_array_equal(compute(name, np.zeros((3, 2), dtype=int), targets, np.ones(4), 2), [0, 0])


def test_unsorted_scores_with_duplicate_entries_are_summed():
    pred = sp.csr_matrix((np.array([0.4, 0.5, 0.4]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 3))
    assert metrics.precision(pred, sp.csr_matrix([[0, 0, 1]]), 1)[0] == 1.0
    np.testing.assert_array_equal(pred.indices, [2, 0, 2])


def test_booleans_are_what_is_predicted():
    """As the sparse matrix of them: what is False does not rank, not even below what is True."""
    truth = np.array([[True, False, True], [False, False, False]])
    assert metrics.precision(truth, sp.csr_matrix([[1, 0, 1], [1, 1, 1]]), 3) == pytest.approx([0.5, 0.5, 1 / 3])
    assert metrics.recall(truth.astype(float), sp.csr_matrix([[1, 0, 1], [1, 1, 1]]), 3)[-1] == 1


INDICATOR = np.array([[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("pred", [INDICATOR, INDICATOR.tolist(), INDICATOR.astype(np.uint8)], ids=type)
def test_every_metric_refuses_integers_that_are_an_indicator(pred):
    """Read as label indices they gave the truth itself a P@1 of 0."""
    weights = np.ones(3)
    calls = [
        *(lambda name=name: compute(name, pred, TRUTH, weights, 1) for name in PLAIN + WEIGHTED),
        lambda: metrics.report(pred, TRUTH, weights, ks=[1]),
        lambda: metrics.per_point(pred, TRUTH, weights, ks=[1]),
        lambda: metrics.by_frequency(pred, TRUTH, np.ones(3, dtype=int), k=1),
    ]
    for call in calls:
        with pytest.raises(InputError, match="0s and 1s, a column for each label"):
            call()
    for form in (sp.csr_matrix(INDICATOR), INDICATOR.astype(bool), INDICATOR.astype(float)):
        assert metrics.precision(form, sp.csr_matrix(INDICATOR), 1)[0] == 1


@pytest.mark.parametrize(
    ("rows", "n_labels"),
    [
        ([[0], [0]], 1), ([[0, 1], [1, 0]], 2), ([[1, -1], [0, 1]], 2), ([[0, 1, -1], [1, -1, -1]], 3),
        ([[2, 1, 0], [0, 1, 2]], 3), ([[0], [1]], 3), ([[1, 0], [0, 1]], 3),
    ],
)  # fmt: skip
def test_no_ranking_is_taken_for_an_indicator(rows, n_labels):
    first = np.array([row[0] for row in rows])
    targets = sp.csr_matrix((np.ones(2), (np.arange(2), first)), shape=(2, n_labels))
    assert metrics.precision(np.array(rows), targets, 1)[0] == metrics.precision(rows, targets, 1)[0] == 1


@pytest.mark.parametrize(("rows", "n_labels"), [([[0], [1]], 1), ([[0, 0], [0, 1]], 2), ([[1, 1], [0, 1]], 2)])
def test_an_indicator_of_one_or_two_labels_is_refused_where_a_row_is_no_ranking(rows, n_labels):
    with pytest.raises(InputError, match="0s and 1s"):
        metrics.precision(np.array(rows), sp.csr_matrix((2, n_labels)), 1)


# --- errors ----------------------------------------------------------------------------------------------------

TRUTH = sp.csr_matrix([[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("pred", "k", "message"),
    [
        (np.array([[0, 1]]), 1, "predictions: 1 rows, expected 2"),
        (np.array([[0, 1], [1, 3]]), 1, r"row 1, column 1: label 3, expected 0 to 2 or -1"),
        (np.array([[0, -2], [1, 2]]), 1, r"row 0, column 1: label -2"),
        (np.array([[0, 1], [1, 2]]), 3, "k is 3, expected 1 to 2"),
        (np.array([[0, 1], [1, 2]]), 0, "k is 0, expected 1 to 2"),
        (np.array([0, 1]), 1, r"predictions: int64 \(2,\)"),
        (np.array([[0.1, 0.9], [0.2, 0.3]]), 1, r"scores of shape \(2, 2\), expected \(2, 3\)"),
        (np.array([["a", "b"], ["c", "d"]]), 1, "predictions: <U1"),
        ([0, 1], 1, "a list, expected for each row a list of label indices"),
        ([[0.5], [1.0]], 1, "a list, expected for each row"),
        ([[True, False], [True, True]], 1, "a list, expected for each row.* indicators as an array or a sparse matrix"),
        (([0], ["a"]), 1, "a tuple, expected for each row"),
        (np.array([[1, 0, 0], [0, 1, 0]]), 1, "0s and 1s, a column for each label: integers are label indices"),
        (np.array([[0, 0, 0], [0, 0, 0]], dtype=np.uint8), 1, "0s and 1s"),
        ([[1, 0, 0], [0, 1, 0]], 5, r"0s and 1s.* pass pred.astype\(bool\) to predict the 1s"),
        (torch.tensor([[0], [1]]), 1, "torch.Tensor, expected a NumPy array or a sparse matrix: integers"),
        (pd.DataFrame([[0], [1]]), 1, "pandas.DataFrame, expected a NumPy array or a sparse matrix: integers"),
        (np.array([[True], [False]]), 1, r"scores of shape \(2, 1\), expected \(2, 3\).*booleans"),
        ([[0, 1], [1, 3]], 1, "row 1, column 1: label 3"),
        (np.array([[0.5, 0, 0], [0, np.nan, 0]]), 1, "row 1: a score is NaN"),
        (np.array([[0, 2, 0], [2, 0, 1]]), 1, "row 0: label 0 comes twice, expected once: integers .* are label"),
        (sp.csr_matrix((2, 4)), 1, r"scores of shape \(2, 4\), expected \(2, 3\)"),
        (sp.csr_matrix((2, 3)), 4, "k is 4, expected 1 to 3"),
        (sp.csr_matrix([[0.5, 0, 0], [0, np.nan, 0]]), 1, "row 1: a score is NaN"),
    ],
)
def test_bad_predictions(pred, k, message):
    with pytest.raises(InputError, match=message):
        metrics.precision(pred, TRUTH, k)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[0], [1]], "targets: list, expected a matrix of rows x labels"),
        (torch.eye(2), "targets: torch.Tensor, expected a matrix"),
        (pd.DataFrame(np.eye(2)), "targets: pandas.DataFrame, expected a matrix .*, or a NumPy array"),
        (np.ones(3), r"targets: float64 \(3,\), expected a matrix"),
        (np.full((2, 3), np.nan), "targets: a value is NaN"),
        (sp.csr_matrix((0, 3)), r"targets: shape \(0, 3\)"),
        (sp.csr_matrix((2, 0)), r"targets: shape \(2, 0\)"),
    ],
)
def test_bad_targets(targets, message):
    with pytest.raises(InputError, match=message):
        metrics.recall(np.zeros((2, 1), dtype=int), targets, 1)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"shape \(4,\), expected \(3,\)"),
        (np.array([1.0, np.nan, 1.0]), "label 1: nan"),
        (np.array([1.0, 1.0, 0.0]), "label 2: 0.0"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(InputError, match=message):
        metrics.psprecision(np.array([[0], [1]]), TRUTH, weights, 1)
